"""What telemetry is told of the clients here: those whose figures have changed, in portions, so that ten thousand of them cost a
gateway no more than a thousand.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from majula.gateway.session import Session
from majula.messages.telemetry import ClientFigure, ClientFigures

PORTION: Final = 1_024
"""Some 2 ms of a turn. With more clients than this each is looked at every second, third ... turn."""

_Seen = tuple[int, ...]


class Teller:
    """Remembers what telemetry knows of each client.

    Args:
        incarnation: of the gateway.
        sessions: by number, as they are.
        portion: clients that are looked at in one turn.
    """

    def __init__(self, incarnation: int, sessions: Mapping[int, Session], *, portion: int = PORTION) -> None:
        self._incarnation, self._portion = incarnation, portion
        self._sessions = sessions
        self._told: dict[int, _Seen] = {}
        self._since: dict[int, float] = {}
        self._walk: list[int] = []
        self._is_first = True

    def restart(self) -> None:
        """Telemetry knows nothing (any more)."""
        self._told.clear()
        self._walk.clear()
        self._is_first = True

    def next(self, wall_s: float) -> ClientFigures | None:
        """What is to be told now; None: nothing. Clients of single HTTP requests claim no id, and are not told of.

        Args:
            wall_s: seconds since 1970.
        """
        gone: tuple[int, ...] = ()
        if not self._walk:
            ended = self._since.keys() - self._sessions.keys()
            gone = tuple(number for number in ended if self._told.pop(number, None) is not None)
            for number in ended:
                del self._since[number]
            self._walk = [number for number, session in self._sessions.items() if session.is_claimed]
        portion, self._walk = self._walk[: self._portion], self._walk[self._portion :]
        changed: list[ClientFigure] = []
        for number in portion:
            session = self._sessions.get(number)
            if session is None:
                continue
            seen = _seen(session)
            if self._told.get(number) != seen:
                self._told[number] = seen
                changed.append(_figure(session, self._since.setdefault(number, wall_s)))
        if not changed and not gone and not self._is_first:
            return None
        is_first, self._is_first = self._is_first, False
        return ClientFigures(incarnation=self._incarnation, is_first=is_first, changed=tuple(changed), gone=gone)

    def crowd(self, wall_s: float) -> ClientFigures | None:
        """Who has come and gone since the last telling, without looking at anybody else; None: nobody."""
        if self._is_first:
            return self.next(wall_s)
        gone = tuple(number for number in self._since.keys() - self._sessions.keys() if self._told.pop(number, None) is not None)
        for number in gone:
            del self._since[number]
        changed: list[ClientFigure] = []
        for number in sorted(self._sessions.keys() - self._told.keys()):
            session = self._sessions[number]
            if session.is_claimed and len(changed) < self._portion:
                self._told[number] = _seen(session)
                changed.append(_figure(session, self._since.setdefault(number, wall_s)))
        if not changed and not gone:
            return None
        return ClientFigures(incarnation=self._incarnation, is_first=False, changed=tuple(changed), gone=gone)


def _seen(session: Session) -> _Seen:
    """What makes a client worth telling of again, cheap to make."""
    outbox = session.outbox
    return (
        session.received_frames,
        outbox.taken,
        outbox.bytes,
        outbox.is_full,
        len(session.subscriptions),
        len(session.functions),
    )


def _figure(session: Session, since: float) -> ClientFigure:
    found = session.statistics()
    return ClientFigure(
        number=session.number,
        client_id=found.client_id,
        surface=found.surface,
        agent=found.agent,
        token=session.who,
        since=since,
        subscriptions=found.subscriptions,
        functions=found.functions,
        received_messages=found.received_messages,
        sent_messages=found.sent_messages,
        waiting_bytes=found.waiting_bytes,
        dropped_messages=found.dropped_messages,
        is_slow=found.is_slow,
    )
