"""Gives the listening sockets to the children that serve them. The other side is `majula.actorsystem.sockets`."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec

from majula.actorsystem.sockets import MOST_SOCKETS, NAME, REQUEST_BYTES, peer_uid

# 32: as many children may ask in one moment; each is answered as soon as its one packet is there.
_MOST_CONNECTIONS = 32
_PATIENCE_S = 5.0

_names = msgspec.msgpack.Decoder(list[str])


class Handout:
    """Serves `<run_dir>/sockets.sock` on the running loop until it is closed.

    Args:
        run_dir: private to this user; the kernel's word on the peer's user is checked too.
        sockets: what may be asked for, by name.
        on_given: called with the names that a child has just taken.
    """

    def __init__(
        self, run_dir: Path, sockets: Mapping[str, socket.socket], *, on_given: Callable[[list[str]], None] = lambda names: None
    ) -> None:
        self._on_given = on_given
        self._sockets = sockets
        self._path = run_dir / NAME
        self._path.unlink(missing_ok=True)
        self._listening = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        former = os.umask(0o177)
        try:
            self._listening.bind(str(self._path))
        finally:
            os.umask(former)
        self._listening.listen(_MOST_CONNECTIONS)
        self._listening.setblocking(False)
        self._loop = asyncio.get_running_loop()
        self._waiting: dict[socket.socket, asyncio.TimerHandle] = {}
        self._loop.add_reader(self._listening.fileno(), self._on_connection)
        self.given = 0
        self.refused = 0

    def close(self) -> None:
        self._loop.remove_reader(self._listening.fileno())
        self._listening.close()
        self._path.unlink(missing_ok=True)
        for connection in list(self._waiting):
            self._end(connection)

    def _on_connection(self) -> None:
        try:
            connection, _address = self._listening.accept()
        except BlockingIOError:
            return  # it gave up between the wake-up and now
        connection.setblocking(False)
        if peer_uid(connection) != os.geteuid() or len(self._waiting) >= _MOST_CONNECTIONS:
            self.refused += 1
            connection.close()
            return
        self._waiting[connection] = self._loop.call_later(_PATIENCE_S, self._end, connection)
        self._loop.add_reader(connection.fileno(), self._on_request, connection)

    def _on_request(self, connection: socket.socket) -> None:
        """One packet in, one out. What the peer does wrong ends its connection and nothing else."""
        try:
            names = _names.decode(connection.recv(REQUEST_BYTES))
            missing = [name for name in names if name not in self._sockets]
            if missing or not 0 < len(names) <= MOST_SOCKETS:
                self.refused += 1
                connection.send(f"no such socket: {', '.join(missing)[:200]}".encode())
            else:
                socket.send_fds(connection, [b"ok"], [self._sockets[name].fileno() for name in names])
                self.given += 1
                self._on_given(names)
        except (OSError, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            self.refused += 1
        self._end(connection)

    def _end(self, connection: socket.socket) -> None:
        self._waiting.pop(connection).cancel()
        self._loop.remove_reader(connection.fileno())
        connection.close()
