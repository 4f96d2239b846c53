"""Sessions over HTTP: with its event stream and its packages, a program that has nothing but HTTP is a whole client.

    POST   /majula/v1/sessions                      claims a client id; answers the session's name and its secret
    GET    /majula/v1/sessions/{session}/events     an event stream: every package that a WebSocket client would get, numbered
    POST   /majula/v1/sessions/{session}/packages   packages as a WebSocket client sends them
    DELETE /majula/v1/sessions/{session}            ends it; so does idleness

The secret stands in the header `Majula-Session`, never in a URL. Like a WebSocket, a session leaves what waits for it in its
outbox, which is bounded and says what it dropped: a reader that stops makes nothing else grow. What was written to a stream is
kept, up to a bound, until the next stream says by `Last-Event-ID` how far the one before it got.
"""

from __future__ import annotations

import asyncio
import hmac
import secrets
from collections import deque

import msgspec
from aiohttp import web

from majula.api.http.answers import SAFETY_HEADERS
from majula.api.http.events import pour
from majula.api.http.exchange import admit_for, who_of
from majula.api.http.wording import json_answer
from majula.errors import InvalidRequest, LimitReached, MajulaError, NotFound, Overloaded, Unauthorized
from majula.gateway.edge import EdgeContext
from majula.gateway.operations import (
    PackagesAnswer,
    PackagesRequest,
    SessionOpenAnswer,
    SessionOpenRequest,
    SessionRequest,
)
from majula.gateway.session import Session
from majula.wire.frames import PREFIX_BYTES, Span, decode_header
from majula.wire.packages import Packages

SECRET_HEADER = "Majula-Session"  # noqa: S105 - the name of a header

_TAKE_BYTES = 65_536
# What a broken connection may have swallowed: the kernels' buffers of both ends hold some 100 KiB of a stream that is read.
_KEPT_BYTES = 1 << 20
_KEPT_EVENTS = 4_096
# Answers that are known at once, mostly refusals, and wait for the stream outside the outbox. As much as a WebSocket gets.
_ANSWER_BYTES = 1 << 20

_encode = msgspec.json.Encoder().encode


