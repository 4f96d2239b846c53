"""Starting and watching one process: fork, what the child drops, how it dies with its parent, why it ended.

A child is forked by the actor that creates it, from within its running loop, and never returns to the code that forked: it runs
its own main function and leaves by `os._exit`, so neither the parent's loop, nor its `finally` blocks, nor atexit functions run
twice.
"""

from __future__ import annotations

import asyncio
import ctypes
import gc
import logging
import os
import select
import signal
import sys
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Final, NoReturn

try:
    import uvloop
except ImportError:
    uvloop = None  # type: ignore[assignment]  # an optional dependency, absent
try:
    import setproctitle
except ImportError:
    setproctitle = None  # type: ignore[assignment]  # an optional dependency, absent

_log = logging.getLogger(__name__)

_PR_SET_PDEATHSIG: Final = 1
_REASON_BYTES: Final = 2048
_CRASHED: Final = 1

_prctl = ctypes.CDLL(None, use_errno=True).prctl
_kept_loops: list[object] = []
"""Loops that were running when this process was forked. If one were collected here, it would close its epoll descriptor's number,
which by then may be another's."""


_plain_descriptors: set[int] = set()
"""Descriptors of this module that no object closes by itself, so that a forked child may close them for good."""


class _Tree:
    """The processes below one main process: they share a process group, and each of them watches main."""

    main_descriptor = -1
    group = 0


_tree = _Tree()


class EndedBadly(Exception):
    """Raised by a child's main function to end with a reason that is already in words."""


def new_loop() -> asyncio.AbstractEventLoop:
    """A uvloop where it is installed, else asyncio's own."""
    return asyncio.new_event_loop() if uvloop is None else uvloop.new_event_loop()


def set_title(title: str) -> None:
    """What `ps` shows, where setproctitle is installed."""
    if setproctitle is not None:
        setproctitle.setproctitle(title)


def describe(error: BaseException) -> str:
    """An exception as a reason: `ValueError: bad topic`."""
    if isinstance(error, EndedBadly):
        return str(error)
    text = str(error).split("\n", 1)[0][:300]
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


class ChildProcess:
    """A process that this one forked.

    Its descriptor (`fileno()`) becomes readable when the process ends; then `reap()` says why.
    """

    def __init__(self, pid: int, reason_fd: int) -> None:
        self.pid = pid
        self._pidfd = os.pidfd_open(pid)
        self._reason_fd = reason_fd
        _plain_descriptors.update((self._pidfd, reason_fd))
        self._reason: str | None = None

    def fileno(self) -> int:
        return self._pidfd

    def is_alive(self) -> bool:
        """Whether it runs (or is stopped); does not block."""
        if self._reason is not None:
            return False
        poll = select.poll()
        poll.register(self._pidfd, select.POLLIN)
        return not poll.poll(0)

    def join(self, timeout_s: float | None = None) -> None:
        """Wait for its end, at most so long."""
        if self._reason is None:
            poll = select.poll()
            poll.register(self._pidfd, select.POLLIN)
            poll.poll(None if timeout_s is None else timeout_s * 1000)

    def send_signal(self, number: int) -> None:
        """Signal it; nothing happens when it has ended (the number cannot hit another process)."""
        if self._reason is None:
            try:
                signal.pidfd_send_signal(self._pidfd, number)
            except ProcessLookupError:
                return

    def reap(self) -> str:
        """Why it ended, in words: its own last words if it had any, else its exit status. Blocks if it still runs."""
        if self._reason is not None:
            return self._reason
        self.join()  # a loop that watches the descriptor makes it non-blocking, and `waitid` with it
        try:
            found = os.waitid(os.P_PIDFD, self._pidfd, os.WEXITED)
        except ChildProcessError:
            found = None  # somebody else waited for it
        said = b""
        with suppress(BlockingIOError):  # nothing said, and a grandchild still holds the pipe
            said = os.read(self._reason_fd, _REASON_BYTES)
        os.close(self._reason_fd)
        os.close(self._pidfd)
        _plain_descriptors.difference_update((self._pidfd, self._reason_fd))
        if said:
            reason = said.decode("utf-8", "replace")
        elif found is None:
            reason = "ended, status unknown"
        elif found.si_code in (os.CLD_KILLED, os.CLD_DUMPED):
            reason = f"killed by {signal.Signals(found.si_status).name}"
        elif found.si_status == 0:
            reason = "stopped"
        else:
            reason = f"exit status {found.si_status}"
        self._reason = reason
        return reason


