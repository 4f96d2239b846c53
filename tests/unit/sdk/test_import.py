"""What importing costs, and what it must not bring along."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

pytestmark = pytest.mark.slow


def loaded_by(statement: str) -> set[str]:
    """The modules in a fresh interpreter after a statement."""
    code = f"import sys, json; {statement}; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    return set(json.loads(done.stdout))


def test_the_package_alone_loads_nothing_but_itself() -> None:
    assert not loaded_by("import majula") & {"msgspec", "asyncio", "aiohttp", "thespian", "majula.errors"}


def test_the_client_brings_no_server_no_actors_and_no_http_library() -> None:
    loaded = loaded_by("import majula; majula.connect")
    assert not loaded & {"aiohttp", "thespian", "uvloop", "yaml", "cryptography", "psutil"}
    assert not {name for name in loaded if name.startswith(("majula.actors", "majula.actorsystem", "majula.runner"))}


def test_everything_public_is_reachable_from_the_package() -> None:
    loaded_by("import majula; assert all(hasattr(majula, name) for name in majula.__all__); assert 'connect' in dir(majula)")


def test_an_unknown_name_is_an_attribute_error() -> None:
    import majula  # noqa: PLC0415  # the other tests look at fresh interpreters

    with pytest.raises(AttributeError, match="nothing_of_the_kind"):
        _ = majula.nothing_of_the_kind
