"""A gateway that asks for tokens, on real sockets of this process: HTTP, the native port by TCP and by a Unix socket."""

from __future__ import annotations

import asyncio
import secrets
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from majula.api.http import HttpEdge
from majula.api.native import NativeEdge
from majula.auth import digest_of, make_token
from majula.auth.book import TokenEntry, encode_entry
from majula.gateway.settings import GatewayLimits, GatewaySettings
from tests.edges import LocalGateway
from tests.native_peer import Peer

JSON = "Content-Type: application/json"


def bearer(token: str) -> str:
    """The header that shows it."""
    return f"Authorization: Bearer {token}"


class Guarded:
    """The gateway and where to find it."""

    def __init__(
        self, gateway: LocalGateway, edges: tuple[HttpEdge, NativeEdge], *, port: int, native_port: int, path: str
    ) -> None:
        self.gateway = gateway
        self.http, self.native = edges
        self.port = port
        self.native_port = native_port
        self.path = path
        self._peers: list[Peer] = []

    def token(self, *scopes: str, token_id: str = "tok-1", clients: tuple[str, ...] = ("*",), **more: Any) -> str:
        """A token that is known from now on."""
        token = make_token(secrets.token_bytes(32)).reveal()
        entry = TokenEntry(token_id, scopes, clients, **more)
        self.gateway.switch.accounts.update({digest_of(token): encode_entry(entry)}, ())
        return token

    def revoke(self, token: str) -> None:
        """As the table says it."""
        switch = self.gateway.switch
        switch.withdraw(switch.accounts.update({}, [digest_of(token)]).ended, self.gateway.loop.time())
        self.gateway.wake()

    async def peer(self, *, context: ssl.SSLContext | None = None, source: str | None = None) -> Peer:
        """A native client by TCP that has said nothing yet."""
        local = (source, 0) if source is not None else None
        name = "localhost" if context is not None else None
        streams = await asyncio.open_connection(
            "127.0.0.1", self.native_port, ssl=context, server_hostname=name, local_addr=local
        )
        self._peers.append(Peer(*streams))
        return self._peers[-1]

    def close(self) -> None:
        for peer in self._peers:
            peer.writer.close()


@asynccontextmanager
async def serve_guarded(
    directory: Path, *, limits: GatewayLimits | None = None, knows_tokens: bool = True, **more: Any
) -> AsyncIterator[Guarded]:
    """Nothing of it is left at the end, and nothing in it may have crashed.

    Args:
        knows_tokens: the table has come, without any token in it.
        more: of its settings.
    """
    path = str(directory / "native.sock")
    unix = socket.socket(socket.AF_UNIX)
    unix.bind(path)
    listeners = {"http": socket.create_server(("127.0.0.1", 0)), "tcp": socket.create_server(("127.0.0.1", 0)), "unix": unix}
    for listener in listeners.values():
        listener.listen()
        listener.setblocking(False)
    port, native_port = (int(listeners[name].getsockname()[1]) for name in ("http", "tcp"))
    given: dict[str, Any] = {"auth": "token", "limits": limits or GatewayLimits()} | more
    settings = GatewaySettings(port=port, http_socket="http", native_socket="unix", native_tcp_socket="tcp", **given)
    gateway = LocalGateway(settings)
    if knows_tokens:
        gateway.switch.accounts.update({}, ())
    http, native = HttpEdge(), NativeEdge()
    try:
        await http.start(gateway, listeners)
        await native.start(gateway, listeners)
        guarded = Guarded(gateway, (http, native), port=port, native_port=native_port, path=path)
        try:
            yield guarded
        finally:
            guarded.close()
    finally:
        await native.stop()
        await http.stop()
        gateway.close()
        for listener in listeners.values():
            listener.close()
    assert gateway.crashes == []
