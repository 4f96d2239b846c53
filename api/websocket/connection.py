"""One WebSocket client: its transport, its session, its pings and its end.

    handshake (the HTTP side answered 101)  ->  waiting for its name  ->  admitted  ->  closing

What waits for the client stays in its session's outbox, which is bounded and honest; at most one batch of it lies in the
transport. A client that does not read is therefore seen by the gateway, not hidden by a buffer here.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import socket
from collections import deque
from collections.abc import Callable
from typing import cast

import msgspec

from majula.api.websocket.dialects import Dialect, FrameDialect, JsonDialect, Message
from majula.api.websocket.handshake import Opening
from majula.errors import (
    ConnectionLost,
    Draining,
    InternalError,
    MajulaError,
    Overloaded,
    ProtocolError,
    TooLarge,
    Unavailable,
)
from majula.gateway.accounts import Identity
from majula.gateway.edge import EdgeContext
from majula.gateway.session import Session
from majula.wire import websocket
from majula.wire.websocket import Binary, CloseCode, Closed, Opcode, Pinged, Ponged, Text, Violation, WebSocketReader

log = logging.getLogger("majula.websocket")

TAKE_BYTES = 65_536
"""Taken from the outbox at a time: large enough to spread the cost of a write, small enough that a gap is told where it is."""

HIGH_WATER_BYTES = 262_144
"""The transport's own buffer; beyond it nothing is taken."""

PING_S = 20.0
"""A client of `majula.v1` that was silent so long is pinged; after two pings without any sign it is gone."""

FAREWELL_S = 1.0
"""A client that does not answer the goodbye within this time has nothing more to say."""

CLOSE_S = 5.0
"""A client that does not take what is left and the close within this time is cut off."""

SEED_USER_TIMEOUT_MS = 40_000
"""Seed-protocol clients answer pings but are not asked: the kernel watches for their host's death instead."""

_CLOSE_CODES: dict[type[MajulaError], int] = {
    Draining: CloseCode.GOING_AWAY,
    ProtocolError: CloseCode.PROTOCOL_ERROR,
    TooLarge: CloseCode.TOO_BIG,
    InternalError: CloseCode.INTERNAL,
    Overloaded: CloseCode.TRY_LATER,
    Unavailable: CloseCode.TRY_LATER,
}


class Tally(msgspec.Struct):
    """What all connections of an edge have done, for `status`."""

    websockets: int = 0
    websockets_opened: int = 0
    received_bytes: int = 0
    sent_bytes: int = 0
    violations: int = 0
    failed: int = 0


def close_code(error: MajulaError) -> int:
    """The close code that says what an error says: one of RFC 6455 where it fits, else 4000 and the HTTP status."""
    return _CLOSE_CODES.get(type(error), 4000 + error.status)


