"""Fuzzing that sees which input reaches new code. It needs atheris, which this project does not install by itself."""

from __future__ import annotations

import importlib
import sys
from contextlib import suppress
from pathlib import Path
from types import ModuleType
from typing import Any

from tests.fuzz.engine import CORPUS, Finding, check, guarded, inputs, keep

_SEEDS = 300


def atheris_or_none() -> ModuleType | None:
    """The package, where it is installed."""
    with suppress(ImportError):
        return importlib.import_module("atheris")
    return None


def fuzz(atheris: Any, name: str, *, seconds: int, seed: int, folder: Path) -> None:
    """Fuzz one decoder until a finding or the end of the time; ends the process. Findings go into the corpus.

    Args:
        folder: for the inputs that reached something new. What is in it already is where it goes on.
    """
    with atheris.instrument_imports(include=["majula", "api", "actors"]):
        from tests.fuzz.decoders import DECODERS  # noqa: PLC0415 - what is imported here is instrumented
    decoder = DECODERS[name]
    folder.mkdir(parents=True, exist_ok=True)
    from random import Random  # noqa: PLC0415

    for number, data in zip(range(_SEEDS), inputs(decoder, Random(seed)), strict=False):
        (folder / f"seed-{number}").write_bytes(data)

    def feed(data: bytes) -> None:
        try:
            with guarded():
                check(decoder, data)
        except Finding as finding:
            print(f"{finding}\nkept as {keep(name, finding.data, finding.what)}", file=sys.stderr)
            raise

    # Coverage makes everything several times slower: the limit of CPU is for the plain run.
    options = [
        f"-max_total_time={seconds}",
        f"-seed={seed}",
        f"-max_len={decoder.input_bytes}",
        "-rss_limit_mb=2048",
        "-timeout=20",
    ]
    atheris.Setup([sys.argv[0], *options, f"-artifact_prefix={folder}/", str(folder), str(CORPUS / name)], feed)
    atheris.Fuzz()
