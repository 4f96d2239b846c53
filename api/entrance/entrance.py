"""The way in of one TCP listener: the address list, then the TLS handshake, then the surface's own protocol.

The handshake is begun here and not by the server (`ssl=`), because a server asks nobody before it: who is not on the list would
cost a handshake, and how many are under way could not be bounded. It has a deadline like every half-open connection.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from collections.abc import Callable, Coroutine, Iterable
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any, Protocol, cast

log = logging.getLogger("majula.entrance")

# An honest client takes two round trips.
_HANDSHAKE_S = 5.0
# A peer that does not answer the farewell would hold its connection for the default of 30 s.
_FAREWELL_S = 2.0
_BACKLOG = 1_024
# What came behind the handshake in its last packet, before the surface takes over. Reading is stopped beyond it.
_EARLY_BYTES = 262_144

_Network = IPv4Network | IPv6Network


class Spawn(Protocol):
    """A task of the gateway, see `EdgeContext.spawn`."""

    def __call__(self, coroutine: Coroutine[Any, Any, None], *, name: str) -> object: ...


class Entrance:
    """Of one listener.

    Args:
        make: the surface's protocol for one connection.
        spawn: starts the task of a handshake.
        handshakes: how many may be under way.
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop, make: Callable[[], asyncio.Protocol], *, spawn: Spawn, handshakes: int
    ) -> None:
        self.loop = loop
        self.make = make
        self.spawn = spawn
        self.context: ssl.SSLContext | None = None
        self._limit = handshakes
        self._networks: tuple[_Network, ...] = ()
        self._arrivals: set[_Arrival] = set()
        self._turned_away = 0
        self._failed = 0

    def renew(self, *, ip_allow: Iterable[str], context: ssl.SSLContext | None) -> None:
        """Set who may connect, and the certificate. Connections that stand are not touched."""
        self._networks = tuple(ip_network(entry, strict=False) for entry in ip_allow)
        self.context = context

    async def open(self, listener: socket.socket) -> asyncio.Server:
        """Serve on this socket."""
        return await self.loop.create_server(lambda: _Arrival(self), sock=listener, backlog=_BACKLOG)

    def close(self) -> None:
        """Break off the handshakes that are under way."""
        for arrival in list(self._arrivals):
            arrival.abort()

    def statistics(self, surface: str) -> dict[str, int]:
        """Counted since the start; the names begin with the surface's."""
        return {
            f"{surface}_handshakes": len(self._arrivals),
            f"{surface}_handshakes_failed_total": self._failed,
            f"{surface}_turned_away_total": self._turned_away,
        }

    # --- of an arrival

    def admits(self, address: str) -> bool:
        """Whether this address may connect."""
        if not self._networks:
            return True
        try:
            found = ip_address(address.partition("%")[0])
        except ValueError:
            return False
        if isinstance(found, IPv6Address) and found.ipv4_mapped is not None:
            found = found.ipv4_mapped
        return any(found in network for network in self._networks)

    def began(self, arrival: _Arrival) -> bool:
        """A handshake is to begin; False: as many as may are under way."""
        if len(self._arrivals) >= self._limit:
            self._turned_away += 1
            return False
        self._arrivals.add(arrival)
        return True

    def ended(self, arrival: _Arrival, *, failed: bool) -> None:
        """Its handshake is over."""
        self._arrivals.discard(arrival)
        self._failed += failed

    def turned_away(self) -> None:
        """An address that is not on the list."""
        self._turned_away += 1


class _Arrival(asyncio.Protocol):
    """One connection on its way in."""

    def __init__(self, entrance: Entrance) -> None:
        self._entrance = entrance
        self._transport: asyncio.Transport | None = None
        self._early = bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # A cast: uvloop's transports have the methods of asyncio.Transport without being instances of it.
        transport = self._transport = cast(asyncio.Transport, transport)
        entrance = self._entrance
        peer = transport.get_extra_info("peername")
        if not entrance.admits(str(peer[0]) if peer else ""):
            entrance.turned_away()
            transport.abort()
            return
        if entrance.context is None:
            self._enter(transport)
            return
        if not entrance.began(self):
            transport.abort()
            return
        transport.pause_reading()  # the first bytes belong to the handshake
        entrance.spawn(self._shake_hands(transport, entrance.context), name="entrance.handshake")

    def data_received(self, data: bytes) -> None:
        """Behind the handshake; the surface gets it in a moment."""
        self._early += data
        if len(self._early) > _EARLY_BYTES:
            self.abort()

    def abort(self) -> None:
        """Break it off."""
        if self._transport is not None:
            self._transport.abort()

    async def _shake_hands(self, transport: asyncio.Transport, context: ssl.SSLContext) -> None:
        failed = True
        try:
            secured = await self._entrance.loop.start_tls(
                transport,
                self,
                context,
                server_side=True,
                ssl_handshake_timeout=_HANDSHAKE_S,
                ssl_shutdown_timeout=_FAREWELL_S,
            )
            if secured is not None and not secured.is_closing():
                self._enter(secured)
                failed = False
        except (OSError, TimeoutError) as error:  # ssl.SSLError is an OSError
            log.debug("entrance.handshake_failed", extra={"reason": str(error)[:200]})
            transport.abort()
        except Exception:
            # Ours, but one stranger's trouble: the gateway goes on.
            log.exception("entrance.failed")
            transport.abort()
        finally:
            self._entrance.ended(self, failed=failed)

    def _enter(self, transport: asyncio.Transport) -> None:
        protocol = self._entrance.make()
        transport.set_protocol(protocol)
        protocol.connection_made(transport)
        if self._early:
            protocol.data_received(bytes(self._early))
            self._early.clear()
