"""The way in of one TCP listener: the address list, then the TLS handshake, then the surface's own protocol.

The handshake is begun here and not by the server (`ssl=`), because a server asks nobody before it: who is not on the list would
cost a handshake, and how many are under way could not be bounded. It has a deadline like every half-open connection.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import ssl
from collections.abc import Callable, Coroutine, Iterable
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from math import inf
from typing import Any, Protocol, cast

from majula.api.entrance.tls import server_context
from majula.errors import ConfigError

log = logging.getLogger("majula.entrance")

HANDSHAKE_S = 5.0
"""An honest client takes two round trips."""

# While there is no certificate: the files are read again at most this often, when somebody connects.
_AGAIN_S = 1.0
# A peer that does not answer the farewell would hold its connection for the default of 30 s.
_FAREWELL_S = 2.0
_BACKLOG = 1_024

_Network = IPv4Network | IPv6Network


class Spawn(Protocol):
    """A task of the gateway, see `EdgeContext.spawn`."""

    def __call__(self, coroutine: Coroutine[Any, Any, None], *, name: str) -> asyncio.Task[None]: ...


class Entrance:
    """Of one listener.

    Args:
        make: the surface's protocol for one connection.
        spawn: starts the task of a handshake.
        room: how many connections more may be open, those that shake hands among them.
        handshake_s: within which each must be done.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        make: Callable[[], asyncio.Protocol],
        *,
        spawn: Spawn,
        room: Callable[[], int],
        handshake_s: float = HANDSHAKE_S,
    ) -> None:
        self.loop = loop
        self.make = make
        self.spawn = spawn
        self.handshake_s = handshake_s
        self._files: tuple[str, str] | None = None
        self._context: ssl.SSLContext | None = None
        self._read_at = -inf
        self._room = room
        self._networks: tuple[_Network, ...] = ()
        self._arrivals: set[_Arrival] = set()
        self._turned_away = 0
        self._failed = 0

    def renew(self, *, ip_allow: Iterable[str], cert_file: str, key_file: str) -> None:
        """Set who may connect, and the certificate; empty: no TLS. Connections that stand are not touched.

        Where a certificate cannot be used the one before it stays, and the log says why. Where there is none before it nobody
        gets in here until the files are right: a gateway that is started again while they are written must not end the node.
        """
        self._networks = tuple(ip_network(entry, strict=False) for entry in ip_allow)
        self._files = (cert_file, key_file) if cert_file else None
        self._read()

    def _read(self) -> None:
        self._read_at = self.loop.time()
        try:
            self._context = None if self._files is None else server_context(*self._files)
        except ConfigError as error:
            log.error("certificate.refused", extra={"reason": error.message})

    @property
    def is_encrypted(self) -> bool:
        """Whether TLS is spoken here."""
        return self._files is not None

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

    def certificate(self) -> ssl.SSLContext | None:
        """What handshakes are made with; None: there is none that can be used."""
        if self._context is None and self.loop.time() >= self._read_at + _AGAIN_S:
            self._read()
        return self._context

    def began(self, arrival: _Arrival) -> bool:
        """A handshake is to begin; False: there are as many connections as may be."""
        if len(self._arrivals) >= self._room():
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
        self._task: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # A cast: uvloop's transports have the methods of asyncio.Transport without being instances of it.
        transport = cast(asyncio.Transport, transport)
        entrance = self._entrance
        peer = transport.get_extra_info("peername")
        if not entrance.admits(str(peer[0]) if peer else ""):
            entrance.turned_away()
            transport.abort()
        elif not entrance.is_encrypted:
            protocol = entrance.make()
            transport.set_protocol(protocol)
            protocol.connection_made(transport)
        elif (context := entrance.certificate()) is None or not entrance.began(self):
            transport.abort()
        else:
            self._begin(transport, context)

    def _begin(self, transport: asyncio.Transport, context: ssl.SSLContext) -> None:
        """Nothing has been read yet. The connection gets a new transport, which begins with the handshake: `start_tls` on this
        one would lose what uvloop reads in between."""
        try:
            connection = socket.socket(fileno=os.dup(transport.get_extra_info("socket").fileno()))
        except OSError as error:  # no descriptor is left
            log.warning("entrance.no_descriptor", extra={"reason": error.strerror})
            self._entrance.ended(self, failed=True)
            return
        finally:
            transport.abort()
        connection.setblocking(False)
        self._task = self._entrance.spawn(self._shake_hands(connection, context), name="entrance.handshake")

    def abort(self) -> None:
        """Break it off."""
        if self._task is not None:
            self._task.cancel()

    async def _shake_hands(self, connection: socket.socket, context: ssl.SSLContext) -> None:
        failed = True
        entrance = self._entrance
        try:
            await entrance.loop.connect_accepted_socket(
                entrance.make,
                connection,
                ssl=context,
                ssl_handshake_timeout=entrance.handshake_s,
                ssl_shutdown_timeout=_FAREWELL_S,
            )
            failed = False
        except (OSError, TimeoutError) as error:  # ssl.SSLError is an OSError
            log.debug("entrance.handshake_failed", extra={"reason": str(error)[:200]})
        except Exception:
            # Ours, but one stranger's trouble: the gateway goes on.
            log.exception("entrance.failed")
        finally:
            entrance.ended(self, failed=failed)
            if failed:
                connection.close()
