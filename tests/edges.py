"""A gateway in this process for tests of edges: the real switch, real sockets on loopback, no actors and no tables."""

from __future__ import annotations

import asyncio
import json
import secrets
import socket
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from random import Random
from typing import Any, Self

from majula.api.http import HttpEdge
from majula.errors import Conflict
from majula.gateway.accounts import Identity
from majula.gateway.session import Connection, Session
from majula.gateway.settings import GatewayLimits, GatewaySettings
from majula.gateway.switch import Switch


class Slices:
    """Of a node with one gateway: what is put here is in force everywhere."""

    def __init__(self, gateway: LocalGateway) -> None:
        self._gateway = gateway

    def put(self, table: str, key: str, value: bytes | None) -> None:
        """Nobody else listens."""

    def confirm(self, table: str, token: int) -> None:
        """Confirmed at the next turn, as a message would be."""
        self._gateway.loop.call_soon(self._confirmed, token)

    def session_ended(self, session: Session) -> None:
        """There is no router to tell."""

    def _confirmed(self, token: int) -> None:
        self._gateway.switch.requests.in_force(token, self._gateway.loop.time())
        self._gateway.wake()


class LocalGateway:
    """An `EdgeContext` around a switch, without its actor."""

    def __init__(self, settings: GatewaySettings, *, node_id: str = "n1") -> None:
        self.settings = settings
        self.node_id = node_id
        self.loop = asyncio.get_running_loop()
        self.is_ready = True
        self.crashes: list[BaseException] = []
        self.pause_admission: asyncio.Event | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._is_woken = False
        self._timer: asyncio.TimerHandle | None = None
        self._names = 0
        self.switch = Switch(
            node_id=node_id,
            role=f"gateway:{settings.port}",
            settings=settings,
            slices=Slices(self),
            wake=self.wake,
            wall_clock=lambda: 1_700_000_000.0,
            random=Random(7),
            now=self.loop.time(),
        )

    async def admit(
        self,
        connection: Connection,
        *,
        surface: str,
        client_id: str = "",
        secret: str = "",
        agent: str = "",
        newest_wins: bool = False,
        identity: Identity | None = None,
    ) -> Session:
        """As the gateway actor does it, with this switch as the only judge."""
        identity = identity or self.switch.accounts.anybody()
        client_id = client_id or identity.client_id() or self._name()
        identity.check_client(client_id)
        self.switch.load.check()
        if self.pause_admission is not None:
            await self.pause_admission.wait()
        now = self.loop.time()
        held = self.switch.session_of(client_id)
        if held is not None:
            is_same = newest_wins or (secret and secret == held.secret)
            if not is_same or held.who != identity.who:
                raise Conflict(f"the client id {client_id!r} is in use", client_id=client_id)
            self.switch.close(held, Conflict("taken over by a newer session"), now)
        session = self.switch.open(
            connection,
            client_id=client_id,
            secret=secrets.token_hex(16),
            surface=surface,
            agent=agent,
            is_claimed=True,
            identity=identity,
            now=now,
        )
        self.wake()
        return session

    def attach(
        self, connection: Connection, *, surface: str, label: str = "", agent: str = "", identity: Identity | None = None
    ) -> Session:
        """A session that claims nothing."""
        identity = identity or self.switch.accounts.anybody()
        if label:
            identity.check_client(label)
            held = self.switch.session_of(label)
            is_bound = surface != "sse" and not self.switch.accounts.is_open
            if is_bound and held is not None and held.who != identity.who:
                raise Conflict(f"the client id {label!r} is in use by somebody else", client_id=label)
        self.switch.load.check()
        return self.switch.open(
            connection,
            client_id=label or self._name(),
            secret="",
            surface=surface,
            agent=agent,
            is_claimed=False,
            identity=identity,
            now=self.loop.time(),
        )

    def _name(self) -> str:
        self._names += 1
        return f"anonymous-{self._names}"

    def wake(self) -> None:
        if not self._is_woken:
            self._is_woken = True
            self.loop.call_soon(self._pump)

    def _pump(self) -> None:
        self._is_woken = False
        sessions, _, ended = self.switch.take_dirty(self.loop.time())
        for session in sessions:
            session.connection.flush()
        for session in ended:
            session.connection.end(session.ended_by)
        if self._timer is not None:
            self._timer.cancel()
        deadline = self.switch.next_deadline()
        if deadline < float("inf"):
            self._timer = self.loop.call_at(deadline, self._tick)

    def _tick(self) -> None:
        self.switch.tick(self.loop.time())
        self.wake()

    def spawn(self, coroutine: Coroutine[Any, Any, None], *, name: str) -> asyncio.Task[None]:
        task = self.loop.create_task(coroutine, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self.crashes.append(error)

    def health(self) -> dict[str, object]:
        return {"live": True, "ready": self.is_ready}

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        for task in self._tasks:
            task.cancel()


class Served:
    """A running edge and where to find it."""

    def __init__(self, gateway: LocalGateway, edge: HttpEdge, port: int) -> None:
        self.gateway = gateway
        self.edge = edge
        self.port = port
        self.url = f"http://127.0.0.1:{port}"


@asynccontextmanager
async def serve_http(
    limits: GatewayLimits | None = None, *, origins: tuple[str, ...] = (), hosts: tuple[str, ...] = (), **more: Any
) -> AsyncIterator[Served]:
    """An HTTP edge on a free loopback port; nothing of it is left at the end, and nothing in it may have crashed.

    Args:
        more: of its settings.
    """
    listener = socket.create_server(("127.0.0.1", 0))
    port: int = listener.getsockname()[1]
    settings = GatewaySettings(
        port=port, http_socket="http", limits=limits or GatewayLimits(), origins=origins, hosts=hosts, **more
    )
    gateway = LocalGateway(settings)
    edge = HttpEdge()
    await edge.start(gateway, {"http": listener})
    try:
        yield Served(gateway, edge, port)
    finally:
        await edge.stop()
        gateway.close()
        listener.close()
    assert gateway.crashes == []


async def exchange(port: int, sent: bytes, *, timeout_s: float = 10.0) -> bytes:
    """Everything that a gateway answers to these bytes until it closes the connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(sent)
        async with asyncio.timeout(timeout_s):
            return await reader.read()
    except ConnectionResetError:
        return b""
    finally:
        writer.close()


def request(method: str, path: str, *headers: str, body: bytes = b"", host: str = "localhost") -> bytes:
    """A request that ends its connection; give headers as whole lines."""
    lines = [f"{method} {path} HTTP/1.1", f"Host: {host}", *headers]
    if body:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "Connection: close", "", ""]).encode() + body


def status_of(answer: bytes) -> int:
    """Of the first answer in these bytes; 0 where the connection was closed without one."""
    return int(answer.split(b" ", 2)[1]) if answer.startswith(b"HTTP/") else 0


def body_of(answer: bytes) -> Any:
    """The JSON body of an answer of known length."""
    return json.loads(answer.partition(b"\r\n\r\n")[2])


class RawWebSocket:
    """A client that can break the rules: frames are written as they are given."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, head: bytes) -> None:
        self.head = head
        self.reader = reader
        self.writer = writer

    @classmethod
    async def open(cls, port: int, path: str = "/majula/ws", *, protocols: str = "", headers: tuple[str, ...] = ()) -> Self:
        """Connect and read the head of the answer, whatever it is."""
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        lines = [f"GET {path} HTTP/1.1", "Host: localhost", "Upgrade: websocket", "Connection: Upgrade"]
        lines += ["Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", *headers]
        if protocols:
            lines.append(f"Sec-WebSocket-Protocol: {protocols}")
        writer.write("\r\n".join([*lines, "", ""]).encode())
        async with asyncio.timeout(10):
            return cls(reader, writer, await reader.readuntil(b"\r\n\r\n"))

    @property
    def status(self) -> int:
        return status_of(self.head)

    def send(self, opcode: int, payload: bytes, *, fin: bool = True, rsv: int = 0, mask: bytes = b"\1\2\3\4") -> None:
        """One masked frame."""
        self.writer.write(client_frame(opcode, payload, fin=fin, rsv=rsv, mask=mask))

    def send_json(self, package: object) -> None:
        """One text frame."""
        self.send(1, json.dumps(package).encode())

    async def receive(self) -> tuple[int, bytes]:
        """Opcode and payload of the next frame."""
        async with asyncio.timeout(10):
            first, second = await self.reader.readexactly(2)
            size = second & 0x7F
            if size >= 126:
                size = int.from_bytes(await self.reader.readexactly(2 if size == 126 else 8), "big")
            return first & 0x0F, await self.reader.readexactly(size)

    async def receive_json(self) -> Any:
        """The next text frame."""
        opcode, payload = await self.receive()
        assert opcode == 1, (opcode, payload)
        return json.loads(payload)

    async def close_code(self) -> int:
        """Read until the close frame (0: the connection ended without one)."""
        try:
            while True:
                opcode, payload = await self.receive()
                if opcode == 8:
                    return int.from_bytes(payload[:2], "big")
        except (asyncio.IncompleteReadError, ConnectionResetError):
            return 0

    def close(self) -> None:
        self.writer.close()


def client_frame(opcode: int, payload: bytes, *, fin: bool = True, rsv: int = 0, mask: bytes = b"\1\2\3\4") -> bytes:
    """A frame as clients send them, right or wrong."""
    size = len(payload)
    head = bytes(((0x80 if fin else 0) | rsv << 4 | opcode,))
    if size < 126:
        head += bytes((0x80 | size,))
    elif size < 1 << 16:
        head += bytes((0x80 | 126,)) + size.to_bytes(2, "big")
    else:
        head += bytes((0x80 | 127,)) + size.to_bytes(8, "big")
    key = (mask * (size // 4 + 1))[:size]
    return head + mask + bytes(byte ^ other for byte, other in zip(payload, key, strict=True))
