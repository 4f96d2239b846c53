"""What a gateway actor expects of an edge (native port, HTTP and WebSocket), and what it lends to it."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, Protocol

from majula.gateway.settings import GatewaySettings

if TYPE_CHECKING:
    from majula.gateway.switch import Switch


class EdgeContext(Protocol):
    """The gateway actor, as an edge sees it."""

    settings: GatewaySettings
    switch: Switch
    node_id: str
    loop: asyncio.AbstractEventLoop

    def wake(self) -> None:
        """Something may wait in an outbox: flush at the end of this loop turn. Cheap; call it after every use of the switch."""

    def spawn(self, coroutine: Coroutine[Any, Any, None], *, name: str) -> asyncio.Task[None]:
        """A task of the gateway; an exception that escapes it ends the gateway: catch what one client can cause."""

    def health(self) -> dict[str, object]:
        """`live` and `ready`, and per role for those who may see it."""


class Edge(Protocol):
    """One surface of a gateway. Built with no arguments by its dotted path."""

    async def start(self, context: EdgeContext, sockets: dict[str, socket.socket]) -> None:
        """Serve on the sockets that the settings name for this edge. Raising ends the gateway with this reason."""

    async def drain(self, deadline: float) -> None:
        """Shut the listener down, tell clients to reconnect, let in-flight requests finish until loop time `deadline`."""

    async def stop(self) -> None:
        """Close everything that is left."""

    def statistics(self) -> dict[str, int | float | str]:
        """Connections, bytes, refusals ... for `status`."""


EdgeFactory = Callable[[], Edge]
