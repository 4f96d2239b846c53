"""Calls that block an event loop are found while tests run: in this process, and in the processes of a node.

`blockbuster` knows which functions block. What it finds is written to a file instead of raised, so that nothing can swallow it
and the traffic of a whole node goes on; processes that are forked from a watched one write there too.
"""

from __future__ import annotations

import os
import traceback
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from blockbuster import BlockBuster, BlockBusterFunction

import majula

VARIABLE = "MAJULA_TEST_BLOCKING_CALLS"
"""The file, for the processes of a watched node (`tests.watched_node`); nothing but tests knows it."""

_MORE = ("os.fsync", "os.fdatasync", "os.open", "os.chmod", "builtins.open", "io.open", "subprocess.Popen.wait")
_PACKAGE = str(Path(majula.__file__).parent)
_TESTS = str(Path(__file__).parent)

ARGUED = {
    "actorsystem/memory.py:resident_bytes": "a file of /proc is answered from the kernel's memory",
    "actors/telemetry.py:_process_use": "the same",
    "runner/tree.py:_children": "the same",
    "runner/tree.py:_is_stopped": "the same",
    "testing/": "a node as a fixture belongs to a test, whose loop serves nobody else",
    "actorsystem/connection.py:listen": "a socket's name in the run directory, once a process",
    "actorsystem/endpoint.py:close": "the same",
    "actorsystem/rundir.py:prepare": "the run directory is made before anything runs in it",
    "actorsystem/rundir.py:remove_sockets_of": "the same",
    "runner/handout.py:": "the same",
    "runner/control.py:start": "the same",
    "runner/control.py:close": "the same",
    "api/http/documentation/__init__.py:page_files": "three files of the package while a gateway starts, before it is ready",
    "api/entrance/tls.py:server_context": "two files of some KiB, at the start and when the certificate is another",
    "runner/logfile.py:_open": "the way to standard error is opened without waiting, once a process",
    "config/files.py:file_sign": "one question about the configuration file each second; nobody's traffic passes this actor",
}
"""Where a call may stand that could block, and why it is no harm there."""


class BlockingCalls:
    """Watches this process, and whoever is forked from it, from now on."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._watch = BlockBuster(scanned_modules=["majula"])
        for name in _MORE:
            self._watch.functions[name] = BlockBusterFunction(None, name, scanned_modules=["majula"])
        for name, function in self._watch.functions.items():
            function.can_block_predicate = self._record(name, function)
        self._write: Callable[[int, bytes], int] = os.write
        self._open: Callable[..., int] = os.open

    def start(self) -> None:
        """From now on."""
        self._watch.activate()

    def stop(self) -> None:
        """Everything is as before, in this process."""
        self._watch.deactivate()

    def _record(self, name: str, function: BlockBusterFunction) -> Callable[..., bool]:
        """A predicate that lets every call pass and writes down what would have been refused."""
        may_block, known = function.can_block_predicate, function.can_block_functions

        def predicate(*arguments: Any, **named: Any) -> bool:
            if not may_block(*arguments, **named):
                stack = traceback.extract_stack()[:-2]
                ours = [frame for frame in stack if frame.filename.startswith(_PACKAGE)]
                if ours and not any(map(_is_argued, ours)):
                    below = stack[stack.index(ours[-1]) :]
                    if not any(map(_is_none_of_ours, below)) and not any(_is_one_of(frame, known) for frame in below):
                        self._tell(name, ours)
            return True

        return predicate

    def _tell(self, name: str, ours: list[traceback.FrameSummary]) -> None:
        places = " < ".join(f"{_place(frame)}:{frame.lineno}" for frame in reversed(ours[-4:]))
        file = self._open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        self._write(file, f"{name}: {places}\n".encode())
        os.close(file)


def found_in(path: Path) -> list[str]:
    """What was written there, each place once."""
    return sorted(set(path.read_text().splitlines())) if path.exists() else []


def _place(frame: traceback.FrameSummary) -> str:
    return f"{frame.filename[len(_PACKAGE) + 1 :]}:{frame.name}"


def _is_argued(frame: traceback.FrameSummary) -> bool:
    return any(_place(frame).startswith(place) for place in ARGUED)


def _is_one_of(frame: traceback.FrameSummary, known: list[tuple[str, Iterable[str]]]) -> bool:
    return any(frame.filename.endswith(file) and frame.name in names for file, names in known)


def _is_none_of_ours(frame: traceback.FrameSummary) -> bool:
    """Called by our code: a test, a module that is imported where it is needed first, the source lines of a traceback (each file
    once), or the log. How a node's log never blocks has tests of its own (A63)."""
    return frame.filename.startswith(("<frozen importlib", _TESTS)) or frame.filename.endswith(
        ("/linecache.py", "/logging/__init__.py")
    )


@pytest.fixture
def no_blocking_calls(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The test fails where something has blocked an event loop meanwhile: in this process, or in one that it forked."""
    path = tmp_path_factory.mktemp("blocking") / "calls.txt"
    watch = BlockingCalls(path)
    watch.start()
    try:
        yield
    finally:
        watch.stop()
    if found := found_in(path):
        pytest.fail("an event loop was blocked by\n" + "\n".join(found), pytrace=False)
