"""The calls that this program makes: sent, kept until there is a connection, answered, given up, or out of time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from copy import copy
from math import inf
from typing import Any

from majula.api.sdk.calls import SWEEP_S, CallFields, CallFrames, OpenCalls, check_timeout, error_of_fault
from majula.api.sdk.outbox import Outbox
from majula.api.sdk.shape import Encode, decode_payload
from majula.errors import DeadlineExceeded, LimitReached, MajulaError, Overloaded
from majula.wire.frames import encode_frame
from majula.wire.headers import Cancel, Result

_Waiter = asyncio.Future[Any]


class _Kept:
    """A call that was made while there was no connection."""

    __slots__ = ("deadline", "send")

    def __init__(self, deadline: float, send: Callable[[float], None]) -> None:
        self.deadline, self.send = deadline, send


class Caller:
    """Open calls of one client. Every one ends once: with its result, or with one error.

    Args:
        outbox: where frames wait; bounded.
        send: writes a frame of the present session behind what waits.
        arm: called when `sweep_at` has moved nearer.
        encode: what makes bytes of arguments.

    Attributes:
        is_open: frames of a session may be written; else calls are kept.
        sweep_at: when `sweep` is due, loop time.
    """

    def __init__(self, *, outbox: Outbox, send: Callable[[bytes], None], arm: Callable[[], None], encode: Encode) -> None:
        self.is_open = False
        self.sweep_at = inf
        self._outbox = outbox
        self._send = send
        self._arm = arm
        self._encode = encode
        self._open: OpenCalls[_Waiter] = OpenCalls()
        self._frames = CallFrames()
        self._kept: dict[_Waiter, _Kept] = {}

    @property
    def sent(self) -> int:
        """Calls that wait for their answer."""
        return len(self._open)

    @property
    def kept(self) -> int:
        """Calls that wait for a connection."""
        return len(self._kept)

    def start(
        self,
        future: _Waiter,
        function: str,
        arguments: object,
        now: float,
        *,
        timeout_s: float,
        provider: str,
        node: str,
        idempotent: bool,
        headers: dict[str, str] | None,
    ) -> int:
        """Send a call, or keep it until there is a connection; its number, 0 for a kept one.

        Raises:
            InvalidRequest, TooLarge: it cannot be sent.
            LimitReached: too many are open.
            Overloaded: the outbox is full.
        """
        encoding, body = self._encode(arguments)
        self._outbox.check_size(body)
        deadline = now + check_timeout(timeout_s)
        if self.is_open:
            if self.sweep_at == inf:
                self.sweep_at = now + SWEEP_S
                self._arm()
            timeout_ms = max(1, round(timeout_s * 1e3))
            return self._write(future, deadline, body, (function, encoding, timeout_ms, provider, node, idempotent), headers)
        if len(self._kept) >= self._open.limit:
            raise LimitReached(f"{len(self._kept)} calls wait for a connection", limit="pending_calls")

        def send(at: float) -> None:
            left_ms = max(1, round((deadline - at) * 1e3))
            self._write(future, deadline, body, (function, encoding, left_ms, provider, node, idempotent), headers)

        self._kept[future] = _Kept(deadline, send)
        if deadline < self.sweep_at:
            self.sweep_at = deadline
            self._arm()
        return 0

    def _write(self, future: _Waiter, deadline: float, body: bytes, fields: CallFields, headers: dict[str, str] | None) -> int:
        number = self._open.open(future, deadline)
        try:
            frame = self._frames.frame(number, body, fields, headers)
            # One that is open alone is waited for: it does not wait for others to join it.
            if self._outbox.put(frame, at_once=len(self._open) == 1):
                return number
        except MajulaError:
            self._open.close(number)
            raise
        self._open.close(number)
        raise Overloaded("the buffer of this client is full", retry_after_s=0.01)

    def give_up(self, future: _Waiter, number: int) -> None:
        """Whoever waited has gone: the provider is told."""
        if self._kept.pop(future, None) is not None:
            return
        number = number or self._open.number_of(future)
        if self._open.close(number) is not None:
            self._send(encode_frame(Cancel(number)))

    def result(self, header: Result, body: bytes) -> None:
        """An answer came. One to a call that has ended, or never was, is ignored."""
        future = self._open.close(header.call)
        if future is None or future.done():
            return
        if header.fault is not None:
            future.set_exception(error_of_fault(header.fault))
            return
        try:
            future.set_result(decode_payload(header.encoding, body))
        except MajulaError as error:
            future.set_exception(error)

    def resume(self, now: float, *, limit: int) -> None:
        """There is a session: send what was kept."""
        self.is_open = True
        self._open.limit = limit
        kept, self._kept = self._kept, {}
        for future, call in kept.items():
            if future.done():
                continue
            try:
                call.send(now)
            except MajulaError as error:
                future.set_exception(error)
        if self._open:
            self.sweep_at = now + SWEEP_S
            self._arm()

    def end_session(self, error: MajulaError, *, for_good: bool) -> None:
        """What was sent will not be answered; what was kept waits on, unless the client is closed."""
        self.is_open = False
        futures = self._open.lost()
        if for_good:
            futures += self._kept
            self._kept.clear()
        for future in futures:
            if not future.done():
                future.set_exception(copy(error))  # each its own: raising one adds a traceback to it
        if not self._kept:
            self.sweep_at = inf

    def sweep(self, now: float) -> None:
        """End what nobody has answered in time."""
        for future in self._open.expired(now):
            if not future.done():
                future.set_exception(DeadlineExceeded("no answer from the gateway in time; whether the handler ran is unknown"))
        for future in [future for future, call in self._kept.items() if call.deadline <= now]:
            del self._kept[future]
            if not future.done():
                future.set_exception(DeadlineExceeded("there was no connection to the node in time; the call was not sent"))
        self.sweep_at = now + SWEEP_S if self._open or self._kept else inf
