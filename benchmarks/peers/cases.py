"""The work that every message system is given."""

from __future__ import annotations

from typing import Literal

import msgspec


class Case(msgspec.Struct, frozen=True, kw_only=True):
    """One piece of work.

    Attributes:
        kind: `topic` (one publisher, many subscribers), `rpc` (one caller, one echo), `private` (one sender, each message to the
            next of its receivers, acknowledged by it) or `ping` (one message there, one back, as `rpc`).
        size_bytes: of each payload.
        subscribers: connections, spread over `processes` processes.
        topics: how many; each subscriber wants them all, and consecutive messages go to different ones.
    """

    name: str
    title: str
    kind: Literal["topic", "rpc", "private", "ping"]
    size_bytes: int
    subscribers: int = 0
    processes: int = 0
    topics: int = 1

    @property
    def is_stream(self) -> bool:
        """Whether there is a publisher, not a caller."""
        return self.kind in {"topic", "private"}

    @property
    def copies(self) -> int:
        """How many subscribers get each message."""
        return self.subscribers if self.kind == "topic" else 1

    @property
    def window(self) -> int:
        """How many messages the publisher may be ahead of the slowest subscriber: at most 4,096, 8 MiB and 32,768 for
        all subscribers together, but at least 64 (16 of the large ones), or the pipe would run dry between two looks. Private
        messages: of all receivers together, which is 512 for each at least, half of what a flow holds."""
        if self.kind == "private":
            return 4096
        return max(16, min(4096, (8 << 20) // self.size_bytes, max(64, 32768 // max(self.subscribers, 1))))

    @property
    def batch(self) -> int:
        """How many messages are published between two turns of the event loop: at most 64 and 64 KiB."""
        return min(self.window, max(1, min(64, 65536 // self.size_bytes)))


CASES: dict[str, Case] = {
    case.name: case
    for case in (
        Case(name="topic16", title="topic 16 B", kind="topic", size_bytes=16, subscribers=1, processes=1),
        Case(name="topic128", title="topic 128 B", kind="topic", size_bytes=128, subscribers=1, processes=1),
        Case(name="topic1k", title="topic 1 KiB", kind="topic", size_bytes=1024, subscribers=1, processes=1),
        Case(name="topic64k", title="topic 64 KiB", kind="topic", size_bytes=65536, subscribers=1, processes=1),
        Case(name="fan10", title="fan-out 10, 128 B", kind="topic", size_bytes=128, subscribers=10, processes=2),
        Case(name="fan100", title="fan-out 100, 128 B", kind="topic", size_bytes=128, subscribers=100, processes=4),
        # Systems that gather messages of one topic into one frame cannot gather here.
        Case(name="topics16", title="16 topics, 128 B", kind="topic", size_bytes=128, subscribers=1, processes=1, topics=16),
        Case(name="rpc", title="RPC 128 B", kind="rpc", size_bytes=128),
        Case(name="private", title="private, 128 B", kind="private", size_bytes=128, subscribers=1, processes=1),
        Case(name="private16", title="private to 16, 128 B", kind="private", size_bytes=128, subscribers=16, processes=1),
        Case(name="ping", title="private, 128 B, there and back", kind="ping", size_bytes=128),
    )
}

COMMON = tuple(case.name for case in CASES.values() if case.kind in {"topic", "rpc"})
"""What every system can do. Private messages, acknowledged one by one by who is named, are Majula's alone."""

IN_FLIGHT = 64
"""Calls outstanding at once in the second half of the RPC case."""
