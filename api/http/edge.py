"""The edge that a gateway loads as `majula.api.http:HttpEdge`: HTTP, event streams and WebSockets on one listening socket."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Awaitable, Callable

from aiohttp import web

from majula.api.entrance import Entrance
from majula.api.http.answers import JSON_TYPE, SAFETY_HEADERS, error_body, error_headers, internal_error
from majula.api.http.calls import STARTED_CALLS, StartedCalls
from majula.api.http.connection import IDLE_S, Answering, HttpConnection, HttpTally
from majula.api.http.exchange import IDENTITY
from majula.api.http.routes import HEALTH, make_routes
from majula.api.http.rules import Rules, bearer_of, make_rules
from majula.api.http.sessions import SESSIONS, Sessions
from majula.api.websocket.connection import Tally, WebSocketConnection
from majula.errors import InvalidRequest, MajulaError, MethodNotAllowed, NotFound, TooLarge, UnsupportedMedia
from majula.gateway.edge import EdgeContext
from majula.gateway.settings import GatewaySettings

log = logging.getLogger("majula.http")

SWEEP_S = 0.5
"""How exactly the deadlines of connections are kept."""

_PREFLIGHT = {
    "Access-Control-Allow-Methods": "GET, POST, PUT, PATCH, DELETE",
    "Access-Control-Allow-Headers": "Authorization, Content-Type, Last-Event-ID, Majula-Session",
    "Access-Control-Max-Age": "600",
}
"""What a page of an allowed origin may send; a browser asks before it does."""

_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class HttpEdge:
    """See `majula.gateway.edge.Edge`."""

    context: EdgeContext
    rules: Rules
    answering: Callable[[], Answering]

    def __init__(self) -> None:
        self.tally = HttpTally()
        self.websocket_tally = Tally()
        self.connections: set[HttpConnection] = set()
        self.websockets: set[WebSocketConnection] = set()
        self.is_draining = False
        self._runner: web.AppRunner | None = None
        self._sessions: Sessions | None = None
        self._calls: StartedCalls | None = None
        self._entrance: Entrance | None = None
        self._server: asyncio.AbstractServer | None = None
        self._socket: socket.socket | None = None
        self._sweep_timer: asyncio.TimerHandle | None = None
        self._in_flight = 0
        self._idle = asyncio.Event()
        self._idle.set()

    async def start(self, context: EdgeContext, sockets: dict[str, socket.socket]) -> None:
        """Serve on the socket that `settings.http_socket` names; without a name there is nothing to serve.

        Raises:
            KeyError: the socket was not handed over.
        """
        self.context = context
        settings = context.settings
        if not settings.http_socket:
            return
        self._socket = sockets[settings.http_socket]
        app = web.Application(middlewares=[self._answer])
        app.add_routes(make_routes(context))
        self._sessions = app[SESSIONS] = Sessions(context)
        self._calls = app[STARTED_CALLS] = StartedCalls(context)
        app.on_response_prepare.append(self._on_response_prepare)
        self._runner = web.AppRunner(app, access_log=None, handler_cancellation=True)
        await self._runner.setup()
        framework = self._runner.server
        assert framework is not None
        loop = context.loop

        def answering() -> Answering:
            return Answering(
                framework,
                loop=loop,
                access_log=None,  # type: ignore[arg-type] # None turns it off, as AppRunner does; the stub omits it
                keepalive_timeout=IDLE_S,
                auto_decompress=False,
                max_line_size=settings.limits.header_bytes,
                max_field_size=settings.limits.header_bytes,
            )

        self.answering = answering
        self._entrance = Entrance(loop, lambda: HttpConnection(self), spawn=context.spawn, room=self._room)
        self.renew(settings)
        self._server = await self._entrance.open(self._socket)
        self._sweep_timer = loop.call_later(SWEEP_S, self._sweep)

    def _room(self) -> int:
        return self.context.settings.limits.connections - len(self.connections) - len(self.websockets)

    def renew(self, settings: GatewaySettings) -> None:
        """See `Edge`."""
        if self._entrance is None:
            return
        self._entrance.renew(ip_allow=settings.ip_allow, cert_file=settings.cert_file, key_file=settings.key_file)
        scheme = "https" if self._entrance.is_encrypted else "http"
        self.rules = make_rules(bind=settings.bind, hosts=settings.hosts, origins=settings.origins, scheme=scheme)

    async def drain(self, deadline: float) -> None:
        """See `Edge`. Event streams end, as their clients were told to reconnect; WebSockets stay until the switch ends them."""
        self.is_draining = True
        if self._socket is not None and self._server is not None:
            # The runner holds a copy of this socket: closing ours would leave it listening for nobody.
            self._socket.shutdown(socket.SHUT_RDWR)
            self._server.close()
        for connection in list(self.connections):
            connection.drain()
        for websocket in list(self.websockets):
            websocket.drain()
        if self._sessions is not None and self._calls is not None:
            self._sessions.drain()
            self._calls.drain()
        try:
            async with asyncio.timeout(max(0.0, deadline - self.context.loop.time())):
                await self._idle.wait()
        except TimeoutError:
            log.warning("drain.deadline_passed", extra={"requests": self._in_flight})

    async def stop(self) -> None:
        """See `Edge`."""
        if self._sweep_timer is not None:
            self._sweep_timer.cancel()
        if self._server is not None:
            self._server.close()
        if self._entrance is not None:
            self._entrance.close()
        for connection in list(self.connections):
            connection.abort()
        for websocket in list(self.websockets):
            websocket.abort()
        if self._runner is not None:
            await self._runner.cleanup()

    def statistics(self) -> dict[str, int | float | str]:
        """See `Edge`."""
        http, sockets = self.tally, self.websocket_tally
        found: dict[str, int | float | str] = {
            "http_connections": len(self.connections),
            "http_connections_opened": http.connections_opened,
            "http_requests": http.requests,
            "http_refused": http.refused,
            "http_late": http.late,
            "http_failed": http.failed,
            "http_in_flight": self._in_flight,
            "http_sessions": len(self._sessions) if self._sessions is not None else 0,
            "http_calls_begun": len(self._calls) if self._calls is not None else 0,
            "websockets": sockets.websockets,
            "websockets_opened": sockets.websockets_opened,
            "websocket_received_bytes": sockets.received_bytes,
            "websocket_sent_bytes": sockets.sent_bytes,
            "websocket_violations": sockets.violations,
            "websocket_failed": sockets.failed,
        }
        if self._entrance is not None:
            found |= self._entrance.statistics("http")
        return found

    def _sweep(self) -> None:
        now = self.context.loop.time()
        self._sweep_timer = self.context.loop.call_later(SWEEP_S, self._sweep)
        for connection in list(self.connections):
            connection.sweep(now)
        if self._sessions is not None and self._calls is not None:
            self._sessions.sweep(now)
            self._calls.sweep(now)
        for websocket in list(self.websockets):
            websocket.sweep(now)

    @web.middleware
    async def _answer(self, request: web.Request, handler: _Handler) -> web.StreamResponse:
        """Every request of the framework passes here: errors become answers, and what is in flight is counted."""
        self._in_flight += 1
        self._idle.clear()
        try:
            if request.method == "OPTIONS" and "Access-Control-Request-Method" in request.headers:
                return web.Response(status=204, headers=_PREFLIGHT)  # the origin was judged already
            self._identify(request)
            return await handler(request)
        except MajulaError as error:
            return _error_answer(error)
        except web.HTTPMethodNotAllowed as error:
            if request.method == "OPTIONS":
                return web.Response(status=204, headers={"Allow": ", ".join(sorted({*error.allowed_methods, "OPTIONS"}))})
            return _translated(error)
        except web.HTTPException as error:
            return _translated(error)
        except Exception as error:
            if isinstance(error, ConnectionResetError):
                raise  # the client went away while it was being answered
            self.tally.failed += 1
            internal = internal_error()
            log.exception("request.failed", extra={"trace_id": internal.detail["trace_id"], "path": request.path})
            return _error_answer(internal)
        finally:
            self._in_flight -= 1
            if not self._in_flight:
                self._idle.set()
            connection = getattr(request.protocol, "connection", None)
            if connection is not None:
                connection.finished += 1

    def _identify(self, request: web.Request) -> None:
        """Who asks. Whether the node lives is told to anybody; who shows a token hears more."""
        token = bearer_of(request.headers.get("Authorization", ""))
        try:
            identity = self.context.switch.accounts.identify(token, request.remote or "", self.context.loop.time())
        except MajulaError:
            if request.path != HEALTH:
                raise
        else:
            request[IDENTITY] = identity

    async def _on_response_prepare(self, request: web.Request, response: web.StreamResponse) -> None:
        for name, value in SAFETY_HEADERS.items():
            response.headers.setdefault(name, value)
        response.headers["Server"] = "majula"  # whose versions are nobody's business
        origin = request.headers.get("Origin", "").lower()
        if origin and origin in self.rules.origins:
            response.headers["Access-Control-Allow-Origin"] = request.headers["Origin"]
            response.headers["Access-Control-Expose-Headers"] = "Location, Retry-After"
            response.headers["Vary"] = "Origin"
            response.headers["Cross-Origin-Resource-Policy"] = "cross-origin"
        if self.is_draining:
            response.force_close()


def _error_answer(error: MajulaError) -> web.Response:
    headers = {**error_headers(error), "Content-Type": JSON_TYPE}
    return web.Response(status=error.status, body=error_body(error), headers=headers)


def _translated(error: web.HTTPException) -> web.Response:
    """The framework's own refusals in our form, under our codes."""
    if isinstance(error, web.HTTPNotFound):
        return _error_answer(NotFound("there is nothing at this path"))
    if isinstance(error, web.HTTPMethodNotAllowed):
        allowed = ", ".join(sorted(error.allowed_methods))
        answer = _error_answer(MethodNotAllowed(f"this path is served for {allowed}", allowed=sorted(error.allowed_methods)))
        answer.headers["Allow"] = allowed
        return answer
    if isinstance(error, web.HTTPRequestEntityTooLarge):
        return _error_answer(TooLarge("the body is too large"))
    if isinstance(error, web.HTTPUnsupportedMediaType):
        return _error_answer(UnsupportedMedia())
    if error.status < 500:
        return _error_answer(InvalidRequest(error.reason))
    return _error_answer(internal_error())
