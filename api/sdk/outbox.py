"""What waits to be written: messages become runs, runs and other frames become one write a loop turn.

Messages for one topic that follow each other share a frame; another topic closes the run, so the order of one publisher is kept.
Pure: whoever owns the outbox is woken once when it is no longer empty (`wake`), urged when a whole run waits (`urge`), and takes
all there is with `take`.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Literal

from majula.api.sdk.shape import Encode
from majula.errors import InvalidRequest, TooLarge
from majula.wire.frames import encode_frame
from majula.wire.headers import RETAIN, Encoding, Publish
from majula.wire.values import encode_value

_PREFIX = struct.Struct("<IH")
_LENGTH = struct.Struct("<I")

RUN_BYTES = 65_536
"""A run is closed at this size: a longer one would only delay its first message, a frame's cost is spread over 500 by then."""

FRAMES_AT_ONCE = 16
"""So many calls or results are written without waiting for the end of the loop's turn. Otherwise a client with 64 calls in
flight, its gateway and the provider each work on all 64 while the two others wait: 54 k calls/s instead of 96 k on two cores."""

MAX_TOPIC_BYTES = 256
_MAX_HEADS = 1_024

Verdict = Literal[0, 1, 2]
REFUSED: Verdict = 0
QUEUED: Verdict = 1
URGED: Verdict = 2
"""Queued, and a whole run was handed on: a publisher that never waits gives way to the loop here."""

_Key = tuple[str, Encoding, int, tuple[tuple[str, str], ...] | None]


