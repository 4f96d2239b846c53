"""The last value of each topic that has one.

A publish with `retain` goes to subscribers at once, as any other, and to the topic manager, which puts all of them in one order
(`RetainedOrder`) and publishes the newest for each topic as the table `retained`. Every gateway holds the whole table and
answers from it (`RetainedCopy`), also while the topic manager is away; a topic manager that restarts goes on from the newest
copy of a gateway (`tables.exchange`, giving back). A gateway keeps what it has sent there until it is settled (`Retaining`),
and sends it again to the next topic manager, so a value that was acknowledged is never lost while a gateway lives. What was
ordered but not settled before that restart is ordered again, and may so come after a newer value of another gateway: both were
under way at that time.

Last writer wins by (epoch, sequence); an empty payload removes the value. The values of a node have at most 64 MiB together:
beyond that a new one is refused with `limit_reached`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import islice

import msgspec

from majula.topics.subjects import SYSTEM_LEVEL, has_wildcard

RETAINED = "retained"

RETAINED_BYTES = 64 * 1024 * 1024
# Beyond the frame and the topic: what an entry costs in dicts, at most. A million empty values would otherwise be free.
ENTRY_BYTES = 256


class RetainedSettings(msgspec.Struct, frozen=True):
    """What the topic manager is configured with. limit_bytes: of all retained values of the node together."""

    limit_bytes: int = RETAINED_BYTES


class RetainedValue(msgspec.Struct, frozen=True, array_like=True):
    """Value of the table `retained`, whose key is the topic.

    Args:
        epoch, sequence: the place in the order of all retained publishes.
        frame: the whole PUBLISH frame with one message, as it is sent to a subscriber.
    """

    epoch: int
    sequence: int
    frame: bytes


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(RetainedValue).decode


class RetainedOrder:
    """The topic manager's part: order and limit.

    Args:
        epoch: of the table, which grows with each life of the topic manager.
        limit_bytes: of all values together.
    """

    def __init__(self, *, epoch: int, limit_bytes: int = RETAINED_BYTES) -> None:
        self._epoch = epoch
        self._sequence = 0
        self.limit_bytes = limit_bytes
        """May change; what is there already stays."""
        self._costs: dict[str, int] = {}
        self._bytes = 0

    def load(self, entries: Mapping[str, bytes]) -> None:
        """The values of the former life, regained."""
        for topic, value in entries.items():
            self._account(topic, len(value))

    def put(self, topic: str, frame: bytes) -> bytes | None:
        """The value to publish under `topic`; None: there is no room, the publisher gets `limit_reached`."""
        self._sequence += 1
        value = _encode(RetainedValue(epoch=self._epoch, sequence=self._sequence, frame=frame))
        if self._bytes - self._costs.get(topic, 0) + self._cost(topic, len(value)) > self.limit_bytes:
            return None
        self._account(topic, len(value))
        return value

    def remove(self, topic: str) -> None:
        self._bytes -= self._costs.pop(topic, 0)

    def topics(self) -> Iterable[str]:
        """All topics that have a value."""
        return self._costs

    def size_of(self, topic: str) -> int:
        """Bytes of a topic's value as it is kept; 0: it has none."""
        cost = self._costs.get(topic)
        return 0 if cost is None else cost - self._cost(topic, 0)

    @property
    def size_bytes(self) -> int:
        return self._bytes

    def __len__(self) -> int:
        return len(self._costs)

    @staticmethod
    def _cost(topic: str, value_bytes: int) -> int:
        return ENTRY_BYTES + len(topic) + value_bytes

    def _account(self, topic: str, value_bytes: int) -> None:
        cost = self._cost(topic, value_bytes)
        self._bytes += cost - self._costs.get(topic, 0)
        self._costs[topic] = cost


class RetainedCopy:
    """A gateway's part: which values a new subscription gets first."""

    def __init__(self) -> None:
        # The very bytes that the held table has: a value is decoded when somebody subscribes, and not kept twice.
        self._values: dict[str, bytes] = {}
        self._tree = _Tree()

    def apply(self, entries: Mapping[str, bytes], removed: Iterable[str]) -> None:
        """The table `retained` has changed."""
        for topic in removed:
            if self._values.pop(topic, None) is not None:
                self._tree.remove(topic.split("."))
        for topic, value in entries.items():
            if topic not in self._values:
                self._tree.add(topic.split("."), topic)
            self._values[topic] = value

    def get(self, topic: str) -> bytes | None:
        """The frame retained for a topic."""
        value = self._values.get(topic)
        return None if value is None else _decode(value).frame

    def matching(self, subject: str, *, pattern: bool) -> Iterator[str | None]:
        """The topics with values that a new subscription gets; None for each step that found none.

        Looking through all topics of a node takes as long as 0.1 s, so it is done in portions. The table may change meanwhile:
        what is removed may be named still, what is added may be missed.
        """
        if not (pattern and has_wildcard(subject)):
            yield subject if subject in self._values else None
            return
        yield from self._tree.find(subject.split("."), 0, is_root=True)

    def __len__(self) -> int:
        return len(self._values)


