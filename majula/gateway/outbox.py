"""What waits for one client: bounded, in order, and honest about what it dropped.

A queue between the switch, which puts whole frames in, and the edge, which takes them out as fast as its client reads.
Publications are dropped (the newest) beyond the limits of the settings; the client is told by a SLOW frame at the place of the
gap. Control frames (answers, results) have a reserve beyond that limit, because a caller was promised an answer; a client that
lets the reserve fill up as well is cut off.

    offer  a publication: taken, or dropped and counted
    fits   would a call be taken? Its caller hears `overloaded` where not
    push   a control frame: taken, or the client is to be closed
    take   frames to write now
    feed   frames that are made only when there is room for them
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator

from msgspec import Struct

from majula.gateway.settings import GatewayLimits
from majula.wire.frames import encode_frame
from majula.wire.headers import Slow

# Twice the limit of one message: an answer of the largest size always finds room behind another one.
_RESERVE_MESSAGES = 2
# The age of the oldest waiting frame is known to a second: a mark a second, at most eleven of them, instead of a time a frame.
_MARK_S = 1.0


class OutboxStatistics(Struct, frozen=True):
    """One outbox, as `status` shows it."""

    bytes: int
    messages: int
    dropped_messages: int
    dropped_bytes: int
    is_full: bool


class Outbox:
    """The queue of one client.

    Args:
        limits: `queue_*`, `message_bytes` and `silent_s` are used.
        now: loop time in seconds.
    """

    __slots__ = (
        "_age_s",
        "_backlog",
        "_counts",
        "_dropped_bytes",
        "_dropped_messages",
        "_frames",
        "_limit_bytes",
        "_limit_messages",
        "_marks",
        "_moved_at",
        "_next_mark_at",
        "_reopen_bytes",
        "_reserve_bytes",
        "_total_dropped_bytes",
        "_total_dropped_messages",
        "backlog",
        "bytes",
        "given",
        "is_full",
        "messages",
        "on_taken",
        "taken",
    )

    def __init__(self, limits: GatewayLimits, now: float) -> None:
        self.bytes = 0
        self.messages = 0
        self.is_full = False
        self.backlog = 0
        """Frames that `feed` has announced, at most."""
        self._backlog: deque[Iterator[bytes]] = deque()
        self._frames: list[bytes] = []
        self._counts: list[int] = []  # messages in each of `_frames`
        self._limit_bytes = limits.queue_bytes
        self._limit_messages = limits.queue_messages
        self._age_s = limits.queue_age_s
        self._reserve_bytes = limits.queue_bytes + _RESERVE_MESSAGES * limits.message_bytes
        # Reopened at half: a client that is just a little too slow is told of few long gaps, not of thousands of short ones.
        self._reopen_bytes = limits.queue_bytes // 2
        self._marks: list[tuple[float, int]] = []  # (time, frames that had been put in before it, ever)
        self._next_mark_at = now
        self.taken = 0
        """Frames that have been taken, ever."""
        self.given = 0
        """Messages in them; a frame that is no run of publications counts as one."""
        self.on_taken: Callable[[], None] | None = None
        """Called when frames have been taken, within `take`: it may note that, and nothing more."""
        self._moved_at = now
        self._dropped_messages = 0
        self._dropped_bytes = 0
        self._total_dropped_messages = 0
        self._total_dropped_bytes = 0

    @property
    def waiting(self) -> int:
        """Frames that have been put in and not been taken."""
        return len(self._frames)

    def __len__(self) -> int:
        """Frames that wait, the SLOW notice that is due and the announced ones included."""
        return len(self._frames) + (self._dropped_messages > 0) + self.backlog

    def offer(self, frame: bytes, messages: int, now: float) -> bool:
        """Put in a publication of so many messages. False: dropped and counted."""
        if self.is_full:
            return self._drop(frame, messages)
        if now >= self._next_mark_at:
            self._mark(now)
        size = self.bytes + len(frame)
        count = self.messages + messages
        # One frame is always taken by an empty queue, however the limits are set.
        if (size > self._limit_bytes or count > self._limit_messages) and self._frames:
            return self._drop(frame, messages)
        if self.is_full:  # by its age, found at the mark
            return self._drop(frame, messages)
        self.bytes = size
        self.messages = count
        self._frames.append(frame)
        self._counts.append(messages)
        return True

    def fits(self, size: int) -> bool:
        """Whether a call of `size` bytes may be put in. It is then `push`ed."""
        return not self.is_full and (self.bytes + size <= self._limit_bytes or not self._frames)

    def push(self, frame: bytes, now: float) -> bool:
        """Put in a control frame. False: the reserve is used up as well; the client does not read and is to be closed."""
        if now >= self._next_mark_at:
            self._mark(now)
        size = self.bytes + len(frame)
        if size > self._reserve_bytes and self._frames:
            return False
        self.bytes = size
        self._frames.append(frame)
        self._counts.append(0)
        return True

    def feed(self, frames: Iterator[bytes], count: int) -> None:
        """Frames (kept values) that are fetched when they are taken, so that any number of them costs no room here. They come
        behind what waits already, and may come behind what is put in later."""
        self._backlog.append(frames)
        self.backlog += count

    def lose(self, messages: int) -> None:
        """So many messages were not even put in: they are told by SLOW as dropped ones are."""
        self._dropped_messages += messages

    def take(self, limit_bytes: int, now: float) -> list[bytes]:
        """The next frames, of at least `limit_bytes` in all if so much waits; empty: nothing waits."""
        if self._dropped_messages:
            self._tell()
        if self.backlog:
            self._fetch(limit_bytes)
        self._moved_at = now
        frames = self._frames
        if self.bytes <= limit_bytes:
            if frames:
                self._frames = []
                self.given += self.messages + self._counts.count(0)
                self._counts.clear()
                self.taken += len(frames)
                self._marks.clear()
                self._next_mark_at = now
                self.bytes = self.messages = 0
                if self.on_taken is not None:
                    self.on_taken()
            self.is_full = False
            return frames
        size = at = 0
        while size < limit_bytes:
            size += len(frames[at])
            at += 1
        counts = self._counts[:at]
        messages = sum(counts)
        self.bytes -= size
        self.messages -= messages
        self.given += messages + counts.count(0)
        self.taken += at
        taken = frames[:at]
        del frames[:at]
        del self._counts[:at]
        marks = self._marks
        while len(marks) > 1 and marks[1][1] <= self.taken:
            del marks[0]
        if self.bytes <= self._reopen_bytes and self.messages <= self._limit_messages // 2:
            self.is_full = False
        if self.on_taken is not None:
            self.on_taken()
        return taken

    def moved(self, now: float) -> None:
        """The client has read something of what was taken before."""
        self._moved_at = now

    def silent_s(self, now: float) -> float:
        """For how long the client has taken no byte while something waited; 0 where nothing waits."""
        return now - self._moved_at if self._frames else 0.0

    def statistics(self) -> OutboxStatistics:
        return OutboxStatistics(
            self.bytes,
            self.messages,
            self._total_dropped_messages + self._dropped_messages,
            self._total_dropped_bytes + self._dropped_bytes,
            self.is_full,
        )

    def _drop(self, frame: bytes, messages: int) -> bool:
        self.is_full = True
        self._dropped_messages += messages
        self._dropped_bytes += len(frame)
        return False

    def _fetch(self, limit_bytes: int) -> None:
        while self.bytes <= limit_bytes:
            if not self._backlog:
                self.backlog = 0
                return
            frame = next(self._backlog[0], None)
            if frame is None:
                self._backlog.popleft()
                continue
            self._frames.append(frame)
            self._counts.append(0)
            self.bytes += len(frame)

    def _tell(self) -> None:
        """What was dropped is newer than all that waits and older than all that comes: the gap is here."""
        frame = encode_frame(Slow(self._dropped_messages, self._dropped_bytes))
        self._frames.append(frame)
        self._counts.append(0)
        self.bytes += len(frame)
        self._total_dropped_messages += self._dropped_messages
        self._total_dropped_bytes += self._dropped_bytes
        self._dropped_messages = self._dropped_bytes = 0

    def _mark(self, now: float) -> None:
        """Once a second at most: remember when which frame was put in, and look how old the oldest is."""
        self._next_mark_at = now + _MARK_S
        if not self._frames:
            self._moved_at = now
            self._marks.clear()
        elif self._marks and now - self._marks[0][0] > self._age_s:
            self.is_full = True
            return  # nothing new gets in, so no new mark is needed
        self._marks.append((now, self.taken + len(self._frames)))