class Outbox:
    """Bounded buffer between the program and one connection; what is published while there is none waits here.

    Args:
        limit_bytes: what may wait. Beyond it `add` and `put` refuse, nothing is dropped.
        wake: called once when something waits, before the next `take`.
        urge: called when a whole run waits; may call `take`.
        encode: what makes bytes of a payload.
    """

    def __init__(
        self, *, limit_bytes: int, wake: Callable[[], None], urge: Callable[[], None], encode: Encode = encode_value
    ) -> None:
        self._limit_bytes = limit_bytes
        self.message_bytes = 1 << 20
        self._wake, self._urge, self._encode = wake, urge, encode
        self._woken = False
        self._pieces: list[bytes] = []
        self._bound: list[int] = []  # indexes of the pieces that mean nothing to another session
        self._ready_bytes = 0  # in _pieces
        self._heads: dict[_Key, bytes] = {}
        self._key: _Key | None = None  # of the open run
        self._plain_topic: str | None = None  # of the open run where its messages are plain bytes without flags and headers
        self._run: list[bytes] = []
        self._append = self._run.append
        self._granted_bytes = 0  # what the open run may hold
        self._room_bytes = 0  # what is left of it
        self.published = 0

    @property
    def waiting_bytes(self) -> int:
        """Bytes that `take` would give, about."""
        return self._ready_bytes + self._granted_bytes - self._room_bytes

    def add(self, topic: str, payload: object, retain: bool = False, headers: dict[str, str] | None = None) -> Verdict:
        """Queue one message.

        Raises:
            InvalidRequest: the topic, a header or the payload cannot be sent.
            TooLarge: the payload is over `message_bytes`.
        """
        if topic == self._plain_topic and type(payload) is bytes and not retain and headers is None:
            room = self._room_bytes - 4 - len(payload)
            if room >= 0:
                self._room_bytes = room
                self._append(payload)
                return QUEUED
        return self._add(topic, payload, retain, headers)

    def check_size(self, data: bytes) -> None:
        """Raises:
        TooLarge: a payload over `message_bytes`.
        """
        limit = self.message_bytes
        if len(data) > limit:
            raise TooLarge(f"a message of {len(data)} bytes is over the limit of {limit}", limit_bytes=limit)

    def put(self, frame: bytes, *, reserve: bool = False, at_once: bool = False) -> bool:
        """Queue one frame of the present session behind what waits; False: no room, nothing was queued.

        Args:
            reserve: an answer that a peer waits for may use as much again as the limit.
            at_once: urge, as somebody waits for this one alone.
        """
        if self.waiting_bytes + len(frame) > self._limit_bytes << reserve:
            return False
        if self._run:
            self._close_run()
        self._bound.append(len(self._pieces))
        self._pieces.append(frame)
        self._ready_bytes += len(frame)
        if at_once or len(self._bound) >= FRAMES_AT_ONCE:
            self._urge()
        elif not self._woken:
            self._woken = True
            self._wake()
        return True

    def take(self) -> bytes:
        """All that waits, as the bytes to write; empty when nothing does."""
        if self._run:
            self._close_run()
        self._woken = False
        pieces = self._pieces
        if not pieces:
            return b""
        data = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        pieces.clear()
        self._bound.clear()
        self._ready_bytes = 0
        return data

    def end_session(self) -> None:
        """The connection is gone: forget frames that only its session understands, keep what was published."""
        if self._run:
            self._close_run()
        for index in reversed(self._bound):
            self._ready_bytes -= len(self._pieces[index])
            del self._pieces[index]
        self._bound.clear()
        self._woken = bool(self._pieces)

    def close(self) -> None:
        """Drop what waits and refuse everything from now on."""
        self._limit_bytes = -1
        self._room_bytes = self._granted_bytes = 0
        self._run.clear()
        self._key = self._plain_topic = None
        self.take()

    def _add(self, topic: str, payload: object, retain: bool, headers: dict[str, str] | None) -> Verdict:
        encoding, data = self._encode(payload)
        size = 4 + len(data)
        self.check_size(data)
        if self.waiting_bytes + size > self._limit_bytes:
            if not self.waiting_bytes and self._limit_bytes >= 0:
                raise TooLarge(f"a message of {len(data)} bytes does not fit this client's buffer", limit_bytes=self._limit_bytes)
            return REFUSED
        key: _Key = (topic, encoding, RETAIN if retain else 0, tuple(headers.items()) if headers else None)
        verdict: Verdict = QUEUED
        if key != self._key or size > self._room_bytes:
            head = self._heads.get(key) or self._make_head(key)
            if self._run:
                self._close_run()
                if self._ready_bytes >= RUN_BYTES:
                    self._urge()
                    verdict = URGED
            self._key = key
            self._head = head
            self._plain_topic = topic if encoding == 0 and not retain and not headers else None
            self._granted_bytes = self._room_bytes = max(
                size, min(RUN_BYTES, 4 + self.message_bytes, self._limit_bytes - self._ready_bytes)
            )
        self._room_bytes -= size
        self._append(data)
        if not self._woken:
            self._woken = True
            self._wake()
        if size >= RUN_BYTES:
            self._close_run()
            self._urge()
            verdict = URGED
        return verdict

    def _make_head(self, key: _Key) -> bytes:
        """The encoded header of a run; checked here, so that a bad topic is the publisher's error at once."""
        topic, encoding, flags, items = key
        check_topic(topic)
        if items is not None and not all(isinstance(name, str) and isinstance(value, str) for name, value in items):
            raise InvalidRequest("headers are pairs of strings")
        frame = encode_frame(Publish(topic, encoding, flags, headers=dict(items) if items else None))
        head = frame[_PREFIX.size :]
        if len(self._heads) >= _MAX_HEADS:
            self._heads.clear()
        self._heads[key] = head
        return head

    def _close_run(self) -> None:
        """The open run becomes pieces: prefix and header, then (length, message) for each; one join copies them all, once."""
        messages = self._run
        count, head, pack = len(messages), self._head, _LENGTH.pack
        sizes = list(map(len, messages))
        body_bytes = self._granted_bytes - self._room_bytes
        block = [b""] * (2 * count + 1)
        block[0] = _PREFIX.pack(2 + len(head) + body_bytes, len(head)) + head
        block[1::2] = [pack(sizes[0])] * count if sizes.count(sizes[0]) == count else map(pack, sizes)
        block[2::2] = messages
        self._pieces += block
        self._ready_bytes += 6 + len(head) + body_bytes
        self.published += count
        messages.clear()
        self._key = self._plain_topic = None
        self._granted_bytes = self._room_bytes = 0


def check_topic(topic: str) -> None:
    """Raises:
    InvalidRequest: empty, over 256 bytes as UTF-8, or not text.
    """
    if not isinstance(topic, str) or not topic:
        raise InvalidRequest("a topic is a string that is not empty")
    try:
        size = len(topic.encode())
    except UnicodeEncodeError:
        raise InvalidRequest("a topic is text that UTF-8 can carry") from None
    if size > MAX_TOPIC_BYTES:
        raise InvalidRequest(f"a topic has at most {MAX_TOPIC_BYTES} bytes, this one {size}", limit_bytes=MAX_TOPIC_BYTES)
