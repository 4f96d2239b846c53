"""Request and answer over a session, for surfaces that are not streams of frames: plain HTTP, tests, the node's own tools.

An `Exchange` is the connection of its session. It numbers requests, hands frames to the switch, and gives each answer to who
asked. Nothing in it waits: an answer comes by a callback, which an edge turns into a future.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import msgspec

from majula.errors import MajulaError
from majula.wire.frames import PREFIX_BYTES, decode_header
from majula.wire.headers import (
    Ack,
    AnyHeader,
    Call,
    Error,
    Publish,
    Register,
    Reply,
    Request,
    Result,
    Subscribe,
    Unregister,
    Unsubscribe,
)

if TYPE_CHECKING:
    from majula.gateway.session import Session
    from majula.gateway.switch import Switch

OnAnswer = Callable[[AnyHeader, bytes], None]
"""Called once with ACK, REPLY, ERROR or RESULT and its body; with an ERROR `connection_lost` if the session ends first."""

OnDelivery = Callable[[AnyHeader, bytes, bytes], None]
"""Called with everything else that comes (PUBLISH, SLOW, RECONNECT, CALL ...): header, body, and the whole frame."""

_Numbered = Publish | Subscribe | Unsubscribe | Register | Unregister | Request


class Exchange:
    """Use: make it, `context.attach(exchange, ...)` or `admit`, give it the session by `open`, then `ask`.

    Args:
        switch: of the gateway.
        on_delivery: what is not an answer goes there; None: it is thrown away.
        on_end: called when the gateway ended the session.
    """

    def __init__(
        self,
        switch: Switch,
        *,
        on_delivery: OnDelivery | None = None,
        on_end: Callable[[MajulaError | None], None] | None = None,
    ) -> None:
        self._switch = switch
        self._on_delivery = on_delivery
        self._on_end = on_end
        self._session: Session | None = None
        self._last = 0
        self._calls: dict[int, OnAnswer] = {}
        self._requests: dict[int, OnAnswer] = {}
        self._now = 0.0

    @property
    def session(self) -> Session:
        assert self._session is not None, "open() first"
        return self._session

    def open(self, session: Session) -> None:
        """The session whose connection this is."""
        self._session = session

    def ask(self, header: _Numbered | Call, body: bytes, now: float, on_answer: OnAnswer) -> int:
        """Send a request; its `request` or `call` is set here. Returns the number (for `cancel`)."""
        self._last += 1
        number = self._last
        self._now = now
        if isinstance(header, Call):
            self._calls[number] = on_answer
            self._switch.submit(self.session, msgspec.structs.replace(header, call=number), body, now)
        else:
            self._requests[number] = on_answer
            self._switch.submit(self.session, msgspec.structs.replace(header, request=number), body, now)
        return number

    def tell(self, header: AnyHeader, body: bytes, now: float) -> None:
        """Send a frame that has no answer (PUBLISH, RESULT, CANCEL)."""
        self._now = now
        self._switch.submit(self.session, header, body, now)

    def cancel(self, number: int) -> None:
        """Forget a request: its answer is thrown away. For a call send CANCEL as well."""
        self._calls.pop(number, None)
        self._requests.pop(number, None)

    def flush(self) -> None:
        """As `Connection`: hand out what came."""
        outbox = self.session.outbox
        for frame in outbox.take(1 << 30, self._now):
            body_at = PREFIX_BYTES + int.from_bytes(frame[4:6], "little")
            header = decode_header(frame[PREFIX_BYTES:body_at])
            match header:
                case Result():
                    on_answer = self._calls.pop(header.call, None)
                case Ack() | Reply():
                    on_answer = self._requests.pop(header.request, None)
                case Error() if header.request:
                    on_answer = self._requests.pop(header.request, None)
                case _:
                    if self._on_delivery is not None:
                        self._on_delivery(header, frame[body_at:], frame)
                    continue
            if on_answer is not None:
                on_answer(header, frame[body_at:])

    def end(self, error: MajulaError | None) -> None:
        """As `Connection`: nobody who waits is left without an answer."""
        self.flush()
        waiting = [*self._calls.values(), *self._requests.values()]
        self._calls.clear()
        self._requests.clear()
        reason = error.message if error else "the session has ended"
        for on_answer in waiting:
            on_answer(Error(0, "connection_lost", reason), b"")
        if self._on_end is not None:
            self._on_end(error)
