"""Calls that wait for their answer, and the frames that open them."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from majula.errors import (
    InvalidRequest,
    LimitReached,
    MajulaError,
    RemoteError,
    from_code,
)
from majula.wire.frames import encode_frame
from majula.wire.headers import Call as CallHeader
from majula.wire.headers import Encoding, Fault
from majula.wire.headers import Result as ResultHeader

_PREFIX = struct.Struct("<IH")
_MAX_HEADS = 1_024

MAX_NAME_BYTES = 128
MAX_TIMEOUT_S = 3_600.0

SWEEP_S = 0.25
"""How often open calls are checked. The gateway ends a call at its deadline to the millisecond; the check here is for a gateway
that does not answer at all, so one look at all of them now and then is enough and costs a call nothing."""

BACKSTOP_S = 0.5
"""How long after the deadline the client stops waiting for the gateway's own word of it."""

CallFields = tuple[str, Encoding, int, str, str, bool]
"""Function, encoding, timeout_ms, provider, node, idempotent: what many calls have in common."""

W = TypeVar("W")
_ENCODINGS = (b"\x00", b"\x01", b"\x02")


class OpenCalls(Generic[W]):
    """Open calls of one client by number. Pure: what waits for a call is an opaque `waiter`.

    Args:
        limit: how many may be open; the gateway's WELCOME sets it.
    """

    def __init__(self, *, limit: int = 4_096) -> None:
        self.limit = limit
        self._open: dict[int, tuple[W, float]] = {}
        self._last = 0

    def __len__(self) -> int:
        return len(self._open)

    def open(self, waiter: W, deadline: float) -> int:
        """A number for a new call.

        Raises:
            LimitReached: too many are open.
        """
        if len(self._open) >= self.limit:
            raise LimitReached(f"{self.limit} calls of this client are open; wait for some to end", limit="pending_calls")
        # Numbers are written as msgpack uint 32, whose place in the frame is fixed; long after a wrap no old call is open.
        self._last = number = self._last + 1 if self._last < 0xFFFFFFFF else 1
        self._open[number] = (waiter, deadline)
        return number

    def close(self, number: int) -> W | None:
        """The waiter of a call that ends now; None: it has ended before."""
        entry = self._open.pop(number, None)
        return entry[0] if entry else None

    def number_of(self, waiter: W) -> int:
        """The number of a waiter's call, 0 where it has none. Looks through all: for rare cases."""
        return next((number for number, (one, _) in self._open.items() if one is waiter), 0)

    def expired(self, now: float) -> list[W]:
        """The waiters of the calls that nobody has answered by `BACKSTOP_S` after their deadline; those calls end."""
        limit = now - BACKSTOP_S
        late = [number for number, (_, deadline) in self._open.items() if deadline <= limit]
        return [self._open.pop(number)[0] for number in late]

    def lost(self) -> list[W]:
        """The waiters of all calls; they end because their session did."""
        waiters = [waiter for waiter, _ in self._open.values()]
        self._open.clear()
        return waiters


class CallFrames:
    """Builds CALL frames. All of a header but its number is the same for each call of a function, and is kept encoded."""

    def __init__(self) -> None:
        self._tails: dict[CallFields, bytes] = {}

    def frame(self, number: int, body: bytes, fields: CallFields, headers: dict[str, str] | None = None) -> bytes:
        """One CALL frame; `number` fits 32 bits."""
        tail = self._tails.get(fields) if not headers else self._make_tail(fields, headers)
        if tail is None:
            tail = self._make_tail(fields)
            if len(self._tails) >= _MAX_HEADS:
                self._tails.clear()
            self._tails[fields] = tail
        # A header is the array [8, number, ...]: 0x9a for its ten entries, the tag, 0xce and four bytes, big-endian in msgpack.
        head_bytes = 7 + len(tail)
        return b"%b\x9a\x08\xce%b%b%b" % (
            _PREFIX.pack(2 + head_bytes + len(body), head_bytes),
            number.to_bytes(4, "big"),
            tail,
            body,
        )

    def _make_tail(self, fields: CallFields, headers: dict[str, str] | None = None) -> bytes:
        function, _, _, provider, node, _ = fields
        check_name("function", function)
        check_name("provider", provider, empty=True)
        check_name("node", node, empty=True)
        if headers and not all(isinstance(name, str) and isinstance(value, str) for name, value in headers.items()):
            raise InvalidRequest("headers are pairs of strings")
        # All that follows the number, cut out of a frame whose number takes one byte.
        return encode_frame(CallHeader(1, *fields, headers=headers))[_PREFIX.size + 3 :]


def result_frame(number: int, encoding: Encoding, body: bytes) -> bytes:
    """The RESULT frame of a call that went well: `[9, uint 32 number, encoding]`."""
    if number > 0xFFFFFFFF:
        return encode_frame(ResultHeader(number, encoding), body)
    return b"%b\x93\x09\xce%b%b%b" % (
        _PREFIX.pack(10 + len(body), 8),
        number.to_bytes(4, "big"),
        _ENCODINGS[encoding],
        body,
    )


def error_of_fault(fault: Fault) -> MajulaError:
    """What the caller gets. RemoteError only for what the handler itself raised."""
    if fault.code == RemoteError.code:
        return RemoteError(fault.message, type=fault.type or "Exception")
    return from_code(fault.code, fault.message, {"retry_after_s": fault.retry_after_s} if fault.retry_after_s else None)


def check_name(what: str, value: str, *, empty: bool = False) -> None:
    """A function's, provider's or node's name.

    Raises:
        InvalidRequest: empty (unless `empty`), over 128 bytes, or not text without control characters.
    """
    if not isinstance(value, str) or (not value and not empty):
        raise InvalidRequest(f"the name of a {what} is a string that is not empty")
    try:
        size = len(value.encode())
    except UnicodeEncodeError:
        raise InvalidRequest(f"the name of a {what} is text that UTF-8 can carry") from None
    if size > MAX_NAME_BYTES or not (value.isprintable() or not any(ord(c) < 32 or 127 <= ord(c) < 160 for c in value)):
        raise InvalidRequest(f"the name of a {what} has at most {MAX_NAME_BYTES} bytes and no control characters")


def check_timeout(timeout_s: float) -> float:
    """Raises:
    InvalidRequest: not a number more than 0 and at most 3,600.
    """
    if not 0 < timeout_s <= MAX_TIMEOUT_S:
        raise InvalidRequest(f"timeout_s is more than 0 and at most {MAX_TIMEOUT_S:.0f}, not {timeout_s}")
    return timeout_s


class Call(asyncio.Future[Any]):
    """A call under way: await it for its result, or cancel it; the provider is told of a cancellation.

    It is a future: `asyncio.wait`, `asyncio.gather`, `asyncio.wait_for` and callbacks take it as any other.
    """

    def __init__(self, give_up: Callable[[Call], None], *, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(loop=loop)
        self._give_up = give_up
        self.number = 0

    def cancel(self, msg: Any | None = None) -> bool:
        """Stop waiting and tell the provider. False: it has ended before."""
        cancelled = super().cancel(msg)
        if cancelled:
            self._give_up(self)
        return cancelled
