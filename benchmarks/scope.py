"""Everything that a benchmark starts lives in one `Scope` and ends with it: processes, their descendants, files.

Three nets, because a benchmark that leaves a server behind spoils every later one:
- leaving the scope (normally, by an exception, by Ctrl-C) ends each process, then whatever these had started;
- a process that detached itself (a daemon forks twice) becomes a child of ours, since we are its subreaper meanwhile (prctl(2)),
  so it is found;
- should we be killed, the kernel sends SIGKILL to what we started.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from benchmarks import machine

ROOT = Path(__file__).resolve().parent.parent
"""The checkout: working directory of all that is started, so that `majula` and `benchmarks` import from it."""

_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36
_libc = ctypes.CDLL(None, use_errno=True)


class StartFailed(Exception):
    """A process did not come up or ended early; the text carries the end of what it said."""


class Worker:
    """A process that speaks lines of JSON on its standard output."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path) -> None:
        self.process = process
        self.pid = process.pid
        self._log = log
        self._pending = b""

    def line(self, timeout_s: float) -> bytes:
        """The next line.

        Raises:
            StartFailed: none came in `timeout_s` seconds, or the process ended.
        """
        assert self.process.stdout is not None
        descriptor = self.process.stdout.fileno()
        give_up_at = time.monotonic() + timeout_s
        while b"\n" not in self._pending:
            readable, _, _ = select.select([descriptor], [], [], max(0.0, give_up_at - time.monotonic()))
            chunk = os.read(descriptor, 65536) if readable else b""
            if not chunk:
                what = "said nothing in time" if not readable else f"ended with status {self.process.wait(5)}"
                raise StartFailed(f"{Path(str(self._log)).stem} {what}: {tail(self._log)}")
            self._pending += chunk
        line, _, self._pending = self._pending.partition(b"\n")
        return line


class Scope:
    """A private directory and the processes that work in it. Use it as a context manager.

    Args:
        pinned_cores: cores for everything that is started; None leaves that to the kernel.
    """

    def __init__(self, *, pinned_cores: frozenset[int] | None = None) -> None:
        self._pinned_cores = pinned_cores
        self._processes: list[subprocess.Popen[bytes]] = []
        self._known_orphans: set[int] = set()
        self.directory = Path()

    def __enter__(self) -> Self:
        _libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        self._known_orphans = set(_children())
        self.directory = Path(tempfile.mkdtemp(prefix="majula-bench-"))
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        # A second Ctrl-C must not cut the clean-up short: what it would leave running is worse than a second of waiting.
        restore = _signals_ignored()
        try:
            self.end(self._processes)
            self.sweep()
            _libc.prctl(_PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)
            shutil.rmtree(self.directory, ignore_errors=True)
        finally:
            restore()

    def spawn(
        self,
        command: Sequence[str],
        *,
        name: str,
        environment: Mapping[str, str] | None = None,
        directory: Path = ROOT,
    ) -> subprocess.Popen[bytes]:
        """Start a process whose output goes to `<name>.log` in the scope's directory; `directory` is the checkout it works in."""
        with open(self.log(name), "ab") as log:
            return self._start(command, stdout=log, stderr=log, environment=environment, directory=directory)

    def worker(self, command: Sequence[str], *, name: str) -> Worker:
        """Start a process that reports by lines on its standard output; its errors go to `<name>.log`."""
        with open(self.log(name), "ab") as log:
            return Worker(self._start(command, stdout=subprocess.PIPE, stderr=log, environment=None), self.log(name))

    def log(self, name: str) -> Path:
        return self.directory / f"{name}.log"

    def tree(self, pid: int) -> list[int]:
        """`pid` with all its descendants, and those that detached themselves in this scope."""
        others = {process.pid for process in self._processes}
        found = [pid, *machine.descendants(pid)]
        for orphan in self._orphans():
            if orphan not in others:
                found += [orphan, *machine.descendants(orphan)]
        return list(dict.fromkeys(found))

    def end(self, processes: Sequence[subprocess.Popen[bytes]]) -> list[int]:
        """Ask these processes to end, kill what does not within 5 s, and what they leave behind. Returns the pids left behind."""
        ending = list(processes)
        below = [pid for process in ending if process.poll() is None for pid in machine.descendants(process.pid)]
        for process in ending:
            if process.poll() is None:
                process.terminate()
        for process in ending:
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(5)
            if process.stdout is not None:
                process.stdout.close()
            if process in self._processes:
                self._processes.remove(process)
        left = [pid for pid in below if _is_alive(pid)]
        for pid in left:
            _kill(pid)
        return left

    def sweep(self) -> list[int]:
        """Kill what detached itself from the processes of this scope, its descendants too. Returns their pids."""
        orphans = self._orphans()
        below = [pid for orphan in orphans for pid in machine.descendants(orphan)]
        left = [pid for pid in (*orphans, *below) if _is_alive(pid)]
        for pid in left:
            _kill(pid)
        for pid in orphans:
            with contextlib.suppress(OSError):
                os.waitpid(pid, 0)
        return left

    def _orphans(self) -> list[int]:
        """Children of ours that this scope did not start directly: they detached themselves from something it started."""
        own = {process.pid for process in self._processes} | self._known_orphans
        return [pid for pid in _children() if pid not in own]

    def _start(
        self,
        command: Sequence[str],
        *,
        stdout: IO[bytes] | int,
        stderr: IO[bytes],
        environment: Mapping[str, str] | None,
        directory: Path = ROOT,
    ) -> subprocess.Popen[bytes]:
        process: subprocess.Popen[bytes] = subprocess.Popen(
            list(command),
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=stderr,
            cwd=directory,
            env={**os.environ, **(environment or {})},
            start_new_session=True,  # Ctrl-C at the terminal reaches us alone; we end the others in order
            preexec_fn=self._prepare_child,
        )
        self._processes.append(process)
        return process

    def _prepare_child(self) -> None:
        _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if self._pinned_cores:
            os.sched_setaffinity(0, self._pinned_cores)


