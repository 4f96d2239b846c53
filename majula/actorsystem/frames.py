"""How bytes on an actor's socket become frames. Pure: no sockets.

    u32 length of the rest | u8 kind | u32 target's local id | u32 source's local id | payload          (little-endian)

A local id tells the actors of one process apart: 0 is the process's own actor, others are hosted in it. A connection opens with
one HELLO in each direction that was dialled, whose payload is the dialler's name.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Final

HELLO: Final = 0
"""The dialler's name, UTF-8. The first frame of a connection, and only the first."""
MESSAGE: Final = 1
"""One `Message` as msgpack."""
FRAMES: Final = 2
"""An opaque batch, moved as it is."""
PLAIN: Final = 3
"""A pickled message of Thespian, read through an allow-list."""
RETURNED: Final = 4
"""A MESSAGE that found no such target in the process: it goes back to its source."""

HEADER: Final = struct.Struct("<IBII")
_AFTER_LENGTH: Final = HEADER.size - 4

SCRATCH_BYTES: Final = 256 * 1024
"""One read takes at most this much, so that a connection which is always readable cannot keep the others waiting."""

_OWN_BUFFER_BYTES: Final = 64 * 1024
"""A frame that is longer gets a buffer of its own, into which the socket is read directly: moving the rest of a 5 MB frame
through the shared scratch buffer would copy it again with each read."""

FRAME_BYTES_LIMIT: Final = 256 * 1024 * 1024
"""No frame is longer; a length beyond is garbage. Thespian's own tests send 20 MB."""

HELLO_BYTES_LIMIT: Final = 256
"""Until it has said its name, nobody makes us allocate more."""


class FrameError(Exception):
    """What came is not a frame. The connection cannot be read any further."""


def encode(kind: int, target: int, source: int, payload: bytes) -> bytes:
    """One frame, ready to be written."""
    return HEADER.pack(len(payload) + _AFTER_LENGTH, kind, target, source) + payload


def parse(frame: bytes) -> tuple[int, int, int, bytes]:
    """Kind, target, source and payload of one whole frame that `encode` made (it came back unsent from an outbox)."""
    _, kind, target, source = HEADER.unpack_from(frame)
    return kind, target, source, frame[HEADER.size :]


class FrameReader:
    """Cuts the stream of one connection into frames.

    Use: read into `buffer()`, then go through `frames(count)` to its end. Payloads are views into the buffer, valid until the
    next `buffer()` of any reader that shares the scratch.

    Args:
        scratch: SCRATCH_BYTES or more, shared by all readers of a process: whatever is incomplete is kept apart.
        limit_bytes: of one frame; may be changed between frames.
    """

    __slots__ = ("_filled", "_large", "_large_view", "_scratch", "_tail", "limit_bytes")

    def __init__(self, scratch: memoryview, limit_bytes: int = FRAME_BYTES_LIMIT) -> None:
        self.limit_bytes = limit_bytes
        self._scratch = scratch
        self._tail = b""
        self._large: bytearray | None = None
        self._large_view = memoryview(b"")
        self._filled = 0

    def buffer(self) -> memoryview:
        """Where the next bytes go."""
        if self._large is not None:
            return self._large_view[self._filled : self._filled + 4 * SCRATCH_BYTES]
        kept = len(self._tail)
        if kept:
            self._scratch[:kept] = self._tail
            return self._scratch[kept:]
        return self._scratch

    def frames(self, count: int) -> Iterator[tuple[int, int, int, memoryview]]:
        """Kind, target, source and payload of each frame that is complete, now that `count` bytes are in the buffer.

        Raises:
            FrameError: the length is impossible.
        """
        if self._large is not None:
            self._filled += count
            if self._filled < len(self._large):
                return
            view = self._large_view
            self._large, self._large_view = None, memoryview(b"")
            _, kind, target, source = HEADER.unpack_from(view)
            yield kind, target, source, view[HEADER.size :]
            return
        scratch = self._scratch
        end = len(self._tail) + count
        self._tail = b""
        at = 0
        unpack_from, header_bytes = HEADER.unpack_from, HEADER.size
        while end - at >= header_bytes:
            length, kind, target, source = unpack_from(scratch, at)
            following = at + 4 + length
            if following > end:
                if length > self.limit_bytes:
                    raise FrameError(f"a frame of {length} bytes, the limit is {self.limit_bytes}")
                if length > _OWN_BUFFER_BYTES:
                    self._own_buffer(scratch[at:end], 4 + length)
                    return
                break
            if length < _AFTER_LENGTH:
                raise FrameError(f"a frame of {length} bytes is shorter than its header")
            yield kind, target, source, scratch[at + header_bytes : following]
            at = following
        if at < end:
            self._tail = bytes(scratch[at:end])

    def _own_buffer(self, begun: memoryview, frame_bytes: int) -> None:
        self._large = bytearray(frame_bytes)
        self._large_view = memoryview(self._large)
        self._filled = len(begun)
        self._large_view[: self._filled] = begun
