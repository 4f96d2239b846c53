"""One client on the native port: bytes of its socket to the switch, frames of its outbox to its socket."""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import socket
import struct
from math import inf
from typing import Protocol, cast

from majula.errors import ConnectionLost, InternalError, MajulaError, Overloaded, ProtocolError
from majula.gateway.accounts import Identity, local
from majula.gateway.edge import EdgeContext
from majula.gateway.session import Session
from majula.wire.frames import PREFIX_BYTES, FrameReader, Span, decode_header, encode_frame
from majula.wire.headers import PROTOCOL_VERSION, Error, Hello, Ping

_log = logging.getLogger(__name__)

# Before HELLO a stranger may not make us keep more than this for a frame that is not whole.
_HELLO_BYTES = 16_384
# What may be handed to the transport before it says stop. 1 MiB: several times what a Unix socket takes at once, so a reader
# that keeps up never runs dry, and small against the 4 MiB of the outbox, where limits and order are kept.
_WRITE_HIGH_BYTES = 1 << 20
_WRITE_LOW_BYTES = 1 << 18
# Frames taken from the outbox at once.
_TAKE_BYTES = 1 << 19
# Above this mean size frames are handed over one by one (writev); below, one copy into one buffer is cheaper.
_JOIN_BYTES = 16_384
# A chunk of more frames than this is served in parts, but not in more than four.
_PART_FRAMES = 16
_PARTS = 4
# A client that does not take its last frames within this time is cut off.
_CLOSE_S = 5.0
_PING_S = 20.0
_PINGS = 2

_PEER = struct.Struct("3i")


class ConnectionOwner(Protocol):
    """The edge, as a connection sees it."""

    context: EdgeContext

    def opened(self, connection: NativeConnection) -> bool:
        """False: this gateway has as many connections as it may."""

    def closed(self, connection: NativeConnection) -> None: ...


