"""A pytest plugin under which Thespian's own test suite runs on our base: `pytest -p tests.conformance.thespian_on_majula`.

The suite knows the bases by name and treats some of them specially, so ours takes the place of `multiprocTCPBase`. All systems of
a run share one run directory, in which their admins are told apart by port, because the suite's conventions join several systems.
Options such as `capabilities` stay the suite's own.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
import types
from pathlib import Path
from typing import Any

import pytest

from majula.actorsystem import base
from majula.actorsystem.transport import PLAIN_MESSAGES, RUN_DIRECTORY

_run_dir = tempfile.mkdtemp(prefix="thespian-")


class ActorSystemBase(base.ActorSystemBase):
    """Our base, as the suite starts it: with plain actors' own messages, in the shared directory."""

    def __init__(self, system: Any, logDefs: object = None) -> None:
        system.capabilities[RUN_DIRECTORY] = _run_dir
        system.capabilities[PLAIN_MESSAGES] = True
        super().__init__(system, logDefs)


_module = types.ModuleType("thespian.system.multiprocTCPBase", "Stands in for the stock base.")
_module.ActorSystemBase = ActorSystemBase  # type: ignore[attr-defined]  # a module made here
sys.modules["thespian.system.multiprocTCPBase"] = _module


def pytest_unconfigure(config: pytest.Config) -> None:
    """Leave nothing behind."""
    shutil.rmtree(Path(_run_dir), ignore_errors=True)