def python(module: str, *arguments: str) -> list[str]:
    """The command that runs a module by this interpreter."""
    return [sys.executable, "-m", module, *arguments]


def tail(log: Path, characters: int = 1500) -> str:
    """The end of a log file, for an error text."""
    try:
        return log.read_text(errors="replace")[-characters:].strip() or "(it wrote nothing)"
    except OSError:
        return "(no log)"


def wait_until(
    is_true: Callable[[], bool], process: subprocess.Popen[bytes], log: Path, *, timeout_s: float, poll_s: float = 0.002
) -> None:
    """Poll `is_true` each `poll_s` seconds.

    Raises:
        StartFailed: `process` ended or `timeout_s` passed before it was true.
    """
    give_up_at = time.monotonic() + timeout_s
    while not is_true():
        if process.poll() is not None:
            raise StartFailed(f"{log.stem} ended with status {process.returncode}: {tail(log)}")
        if time.monotonic() > give_up_at:
            raise StartFailed(f"{log.stem} was not ready within {timeout_s:g} s: {tail(log)}")
        time.sleep(poll_s)


def interrupt_on_signals() -> None:
    """SIGTERM and SIGHUP unwind like Ctrl-C, so that every scope is left."""

    def interrupt(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, interrupt)
    signal.signal(signal.SIGHUP, interrupt)


def _signals_ignored() -> Callable[[], None]:
    before = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}

    def restore() -> None:
        for number, old in before.items():
            signal.signal(number, old)

    return restore


def _children() -> list[int]:
    """Pids of this process's own children, adopted ones included."""
    found: list[int] = []
    for thread in os.listdir("/proc/self/task"):  # a child belongs to the thread that forked it
        with contextlib.suppress(OSError), open(f"/proc/self/task/{thread}/children") as pids:
            found += [int(pid) for pid in pids.read().split()]
    return found


def _is_alive(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def _kill(pid: int) -> None:
    with contextlib.suppress(OSError):
        os.kill(pid, signal.SIGKILL)
