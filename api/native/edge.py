"""The native port as an edge of the gateway: its listeners and the sweep over its connections."""

from __future__ import annotations

import asyncio
import contextlib
import socket

from majula.api.entrance import Entrance
from majula.api.native.connection import NativeConnection
from majula.gateway.edge import EdgeContext
from majula.gateway.settings import GatewaySettings

# Limits are given in seconds, so a sweep a second keeps them well enough; a timer a connection would cost one heap entry a read.
_SWEEP_S = 1.0
_BACKLOG = 1_024
# For the last frames of connections that are being closed when the gateway ends.
_LAST_WORDS_S = 0.5


class NativeEdge:
    """Listens on the sockets that the settings name as `native_socket` (Unix) and `native_tcp_socket`."""

    context: EdgeContext

    def __init__(self) -> None:
        self._servers: list[asyncio.Server] = []
        self._entrance: Entrance | None = None
        self._listeners: list[socket.socket] = []
        self._connections: set[NativeConnection] = set()
        self._sweep: asyncio.TimerHandle | None = None
        self._is_draining = False
        self._all_closed: asyncio.Event | None = None
        self._accepted = 0
        self._refused = 0
        self._received_bytes = 0

    async def start(self, context: EdgeContext, sockets: dict[str, socket.socket]) -> None:
        self.context = context
        settings = context.settings
        loop = context.loop
        if settings.native_socket:
            listener = sockets[settings.native_socket]
            self._listeners.append(listener)
            self._servers.append(
                await loop.create_unix_server(lambda: NativeConnection(self, is_local=True), sock=listener, backlog=_BACKLOG)
            )
        if settings.native_tcp_socket:
            listener = sockets[settings.native_tcp_socket]
            self._listeners.append(listener)
            self._entrance = Entrance(
                loop,
                lambda: NativeConnection(self, is_local=False),
                spawn=context.spawn,
                room=lambda: context.settings.limits.connections - len(self._connections),
            )
            self.renew(settings)
            self._servers.append(await self._entrance.open(listener))

    def renew(self, settings: GatewaySettings) -> None:
        if self._entrance is None:
            return
        self._entrance.renew(ip_allow=settings.ip_allow, cert_file=settings.cert_file, key_file=settings.key_file)

    async def drain(self, deadline: float) -> None:
        self._is_draining = True
        for listener in self._listeners:
            # The runner holds the same socket, so closing ours would leave clients waiting in its queue.
            with contextlib.suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
        for server in self._servers:
            server.close()

    async def stop(self) -> None:
        for server in self._servers:
            server.close()
        if self._entrance is not None:
            self._entrance.close()
        if self._sweep is not None:
            self._sweep.cancel()
            self._sweep = None
        for connection in list(self._connections):
            if not connection.is_closing:
                connection.abort()
        if self._connections:
            # Those were told why a moment ago; let that reach them.
            self._all_closed = asyncio.Event()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_LAST_WORDS_S):
                    await self._all_closed.wait()
        for connection in list(self._connections):
            connection.abort()

    def statistics(self) -> dict[str, int | float | str]:
        received = self._received_bytes + sum(connection.received_bytes for connection in self._connections)
        found: dict[str, int | float | str] = {
            "native_connections": len(self._connections),
            "native_accepted_total": self._accepted,
            "native_refused_total": self._refused,
            "native_received_bytes_total": received,
        }
        if self._entrance is not None:
            found |= self._entrance.statistics("native")
        return found

    # --- ConnectionOwner

    def opened(self, connection: NativeConnection) -> bool:
        if self._is_draining or len(self._connections) >= self.context.settings.limits.connections:
            self._refused += 1
            return False
        self._accepted += 1
        self._connections.add(connection)
        if self._sweep is None:
            self._sweep = self.context.loop.call_later(_SWEEP_S, self._sweep_now)
        return True

    def closed(self, connection: NativeConnection) -> None:
        if connection in self._connections:
            self._connections.discard(connection)
            self._received_bytes += connection.received_bytes
            if self._all_closed is not None and not self._connections:
                self._all_closed.set()

    def look(self, now: float) -> None:
        """The sweep: whoever is silent, stuck or dead at loop time `now` is pinged or cut off."""
        for connection in list(self._connections):
            connection.look(now)

    def _sweep_now(self) -> None:
        self._sweep = None
        try:
            self.look(self.context.loop.time())
        finally:
            if self._connections:
                self._sweep = self.context.loop.call_later(_SWEEP_S, self._sweep_now)