class NativeConnection(asyncio.Protocol):
    """A protocol with its own buffers; also the `Connection` of its session.

    Args:
        owner: the edge.
        is_local: on a Unix socket, where the peer's user is known.
    """

    def __init__(self, owner: ConnectionOwner, *, is_local: bool) -> None:
        self._owner = owner
        self._context = owner.context
        self._switch = owner.context.switch
        self._loop = owner.context.loop
        self._is_local = is_local
        self._uid = -1
        self._address = ""
        self._reader = FrameReader(limit_bytes=_HELLO_BYTES)
        self._session: Session | None = None
        self._admission: asyncio.Task[None] | None = None
        self._early: list[tuple[bytes, list[Span]]] = []
        self._chunk = b""
        self._rest: list[Span] = []  # frames of `_chunk` that are still to be served
        self._is_paused = False
        self._held: asyncio.TimerHandle | None = None  # it has sent more than it may, and is not read for a while
        self._is_over = False
        self._closing_at = inf
        self._last_ping = 0
        self._unsent_bytes = 0
        self.opened_at = self.heard_at = self.moved_at = self._loop.time()
        self.received_bytes = 0

    # --- asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport = cast("asyncio.Transport", transport)  # uvloop's is none by its class
        transport.set_write_buffer_limits(high=_WRITE_HIGH_BYTES, low=_WRITE_LOW_BYTES)
        connection = transport.get_extra_info("socket")
        if not self._owner.opened(self):
            self._refuse(Overloaded("this gateway serves no more connections", retry_after_s=1.0, limit="connections"))
        elif self._is_local:
            _, self._uid, _ = _PEER.unpack(connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER.size))
        else:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            peer = transport.get_extra_info("peername")
            self._address = str(peer[0]) if peer else ""

    def data_received(self, data: bytes) -> None:
        if self._is_over:
            return
        self.heard_at = self._loop.time()
        self.received_bytes += len(data)
        if self._rest:
            self._serve_rest(len(self._rest))
        try:
            chunk, spans = self._reader.feed(data)
            if self._session is None:
                if spans:
                    self._greet(chunk, spans)
                return
        except MajulaError as error:
            self._fail(error)
            return
        count = len(spans)
        if count <= _PART_FRAMES:
            self._serve(chunk, spans)
        else:
            self._chunk, self._rest = chunk, spans
            self._serve_rest(max(_PART_FRAMES, count // _PARTS))

    def eof_received(self) -> bool:
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        if self._rest:
            self._serve_rest(len(self._rest))
        self._is_over = True
        self._owner.closed(self)
        if self._held is not None:
            self._held.cancel()
        if self._admission is not None:
            self._admission.cancel()
        if self._session is not None:
            self._switch.end(self._session, self._loop.time())
            self._context.wake()

    def pause_writing(self) -> None:
        self._is_paused = True
        self.moved_at = self._loop.time()
        self._unsent_bytes = self._transport.get_write_buffer_size()

    def resume_writing(self) -> None:
        self._is_paused = False
        self.flush()
        self._context.wake()  # a drain waits for empty outboxes

    @property
    def is_closing(self) -> bool:
        """Its last frames are on their way; the end follows."""
        return self._is_over

    # --- Connection

    def flush(self) -> None:
        session = self._session
        if session is None or self._is_over:
            return
        outbox = session.outbox
        now = self._loop.time()
        transport = self._transport
        while not self._is_paused:
            frames = outbox.take(_TAKE_BYTES, now)
            count = len(frames)
            if count == 1:
                transport.write(frames[0])
            elif count == 0:
                return
            elif len(frames[0]) < _JOIN_BYTES:
                transport.write(b"".join(frames))
            else:
                transport.writelines(frames)
            if not outbox.bytes and not outbox.backlog:
                return  # that was all: another `take` would cost 0.1 us to say so

    def end(self, error: MajulaError | None) -> None:
        if self._is_over:
            return
        self._is_paused = False  # the last frames go to the transport whatever waits there already; it is closed behind them
        self.flush()
        self._close()

    # --- the edge's sweep

    def look(self, now: float) -> None:
        """Once a second or so: is this client alive, and does it read?"""
        if self._is_over:
            if now - self._closing_at > _CLOSE_S:
                self._transport.abort()
            return
        if self._held is not None:  # it is we who do not listen
            if self._is_paused:
                self._look_at_reading(now)
            return
        limits = self._context.settings.limits
        if self._session is None:
            if now - self.opened_at > limits.header_s and self._admission is None:
                self._refuse(ProtocolError(f"no HELLO within {limits.header_s:g} s"))
            return
        if self._reader.held_bytes and now - self.heard_at > limits.body_s:
            self._fail(ProtocolError(f"a frame made no progress for {limits.body_s:g} s"))
            return
        if self._is_paused:
            self._look_at_reading(now)
            return
        # Who reads is alive, however slowly.
        silent_s = now - max(self.heard_at, self.moved_at)
        if silent_s < _PING_S:
            self._last_ping = 0
        elif silent_s >= _PING_S * (_PINGS + 1):
            self._fail(ConnectionLost(f"{_PINGS} pings were not answered"))
            return
        elif silent_s >= _PING_S * (self._last_ping + 1):
            self._last_ping += 1
            self._transport.write(encode_frame(Ping(self._last_ping)))

    def _look_at_reading(self, now: float) -> None:
        """A client that does not read cannot answer pings either: it has as long as it needs to take one byte more."""
        unsent_bytes = self._transport.get_write_buffer_size()
        if unsent_bytes != self._unsent_bytes:
            self._unsent_bytes = unsent_bytes
            self.moved_at = now
        silent_s = self._context.settings.limits.silent_s
        if now - self.moved_at > silent_s:
            self._fail(ConnectionLost(f"the client took no byte for {silent_s:g} s"))
            # It does not read what is left either.
            self._transport.abort()

    def abort(self) -> None:
        """Close now, whatever waits."""
        self._is_over = True
        self._transport.abort()

    # --- inside

    def _serve(self, chunk: bytes, spans: list[Span]) -> None:
        session = self._session
        if session is None or not spans:
            return
        now = self._loop.time()
        try:
            self._switch.receive(session, chunk, spans, now)
        except Exception:
            self._broke()
        if session.ready_at > now:
            self._hold(session.ready_at)
        self._context.wake()

    def _hold(self, until: float) -> None:
        """Do not read until then. What has been read already is served: at most one chunk."""
        if self._held is not None:
            self._held.cancel()
        elif not self._is_over:
            self._transport.pause_reading()
        self._held = self._loop.call_at(until, self._release)

    def _release(self) -> None:
        self._held = None
        if not self._is_over:
            self.heard_at = self._loop.time()  # its silence was ours
            self._transport.resume_reading()

    def _serve_rest(self, frames: int) -> None:
        """The next so many frames of the chunk, the others in the next turn of the loop: by then the first are on their way.

        A program with 64 calls in flight sends them in one write. Served as one they would leave in one write as well, and
        caller, gateway and provider would work in turn instead of at once: 80,000 calls/s on two cores instead of 130,000. At
        most one chunk is in parts: the rest of it is served before the next one.
        """
        chunk, spans = self._chunk, self._rest[:frames]
        self._rest = self._rest[frames:]
        if self._rest:
            self._loop.call_soon(self._serve_rest, frames)
        else:
            self._chunk = b""
        self._serve(chunk, spans)

    def _greet(self, chunk: bytes, spans: list[Span]) -> None:
        """The first frames of a connection; all but HELLO wait until it is admitted."""
        if self._admission is not None:
            self._early.append((chunk, spans))  # what was read already; see pause_reading below
            return
        start, body, _ = spans[0]
        hello = decode_header(chunk[start + PREFIX_BYTES : body])
        if not isinstance(hello, Hello):
            raise ProtocolError("the first frame of a connection is HELLO")
        if hello.version < PROTOCOL_VERSION:
            raise ProtocolError(f"this gateway speaks protocol version {PROTOCOL_VERSION}", version=PROTOCOL_VERSION)
        if len(spans) > 1:
            self._early.append((chunk, spans[1:]))
        self._transport.pause_reading()
        self._admission = self._context.spawn(self._admit(hello), name="native.admit")

    async def _admit(self, hello: Hello) -> None:
        try:
            session = await self._context.admit(
                self,
                surface="native",
                client_id=hello.client_id,
                secret=hello.secret,
                agent=hello.agent,
                identity=self._identify(hello),
            )
        except MajulaError as error:
            self._refuse(error)
            return
        except Exception:
            self._broke()
            return
        if self._is_over:
            self._switch.end(session, self._loop.time())
            return
        self._session = session
        session.speaks_flows = True
        self._reader.limit_bytes = self._switch.frame_limit_bytes
        self._transport.write(self._switch.welcome(session))
        early, self._early = self._early, []
        for chunk, spans in early:
            self._serve(chunk, spans)
        self._context.wake()
        if self._held is None:
            self._transport.resume_reading()

    def _identify(self, hello: Hello) -> Identity:
        """Who speaks. The node's own user and root are known by the kernel; another user of the machine needs a token, also where
        nobody else does."""
        accounts = self._switch.accounts
        if not self._is_local:
            return accounts.identify(hello.token, self._address, self._loop.time())
        if self._uid in (0, os.geteuid()):
            return local(self._uid)
        return accounts.identify(hello.token, f"uid:{self._uid}", self._loop.time(), is_needed=True)

    def _fail(self, error: MajulaError) -> None:
        """This connection cannot go on."""
        if self._session is None:
            self._refuse(error)
            return
        self._switch.close(self._session, error, self._loop.time())
        self._context.wake()

    def _broke(self) -> None:
        """Our fault, but one client's trouble: the gateway and everybody else go on. Called while the exception is handled."""
        trace_id = secrets.token_hex(8)
        client_id = self._session.client_id if self._session is not None else ""
        _log.exception("native.failed", extra={"trace_id": trace_id, "client_id": client_id})
        self._fail(InternalError(f"something broke in this node; its log has the story under {trace_id}", trace_id=trace_id))

    def _refuse(self, error: MajulaError) -> None:
        """There is no session yet: say why, and close."""
        if self._is_over:
            return
        self._transport.write(encode_frame(Error(0, error.code, error.message, error.detail, "HELLO")))
        self._close()

    def _close(self) -> None:
        self._is_over = True
        self._closing_at = self._loop.time()
        self._transport.close()
