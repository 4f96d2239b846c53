"""Event streams (`text/event-stream`) as they come in. Pure."""

from __future__ import annotations

from majula.errors import ProtocolError


class EventReader:
    """Takes chunks, gives the data of whole events.

    Args:
        limit_bytes: the longest event; beyond it the stream is not one of ours.

    Attributes:
        last_id: of the newest event that was given out; what `Last-Event-ID` says.
    """

    def __init__(self, *, limit_bytes: int) -> None:
        self.last_id = ""
        self._limit_bytes = limit_bytes
        self._rest = b""

    def feed(self, chunk: bytes) -> list[bytes]:
        """The data of the events that are whole now, comments left out.

        Raises:
            ProtocolError: an event is longer than allowed.
        """
        # Looking for the end begins where a part of it may stand: a long event in many chunks is not searched through again.
        looked = max(0, len(self._rest) - 1)
        text = self._rest + chunk if self._rest else chunk
        if text.find(b"\n\n", looked) < 0:
            self._rest = text
            if len(text) > self._limit_bytes:
                raise ProtocolError(f"an event is longer than {self._limit_bytes} bytes")
            return []
        *events, self._rest = text.split(b"\n\n")
        found: list[bytes] = []
        for event in events:
            data: list[bytes] = []
            for line in event.split(b"\n"):
                name, _, value = line.partition(b": ")
                if name == b"data":
                    data.append(value)
                elif name == b"id":
                    self.last_id = value.decode("ascii", "replace")
            if data:
                found.append(b"\n".join(data))
        return found

    def forget(self) -> None:
        """The stream broke: what is incomplete comes again."""
        self._rest = b""
