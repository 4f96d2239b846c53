"""Stand-ins for the actors of a node, so that its supervision can be tested apart from what they do."""

from __future__ import annotations

import asyncio
import os

import msgspec

from majula.actorsystem.actor import MajulaActor
from majula.actorsystem.sockets import take_sockets
from majula.gateway.settings import GatewaySettings


class ProbeControl(MajulaActor):
    """Does nothing. With PROBE_FAIL naming its role its start fails."""

    async def on_start(self, config: msgspec.Struct) -> None:
        if os.environ.get("PROBE_FAIL") == self.role:
            raise OSError("no luck")


class ProbeGateway(MajulaActor):
    """Answers each connection with its pid and closes it. While it drains it takes PROBE_DRAIN_S seconds."""

    config_type = GatewaySettings

    async def on_start(self, config: GatewaySettings) -> None:
        if os.environ.get("PROBE_FAIL") == self.role:
            raise OSError("no luck")
        names = [name for name in (config.http_socket, config.native_socket, config.native_tcp_socket) if name]
        sockets = await take_sockets(self.run_dir, names)
        self._servers = [await asyncio.start_server(self._answer, sock=taken) for taken in sockets.values()]

    def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(f"{os.getpid()}\n".encode())
        writer.close()

    async def on_drain(self, deadline: float) -> None:
        for server in self._servers:
            server.close()
        await asyncio.sleep(float(os.environ.get("PROBE_DRAIN_S", "0")))
