"""The control actors and two gateways under one supervisor; the test holds the listening sockets, as the main process does."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path
from typing import Self

import msgspec

from majula.gateway.settings import GatewayLimits, GatewaySettings
from majula.messages.base import Role
from majula.messages.supervision import ChildSpec
from majula.runner.handout import Handout
from tests.actors.supervision.rig import PATIENCE_S, SupervisorRig
from tests.native_peer import Peer

GATEWAYS = ("gateway:1", "gateway:2")
CONTROL = {
    "router": "majula.actors.router.RouterActor",
    "topic_manager": "majula.actors.topic_manager.TopicManagerActor",
    "rpc_broker": "majula.actors.rpc_broker.RpcBrokerActor",
}
FRAGILE = f"{__package__}.fragile.FragileGateway"


class GatewayRig(SupervisorRig):
    """Use it as an async context manager; inside, all roles run."""

    def __init__(self, run_dir: Path, limits: GatewayLimits | None = None) -> None:
        self._paths = {role: str(run_dir / f"native-{role[-1]}.sock") for role in GATEWAYS}
        specs = [ChildSpec(role=role, actor=actor) for role, actor in CONTROL.items()]
        for role in GATEWAYS:
            settings = GatewaySettings(
                port=int(role[-1]),
                edges=("majula.api.native:NativeEdge",),
                native_socket=role,
                gateways=GATEWAYS,
                limits=limits or GatewayLimits(),
            )
            specs.append(ChildSpec(role=role, actor=FRAGILE, config=msgspec.msgpack.encode(settings), sockets=(role,)))
        super().__init__(run_dir, *specs)
        self._sockets: dict[str, socket.socket] = {}
        self._peers: list[Peer] = []
        self._handout: Handout

    async def __aenter__(self) -> Self:
        for role, path in self._paths.items():
            listener = socket.socket(socket.AF_UNIX)
            listener.bind(path)
            listener.listen(128)
            listener.setblocking(False)
            self._sockets[role] = listener
        self._handout = Handout(self._run_dir, self._sockets)
        await super().__aenter__()
        await self.running(*CONTROL, *GATEWAYS)
        return self

    async def __aexit__(self, *error: object) -> None:
        for peer in self._peers:
            peer.writer.close()
        await super().__aexit__(*error)
        self._handout.close()
        for listener in self._sockets.values():
            listener.close()

    async def connect(self, gateway: Role) -> Peer:
        """A connection that has said nothing."""
        async with asyncio.timeout(PATIENCE_S):
            self._peers.append(Peer(*await asyncio.open_unix_connection(self._paths[gateway], limit=1 << 24)))
        return self._peers[-1]

    async def client(self, gateway: Role, client_id: str = "", secret: str = "") -> Peer:
        """A client that is attached."""
        peer = await self.connect(gateway)
        await peer.hello(client_id, secret)
        return peer
