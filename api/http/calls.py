"""Calls whose answer is fetched later: begun by `POST /majula/v1/calls` with `wait: false`, waited for or looked at by GET, given
up and forgotten by DELETE.

The name of a call cannot be guessed, and only on whose behalf it was begun may fetch it. A result is kept for a minute. All of it
is in this gateway's memory: a gateway that restarts has forgotten it, and the answer is then 404.
"""

from __future__ import annotations

import asyncio
import secrets
from collections import Counter

import msgspec
from aiohttp import web

from majula.api.http.answers import internal_error
from majula.api.http.exchange import attach_for, who_of
from majula.api.http.wording import json_answer
from majula.errors import Cancelled, LimitReached, MajulaError, NotFound, Overloaded, from_code
from majula.gateway.edge import EdgeContext
from majula.gateway.exchange import Exchange
from majula.gateway.operations import CallLine, FetchRequest, GiveUpRequest
from majula.wire.headers import AnyHeader, Call, Cancel, Error, Fault, Result
from majula.wire.package import to_json_text

KEPT_S = 60.0
"""After its end a result can be fetched for so long."""

# All calls of a gateway that were begun and are not forgotten. One is a session of the gateway and a future: some 3 KiB.
_CALLS = 4_096
# Of one token: so that its holder cannot keep the others out.
_CALLS_OF_ONE = 1_024
# Results that are kept, of all, and one more: beyond that new calls are refused until some are a minute old, and what the calls
# under way answer is not kept.
_RESULT_BYTES = 64 << 20


def fault_error(fault: Fault) -> MajulaError:
    """The error that a failed call is told by."""
    detail: dict[str, object] = {"type": fault.type} if fault.type else {}
    if fault.retry_after_s:
        detail["retry_after_s"] = fault.retry_after_s
    return from_code(fault.code, fault.message, detail)


class StartedCall:
    """One call. `line` is what its owner is shown."""

    def __init__(self, name: str, who: str) -> None:
        self.name = name
        self.who = who
        self.exchange: Exchange
        self.number = 0
        self.line = CallLine(name, "open")
        self.bytes = 0
        self.forget_at = 0.0
        self.ended = asyncio.Event()
        """Or there is no use in waiting any longer."""


class StartedCalls:
    """The calls of one gateway that were begun over HTTP, by name."""

    def __init__(self, context: EdgeContext) -> None:
        self._context = context
        self._calls: dict[str, StartedCall] = {}
        self._of: Counter[str] = Counter()
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._calls)

    def start(self, http: web.BaseRequest, head: Call, arguments: bytes) -> StartedCall:
        """Begin a call.

        Raises:
            LimitReached, Overloaded: too many are under way or kept.
            Draining: the gateway stops.
        """
        if len(self._calls) >= _CALLS or self._bytes >= _RESULT_BYTES:
            raise Overloaded("too many calls were begun and not forgotten yet", retry_after_s=KEPT_S / 2, limit="calls")
        exchange = Exchange(self._context.switch)
        exchange.open(attach_for(self._context, http, exchange))
        who = exchange.session.who
        if who and self._of[who] >= _CALLS_OF_ONE:
            self._end_session(exchange)
            raise LimitReached(f"{_CALLS_OF_ONE} calls were begun and not forgotten yet", limit="calls")
        call = StartedCall(secrets.token_urlsafe(16), who)
        call.exchange = exchange
        self._calls[call.name] = call
        self._of[who] += 1

        def on_answer(header: AnyHeader, body: bytes) -> None:
            if call.line.state != "open":
                return
            match header:
                case Result(fault=None):
                    result = to_json_text(header.encoding, body) or b"null"
                    if self._bytes >= _RESULT_BYTES:  # calls that had begun before, all answered at once
                        reason = "the function was carried out; its result was not kept, as too many wait to be fetched"
                        self._settle(call, CallLine(call.name, "failed", None, Overloaded(reason, limit="calls").to_dict()))
                        return
                    call.bytes = len(result)
                    self._bytes += call.bytes
                    self._settle(call, CallLine(call.name, "done", msgspec.Raw(result)))
                case Result(fault=Fault() as fault):
                    self._settle(call, CallLine(call.name, "failed", None, fault_error(fault).to_dict()))
                case Error():
                    error = from_code(header.code, header.message, header.detail)
                    self._settle(call, CallLine(call.name, "failed", None, error.to_dict()))
                case _:
                    self._settle(call, CallLine(call.name, "failed", None, internal_error().to_dict()))

        call.number = exchange.ask(head, arguments, self._context.loop.time(), on_answer)
        self._context.wake()
        return call

    async def find(self, http: web.Request, name: str) -> StartedCall:
        """The call that a request is for.

        Raises:
            NotFound: there is none of that name here (any more), or it is somebody else's.
        """
        who = who_of(self._context, http)
        call = self._calls.get(name)
        if call is None or call.who != who:
            raise NotFound("there is no such call; a result is kept for a minute, by the gateway where the call was begun")
        return call

    def cancel(self, call: StartedCall) -> None:
        """Give it up, where it is still open, and forget it. The provider is told, and so is who waits for it."""
        if call.line.state == "open":
            call.exchange.tell(Cancel(call.number), b"", self._context.loop.time())
            self._settle(call, CallLine(call.name, "cancelled", None, Cancelled("the call was given up").to_dict()))
        self._forget(call)

    def drain(self) -> None:
        """The gateway stops: who waits hears how it stands, instead of holding up the end."""
        for call in self._calls.values():
            call.ended.set()

    def sweep(self, now: float) -> None:
        """Called about twice a second: forget what is old."""
        for call in list(self._calls.values()):
            if call.line.state != "open" and now > call.forget_at:
                self._forget(call)

    def _forget(self, call: StartedCall) -> None:
        if self._calls.pop(call.name, None) is None:
            return
        self._bytes -= call.bytes
        self._of[call.who] -= 1
        if not self._of[call.who]:
            del self._of[call.who]

    def _settle(self, call: StartedCall, line: CallLine) -> None:
        call.line = line
        call.forget_at = self._context.loop.time() + KEPT_S
        call.ended.set()
        self._end_session(call.exchange)

    def _end_session(self, exchange: Exchange) -> None:
        self._context.switch.end(exchange.session, self._context.loop.time())
        self._context.wake()


STARTED_CALLS: web.AppKey[StartedCalls] = web.AppKey("started_calls", StartedCalls)


async def fetch(context: EdgeContext, http: web.Request, request: FetchRequest) -> web.StreamResponse:
    """`GET /majula/v1/calls/{call}`."""
    call = await http.app[STARTED_CALLS].find(http, request.call)
    if request.wait_s > 0:
        try:
            async with asyncio.timeout(request.wait_s):
                await call.ended.wait()
        except TimeoutError:
            return json_answer(call.line)
    return json_answer(call.line)


async def cancel(context: EdgeContext, http: web.Request, request: GiveUpRequest) -> web.StreamResponse:
    """`DELETE /majula/v1/calls/{call}`."""
    calls = http.app[STARTED_CALLS]
    call = await calls.find(http, request.call)
    calls.cancel(call)
    return json_answer(call.line)