def fork_child(main: Callable[[], None], *, keep: Iterable[int] = (), dies_with_parent: bool = True) -> ChildProcess:
    """Fork a process that runs `main` and ends: status 0 when it returns; status 1, with a reason, when it raises.

    Args:
        keep: descriptors that the child uses; of every other it holds nothing, so that a connect to its dead parent fails.
        dies_with_parent: have the kernel kill it when the thread that called this ends.
    Raises:
        OSError: no more processes.
    """
    parent_pid = os.getpid()
    read_fd, write_fd = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
    # A handler of the parent that ran in the child, before the child has dropped it, would act on the parent's loop.
    blocked = signal.pthread_sigmask(signal.SIG_SETMASK, signal.valid_signals())
    try:
        pid = os.fork()
    except OSError:
        os.close(read_fd)
        os.close(write_fd)
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
        raise
    if pid == 0:
        kept = {*keep, write_fd, _tree.main_descriptor}
        _run_child(main, kept, write_fd, parent_pid if dies_with_parent else None)
    os.close(write_fd)
    signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
    return ChildProcess(pid, read_fd)


def found_tree(main_pid: int) -> None:
    """Make this process, and all that come to be below it, one group that ends when `main_pid` ends.

    Raises:
        EndedBadly: it has ended already.
    """
    os.setsid()
    _tree.group = os.getpid()
    _tree.main_descriptor = os.pidfd_open(main_pid)
    if os.getppid() != main_pid:
        raise EndedBadly("the main process is gone")


def watch_main(loop: asyncio.AbstractEventLoop) -> None:
    """End the whole tree as soon as its main process has ended.

    The kernel ends each process when its parent has ended (`fork_child`), but level by level, and a busy machine takes its time
    for each. Whoever of the tree turns first ends all at once, stopped and spinning ones included.
    """
    if _tree.main_descriptor >= 0:
        loop.add_reader(_tree.main_descriptor, _end_tree)


def _end_tree() -> None:
    if os.getpgrp() == _tree.group:
        os.killpg(_tree.group, signal.SIGKILL)
    os._exit(_CRASHED)


def _run_child(main: Callable[[], None], keep: set[int], reason_fd: int, parent_pid: int | None) -> NoReturn:
    status = _CRASHED
    try:
        if parent_pid is not None:
            _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
            if os.getppid() != parent_pid:  # it died before the line above
                os._exit(_CRASHED)
        _forget_parent(keep)
        main()
        status = 0
    except SystemExit as error:
        # An actor does not choose its exit status; where one says sys.exit, its words are the reason.
        status = 0 if error.code in (None, 0) else _CRASHED
        if status:
            _say(reason_fd, f"SystemExit: {error.code}")
    except EndedBadly as error:
        _say(reason_fd, str(error))
    except BaseException as error:
        _say(reason_fd, describe(error))
        _log.exception("process %d ends", os.getpid())
    finally:
        try:
            sys.stdout.flush()
            sys.stderr.flush()
        except OSError:
            status = status or 0  # nobody reads our output any more; the status stands
        os._exit(status)


def _say(reason_fd: int, reason: str) -> None:
    os.write(reason_fd, reason.encode()[:_REASON_BYTES])


def _forget_parent(keep: set[int]) -> None:
    loop = asyncio._get_running_loop()
    _kept_loops.append(loop)
    asyncio._set_running_loop(None)
    asyncio.set_event_loop(None)
    signal.set_wakeup_fd(-1)
    for number in signal.valid_signals():
        if signal.getsignal(number) not in (signal.SIG_DFL, signal.SIG_IGN, None):
            signal.signal(number, signal.SIG_DFL)
    # Signals from the terminal are the runner's: it drains the tree.
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGQUIT):
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    for descriptor in _plain_descriptors:
        os.close(descriptor)
    _plain_descriptors.clear()
    drop_descriptors(keep)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    threading.current_thread().name = "MainThread"


def drop_descriptors(keep: set[int]) -> None:
    """Let go of every inherited descriptor but 0, 1, 2 and `keep`.

    They are not closed but pointed at /dev/null: objects of the parent (sockets, loops) live on in this process's memory, and one
    that closes its number later must not hit a descriptor that was opened here meanwhile.
    """
    null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    with os.scandir("/proc/self/fd") as entries:
        inherited = [int(entry.name) for entry in entries]
    for number in inherited:
        if number > 2 and number != null and number not in keep:
            try:
                os.dup2(null, number, inheritable=False)
            except OSError:
                continue  # the directory's own descriptor, closed by now
    os.close(null)


def freeze() -> None:
    """Take what exists out of garbage collection, before a fork: a collection in the child would copy all that it visits."""
    gc.collect()
    gc.freeze()
