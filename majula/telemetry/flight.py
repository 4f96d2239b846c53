"""The flight recorder: the last minutes of events and figures of a node, bounded in time, number and bytes.

Figures are kept once a second as what has changed since the second before, over the state before the first: a node of twelve
roles costs some 2 KB a second under load and next to nothing idle. Texts among the figures are left out: what is written to a
file for others to read holds numbers, roles, reasons, and nothing that a client sent but its id.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from typing import Any, Final

import msgspec

from majula.messages.base import Role
from majula.messages.supervision import Figure
from majula.messages.telemetry import Event
from majula.telemetry.clients import wall_time
from majula.telemetry.events import matches
from majula.telemetry.operations import EventLine, EventsAnswer, EventsRequest, RoleLine

_LISTED: Final = 1_024
_NAMES: Final = 128
_FIELDS: Final = 24

_pack = msgspec.msgpack.Encoder().encode
_unpack = msgspec.msgpack.Decoder(dict[str, dict[str, int | float]]).decode


class EventRing:
    """The last events, at most so many of each name: clients that come and go by the thousand push no death of a role out.

    Args:
        first: number of the first event; above those of an earlier life, so that `after` goes on working.
        each: events of one name that are kept.
        limit_bytes: of all.
    """

    def __init__(self, *, first: int, each: int = 512, limit_bytes: int = 4 << 20) -> None:
        self._next = first
        self._each, self._limit_bytes = each, limit_bytes
        self._by_name: dict[str, deque[tuple[EventLine, int]]] = {}
        self._bytes = 0
        self.counts: dict[str, int] = {}
        """How often each has happened in this life of telemetry."""
        self.refused = 0
        """Of more names than there are."""

    def add(self, event: Event) -> EventLine | None:
        """Keep it under the next number. None: there are too many names."""
        ring = self._by_name.get(event.name)
        if ring is None:
            if len(self._by_name) >= _NAMES:
                self.refused += 1
                return None
            ring = self._by_name[event.name] = deque()
        fields = dict(list(event.fields.items())[:_FIELDS])
        line = EventLine(number=self._next, at=wall_time(event.at), name=event.name, role=event.role, fields=fields)
        self._next += 1
        self.counts[event.name] = self.counts.get(event.name, 0) + 1
        size = len(_pack(line))
        ring.append((line, size))
        self._bytes += size
        if len(ring) > self._each:
            self._bytes -= ring.popleft()[1]
        while self._bytes > self._limit_bytes:
            longest = max(self._by_name.values(), key=lambda other: sum(size for _, size in other))
            self._bytes -= longest.popleft()[1]
        return line

    def lines(self) -> list[EventLine]:
        """All that are kept, oldest first."""
        return sorted((line for ring in self._by_name.values() for line, _ in ring), key=lambda line: line.number)

    def answer(self, request: EventsRequest) -> EventsAnswer:
        """What a client asks for: the newest `limit`, oldest of them first; after a number: the first that follow it."""
        limit = min(max(request.limit, 0), _LISTED)
        found = [line for line in self.lines() if line.number > request.after and matches(line.name, request.name)]
        if not limit:
            return EventsAnswer(())
        return EventsAnswer(tuple(found[:limit] if request.after else found[-limit:]))


class FigureTape:
    """Once a second, the figures that have changed.

    Args:
        seconds: samples that are kept.
        limit_bytes: of all samples.
    """

    def __init__(self, *, seconds: int = 300, limit_bytes: int = 2 << 20) -> None:
        self._seconds, self._limit_bytes = seconds, limit_bytes
        self._base: dict[Role, dict[str, int | float]] = {}
        self._last: dict[Role, dict[str, int | float]] = {}
        self._samples: deque[tuple[float, bytes]] = deque()
        self._bytes = 0

    def add(self, roles: Iterable[RoleLine], at: float) -> None:
        """One sample; `at`: seconds since 1970."""
        changed: dict[str, dict[str, int | float]] = {}
        for role in roles:
            figures = numbers({**role.statistics, "restarts": role.restarts, "pid": role.pid})
            before = self._last.get(role.role, {})
            if different := {name: value for name, value in figures.items() if before.get(name) != value}:
                changed[role.role] = different
                self._last[role.role] = figures
        sample = _pack(changed) if changed else b""
        self._samples.append((at, sample))
        self._bytes += len(sample)
        while len(self._samples) > self._seconds or self._bytes > self._limit_bytes:
            _, oldest = self._samples.popleft()
            self._bytes -= len(oldest)
            if oldest:
                for name, figures in _unpack(oldest).items():
                    self._base.setdefault(name, {}).update(figures)

    def begins_at(self) -> float | None:
        """The time of the oldest sample."""
        return self._samples[0][0] if self._samples else None

    def shown(self) -> dict[str, Any]:
        """`base`: figures before the first sample. `samples`: what changed, by second."""
        samples = [{"at": wall_time(at), "changed": _unpack(sample)} for at, sample in self._samples if sample]
        return {"base": self._base, "samples": samples}


def numbers(figures: Mapping[str, Figure]) -> dict[str, int | float]:
    """Those of the figures that are numbers."""
    return {name: value for name, value in figures.items() if not isinstance(value, str)}


def recording(
    *, node: str, version: str, reason: str, at: float, roles: Iterable[RoleLine], events: EventRing, tape: FigureTape
) -> bytes:
    """What is written to a file: JSON."""
    shown = [
        {
            "role": line.role,
            "state": line.state,
            "pid": line.pid,
            "restarts": line.restarts,
            "incarnation": line.incarnation,
            "deaths": msgspec.to_builtins(line.deaths),
            "queues": line.queues,
            "figures": numbers(line.statistics),
        }
        for line in roles
    ]
    content = {
        "node": node,
        "version": version,
        "at": wall_time(at),
        "reason": reason,
        "roles": shown,
        "events": events.lines(),
        "figures": tape.shown(),
    }
    return msgspec.json.format(msgspec.json.encode(content), indent=1)