class WebSocketConnection(asyncio.Protocol):
    """Takes a transport over from the HTTP side.

    Args:
        opening: what was agreed; its answer is written here.
        identity: who opened it; None: it was not asked.
        tally: shared by the connections of the edge.
        on_lost: called once when the transport is gone.
    """

    def __init__(
        self,
        context: EdgeContext,
        opening: Opening,
        *,
        identity: Identity | None = None,
        tally: Tally,
        on_lost: Callable[[WebSocketConnection], None],
    ) -> None:
        self._context = context
        self._opening = opening
        self._identity = identity
        self._tally = tally
        self._on_lost = on_lost
        self._now = context.loop.time
        limits = context.settings.limits
        self._limits = limits
        self._dialect = _dialect(opening, context)
        self._reader = WebSocketReader(message_bytes=_message_bytes(opening, context), now=self._now())
        self._transport: asyncio.Transport | None = None
        self._session: Session | None = None
        self._admission: asyncio.Task[None] | None = None
        self._waiting: deque[websocket.Event] = deque()  # came while the session was being admitted; reading is paused then
        self._is_paused = False
        self._held: asyncio.TimerHandle | None = None  # it has sent more than it may, and is not read for a while
        self._began_at = self._heard_at = self._moved_at = self._now()
        self._pings = 0
        self._unsent_bytes = 0
        self._closing_at: float | None = None

    # --- the transport -----------------------------------------------------------------------------------------------------

    def take_over(self, transport: asyncio.Transport, rest: bytes) -> None:
        """Answer the opening and serve; `rest` came behind it."""
        self._transport = transport
        transport.set_protocol(self)
        transport.set_write_buffer_limits(high=HIGH_WATER_BYTES)
        self._tally.websockets += 1
        self._tally.websockets_opened += 1
        if self._opening.dialect == "seed":
            _watch_by_kernel(transport)
        self._write(self._opening.answer)
        if self._opening.dialect == "seed" and self._opening.client_id:
            self._admit(self._opening.client_id, "", "")
        if rest:
            self.data_received(rest)

    def connection_lost(self, error: Exception | None) -> None:
        self._tally.websockets -= 1
        self._transport = None
        self._on_lost(self)
        if self._held is not None:
            self._held.cancel()
        if self._admission is not None:
            self._admission.cancel()
        if self._session is not None:
            self._context.switch.end(self._session, self._now())
            self._context.wake()

    def data_received(self, data: bytes) -> None:
        try:
            if self._closing_at is not None:
                self._await_farewell(data)
                return
            self._receive(data)
        except Exception:
            self._broke()

    def _receive(self, data: bytes) -> None:
        now = self._heard_at = self._now()
        self._pings = 0
        self._tally.received_bytes += len(data)
        events = self._reader.feed(data, now)
        if self._admission is not None:
            self._waiting.extend(events)
            return
        for at, event in enumerate(events):
            if type(event) is Text or type(event) is Binary:
                self._take_message(event, now)
            else:
                self._take(event, now)
            if self._admission is not None:
                self._waiting.extend(events[at + 1 :])
                return
            if self._closing_at is not None:
                return

    def eof_received(self) -> None:
        """The client has shut its side down without a close frame: the transport closes itself."""

    def pause_writing(self) -> None:
        self._is_paused = True

    def resume_writing(self) -> None:
        self._is_paused = False
        try:
            if self._session is not None:
                self._session.outbox.moved(self._now())
            self.flush()
        except Exception:
            self._broke()

    def _broke(self) -> None:
        """A fault of ours while serving this client ends its connection, and only that. Called while the exception is handled."""
        self._tally.failed += 1
        trace_id = secrets.token_hex(8)
        client_id = self._session.client_id if self._session is not None else self._opening.client_id
        log.exception("websocket.failed", extra={"trace_id": trace_id, "client_id": client_id})
        self._closing_at = self._now()
        self._write(websocket.encode_close(CloseCode.INTERNAL, f"something broke in this node; its log has it under {trace_id}"))
        if self._transport is not None:
            self._transport.close()  # `connection_lost` ends the session

    def _write(self, data: bytes) -> None:
        if self._transport is not None and data:
            self._tally.sent_bytes += len(data)
            self._transport.write(data)

    # --- from the client ---------------------------------------------------------------------------------------------------

    def _take(self, event: websocket.Event, now: float) -> None:
        match event:
            case Text() | Binary():
                self._take_message(event, now)
            case Pinged(payload=payload):
                if not self._is_paused:  # a client that pings but does not read gets no pongs: they would pile up
                    self._write(websocket.encode(Opcode.PONG, payload))
            case Ponged():
                pass
            case Closed(code=code):
                self._close(code if code != 1005 else CloseCode.NORMAL, "", is_answer=True)
            case Violation(code=code, reason=reason):
                self._tally.violations += 1
                self._close(code, reason)

    def _take_message(self, message: Message, now: float) -> None:
        try:
            if self._session is None:
                claim = self._dialect.claim(message, self._opening.client_id)
                self._admit(claim.client_id, claim.secret, claim.agent)
                if claim.rest is not None:
                    self._waiting.append(claim.rest)
                return
            chunk, spans, answers, is_goodbye = self._dialect.receive(message)
        except MajulaError as error:
            self._fail(error)
            return
        if answers:
            self._answer(answers)
        if spans:
            self._context.switch.receive(self._session, chunk, spans, now)
            if self._session.ready_at > now:
                self._hold(self._session.ready_at)
            self._context.wake()
        if is_goodbye:
            self._close(CloseCode.NORMAL, "")

    def _hold(self, until: float) -> None:
        """Do not read until then. What has been read already is served."""
        if self._held is not None:
            self._held.cancel()
        elif self._transport is not None:
            self._transport.pause_reading()
        self._held = self._context.loop.call_at(until, self._release)

    def _release(self) -> None:
        self._held = None
        self._heard_at = self._now()  # its silence was ours
        if self._transport is not None and self._closing_at is None:
            self._transport.resume_reading()

    def _answer(self, data: bytes) -> None:
        """Write what is answered at once. A client that does not read its refusals is cut off, as they are not in its outbox."""
        self._write(data)
        transport = self._transport
        if transport is not None and transport.get_write_buffer_size() > 4 * HIGH_WATER_BYTES + len(data):
            self._close(CloseCode.POLICY, "too many refusals were not read")

    # --- the session -------------------------------------------------------------------------------------------------------

    def _admit(self, client_id: str, secret: str, agent: str) -> None:
        if self._transport is not None:
            self._transport.pause_reading()
        self._admission = self._context.spawn(self._claim(client_id, secret, agent), name="websocket.admit")

    async def _claim(self, client_id: str, secret: str, agent: str) -> None:
        is_seed = self._opening.dialect == "seed"
        try:
            session = await self._context.admit(
                self,
                surface="seed" if is_seed else "websocket",
                client_id=client_id,
                secret=secret,
                agent=agent or self._opening.agent,
                newest_wins=is_seed,
                identity=self._identity,
            )
        except MajulaError as error:
            self._admission = None
            self._fail(error)
            return
        except Exception:
            self._admission = None
            self._broke()
            return
        self._admission = None
        try:
            self._admitted(session)
        except Exception:
            self._broke()

    def _admitted(self, session: Session) -> None:
        if self._transport is None:
            self._context.switch.end(session, self._now())
            self._context.wake()
            return
        self._session = session
        session.speaks_flows = self._dialect.speaks_flows
        self._dialect.bind(client_id=session.client_id, secret=session.secret, node_id=self._context.node_id)
        if self._opening.dialect == "msgpack":
            self._write(self._dialect.render([self._context.switch.welcome(session)]))
        now = self._now()
        while self._waiting and self._closing_at is None:
            self._take(self._waiting.popleft(), now)
        if self._transport is not None and self._closing_at is None and self._held is None:
            self._transport.resume_reading()
        self.flush()

    def flush(self) -> None:
        """As `Connection` of the gateway: write what waits while the transport takes it."""
        session = self._session
        if session is None or self._transport is None:
            return
        now = self._now()
        outbox = session.outbox
        while not self._is_paused and len(outbox):
            self._write(self._dialect.render(outbox.take(TAKE_BYTES, now)))

    def end(self, error: MajulaError | None) -> None:
        """As `Connection` of the gateway: the session is over; write what is left, say why, close."""
        if self._closing_at is not None or self._session is None:
            return
        now = self._now()
        while frames := self._session.outbox.take(TAKE_BYTES, now):
            self._write(self._dialect.render(frames))
        if error is None:
            self._close(CloseCode.NORMAL, "")
        else:
            self._close(close_code(error), error.message)

    def _fail(self, error: MajulaError) -> None:
        """The connection cannot go on: say why and close."""
        self._tally.violations += 1
        if self._session is not None:
            self._context.switch.close(self._session, error, self._now())
            self._context.wake()  # which flushes the reason and calls `end`
            return
        self._write(self._dialect.refusal(error))
        self._close(close_code(error), error.message)

    def _close(self, code: int, reason: str, *, is_answer: bool = False) -> None:
        """Say goodbye. The client is given time to answer it (RFC 6455, 7.1.1): many that find the connection closed when they
        want to answer report that, and not the code that they were told."""
        if self._closing_at is not None or self._transport is None:
            return
        self._closing_at = self._now()
        self._waiting.clear()
        if self._session is not None:
            self._context.switch.end(self._session, self._closing_at)
            self._context.wake()
        self._write(websocket.encode_close(code, reason))
        if is_answer:
            self._transport.close()  # after what was written
            return
        if self._held is not None:
            self._held.cancel()
            self._held = None
        self._transport.resume_reading()

    def _await_farewell(self, data: bytes) -> None:
        """The client has been told goodbye; with its answer the connection is done."""
        events = self._reader.feed(data, self._now())
        if self._transport is not None and any(isinstance(event, Closed) for event in events):
            self._transport.close()

    # --- time --------------------------------------------------------------------------------------------------------------

    def sweep(self, now: float) -> None:
        """Called about twice a second: deadlines, pings, and who does not read."""
        try:
            self._sweep(now)
        except Exception:
            self._broke()

    def _sweep(self, now: float) -> None:
        transport = self._transport
        if transport is None:
            return
        if self._closing_at is not None:
            if now - self._closing_at > CLOSE_S:
                transport.abort()
            elif now - self._closing_at > FAREWELL_S and not transport.is_closing():
                transport.close()
            return
        self._watch_reading(transport, now)
        if self._held is not None:
            return  # it is we who do not listen
        if self._session is None:
            if self._admission is None and now - self._began_at > self._limits.header_s:
                self._unnamed()
        elif self._opening.dialect != "seed" and now - self._heard_at > PING_S * (self._pings + 1):
            if self._pings >= 2:
                self._context.switch.close(self._session, ConnectionLost("two pings were not answered"), now)
                self._context.wake()
            else:
                self._pings += 1
                self._write(websocket.encode(Opcode.PING, b""))
        if self._reader.is_within_message and now - self._heard_at > self._limits.body_s:
            self._fail(ProtocolError("a message was begun and not continued"))

    def drain(self) -> None:
        """The gateway stops: a client without a session hears it here, the others from the switch."""
        if self._session is None and self._admission is None:
            self._close(CloseCode.GOING_AWAY, "this gateway is stopping")

    def abort(self) -> None:
        """Cut off whatever is left."""
        if self._transport is not None:
            self._transport.abort()

    def _unnamed(self) -> None:
        """The client has sent nothing yet. Packages are served without a name, so it gets one; frames begin with HELLO."""
        if self._opening.dialect == "msgpack":
            self._fail(ProtocolError(f"no HELLO within {self._limits.header_s:g} s"))
        else:
            self._admit(self._opening.client_id, "", "")

    def _watch_reading(self, transport: asyncio.Transport, now: float) -> None:
        unsent = transport.get_write_buffer_size()
        if unsent < self._unsent_bytes or not unsent:
            self._moved_at = now
            if self._session is not None and unsent:
                self._session.outbox.moved(now)
        self._unsent_bytes = unsent
        if now - self._moved_at > self._limits.silent_s:
            transport.abort()


def _dialect(opening: Opening, context: EdgeContext) -> Dialect:
    if opening.dialect == "msgpack":
        return FrameDialect(frame_limit_bytes=context.switch.frame_limit_bytes)
    return JsonDialect(batches=opening.dialect == "json", nesting=context.settings.limits.nesting)


def _message_bytes(opening: Opening, context: EdgeContext) -> int:
    """One payload and what stands around it; with batches, twice that: a client closes a batch at 1 MiB, whatever comes last."""
    whole = context.switch.frame_limit_bytes + 65_536
    return whole if opening.dialect == "seed" else 2 * whole


def _watch_by_kernel(transport: asyncio.Transport) -> None:
    sock = cast(socket.socket | None, transport.get_extra_info("socket"))
    if sock is None or sock.family not in {socket.AF_INET, socket.AF_INET6}:
        return
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    if hasattr(socket, "TCP_USER_TIMEOUT"):  # Linux
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 20)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 10)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 2)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, SEED_USER_TIMEOUT_MS)
