"""One TCP connection of the HTTP surface, before, between and during its requests.

The web framework is given whole, checked heads and the bodies that belong to them, nothing else: what is malformed, forbidden or
late ends here. It has no deadlines for heads and bodies either; they are kept by `sweep`, which the edge calls twice a second for
all connections (a timer each would cost more than the requests). A connection that has not sent a whole head costs one small
object; the framework's parser and task are made for it only then.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Protocol, cast

import msgspec
from aiohttp import web
from aiohttp.web_protocol import RequestHandler

from majula.api.http.answers import JSON_TYPE, SAFETY_HEADERS, error_body, internal_error, raw_refusal
from majula.api.http.events import OpenStream
from majula.api.http.parameters import body_limit
from majula.api.http.rules import Rules, bearer_of, refusal
from majula.api.websocket.connection import Tally, WebSocketConnection
from majula.api.websocket.handshake import Opening, open_websocket, wants_upgrade
from majula.errors import InvalidRequest, MajulaError, Overloaded
from majula.gateway.accounts import Identity
from majula.gateway.edge import EdgeContext
from majula.wire.http_head import Head, RequestReader

log = logging.getLogger("majula.http")

LINGER_S = 2.0
"""After a refusal the client may still be sending: closed at once, the kernel would reset the connection and lose the refusal."""

IDLE_S = 75.0
"""A connection between two requests; browsers and load balancers keep theirs for a minute."""


class HttpTally(msgspec.Struct):
    """What all connections of an edge have done, for `status`."""

    connections: int = 0
    connections_opened: int = 0
    requests: int = 0
    refused: int = 0
    late: int = 0
    failed: int = 0


class Answering(RequestHandler):
    """The framework's side of a connection, with errors in our form."""

    def handle_error(
        self, request: web.BaseRequest, status: int = 500, exc: BaseException | None = None, message: str | None = None
    ) -> web.StreamResponse:
        """What no middleware saw: the framework could not read the request, or failed itself."""
        if status < 500:
            error: MajulaError = InvalidRequest("the request is malformed")
        else:
            error = internal_error()
            log.error("request.failed", exc_info=exc, extra={"trace_id": error.detail.get("trace_id")})
        headers = {**SAFETY_HEADERS, "Content-Type": JSON_TYPE}
        response = web.Response(status=error.status, body=error_body(error), headers=headers)
        response.force_close()
        return response


class Door(Protocol):
    """The edge, as one of its connections sees it."""

    context: EdgeContext
    rules: Rules
    tally: HttpTally
    websocket_tally: Tally
    connections: set[HttpConnection]
    websockets: set[WebSocketConnection]
    is_draining: bool
    answering: Callable[[], Answering]


