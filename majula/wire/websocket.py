"""WebSocket frames (RFC 6455), the server's side: bytes in, whole messages out.

What a client sends wrongly is a value, never an exception: the reader gives a `Violation` with the close code as its last event
and reads nothing more. Nothing is kept that was not bounded first: the length of a message is known and checked before its bytes
are collected, the number of fragments is limited, and control frames are counted against a budget that refills with time, so
that a client that pings without end is cut off. Extensions are never negotiated: a compressed frame is a violation, so no
message can be larger than the bytes that were sent.
"""

from __future__ import annotations

from enum import IntEnum

import msgspec


class Opcode(IntEnum):
    """RFC 6455, 5.2."""

    CONTINUATION = 0x0
    TEXT = 0x1
    BINARY = 0x2
    CLOSE = 0x8
    PING = 0x9
    PONG = 0xA


class CloseCode(IntEnum):
    """RFC 6455, 7.4.1."""

    NORMAL = 1000
    GOING_AWAY = 1001
    PROTOCOL_ERROR = 1002
    UNSUPPORTED = 1003
    NOT_UTF8 = 1007
    POLICY = 1008
    TOO_BIG = 1009
    INTERNAL = 1011
    TRY_LATER = 1013


class Violation(msgspec.Struct, frozen=True):
    """The client broke the protocol or a limit: close with this code and reason, and read no more."""

    code: CloseCode
    reason: str


class Closed(msgspec.Struct, frozen=True):
    """The client closes; answer with the same code. 1005: it gave none."""

    code: int
    reason: str = ""


class Pinged(msgspec.Struct, frozen=True):
    """Answer with a pong that carries `payload`."""

    payload: bytes


class Ponged(msgspec.Struct, frozen=True):
    """The answer to a ping of ours, or unasked (RFC 6455, 5.5.3 allows it)."""

    payload: bytes


class Text(msgspec.Struct, frozen=True):
    """A whole text message; `payload` is UTF-8."""

    payload: bytes


class Binary(msgspec.Struct, frozen=True):
    """A whole binary message."""

    payload: bytes


Event = Text | Binary | Pinged | Ponged | Closed | Violation

MAX_FRAGMENTS = 1024
"""Fragments of one message. Libraries split at 16 KiB or more, so 1,024 carry 16 MiB; who sends a byte a frame is cut off."""

_MAX_PARTS = 512
"""Chunks of an unfinished frame that are kept apart: a client that sends a byte at a time must not cost 40 bytes for each."""

CONTROL_BURST = 200
CONTROL_PER_S = 50.0
"""Pings, pongs and empty fragments that are read at once, and per second after that. A client needs one in ten seconds."""

_WHOLE_BINARY = 0x80 | Opcode.BINARY
_WHOLE = frozenset({0x80 | Opcode.TEXT, _WHOLE_BINARY})
_TEXT_HEADS = tuple(bytes((0x80 | Opcode.TEXT, size)) for size in range(126))
_CLOSE_CODES_ON_THE_WIRE = frozenset({1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014})


def unmask(payload: bytes, mask: bytes) -> bytes:
    """RFC 6455, 5.3: the payload XOR the repeated mask. As one big number: 0.7 us for 200 bytes, 2.6 ns a byte after that."""
    size = len(payload)
    if not size or mask == b"\0\0\0\0":
        return payload
    key = mask * ((size + 3) >> 2)
    return (int.from_bytes(payload, "little") ^ int.from_bytes(key[:size], "little")).to_bytes(size, "little")


def encode(opcode: Opcode, payload: bytes) -> bytes:
    """One whole, unmasked frame."""
    return encode_head(opcode, len(payload)) + payload


def encode_head(opcode: Opcode, size: int) -> bytes:
    """What stands before a payload of `size` bytes in a whole, unmasked frame."""
    if size < 126:
        return bytes((0x80 | opcode, size))
    if size < 1 << 16:
        return bytes((0x80 | opcode, 126)) + size.to_bytes(2, "big")
    return bytes((0x80 | opcode, 127)) + size.to_bytes(8, "big")


