"""Which of this client's subscriptions a run of messages is for.

A gateway sends each plain publication once, whatever the number of subscriptions that match, and each share of a queue group once
for each membership; finding the subscriptions is the client's part. The answer is kept by the bytes of the frame's header, so a
stream of messages on one topic is matched once.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from typing import Generic, Protocol, TypeVar

from majula.wire.headers import RETAINED, Publish

_MAX_ROUTES = 4_096


class Wanted(Protocol):
    """What is matched: the parts of a subscription that decide."""

    @property
    def topic(self) -> str: ...
    @property
    def pattern(self) -> bool: ...
    @property
    def queue(self) -> str: ...
    @property
    def wants_retained(self) -> bool: ...


W = TypeVar("W", bound=Wanted)


def is_pattern(topic: str) -> bool:
    """Is `topic` meant as a pattern? Also where its `*` or `>` stands where none may: that is for the gateway to refuse. Taken
    literally it would wait in silence for a topic that nobody publishes to."""
    return "*" in topic or ">" in topic


def matches(levels: list[str], topic: list[str]) -> bool:
    """Does a pattern match a topic, both split at their dots? `*` is any one level, a last `>` one or more."""
    if levels[-1] == ">":
        if len(topic) < len(levels):
            return False
        levels = levels[:-1]
    elif len(topic) != len(levels):
        return False
    return all(wanted in ("*", found) for wanted, found in zip(levels, topic, strict=False))


class Route(Generic[W]):
    """Where runs with one header go.

    everyone: each gets every message. groups: of each one member gets a run, in turn.
    """

    __slots__ = ("_turn", "everyone", "groups", "header", "retained")

    def __init__(self, header: Publish, everyone: tuple[W, ...], groups: tuple[tuple[W, ...], ...]) -> None:
        self.header = header
        self.retained = bool(header.flags & RETAINED)
        self.everyone = everyone
        self.groups = groups
        self._turn: Iterator[int] = count()

    def targets(self) -> tuple[W, ...]:
        """Who gets the next run."""
        if not self.groups:
            return self.everyone
        turn = next(self._turn)
        return self.everyone + tuple(members[turn % len(members)] for members in self.groups)


class Interests(Generic[W]):
    """The subscriptions of one client and the routes worked out from them."""

    def __init__(self) -> None:
        self._literal: dict[str, list[W]] = {}
        self._patterns: list[tuple[list[str], W]] = []
        self.routes: dict[bytes, Route[W]] = {}

    def __iter__(self) -> Iterator[W]:
        for wanted in self._literal.values():
            yield from wanted
        for _, one in self._patterns:
            yield one

    def add(self, wanted: W) -> None:
        self.routes.clear()
        if wanted.pattern:
            self._patterns.append((wanted.topic.split("."), wanted))
        else:
            self._literal.setdefault(wanted.topic, []).append(wanted)

    def remove(self, wanted: W) -> None:
        """Nothing happens where it is not there."""
        self.routes.clear()
        if wanted.pattern:
            self._patterns = [entry for entry in self._patterns if entry[1] is not wanted]
            return
        left = [one for one in self._literal.get(wanted.topic, ()) if one is not wanted]
        if left:
            self._literal[wanted.topic] = left
        else:
            self._literal.pop(wanted.topic, None)

    def same(self, topic: str, pattern: bool, queue: str) -> list[W]:
        """The subscriptions that are one to the gateway."""
        found = self._literal.get(topic, []) if not pattern else [one for _, one in self._patterns if one.topic == topic]
        return [one for one in found if one.queue == queue]

    def route(self, head: bytes, header: Publish) -> Route[W]:
        """Work out and keep the route of frames whose header is `head`."""
        levels = header.topic.split(".")
        found = list(self._literal.get(header.topic, ()))
        found += [one for pattern, one in self._patterns if matches(pattern, levels)]
        if header.flags & RETAINED:
            everyone = tuple(one for one in found if one.wants_retained)
            groups: tuple[tuple[W, ...], ...] = ()
        elif header.queue:
            members = tuple(one for one in found if one.queue == header.queue)
            everyone, groups = (), ((members,) if members else ())
        else:
            everyone, groups = tuple(one for one in found if not one.queue), ()
        route = Route(header, everyone, groups)
        if len(self.routes) >= _MAX_ROUTES:
            self.routes.clear()
        self.routes[head] = route
        return route