class HttpSession:
    """One session; the gateway's connection of it.

    Args:
        idle_s: it ends when for so long there was neither a request nor an open stream.
        speaks_flows: the client runs the flows of its private messages itself.
    """

    def __init__(self, context: EdgeContext, *, idle_s: float, speaks_flows: bool = False) -> None:
        self.name = secrets.token_hex(8)
        self.idle_s = idle_s
        self._speaks_flows = speaks_flows
        self._context = context
        self._session: Session | None = None
        self._packages = Packages(batches=True, client_id="")
        self._answers: deque[bytes] = deque()
        self._answer_bytes = 0
        self._kept: deque[tuple[int, bytes]] = deque()
        self._kept_bytes = 0
        self._last = 0
        self._stream: SessionStream | None = None
        self._used_at = context.loop.time()
        self.is_over = False

    @property
    def session(self) -> Session:
        assert self._session is not None, "begin() first"
        return self._session

    def begin(self, session: Session) -> None:
        """The gateway has admitted it."""
        self._session = session
        session.speaks_flows = self._speaks_flows
        self._packages = Packages(
            batches=True,
            client_id=session.client_id,
            secret=session.secret,
            node_id=self._context.node_id,
            nesting=self._context.settings.limits.nesting,
            speaks_flows=self._speaks_flows,
        )

    def receive(self, packages: tuple[dict[str, object], ...]) -> None:
        """What the client sends. Whatever is wrong in it is answered on the stream.

        Raises:
            LimitReached: it has sent too much; a WebSocket would not be read for so long.
        """
        now = self._context.loop.time()
        if self.session.ready_at > now:
            after_s = round(self.session.ready_at - now, 3)
            raise LimitReached("this session has sent more than is allowed in this time", limit="rate", retry_after_s=after_s)
        self._used_at = now
        taken = self._packages.receive(_encode({"method": "BATCH", "packages": packages}))
        for answer in taken.answers:
            self._answers.append(answer)
            self._answer_bytes += len(answer)
        if self._answer_bytes > _ANSWER_BYTES:
            self._context.switch.close(self.session, Overloaded("too many answers were not read"), now)
        elif taken.frames:
            chunk, spans = _run_of(taken.frames)
            self._context.switch.receive(self.session, chunk, spans, now)
        self._context.wake()
        if self._stream is not None:
            self._stream.news.set()

    # --- the stream

    def open_stream(self) -> SessionStream:
        """A stream; the one before it ends, as its client has given it up or is another one."""
        if self._stream is not None:
            self._stream.finish()
        self._stream = SessionStream(self)
        self._used_at = self._context.loop.time()
        return self._stream

    def leave_stream(self, stream: SessionStream) -> None:
        """The stream is over."""
        if self._stream is stream:
            self._stream = None
        self._used_at = self._context.loop.time()

    def is_current(self, stream: SessionStream) -> bool:
        """No other stream has taken its place."""
        return self._stream is stream

    def again(self, last_seen: int) -> bytes:
        """The events behind `last_seen`, as far as they are kept; a gap is told by SLOW."""
        events = [event for number, event in self._kept if number > last_seen]
        missing = self._last - last_seen - len(events)
        if missing > 0:
            fields = {"method": "SLOW", "dropped_messages": missing, "dropped_bytes": 0}
            events.insert(0, b"event: slow\ndata: %b\n\n" % _encode(fields))
        return b"".join(events)

    def take(self) -> bytes:
        """The next events, numbered and kept."""
        packages = list(self._answers)
        self._answers.clear()
        self._answer_bytes = 0
        render = self._packages.render
        for frame in self.session.outbox.take(_TAKE_BYTES, self._context.loop.time()):
            body_at = PREFIX_BYTES + int.from_bytes(frame[4:6], "little")
            packages += render(decode_header(frame[PREFIX_BYTES:body_at]), frame[body_at:])
        return b"".join(map(self._number, packages))

    def _number(self, package: bytes) -> bytes:
        self._last += 1
        # A line feed would end the event: JSON texts may contain them between tokens, never inside strings.
        text = package.replace(b"\r", b" ").replace(b"\n", b" ")
        event = b"id: %d\ndata: %b\n\n" % (self._last, text)
        self._kept.append((self._last, event))
        self._kept_bytes += len(event)
        while len(self._kept) > _KEPT_EVENTS or (self._kept_bytes > _KEPT_BYTES and len(self._kept) > 1):
            self._kept_bytes -= len(self._kept.popleft()[1])
        return event

    # --- as `Connection` of the gateway

    def flush(self) -> None:
        """Something waits."""
        if self._stream is not None:
            self._stream.news.set()

    def end(self, error: MajulaError | None) -> None:
        """The gateway has ended the session; a stream that is open writes what is left."""
        self.is_over = True
        if self._stream is not None:
            self._stream.finish()

    # --- time

    def sweep(self, now: float) -> None:
        """Called about twice a second: idleness."""
        if self._stream is None and not self.is_over and now - self._used_at > self.idle_s:
            self.close()

    def drain(self) -> None:
        """The gateway stops: a stream that is open ends with its advice, without one there is nobody to tell."""
        if self._stream is not None:
            self._stream.finish()
        else:
            self.close()

    def close(self) -> None:
        """End it."""
        self.is_over = True
        if self._session is not None:
            self._context.switch.end(self._session, self._context.loop.time())
            self._context.wake()
        if self._stream is not None:
            self._stream.finish()


class SessionStream:
    """One event stream of a session."""

    def __init__(self, session: HttpSession) -> None:
        self._session = session
        self._is_over = False
        self.news = asyncio.Event()

    def take(self) -> bytes:
        """As `pour` wants it. A stream whose place was taken takes nothing: the rest is for the newer one."""
        return self._session.take() if self._session.is_current(self) else b""

    def is_over(self) -> bool:
        """As `pour` wants it."""
        return self._is_over

    def finish(self) -> None:
        """End once what waits is written."""
        self._is_over = True
        self.news.set()


