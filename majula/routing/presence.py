"""Who has come and who has gone, told once each, also across a restart of the router.

The directory says what moves (`Came`, `Went`). What has been told stands in a table of its own, `presence` (client id -> session
and gateway), of which every gateway keeps a copy. A router that comes back regains it and compares it with who is there now: of
those who stayed nothing is told, and whoever came or went meanwhile is told late, but told.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from majula.messages.base import Role
from majula.routing.sessions import Session
from majula.tables.gathering import Changes

PRESENCE = "presence"

UNSEEN = "router_away"
"""Reason of an end that nobody saw: it was while the router was away."""


class Came(msgspec.Struct, frozen=True):
    """A client is served."""

    session: Session


class Went(msgspec.Struct, frozen=True):
    """A client is served no more.

    reason: `closed` (by the client, or its connection broke), `taken_over`, `replaced`, `conflict`, `disconnected` (by an
        operator), `gateway_lost`, `router_away`, or the code of the error that ended it.
    """

    client_id: str
    gateway: Role
    reason: str


Move = Came | Went


class _Told(msgspec.Struct, frozen=True, array_like=True):
    """Value of the table `presence`."""

    session: str
    gateway: Role


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(_Told).decode


class Presence:
    """What has been told."""

    def __init__(self) -> None:
        self._told: dict[str, _Told] = {}

    def open(self, regained: Mapping[str, bytes], sessions: Iterable[Session]) -> tuple[list[Move], Changes]:
        """The former router's table, and who is there now: what is still to be told."""
        moves: list[Move] = []
        for client_id, value in regained.items():
            try:
                self._told[client_id] = _decode(value)
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                continue  # of another version: its client counts as new
        here = {session.client_id: session for session in sessions}
        for client_id, told in self._told.items():
            session = here.get(client_id)
            if session is None or session.session != told.session:
                moves.append(Went(client_id, told.gateway, UNSEEN))
        for session in here.values():
            before = self._told.get(session.client_id)
            if before is None or before.session != session.session:
                moves.append(Came(session))
        return moves, self.told(moves)

    def told(self, moves: Iterable[Move]) -> Changes:
        """These have been told. Gives what changes in the table."""
        changes: Changes = {}
        for move in moves:
            match move:
                case Came(session=session):
                    told = self._told[session.client_id] = _Told(session.session, session.gateway)
                    changes[session.client_id] = _encode(told)
                case Went(client_id=client_id):
                    self._told.pop(client_id, None)
                    changes[client_id] = None
        return changes

    def __len__(self) -> int:
        return len(self._told)
