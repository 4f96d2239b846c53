"""A gateway for the client's tests: it keeps the protocol on a Unix socket, in the test's own loop, and misbehaves on demand."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import cast

import msgspec

from majula.api.sdk.interests import matches
from majula.wire import headers
from majula.wire.frames import FrameReader, decode_header, encode_frame, split_run
from majula.wire.headers import Fault, Header


class FakeGateway:
    """One gateway.

    Attributes:
        heard: every header that clients sent, in order.
        answers: per header type a function that takes over its answer; it returns the frames to send, or None for the usual ones.
        mute: says nothing at all while True.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.address = f"unix:{path}"
        self.sessions: list[FakeSession] = []
        self.heard: list[Header] = []
        self.answers: dict[type[Header], Callable[[FakeSession, Header], list[bytes] | None]] = {}
        self.mute = False
        self.connections = 0
        self.limits = {"message_bytes": 1 << 20, "pending_calls": 4_096}
        self._server: asyncio.Server | None = None
        self._changed = asyncio.Event()

    async def start_tcp(self, context: ssl.SSLContext | None = None, port: int = 0) -> FakeGateway:
        """On a port of loopback instead; 0: a free one."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: FakeSession(self), "127.0.0.1", port, ssl=context)
        scheme = "majulas" if context else "majula"
        self.address = f"{scheme}://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def start(self) -> FakeGateway:
        self.path.unlink(missing_ok=True)
        self._server = await asyncio.get_running_loop().create_unix_server(lambda: FakeSession(self), str(self.path))
        return self

    async def stop(self) -> None:
        """Gone: its clients are cut off, and nobody listens."""
        if self._server is not None:
            self._server.close()
            self._server = None
        self.cut()
        self.path.unlink(missing_ok=True)

    def cut(self) -> None:
        """End all connections; it still listens."""
        for session in self.sessions[:]:
            session.transport.abort()
            session.end()

    def changed(self) -> None:
        self._changed.set()

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until something that clients do makes `condition` true."""
        while not condition():
            self._changed.clear()
            await self._changed.wait()

    def of(self, kind: type[Header]) -> list[Header]:
        return [header for header in self.heard if type(header) is kind]


class FakeSession(asyncio.Protocol):
    def __init__(self, gateway: FakeGateway) -> None:
        self.gateway = gateway
        self.reader = FrameReader(limit_bytes=64 << 20)
        self.subscriptions: list[headers.Subscribe] = []
        self.functions: dict[str, headers.Register] = {}
        self.client_id = ""
        self.calls: dict[int, tuple[FakeSession, int]] = {}
        self.next_call = 1

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.transport.set_write_buffer_limits(high=64 << 20)
        self.gateway.sessions.append(self)
        self.gateway.connections += 1
        self.gateway.changed()

    def connection_lost(self, error: Exception | None) -> None:
        self.end()

    def end(self) -> None:
        if self in self.gateway.sessions:
            self.gateway.sessions.remove(self)
            self.gateway.changed()

    def send(self, header: Header, body: bytes = b"") -> None:
        self.transport.write(encode_frame(header, body))

    def data_received(self, data: bytes) -> None:
        chunk, spans = self.reader.feed(data)
        for start, body, end in spans:
            header = decode_header(chunk[start + 6 : body])
            self.gateway.heard.append(header)
            if not self.gateway.mute:
                own = self.gateway.answers.get(type(header))
                frames = own(self, header) if own is not None else None
                if frames is None:
                    self.serve(header, chunk[start:end], chunk[body:end])
                for frame in frames or []:
                    self.transport.write(frame)
        self.gateway.changed()

    def serve(self, header: Header, frame: bytes, body: bytes) -> None:
        match header:
            case headers.Hello():
                self.client_id = header.client_id or f"c{self.gateway.connections}"
                self.send(headers.Welcome(1, "n1", self.client_id, "s3cret", "gateway:1", self.gateway.limits))
            case headers.Subscribe():
                self.subscriptions.append(header)
                self.send(headers.Ack(header.request, "gateway"))
            case headers.Unsubscribe():
                same = (header.topic, header.pattern, header.queue)
                self.subscriptions = [s for s in self.subscriptions if (s.topic, s.pattern, s.queue) != same]
                self.acknowledge(header.request)
            case headers.Register():
                self.functions[header.function] = header
                self.send(headers.Ack(header.request, "gateway"))
            case headers.Unregister():
                self.functions.pop(header.function, None)
                self.acknowledge(header.request)
            case headers.Publish():
                self.publish(header, frame, body)
            case headers.Call():
                self.call(header, body)
            case headers.Result():
                origin = self.calls.pop(header.call, None)
                if origin is not None:
                    origin[0].send(msgspec.structs.replace(header, call=origin[1]), body)
            case headers.Cancel():
                for session in self.gateway.sessions:
                    for number, origin in list(session.calls.items()):
                        if origin == (self, header.call):
                            del session.calls[number]
                            session.send(headers.Cancel(number))
            case headers.Send() | headers.Receipt():
                self.pass_on(header, body)
            case headers.Request():
                self.send(headers.Reply(header.request), msgspec.msgpack.encode({"services": []}))
            case headers.Ping():
                self.send(headers.Pong(header.number))
            case headers.Bye():
                self.transport.close()
            case _:
                pass

    def acknowledge(self, request: int) -> None:
        if request:
            self.send(headers.Ack(request, "gateway"))

    def publish(self, header: headers.Publish, frame: bytes, body: bytes) -> None:
        levels = header.topic.split(".")
        groups: dict[str, FakeSession] = {}
        for session in self.gateway.sessions:
            matching = [
                s
                for s in session.subscriptions
                if (matches(s.topic.split("."), levels) if s.pattern else s.topic == header.topic)
            ]
            if any(not s.queue for s in matching):
                session.transport.write(frame)
            for s in matching:
                if s.queue:
                    groups[s.queue] = session
        for queue, session in groups.items():
            session.send(msgspec.structs.replace(header, queue=queue, request=0), body)
        self.acknowledge(header.request)

    def pass_on(self, header: headers.Send | headers.Receipt, body: bytes) -> None:
        """A private message or its receipt, to whoever has the id."""
        true = msgspec.structs.replace(header, source=self.client_id, source_node="n1")
        for session in self.gateway.sessions:
            if session.client_id == header.target:
                session.send(true, body)
                return
        if isinstance(header, headers.Send):
            last = header.sequence + len(split_run(body)) - 1
            self.send(headers.Receipt(self.client_id, "n1", header.flow, last, code="no_route", source=header.target))

    def call(self, header: headers.Call, body: bytes) -> None:
        for session in self.gateway.sessions:
            if header.function in session.functions and header.provider in ("", session.client_id):
                number = session.next_call
                session.next_call += 1
                session.calls[number] = (self, header.call)
                session.send(msgspec.structs.replace(header, call=number, source=self.client_id), body)
                return
        self.send(headers.Result(header.call, fault=Fault("no_provider", f"nobody offers {header.function}")))