class Sessions:
    """The HTTP sessions of one gateway, by name: half as many as it serves connections. They cost whoever opens them nothing to
    hold, and must leave room for those that do."""

    def __init__(self, context: EdgeContext) -> None:
        self._context = context
        self._sessions: dict[str, HttpSession] = {}

    def __len__(self) -> int:
        return len(self._sessions)

    async def open(self, http: web.BaseRequest, request: SessionOpenRequest) -> HttpSession:
        """Claim the client id; the secret in the header takes it over.

        Raises:
            Conflict: another session holds the id.
            Overloaded: there are as many as may be.
            InvalidRequest, Draining: as `EdgeContext.admit`.
        """
        most = self._context.settings.limits.connections // 2
        if len(self._sessions) >= most:
            raise Overloaded("this gateway has as many HTTP sessions as it takes", retry_after_s=1.0, limit="http_sessions")
        session = HttpSession(self._context, idle_s=request.idle_s, speaks_flows=request.flows)
        secret = http.headers.get(SECRET_HEADER, "")
        session.begin(await admit_for(self._context, http, session, client_id=request.client, secret=secret))
        self._sessions[session.name] = session
        return session

    async def find(self, http: web.Request, name: str) -> HttpSession:
        """The session that a request is for.

        Raises:
            NotFound: there is none of that name here (any more), or it is somebody else's.
            Unauthorized: the header does not carry its secret.
        """
        who = who_of(self._context, http)
        session = self._sessions.get(name)
        if session is None or session.is_over or session.session.who != who:
            raise NotFound("there is no such session; it has ended, or belongs to another gateway")
        secret = http.headers.get(SECRET_HEADER, "")
        if not hmac.compare_digest(secret.encode("utf-8", "surrogateescape"), session.session.secret.encode()):
            raise Unauthorized(f"the header {SECRET_HEADER} carries the secret of this session")
        return session

    def sweep(self, now: float) -> None:
        """Called about twice a second."""
        for name, session in list(self._sessions.items()):
            session.sweep(now)
            if session.is_over:
                del self._sessions[name]

    def drain(self) -> None:
        """The gateway stops."""
        for session in list(self._sessions.values()):
            session.drain()


SESSIONS: web.AppKey[Sessions] = web.AppKey("sessions", Sessions)


async def open_session(context: EdgeContext, http: web.Request, request: SessionOpenRequest) -> web.StreamResponse:
    """`POST /majula/v1/sessions`."""
    session = await http.app[SESSIONS].open(http, request)
    owner = session.session
    answer = SessionOpenAnswer(session.name, owner.client_id, context.node_id, owner.secret, session.idle_s)
    return json_answer(answer, 201, location=f"/majula/v1/sessions/{session.name}")


async def close_session(context: EdgeContext, http: web.Request, request: SessionRequest) -> web.StreamResponse:
    """`DELETE /majula/v1/sessions/{session}`."""
    (await http.app[SESSIONS].find(http, request.session)).close()
    return web.Response(status=204)


async def take_packages(context: EdgeContext, http: web.Request, request: PackagesRequest) -> web.StreamResponse:
    """`POST /majula/v1/sessions/{session}/packages`."""
    session = await http.app[SESSIONS].find(http, request.session)
    session.receive(request.packages)
    return json_answer(PackagesAnswer(len(request.packages)), 202)


async def events(context: EdgeContext, http: web.Request, request: SessionRequest) -> web.StreamResponse:
    """`GET /majula/v1/sessions/{session}/events`."""
    session = await http.app[SESSIONS].find(http, request.session)
    last_seen = _last_seen(http)
    stream = session.open_stream()
    try:
        response = web.StreamResponse(headers={**SAFETY_HEADERS, "Content-Type": "text/event-stream", "X-Accel-Buffering": "no"})
        connection = getattr(http.protocol, "connection", None)
        if connection is not None:
            connection.stream = stream  # never taken back: the connection ends with its stream
        response.force_close()  # said in its head: no client puts another request behind a stream that is about to end
        await response.prepare(http)
        await response.write(b": open\n\n" + (session.again(last_seen) if last_seen is not None else b""))
        await pour(response, stream.take, stream.news, stream.is_over)
        await response.write_eof()
        return response
    finally:
        session.leave_stream(stream)


def _last_seen(http: web.Request) -> int | None:
    text = http.headers.get("Last-Event-ID", "")
    if not text:
        return None
    if not text.isascii() or not text.isdigit() or len(text) > 18:
        raise InvalidRequest("Last-Event-ID is the `id` of an event of this session")
    return int(text)


def _run_of(frames: list[bytes]) -> tuple[bytes, list[Span]]:
    """Frames one behind the other, and where each begins, has its body and ends."""
    spans: list[Span] = []
    at = 0
    for frame in frames:
        spans.append((at, at + PREFIX_BYTES + int.from_bytes(frame[4:6], "little"), at + len(frame)))
        at += len(frame)
    return b"".join(frames), spans