class HttpConnection(asyncio.Protocol):
    """See the module."""

    def __init__(self, door: Door) -> None:
        self._door = door
        limits = door.context.settings.limits
        self._limits = limits
        self._now = door.context.loop.time
        self._reader = RequestReader(header_bytes=limits.header_bytes, body_bytes=body_limit(limits))
        self._transport: asyncio.Transport | None = None
        self._framework: Answering | None = None
        self._began_at: float | None = None  # since when a head is owed; None: between requests
        self._progress_at = 0.0
        self._moved_at = 0.0
        self._unsent_bytes = 0
        self._ends_at: float | None = None
        self._address = ""
        self.started = 0
        self.finished = 0
        self.stream: OpenStream | None = None

    # --- the transport -----------------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # A cast: uvloop's transports have the methods of asyncio.Transport without being instances of it.
        transport = cast(asyncio.Transport, transport)
        self._transport = transport
        peer = transport.get_extra_info("peername")
        self._address = str(peer[0]) if peer else ""
        self._began_at = self._moved_at = self._now()
        door = self._door
        if len(door.connections) + len(door.websockets) >= self._limits.connections:
            door.tally.refused += 1
            error = Overloaded("this gateway serves no more connections", retry_after_s=1.0, limit="connections")
            transport.write(raw_refusal(error))
            transport.close()
            self._ends_at = 0.0
            return
        door.connections.add(self)
        door.tally.connections_opened += 1
        door.tally.connections = len(door.connections)

    def connection_lost(self, error: Exception | None) -> None:
        self._transport = None
        self._door.connections.discard(self)
        self._door.tally.connections = len(self._door.connections)
        if self._framework is not None:
            self._framework.connection_lost(error)
            self._framework = None

    def data_received(self, data: bytes) -> None:
        if self._ends_at is not None or self._transport is None:
            return
        try:
            self._receive(data)
        except Exception:
            # A fault of ours while serving this client ends its connection, and only that.
            self._door.tally.failed += 1
            log.exception("connection.failed")
            self.abort()

    def _receive(self, data: bytes) -> None:
        now = self._progress_at = self._now()
        self._reader.feed(data)
        body: list[bytes] = []  # passed on together: each chunk by itself would cost more than what is in it
        while (piece := self._reader.next()) is not None:
            if isinstance(piece, bytes):
                body.append(piece)
                continue
            if body:
                self._pass_on(b"".join(body))
                body.clear()
            if isinstance(piece, Head):
                self._begin(piece)
            else:
                self._refuse(piece)
            if self._ends_at is not None or self._transport is None:
                return
        if body:
            self._pass_on(b"".join(body))
        if not self._reader.owes_head:
            self._began_at = None
        elif self._began_at is None:
            self._began_at = now

    def eof_received(self) -> None:
        """The client sends no more; the transport closes itself."""
        if self._framework is not None:
            self._framework.eof_received()

    def pause_writing(self) -> None:
        if self._framework is not None:
            self._framework.pause_writing()

    def resume_writing(self) -> None:
        self._moved_at = self._now()
        if self._framework is not None:
            self._framework.resume_writing()

    # --- requests ----------------------------------------------------------------------------------------------------------

    def _begin(self, head: Head) -> None:
        error = refusal(head, self._door.rules)
        if error is None and wants_upgrade(head):
            self._upgrade(head)
            return
        if error is not None:
            self._refuse(error)
            return
        self._began_at = None
        self.started += 1
        self._door.tally.requests += 1
        self._pass_on(head.raw)

    def _upgrade(self, head: Head) -> None:
        opening = open_websocket(head)
        if not isinstance(opening, Opening) or self.started > self.finished or self._transport is None:
            self._refuse(opening if isinstance(opening, MajulaError) else InvalidRequest("another request is not answered yet"))
            return
        door = self._door
        try:
            identity = self._identify(head, opening)
            door.context.switch.load.check()
        except MajulaError as error:
            self._refuse(error)
            return
        transport, self._transport = self._transport, None
        door.connections.discard(self)
        door.tally.connections = len(door.connections)
        if self._framework is not None:
            # The framework lets go of the transport first, so that ending its task does not close it.
            self._framework.transport = None
            self._framework.connection_lost(None)
            self._framework = None
        websocket = WebSocketConnection(
            door.context, opening, identity=identity, tally=door.websocket_tally, on_lost=door.websockets.discard
        )
        door.websockets.add(websocket)
        websocket.take_over(transport, self._reader.take_rest())

    def _identify(self, head: Head, opening: Opening) -> Identity:
        """Who opens a WebSocket: by a header, or in a browser, which cannot set one, by a subprotocol entry."""
        token = bearer_of(head.get("authorization"))
        if token and opening.token:
            raise InvalidRequest("a token stands in Authorization or among the subprotocols, not in both")
        return self._door.context.switch.accounts.identify(token or opening.token, self._address, self._now())

    def _pass_on(self, data: bytes) -> None:
        if self._transport is None:
            return
        if self._framework is None:
            self._framework = self._door.answering()
            self._framework.connection = self  # type: ignore[attr-defined] # found again by the middleware
            self._framework.connection_made(self._transport)
        self._framework.data_received(data)

    def _refuse(self, error: MajulaError) -> None:
        if self._transport is None:
            return
        self._door.tally.refused += 1
        self._ends_at = self._now() + LINGER_S
        if self.started > self.finished:
            # An answer that is still being made would come after this one and be taken for it.
            self._transport.close()
            return
        self._transport.write(raw_refusal(error))
        if self._transport.can_write_eof():
            self._transport.write_eof()

    # --- time --------------------------------------------------------------------------------------------------------------

    def sweep(self, now: float) -> None:
        """Called about twice a second: who owes a head or a body, who does not read, who was refused."""
        transport = self._transport
        if transport is None:
            return
        if self._ends_at is not None:
            if now > self._ends_at:
                transport.abort()
            return
        owes_head = self._began_at is not None and now - self._began_at > self._limits.header_s
        owes_body = self._reader.owes_body and now - self._progress_at > self._limits.body_s
        if owes_head or owes_body or self._is_not_reading(transport, now):
            self._late()

    def _late(self) -> None:
        self._door.tally.late += 1
        if self._transport is not None:
            self._transport.abort()

    def _is_not_reading(self, transport: asyncio.Transport, now: float) -> bool:
        unsent = transport.get_write_buffer_size()
        if unsent < self._unsent_bytes or not unsent:
            self._moved_at = now
        self._unsent_bytes = unsent
        # A stream's client may be slow for as long as the gateway lets any client be; an answer is read at once.
        return now - self._moved_at > (self._limits.silent_s if self.stream is not None else self._limits.body_s)

    def drain(self) -> None:
        """At drain: between requests there is nothing to wait for, and a stream has no end of its own."""
        if self.stream is not None:
            self.stream.finish()
        elif self.started <= self.finished and self._transport is not None:
            self._ends_at = self._now() + LINGER_S
            self._transport.close()

    def abort(self) -> None:
        """Cut off whatever is left."""
        if self._transport is not None:
            self._transport.abort()