class _Tree:
    """Topics by their levels, to find those that match a pattern without looking at all. A topic has at most 257 levels, and so
    has the recursion."""

    __slots__ = ("children", "topic")

    def __init__(self) -> None:
        self.children: dict[str, _Tree] = {}
        self.topic: str | None = None

    def add(self, levels: list[str], topic: str) -> None:
        node = self
        for level in levels:
            node = node.children.setdefault(level, _Tree())
        node.topic = topic

    def remove(self, levels: list[str]) -> None:
        path: list[tuple[_Tree, str]] = []
        node = self
        for level in levels:
            path.append((node, level))
            node = node.children[level]
        node.topic = None
        while path and node.topic is None and not node.children:
            node, level = path.pop()
            del node.children[level]

    def find(self, levels: list[str], at: int, *, is_root: bool = False) -> Iterator[str | None]:
        """The topics below that match; None for each node that is none. Nodes may come and go between two steps."""
        if at == len(levels):
            yield self.topic
            return
        level = levels[at]
        if level not in ("*", ">"):
            child = self.children.get(level)
            if child is not None:
                yield from child.find(levels, at + 1)
            return
        yield None
        for name, child in tuple(self.children.items()):
            if is_root and name == SYSTEM_LEVEL:
                continue
            if level == "*":
                yield from child.find(levels, at + 1)
            else:
                yield from child.all()

    def all(self) -> Iterator[str | None]:
        """Every topic at and below this node, None for each node that has none."""
        nodes = [self]
        while nodes:
            node = nodes.pop()
            yield node.topic
            nodes.extend(node.children.values())


class Retaining:
    """A gateway's retained publishes that the topic manager has not settled yet.

    Args:
        limit: how many at most.
        limit_bytes: their frames together at most; beyond either the publisher gets `overloaded`.
        window, window_bytes: how many, and how much, is sent before the first of it is settled; so the outbox
            to it stays far below its mark of 16 MiB.
    """

    def __init__(
        self,
        *,
        limit: int = 4_096,
        limit_bytes: int = 16 * 1024 * 1024,
        window: int = 256,
        window_bytes: int = 4 * 1024 * 1024,
    ) -> None:
        self._limit, self._limit_bytes = limit, limit_bytes
        self._window, self._window_bytes = window, window_bytes
        self._open: dict[int, tuple[str, bytes, bool]] = {}  # number -> topic, frame, is removal; in order of their numbers
        self._bytes = 0
        self._next = 1
        self._sent = 0  # the highest number that was sent in this life of the topic manager

    def add(self, topic: str, frame: bytes, *, is_removal: bool = False) -> int | None:
        """Take one. Its number, which `settled` names; None: there is no room."""
        if len(self._open) >= self._limit or (self._open and self._bytes + len(frame) > self._limit_bytes):
            return None
        number, self._next = self._next, self._next + 1
        self._open[number] = (topic, b"" if is_removal else frame, is_removal)
        self._bytes += len(self._open[number][1])
        return number

    def to_send(self) -> Iterator[tuple[int, str, bytes, bool]]:
        """What is to be sent now, in order, as (number, topic, frame, is removal). Each is taken as sent when the next is asked
        for: stop at the first that is refused, it comes again."""
        in_flight_bytes = 0
        for number in tuple(islice(self._open, self._window)):
            topic, frame, is_removal = self._open[number]
            in_flight_bytes += len(frame)
            if number <= self._sent:
                continue
            if in_flight_bytes > self._window_bytes and in_flight_bytes > len(frame):
                return  # a single one goes whatever its size
            yield number, topic, frame, is_removal
            self._sent = number

    def settled(self, number: int) -> bool:
        """The topic manager has put it in force or refused it. False: not known (any more)."""
        found = self._open.pop(number, None)
        if found is None:
            return False
        self._bytes -= len(found[1])
        return True

    def restart(self) -> None:
        """There is another topic manager: everything is to be sent again."""
        self._sent = 0

    def __len__(self) -> int:
        return len(self._open)
