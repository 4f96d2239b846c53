"""Event streams (`text/event-stream`): a subscription, or the reading of private messages, that lives as long as its HTTP
answer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

import msgspec
from aiohttp import web

from majula.api.http.answers import SAFETY_HEADERS
from majula.api.http.exchange import attach_for
from majula.errors import MajulaError, Unavailable, from_code
from majula.gateway.edge import EdgeContext
from majula.gateway.session import Session
from majula.wire import headers
from majula.wire.frames import PREFIX_BYTES, decode_header, split_run
from majula.wire.headers import RETAINED, AnyHeader, Subscribe
from majula.wire.package import is_object, to_json_text
from majula.wire.private import packages_of_send

PING_S = 15.0
"""A comment line each 15 s keeps proxies from closing a quiet stream, and finds a client that is gone."""

_TAKE_BYTES = 65_536
_BACKLOG_BYTES = 1 << 20
"""Of events that come before their stream can begin. What is more is dropped and told, as from a full outbox."""

_encode = msgspec.json.Encoder().encode


class EventStream:
    """The gateway's connection of one stream.

    Args:
        only_objects: the inner circle: `args` is always an object, other payloads come as `{"message": payload}`.
    """

    def __init__(self, context: EdgeContext, *, only_objects: bool) -> None:
        self._context = context
        self._only_objects = only_objects
        self._waits = asyncio.Event()
        self._session: Session | None = None
        self._ended = False
        self._acknowledged: asyncio.Future[None] = context.loop.create_future()
        self._backlog = b""

    async def open(self, http: web.BaseRequest, label: str, subscribe: Subscribe | None) -> None:
        """Attach and subscribe; returns when the subscription is in force. Without one: read the private messages of `label`.

        Raises:
            MajulaError: the gateway refused.
        """
        self._session = attach_for(self._context, http, self, surface="sse", label=label)
        if subscribe is None:
            self._context.switch.read_messages(self._session, 1)
        else:
            self._context.switch.submit(self._session, subscribe, b"", self._context.loop.time())
        self._context.wake()
        dropped = headers.Slow(0, 0)
        while not self._acknowledged.done():
            await self._waits.wait()
            self._waits.clear()
            # The answer stands behind messages that come already, and may take seconds with `sync`: they have to be taken.
            taken = self._take()
            if not dropped.dropped_messages and len(self._backlog) + len(taken) <= _BACKLOG_BYTES:
                self._backlog += taken
            elif taken:
                dropped = headers.Slow(dropped.dropped_messages + taken.count(b"\n\n"), dropped.dropped_bytes + len(taken))
        if dropped.dropped_messages:
            self._backlog += b"".join(self._render(dropped, b""))
        error = self._acknowledged.exception()
        # Private messages are read at this gateway in any case: they begin to be here while the router is away, too.
        if error is not None and not (subscribe is None and isinstance(error, Unavailable)):
            raise error

    async def serve(self, response: web.StreamResponse) -> None:
        """Write events until the client goes or the session ends."""
        if self._backlog:
            await response.write(self._backlog)
            self._backlog = b""
        await pour(response, self._take, self._waits, lambda: self._ended)

    def finish(self) -> None:
        """End the stream once what waits is written: the gateway drains."""
        self._ended = True
        self._waits.set()

    def close(self) -> None:
        """End the session."""
        if self._session is not None:
            self._context.switch.end(self._session, self._context.loop.time())
            self._context.wake()

    def flush(self) -> None:
        """As `Connection` of the gateway."""
        self._waits.set()

    def end(self, error: MajulaError | None) -> None:
        """As `Connection` of the gateway."""
        self._ended = True
        self._waits.set()
        if not self._acknowledged.done():
            self._acknowledged.set_exception(error or from_code("draining", "the session has ended"))
            self._acknowledged.exception()  # `open` may not be there to fetch it

    def _take(self) -> bytes:
        if self._session is None:
            return b""
        events: list[bytes] = []
        for frame in self._session.outbox.take(_TAKE_BYTES, self._context.loop.time()):
            body_at = PREFIX_BYTES + int.from_bytes(frame[4:6], "little")
            events += self._render(decode_header(frame[PREFIX_BYTES:body_at]), frame[body_at:])
        return b"".join(events)

    def _render(self, header: AnyHeader, body: bytes) -> list[bytes]:
        match header:
            case headers.Publish():
                return self._deliveries(header, body)
            case headers.Send():
                return [_event(package) for package in packages_of_send(header, body, with_flow=False)]
            case headers.Ack():
                if not self._acknowledged.done():
                    self._acknowledged.set_result(None)
                return []
            case headers.Error():
                if not self._acknowledged.done():
                    self._acknowledged.set_exception(from_code(header.code, header.message, header.detail))
                    return []
                fields = {"method": "ERROR", "error": header.message, "code": header.code, "detail": header.detail}
                return [b"event: error\ndata: %b\n\n" % _encode(fields)]
            case headers.Slow():
                dropped = {"dropped_messages": header.dropped_messages, "dropped_bytes": header.dropped_bytes}
                return [b"event: slow\ndata: %b\n\n" % _encode({"method": "SLOW", **dropped})]
            case headers.Reconnect():
                advice = {"method": "RECONNECT", "after_ms": header.after_ms, "reason": header.reason}
                return [b"event: reconnect\ndata: %b\n\n" % _encode(advice)]
            case _:
                return []

    def _deliveries(self, header: headers.Publish, body: bytes) -> list[bytes]:
        more = b',"retained":true' if header.flags & RETAINED else b""
        start = b'data: {"method":"PUBLISH","topic":%b%b,"args":' % (_encode(header.topic), more)
        events: list[bytes] = []
        for message in split_run(body):
            # A line feed would end the event: JSON texts may contain them between tokens, never inside strings.
            text = to_json_text(header.encoding, message).replace(b"\r", b" ").replace(b"\n", b" ") or b"{}"
            events.append(start + (text if not self._only_objects or is_object(text) else b'{"message":%b}' % text) + b"}\n\n")
        return events


def _event(package: bytes) -> bytes:
    # A line feed would end the event: JSON texts may contain them between tokens, never inside strings.
    return b"data: %b\n\n" % package.replace(b"\r", b" ").replace(b"\n", b" ")


class OpenStream(Protocol):
    """An event stream, as its connection sees it."""

    def finish(self) -> None:
        """End once what waits is written."""


async def pour(response: web.StreamResponse, take: Callable[[], bytes], news: asyncio.Event, is_over: Callable[[], bool]) -> None:
    """Write events until the stream is over.

    Args:
        take: the next events, empty where nothing waits.
        news: set when `take` or `is_over` have something new to say.
    """
    while True:
        news.clear()
        was_over = is_over()
        events = take()
        if events:
            await response.write(events)  # waits while the client does not read: what comes stays in the outbox
            continue
        if was_over:
            return
        try:
            async with asyncio.timeout(PING_S):
                await news.wait()
        except TimeoutError:
            await response.write(b": ping\n\n")


async def stream(
    context: EdgeContext, request: web.Request, label: str, subscribe: Subscribe | None, *, only_objects: bool
) -> web.StreamResponse:
    """Answer a request with the events of one subscription; None: with the private messages of the client `label`.

    Raises:
        MajulaError: refused before the stream began.
    """
    events = EventStream(context, only_objects=only_objects)
    try:
        await events.open(request, label, subscribe)
        connection = getattr(request.protocol, "connection", None)
        if connection is not None:
            connection.stream = events  # never taken back: the connection ends with its stream
        response = web.StreamResponse(headers={**SAFETY_HEADERS, "Content-Type": "text/event-stream", "X-Accel-Buffering": "no"})
        response.force_close()  # said in its head: no client puts another request behind a stream that is about to end
        await response.prepare(request)
        await response.write(b": subscribed\n\n")  # so that a client knows from when on nothing is missed
        await events.serve(response)
        await response.write_eof()
        return response
    finally:
        events.close()
