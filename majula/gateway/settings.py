"""What a gateway is told when it starts: its listeners, edges and limits."""

from __future__ import annotations

from typing import Literal

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
    messages_per_s: float = 0.0
    """A client, on average; 0: any. Likewise below."""
    bytes_per_s: float = 0.0
    controls_per_s: float = 10_000.0
    """Of a client: whatever is no message, call or answer. A SUBSCRIBE costs the gateway 20 us and the routes that it knew, so
    10,000 are a fifth of a core; a program that connects again sends 11,000 at most, which twice this rate at once lets pass."""
    gateway_messages_per_s: float = 0.0
    """All clients of this gateway: its share of the node's."""
    gateway_bytes_per_s: float = 0.0
    loop_lag_ms: float = 1_000.0
    """Later than this for a second, it takes nobody new; 0: no mark."""
    memory_bytes: int = 2 << 30
    """Likewise, if its process holds more."""


class GatewaySettings(msgspec.Struct, frozen=True):
    """One gateway.

    port: the number that names it; its role is `gateway:<port>`.
    edges: dotted paths `module:Class` of what it serves; the runner injects them, so that actors never import the api.
    http_socket, native_socket, native_tcp_socket: names of the listening sockets that the runner holds; empty: none.
    hosts, origins: Host values and cross-site origins that are served beside the gateway's own.
    gateways: roles of all gateways of this node, this one included.
    version: of Majula, for `node.info`.
    auth: `none` or `token`.
    cert_file, key_file: of TLS for HTTP and the native port by TCP; empty: none.
    ip_allow: addresses and networks that may connect by TCP; empty: all.
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
    auth: Literal["none", "token"] = "none"
    cert_file: str = ""
    key_file: str = ""
    ip_allow: tuple[str, ...] = ()
