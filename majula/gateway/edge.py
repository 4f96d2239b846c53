"""What a gateway actor expects of an edge (native port, HTTP and WebSocket), and what it lends to it."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, Protocol

from majula.gateway.accounts import Identity
from majula.gateway.session import Connection, Session
from majula.gateway.settings import GatewaySettings

if TYPE_CHECKING:
    from majula.gateway.switch import Switch


class EdgeContext(Protocol):
    """The gateway actor, as an edge sees it."""

    settings: GatewaySettings
    switch: Switch
    node_id: str
    loop: asyncio.AbstractEventLoop

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
        """A session that owns its client id on this node.

        Args:
            connection: the edge's side of it.
            surface: as in `Session`.
            client_id: the id wanted; empty: the gateway makes one.
            secret: of the session that holds the id, which is then taken over and closed.
            newest_wins: a seed-protocol WebSocket, which has no secret: the older session of that id is closed.
            identity: on whose behalf, from `switch.accounts`; None: it was not asked, which serves only where nobody has to say.
        Raises:
            Conflict: another session holds the id.
            InvalidRequest: the id is not a valid one.
            Unauthorized: no identity where one is needed, or a single-use token that another session has used.
            PermissionDenied: the token's sessions may not have that id.
            Draining, Overloaded: this gateway takes no more clients.
        If the caller is cancelled while it waits, nothing is left behind.
        """

    def attach(
        self, connection: Connection, *, surface: str, label: str = "", agent: str = "", identity: Identity | None = None
    ) -> Session:
        """A session that claims nothing: plain HTTP requests and event streams. `label` stands where a client id would.

        Raises:
            InvalidRequest, Unauthorized, Draining, Overloaded: as above.
            LimitReached: more was sent than is allowed.
            PermissionDenied: as above, and for a single-use token, which opens a session that owns its id or nothing.
            Conflict: somebody else has the id that the label says; a stream (`sse`), which speaks to nobody, is not asked.
        """

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

    def renew(self, settings: GatewaySettings) -> None:
        """The configuration has changed: hosts, origins, `ip_allow`, certificate. A certificate that cannot be used is named in
        the log, and the old one stays."""

    async def drain(self, deadline: float) -> None:
        """Shut the listener down (the clients were told to reconnect by the switch), let in-flight requests finish until loop
        time `deadline`."""

    async def stop(self) -> None:
        """Close everything that is left."""

    def statistics(self) -> dict[str, int | float | str]:
        """Connections, bytes, refusals ... for `status`."""


EdgeFactory = Callable[[], Edge]