def encode_text(payload: bytes) -> bytes:
    """One whole text message. A third of the time of `encode` for the sizes that packages have."""
    size = len(payload)
    if size < 126:
        return _TEXT_HEADS[size] + payload
    if size < 1 << 16:
        return b"\x81\x7e%c%c%b" % (size >> 8, size & 0xFF, payload)
    return encode_head(Opcode.TEXT, size) + payload


def encode_close(code: int, reason: str = "") -> bytes:
    """A close frame; `reason` is cut to the 123 bytes that fit."""
    cut = reason.encode()[:123].decode(errors="ignore").encode()
    return encode(Opcode.CLOSE, code.to_bytes(2, "big") + cut)


class WebSocketReader:
    """Finds the messages in what one client sends.

    Args:
        message_bytes: the largest message; a larger one is a violation as soon as its length is known.
        now: loop time, seconds.
    """

    def __init__(self, *, message_bytes: int, now: float) -> None:
        self._message_bytes = message_bytes
        self._parts: list[bytes] = []
        self._parts_bytes = 0
        self._wanted = 2
        self._fragments: list[bytes] = []
        self._fragments_bytes = 0
        self._message_opcode = 0
        self._budget = float(CONTROL_BURST)
        self._budget_at = now
        self._finished = False

    @property
    def held_bytes(self) -> int:
        """Bytes of a message that is not whole yet."""
        return self._parts_bytes + self._fragments_bytes

    @property
    def is_within_message(self) -> bool:
        """Something has begun that is not whole: the client owes bytes."""
        return bool(self._parts or self._message_opcode)

    def feed(self, data: bytes, now: float) -> list[Event]:
        """Take what the socket gave, return the events in it. After `Closed` or a `Violation` nothing more comes."""
        if self._finished:
            return []
        # The common case by itself: one whole message of less than 64 KiB in what the socket gave, nothing before it.
        if not self._parts and not self._message_opcode and len(data) > 8 and data[0] in _WHOLE:
            size = data[1] - 0x80  # negative without a mask
            head = 6 if size < 126 else 8
            if size == 126:
                size = data[2] << 8 | data[3]
            elif size == 127:
                size = -1  # 64 KiB and more
            if head + size == len(data) and size <= self._message_bytes:
                payload = unmask(data[head:], data[head - 4 : head])
                if data[0] == _WHOLE_BINARY:
                    return [Binary(payload)]
                if payload.isascii():
                    return [Text(payload)]
        if self._parts:
            self._parts.append(data)
            self._parts_bytes += len(data)
            if self._parts_bytes < self._wanted:
                if len(self._parts) >= _MAX_PARTS:
                    self._parts = [b"".join(self._parts)]
                return []
            data = b"".join(self._parts)
            self._parts.clear()
            self._parts_bytes = 0
        events: list[Event] = []
        at, end = 0, len(data)
        self._wanted = 2
        while end - at >= 2:
            first, second = data[at], data[at + 1]
            head = 6  # two bytes, and the mask that a client's frame must have
            size = second & 0x7F
            if size == 126:
                head = 8
            elif size == 127:
                head = 14
            violation = self._head_violation(first, second)
            if violation is None and size >= 126 and end - at >= head - 4:
                size = int.from_bytes(data[at + 2 : at + head - 4], "big")
                if size > self._message_bytes:  # a first bit of 1, which RFC 6455, 5.2 forbids, is over any limit too
                    violation = Violation(CloseCode.TOO_BIG, f"a message is at most {self._message_bytes} bytes")
            if violation is not None:
                return self._end(events, violation)
            if end - at < head:
                self._wanted = head
                break
            after = at + head + size
            if after > end:
                self._wanted = head + size
                break
            payload = unmask(data[at + head : after], data[at + head - 4 : at + head])
            at = after
            event = self._frame(first, payload, now)
            if event is not None:
                events.append(event)
                if isinstance(event, Violation | Closed):
                    self._finished = True
                    return events
        if at < end:
            rest = data[at:] if at else data
            self._parts.append(rest)
            self._parts_bytes = len(rest)
        return events

    def _end(self, events: list[Event], violation: Violation) -> list[Event]:
        self._finished = True
        self._parts.clear()
        self._fragments.clear()
        events.append(violation)
        return events

    def _head_violation(self, first: int, second: int) -> Violation | None:
        if first & 0x70:
            return Violation(CloseCode.PROTOCOL_ERROR, "reserved bits are set, but no extension was negotiated")
        if not second & 0x80:
            return Violation(CloseCode.PROTOCOL_ERROR, "frames of a client must be masked")
        opcode = first & 0x0F
        if opcode >= Opcode.CLOSE:
            if opcode > Opcode.PONG:
                return Violation(CloseCode.PROTOCOL_ERROR, f"unknown opcode {opcode}")
            if not first & 0x80 or second & 0x7F > 125:
                return Violation(CloseCode.PROTOCOL_ERROR, "control frames are whole and at most 125 bytes")
        elif opcode > Opcode.BINARY:
            return Violation(CloseCode.PROTOCOL_ERROR, f"unknown opcode {opcode}")
        return None

    def _frame(self, first: int, payload: bytes, now: float) -> Event | None:
        opcode = first & 0x0F
        if opcode >= Opcode.CLOSE:
            return self._control(opcode, payload, now)
        if opcode == Opcode.CONTINUATION:
            if not self._message_opcode:
                return Violation(CloseCode.PROTOCOL_ERROR, "a continuation without a beginning")
            opcode = self._message_opcode
        elif self._message_opcode:
            return Violation(CloseCode.PROTOCOL_ERROR, "a message begins inside another")
        if first & 0x80 and not self._fragments:
            self._message_opcode = 0
            return self._message(opcode, payload)
        self._message_opcode = opcode
        self._fragments.append(payload)
        self._fragments_bytes += len(payload)
        if self._fragments_bytes > self._message_bytes:
            return Violation(CloseCode.TOO_BIG, f"a message is at most {self._message_bytes} bytes")
        if len(self._fragments) > MAX_FRAGMENTS or (not payload and not self._spend(now)):
            return Violation(CloseCode.POLICY, f"a message is at most {MAX_FRAGMENTS} fragments")
        if not first & 0x80:
            return None
        whole = b"".join(self._fragments)
        self._fragments.clear()
        self._fragments_bytes = 0
        self._message_opcode = 0
        return self._message(opcode, whole)

    def _message(self, opcode: int, payload: bytes) -> Event:
        if opcode == Opcode.BINARY:
            return Binary(payload)
        if not payload.isascii():
            try:
                payload.decode()
            except UnicodeDecodeError:
                return Violation(CloseCode.NOT_UTF8, "a text message is not UTF-8")
        return Text(payload)

    def _control(self, opcode: int, payload: bytes, now: float) -> Event:
        if opcode == Opcode.CLOSE:
            return _closed(payload)
        if not self._spend(now):
            return Violation(CloseCode.POLICY, "too many control frames")
        return Pinged(payload) if opcode == Opcode.PING else Ponged(payload)

    def _spend(self, now: float) -> bool:
        self._budget = min(float(CONTROL_BURST), self._budget + (now - self._budget_at) * CONTROL_PER_S) - 1.0
        self._budget_at = now
        return self._budget >= 0.0


def _closed(payload: bytes) -> Event:
    if not payload:
        return Closed(1005)
    code = int.from_bytes(payload[:2], "big")
    if len(payload) == 1 or not (code in _CLOSE_CODES_ON_THE_WIRE or 3000 <= code < 5000):
        return Violation(CloseCode.PROTOCOL_ERROR, "this close code is not allowed on the wire")
    try:
        return Closed(code, payload[2:].decode())
    except UnicodeDecodeError:
        return Violation(CloseCode.NOT_UTF8, "the reason of a close is not UTF-8")
