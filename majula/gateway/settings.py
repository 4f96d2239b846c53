"""What a gateway is told when it starts: its listeners, edges and limits."""

from __future__ import annotations

import msgspec


class GatewayLimits(msgspec.Struct, frozen=True):
    """Bounds of one gateway. All can be set per `majula_servers` entry under `limits`."""

    message_bytes: int = 1 << 20
    """Largest payload of one message or call."""
    subscriptions: int = 10_000
    """A client."""
    registrations: int = 1_000
    """A client."""
    pending_calls: int = 4_096
    """A client, as caller; and again as provider."""
    connections: int = 10_000
    """This gateway."""
    header_s: float = 5.0
    """A connection that has not sent its whole HTTP header, or its HELLO, by then is closed."""
    header_bytes: int = 32_768
    body_s: float = 10.0
    """A request body or frame without progress for so long ends the connection."""
    nesting: int = 64
    """Depth of JSON and msgpack."""
    queue_bytes: int = 4 << 20
    """What may wait for one client that does not read."""
    queue_messages: int = 65_536
    queue_age_s: float = 10.0
    slow_policy: str = "drop_newest"
    """`drop_newest`: counted and told by SLOW; `disconnect`: the client is cut off at the first message that does not fit."""
    silent_s: float = 60.0
    """A client that took no byte for so long while something waited is disconnected under either policy."""


class GatewaySettings(msgspec.Struct, frozen=True):
    """One gateway.

    port: the number that names it; its role is `gateway:<port>`.
    edges: dotted paths `module:Class` of what it serves; the runner injects them, so that actors never import the api.
    http_socket, native_socket, native_tcp_socket: names of the listening sockets that the runner holds; empty: none.
    hosts, origins: Host values and cross-site origins that are served beside the gateway's own.
    gateways: roles of all gateways of this node, this one included.
    version: of Majula, for `node.info`.
    """

    port: int
    bind: str = "127.0.0.1"
    edges: tuple[str, ...] = ()
    http_socket: str = ""
    native_socket: str = ""
    native_tcp_socket: str = ""
    hosts: tuple[str, ...] = ()
    origins: tuple[str, ...] = ()
    gateways: tuple[str, ...] = ()
    limits: GatewayLimits = GatewayLimits()
    version: str = ""
