"""A gateway in this process for tests of edges: the real switch, real sockets on loopback, no actors and no tables."""

from __future__ import annotations

import asyncio
import secrets
import socket
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from random import Random
from typing import Any

from majula.api.http import HttpEdge
from majula.errors import Conflict
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
        gateway = self._gateway
        gateway.loop.call_soon(lambda: (gateway.switch.requests.in_force(token, gateway.loop.time()), gateway.wake()))


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
    ) -> Session:
        """As the gateway actor does it, with this switch as the only judge."""
        if self.pause_admission is not None:
            await self.pause_admission.wait()
        now = self.loop.time()
        client_id = client_id or self._name()
        held = self.switch.session_of(client_id)
        if held is not None:
            if not newest_wins and (not secret or secret != held.secret):
                raise Conflict(f"the client id {client_id!r} is in use", client_id=client_id)
            self.switch.close(held, Conflict("taken over by a newer session"), now)
        session = self.switch.open(
            connection,
            client_id=client_id,
            secret=secrets.token_hex(16),
            surface=surface,
            agent=agent,
            is_claimed=True,
            now=now,
        )
        self.wake()
        return session

    def attach(self, connection: Connection, *, surface: str, label: str = "", agent: str = "") -> Session:
        """A session that claims nothing."""
        return self.switch.open(
            connection,
            client_id=label or self._name(),
            secret="",
            surface=surface,
            agent=agent,
            is_claimed=False,
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
    limits: GatewayLimits | None = None, *, origins: tuple[str, ...] = (), hosts: tuple[str, ...] = ()
) -> AsyncIterator[Served]:
    """An HTTP edge on a free loopback port; nothing of it is left at the end, and nothing in it may have crashed."""
    listener = socket.create_server(("127.0.0.1", 0))
    port: int = listener.getsockname()[1]
    settings = GatewaySettings(
        port=port, http_socket="http", limits=limits or GatewayLimits(), origins=origins, hosts=hosts
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


