"""One AF_UNIX stream between two processes: the socket, its reader, its outbox. The endpoint decides, this moves bytes."""

from __future__ import annotations

import asyncio
import os
import socket
import struct
from collections.abc import Callable, Sequence
from typing import Final

from majula.actorsystem.frames import FrameReader
from majula.actorsystem.outbox import Outbox
from majula.actorsystem.rundir import socket_path

_SEND_BUFFER_BYTES: Final = 1024 * 1024
"""The kernel's default of 208 KiB makes a 5 MB message wake both sides 25 times. It is also the most that a peer's death can lose
unnoticed."""

_WRITE_TURN_BYTES: Final = 4 * 1024 * 1024
"""A reader that keeps up could hold the writer in its loop for ever; after this much the others have their turn."""

_BACKLOG: Final = 1024

_PEER_CREDENTIALS = struct.Struct("iII")


def listen(run_dir: str, name: str) -> socket.socket:
    """The listening socket of the actor `name`, mode 0600.

    Raises:
        OSError: the name is taken, or the directory cannot be written.
        RunDirError: the path is too long.
    """
    path = socket_path(run_dir, name)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    try:
        listener.bind(path)
        os.chmod(path, 0o600)
        listener.listen(_BACKLOG)
    except BaseException:
        listener.close()
        raise
    return listener


def peer_user(connected: socket.socket) -> int:
    """The user id of the process at the other end, as the kernel noted it when it connected or listened."""
    found = connected.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER_CREDENTIALS.size)
    return int(_PEER_CREDENTIALS.unpack(found)[1])


class Connection:
    """A connected socket, or one that is still to be dialled because the peer's backlog was full.

    Args:
        peer: the other side's name; empty until its HELLO has come.
        on_lost: called once, when a read or write shows that the other side is gone.
        on_written: the frames that are out, where the outbox watches; called also with none when bytes left the outbox.
    """

    __slots__ = (
        "_loop",
        "_on_lost",
        "_on_written",
        "blocked",
        "closed",
        "dirty",
        "outbox",
        "peer",
        "reader",
        "refused",
        "sock",
    )

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        peer: str,
        reader: FrameReader,
        on_lost: Callable[[Connection], None],
        on_written: Callable[[Connection, Sequence[bytes]], None],
    ) -> None:
        self._loop = loop
        self._on_lost = on_lost
        self._on_written = on_written
        self.peer = peer
        self.reader = reader
        self.outbox = Outbox()
        self.sock: socket.socket | None = None
        self.dirty = False  # in the endpoint's list of connections to flush
        self.blocked = True  # cannot be written now: not dialled yet, or the kernel's buffer is full
        self.closed = False
        self.refused: set[tuple[int, str]] = set()  # who was refused at the mark: local id, target

    def dial(self, run_dir: str) -> bool:
        """Connect. False: the peer's backlog is full, try again.

        Raises:
            OSError: nobody listens there, which is for good, since names are never used again.
        """
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
        try:
            sock.connect(socket_path(run_dir, self.peer))
            if peer_user(sock) != os.geteuid():
                raise PermissionError(f"{self.peer}: listened on by user {peer_user(sock)}")
        except BlockingIOError:
            sock.close()
            return False
        except BaseException:
            sock.close()
            raise
        self.attach(sock)
        return True

    def attach(self, sock: socket.socket) -> None:
        """Use a socket that is connected."""
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER_BYTES)
        self.sock = sock
        self.blocked = False

    def flush(self) -> None:
        """Write what the kernel takes; the rest follows when it takes more."""
        self.dirty = False
        sock, outbox = self.sock, self.outbox
        if sock is None or self.blocked:
            return
        turn_bytes = 0
        while chunk := outbox.next_chunk():
            try:
                count = sock.send(chunk)
            except (BlockingIOError, InterruptedError):
                count = 0
            except OSError:
                self._on_lost(self)
                return
            if count:
                turn_bytes += count
                self._on_written(self, outbox.wrote(count))
            if self.closed:  # who was told of a written frame may have closed us
                return
            if count < len(chunk) or turn_bytes >= _WRITE_TURN_BYTES:
                self.blocked = True
                self._loop.add_writer(sock.fileno(), self._writable)
                return

    def _writable(self) -> None:
        if self.sock is None:
            return
        self._loop.remove_writer(self.sock.fileno())
        self.blocked = False
        self.flush()

    def close(self) -> None:
        """Let go of the socket. What the outbox still holds is its owner's to take."""
        self.closed = True
        self.blocked = True
        sock, self.sock = self.sock, None
        if sock is not None:
            self._loop.remove_reader(sock.fileno())
            self._loop.remove_writer(sock.fileno())
            sock.close()
