"""What a transport offers to the client, and what it tells it."""

from __future__ import annotations

from typing import Protocol

from majula.wire.frames import Span

READ_LIMIT_BYTES = 64 << 20
"""Largest frame taken from a gateway: above any sensible `message_bytes`, and a bound where a stranger answers at the address."""

WRITE_HIGH_BYTES = 512 << 10
"""What a transport may hold before it reports `paused`; the client's own outbox has the rest, bounded and ordered."""


class Connection(Protocol):
    """One connection to a gateway. All calls from the event loop's thread."""

    paused: bool
    """The gateway does not read as fast as this client writes: write nothing until `Receiver.writable`."""

    def write(self, data: bytes) -> None:
        """Whole frames. Never blocks."""

    def close(self) -> None:
        """Write what is left, then end. No `connection_lost` follows."""

    def abort(self) -> None:
        """End at once. No `connection_lost` follows."""

    async def wait_closed(self) -> None:
        """Return when the socket is closed."""


class Receiver(Protocol):
    """The client, as a connection sees it."""

    def frames_received(self, chunk: bytes, spans: list[Span]) -> None:
        """Whole frames, in order."""

    def connection_lost(self, connection: Connection, reason: str) -> None:
        """It ended, and not by `close` or `abort`."""

    def writable(self) -> None:
        """`paused` is over."""
