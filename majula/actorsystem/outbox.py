"""What waits to be written to one peer: bounded, in two lanes. Pure: no sockets.

Control (messages) goes before data (batches of frames), so that it never waits behind traffic for longer than one chunk. Order is
kept within a lane. Each lane has a high mark, at which it refuses, and a low mark of half of it, at which who was refused may try
again. A frame that is longer than the mark passes when the lane is below it: the bound is the mark plus one frame.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Final

CONTROL_HIGH_BYTES: Final = 16 * 1024 * 1024
DATA_HIGH_BYTES: Final = 8 * 1024 * 1024
CHUNK_BYTES: Final = 256 * 1024
"""Small frames are gathered up to this before they are written. What is in a chunk is not overtaken any more."""


class _Lane:
    __slots__ = ("bytes", "frames", "high", "refused")

    def __init__(self, high: int) -> None:
        self.frames: deque[bytes] = deque()
        self.bytes = 0
        self.high = high
        self.refused = False


class Outbox:
    """Bounded queue of frames to one peer.

    Args:
        control_high, data_high: bytes at which the lane refuses.
    """

    __slots__ = ("_chunk", "_control", "_data", "_flight", "_offset", "watch")

    def __init__(self, control_high: int = CONTROL_HIGH_BYTES, data_high: int = DATA_HIGH_BYTES) -> None:
        self._control = _Lane(control_high)
        self._data = _Lane(data_high)
        self._flight: Sequence[bytes] = ()  # the frames that the chunk was made of
        self._chunk = b""
        self._offset = 0  # how much of the chunk is written
        self.watch = False
        """Whether `wrote` must name the frames that are out (only where somebody waits for one)."""

    def offer_control(self, frame: bytes) -> bool:
        """Queue a control frame. False: the lane is at its mark, nothing was queued."""
        lane = self._control
        if lane.bytes >= lane.high:
            lane.refused = True
            return False
        lane.bytes += len(frame)
        lane.frames.append(frame)
        return True

    def offer_data(self, frame: bytes) -> bool:
        """Queue a data frame. False: the lane is at its mark, nothing was queued."""
        lane = self._data
        if lane.bytes >= lane.high:
            lane.refused = True
            return False
        lane.bytes += len(frame)
        lane.frames.append(frame)
        return True

    @property
    def pending_bytes(self) -> int:
        """All that is not written yet."""
        return self._control.bytes + self._data.bytes + len(self._chunk) - self._offset

    def lanes(self) -> tuple[tuple[str, int, int, int], ...]:
        """Each lane: name, bytes, frames, mark. What is being written just now counts as control or data no more."""
        return tuple(
            (name, lane.bytes, len(lane.frames), lane.high) for name, lane in (("control", self._control), ("data", self._data))
        )

    def next_chunk(self) -> bytes | memoryview:
        """What to write next; empty when there is nothing. The same until `wrote` says that some of it is out."""
        if self._chunk:
            return memoryview(self._chunk)[self._offset :] if self._offset else self._chunk
        lane = self._control if self._control.frames else self._data
        frames = lane.frames
        if not frames:
            return b""
        if lane.bytes <= CHUNK_BYTES:
            taken = list(frames)
            frames.clear()
            lane.bytes = 0
        else:
            taken, size = [frames.popleft()], 0
            size = len(taken[0])
            while frames and size + len(frames[0]) <= CHUNK_BYTES:
                taken.append(frames.popleft())
                size += len(taken[-1])
            lane.bytes -= size
        self._flight = taken
        self._chunk = taken[0] if len(taken) == 1 else b"".join(taken)
        return self._chunk

    def wrote(self, count: int) -> Sequence[bytes]:
        """`count` bytes of the chunk are out. Returns the frames that are entirely out, if `watch` is set."""
        self._offset += count
        if self._offset < len(self._chunk):
            return ()
        out = self._flight if self.watch else ()
        self._flight, self._chunk, self._offset = (), b"", 0
        return out

    def writable_again(self) -> bool:
        """True once after a refusal, when the lane that refused is down to half its mark."""
        again = False
        for lane in (self._control, self._data):
            if lane.refused and lane.bytes <= lane.high // 2:
                lane.refused = False
                again = True
        return again

    def unsent(self) -> list[bytes]:
        """Takes out every frame that was not entirely written, control first. The peer is gone."""
        frames: list[bytes] = []
        begun = 0
        for frame in self._flight:
            begun += len(frame)
            if begun > self._offset:
                frames.append(frame)
        self._flight, self._chunk, self._offset = (), b"", 0
        for lane in (self._control, self._data):
            frames += lane.frames
            lane.frames.clear()
            lane.bytes = 0
        return frames
