"""The way to standard error that never blocks, whatever is behind it and whoever else writes there."""

from __future__ import annotations

import os
import select
import socket
import stat


class LogDescriptor:
    """Writes whole lines to a descriptor that this process shares with others.

    The descriptor may be a terminal, a file, a pipe or (under systemd) a socket, and its flags are shared with whoever gave it to
    us, so it is not made non-blocking itself. A pipe or terminal is opened once more, non-blocking, for this process; a socket is
    sent to without waiting; a file never blocks. Where opening is not allowed (a pipe of another user) it is asked whether
    there is room first: then a second writer at the same moment may still make us wait.

    Args:
        descriptor: where to write. It must stay open.
    """

    def __init__(self, descriptor: int) -> None:
        self._given = descriptor
        self._pid = 0
        self._descriptor = -1
        self._socket: socket.socket | None = None
        self._poll: select.poll | None = None

    def write(self, line: bytes) -> bool:
        """False: it was not written, because nobody reads or nobody is there. A line of at most 4,096 bytes is not torn."""
        if self._pid != os.getpid():  # a forked child closes what it was not given
            self._pid = os.getpid()
            self._open()
        try:
            if self._socket is not None:
                return self._socket.send(line, socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL) > 0
            if self._poll is not None:
                ready = self._poll.poll(0)
                # POLLOUT alone: a closed pipe answers with POLLERR, and writing to it would raise.
                if not ready or ready[0][1] != select.POLLOUT:
                    return False
            return os.write(self._descriptor, line) > 0
        except OSError:
            return False

    def _open(self) -> None:
        self._descriptor, self._socket, self._poll = self._given, None, None
        try:
            mode = os.fstat(self._given).st_mode
            if stat.S_ISSOCK(mode):
                self._socket = socket.socket(fileno=os.dup(self._given))
            elif stat.S_ISFIFO(mode) or stat.S_ISCHR(mode):
                flags = os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
                self._descriptor = os.open(f"/proc/self/fd/{self._given}", flags)
        except OSError:
            self._poll = select.poll()
            self._poll.register(self._given, select.POLLOUT)

    def close(self) -> None:
        """Let go of what was opened; the given descriptor stays."""
        if self._socket is not None:
            self._socket.close()
        elif self._descriptor >= 0 and self._descriptor != self._given:
            os.close(self._descriptor)
        self._descriptor, self._socket, self._pid = -1, None, 0
