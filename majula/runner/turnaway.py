"""Who connects to a gateway in quarantine is turned away at once, instead of waiting in a queue that nobody empties.

The main process keeps the listening sockets so that a restart of some milliseconds refuses nobody. A gateway that is given up for
a minute is another matter: a client is better off with a closed connection, so that it tries the next gateway.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterable, Mapping

# 64 a turn of the loop: more knocking than that must not keep the runner from its own work.
_ACCEPTS_A_TURN = 64


class TurnAway:
    """Accepts and closes connections on some of the sockets.

    Args:
        loop: where it happens.
        sockets: all listening sockets, by name.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, sockets: Mapping[str, socket.socket]) -> None:
        self._loop = loop
        self._sockets = sockets
        self._active: set[str] = set()
        self.turned_away = 0

    def begin(self, names: Iterable[str]) -> None:
        """Nobody serves these sockets for a while."""
        for name in set(names) - self._active:
            self._active.add(name)
            self._loop.add_reader(self._sockets[name].fileno(), self._accept, self._sockets[name])

    def end(self, names: Iterable[str]) -> None:
        """A child has come for these sockets. Names that are not turned away are no error."""
        for name in self._active.intersection(names):
            self._active.discard(name)
            self._loop.remove_reader(self._sockets[name].fileno())

    def end_all(self) -> None:
        """The tree is new, or the node ends."""
        self.end(tuple(self._active))

    def _accept(self, listening: socket.socket) -> None:
        for _ in range(_ACCEPTS_A_TURN):
            try:
                connection, _address = listening.accept()
            except OSError:
                return  # nobody waits any more, or it hung up meanwhile
            connection.close()
            self.turned_away += 1
