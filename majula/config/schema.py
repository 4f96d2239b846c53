"""Every key of a node's file, with its meaning, its bounds and its default: the one place where they stand.

The structs are what the rest of the node works with; `decode` fills them from a file, `reference` prints them as documentation.
Names inside carry their unit; where the seed system's key has none, the struct renames it. A default of ``""`` stands for a value
that depends on others and is filled in while loading, as the field's description says.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from majula.config.values import split_address

KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30


def meta(
    description: str,
    kind: str | None = None,
    *,
    ge: float | None = None,
    le: float | None = None,
    shown: str | None = None,
    inactive: bool = False,
) -> Meta:
    """Metadata of one field. `kind` is a reader of `values`; `shown` is the default as the reference prints it, in Markdown."""
    extra: dict[str, Any] = {"kind": kind, "shown": shown, "inactive": inactive}
    return Meta(description=description, ge=ge, le=le, extra=extra)


class SlowConsumer(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is done for a client that reads more slowly than its subscriptions deliver."""

    limit_bytes: Annotated[int, meta("Bytes that wait for one client at most.", "size", ge=64 * KIB, le=1 * GIB)] = 4 * MIB
    limit_messages: Annotated[int, meta("Messages that wait for one client at most.", ge=1, le=10_000_000)] = 65_536
    age_s: Annotated[float, meta("Seconds that the oldest waiting message may wait.", "duration", ge=0.1, le=3600)] = 10.0
    policy: Annotated[
        Literal["drop_newest", "disconnect"],
        meta("At a limit: drop what comes (counted, and the client is told as soon as it reads), or close the connection."),
    ] = "drop_newest"
    stalled_s: Annotated[
        float,
        meta("A client that reads no byte for so many seconds is disconnected under either policy.", "duration", ge=1, le=86_400),
    ] = 60.0


class Limits(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What one client, and one gateway, may use. Beyond a limit the client gets an error that names it."""

    message_bytes: Annotated[int, meta("Payload of one message.", "size", ge=1 * KIB, le=64 * MIB)] = 1 * MIB
    subscriptions_per_client: Annotated[int, meta("Topics and patterns of one client.", ge=1, le=1_000_000)] = 10_000
    registrations_per_client: Annotated[int, meta("Functions that one client offers.", ge=1, le=100_000)] = 1_000
    pending_calls_per_client: Annotated[int, meta("Calls of one client without an answer yet.", ge=1, le=1_000_000)] = 4_096
    connections: Annotated[int, meta("Connections of one gateway.", ge=1, le=1_000_000)] = 10_000
    header_bytes: Annotated[int, meta("Header of one HTTP request.", "size", ge=1 * KIB, le=1 * MIB)] = 32 * KIB
    header_s: Annotated[float, meta("Seconds in which a request's header must be complete.", "duration", ge=0.1, le=600)] = 5.0
    body_stall_s: Annotated[float, meta("Seconds that a request's body may make no progress.", "duration", ge=0.1, le=600)] = 10.0
    nesting_depth: Annotated[int, meta("Depth of JSON and msgpack values.", ge=4, le=512)] = 64
    replay_messages: Annotated[
        int,
        meta("Messages that one flow keeps for replay; beyond, the sender gets `overloaded`.", ge=1, le=1_000_000, inactive=True),
    ] = 1_024
    replay_bytes: Annotated[int, meta("Bytes that one flow keeps for replay.", "size", ge=4 * KIB, le=1 * GIB, inactive=True)] = (
        4 * MIB
    )
    retained_bytes: Annotated[
        int, meta("Retained values of the whole node; in the node's `limits` only.", "size", ge=0, le=4 * GIB)
    ] = 64 * MIB
    messages_per_s: Annotated[
        float, meta("Messages, calls and answers that one client may send in a second, on average; 0: any.", ge=0, le=10_000_000)
    ] = 0.0
    bytes_per_s: Annotated[
        int, meta("Bytes that one client may send in a second, on average; 0: any.", "size", ge=0, le=64 * GIB)
    ] = 0
    controls_per_s: Annotated[
        float,
        meta(
            "Subscriptions, registrations and questions of one client in a second, on average, twice as many at once; 0: any.",
            ge=0,
            le=10_000_000,
        ),
    ] = 10_000.0
    node_messages_per_s: Annotated[
        float,
        meta(
            "As `messages_per_s`, of all clients; only in the node's `limits`. Each gateway gets an equal share; 0: any.",
            ge=0,
            le=10_000_000,
        ),
    ] = 0.0
    node_bytes_per_s: Annotated[
        int,
        meta(
            "As `bytes_per_s`, of all clients; only in the node's `limits`. Each gateway gets an equal share; 0: any.",
            "size",
            ge=0,
            le=64 * GIB,
        ),
    ] = 0
    loop_lag_ms: Annotated[
        float,
        meta(
            "A gateway whose event loop is late by more, for a second, takes no new clients and requests (503); 0: any.",
            ge=0,
            le=60_000,
        ),
    ] = 1_000.0
    memory_bytes: Annotated[
        int,
        meta("A gateway whose process holds more takes no new clients and requests (503); 0: any.", "size", ge=0, le=1_024 * GIB),
    ] = 2 * GIB
    slow_consumer: Annotated[SlowConsumer, meta("Limits of what waits for a client that reads slowly.")] = SlowConsumer()


class Tls(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A certificate and its key, in files of the operator."""

    cert_file: Annotated[str, meta("Certificate chain, PEM, the own certificate first.", "path")]
    key_file: Annotated[
        str, meta("Its private key, PEM, without a passphrase. Only its owner may read it (mode 0600 or 0400).", "path")
    ]


class NativePort(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The native port of a gateway: length-prefixed binary frames, what the SDK chooses where it can."""

    unix: Annotated[
        str,
        meta("Path of its Unix socket (100 bytes at most), or `off`.", "unix_listener", shown="`<run_dir>/native-<port>.sock`"),
    ] = ""
    tcp: Annotated[
        str,
        meta(
            "Address that it also listens on by TCP, or `off`. The gateway's `auth`, `tls` and `ip_allow` hold there too.",
            "tcp_listener",
        ),
    ] = "off"

    @property
    def unix_path(self) -> str | None:
        """The socket's path, None where it is off."""
        return None if self.unix == "off" else self.unix

    @property
    def tcp_address(self) -> tuple[str, int] | None:
        """Host and port, None where it is off."""
        return None if self.tcp == "off" else split_address(self.tcp)


class Gateway(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One gateway: where clients attach by HTTP, WebSocket and the native port."""

    port: Annotated[int, meta("TCP port of HTTP and WebSocket.", ge=1, le=65535)]
    bind: Annotated[
        str, meta("IP address to listen on. Beyond loopback only with `auth: token`, and with `tls` or `insecure: true`.", "ip")
    ] = "127.0.0.1"
    auth: Annotated[
        Literal["none", "token"],
        meta("How clients prove who they are: by a token, or (on loopback only) not at all: then each may do everything."),
    ] = "none"
    tls: Annotated[
        Tls | None, meta("Serve HTTPS and WSS, and TLS on the native port's TCP address, with this certificate.", shown="none")
    ] = None
    insecure: Annotated[
        bool, meta("Listen beyond loopback without `tls`, where something else encrypts. It never waives `auth`.")
    ] = False
    ip_allow: Annotated[
        tuple[Annotated[str, meta("", "network")], ...],
        meta("Addresses and networks that may connect, by TCP; empty: all. Checked before TLS."),
    ] = ()
    hosts: Annotated[
        tuple[Annotated[str, meta("", "host")], ...],
        meta("Host names that are served beside the bound address, localhost, 127.0.0.1 and [::1]."),
    ] = ()
    origins: Annotated[
        tuple[Annotated[str, meta("", "origin")], ...], meta("Origins of other web sites whose pages may use this gateway.")
    ] = ()
    native: Annotated[NativePort, meta("The native port.")] = NativePort()
    limits: Annotated[Limits, meta("Limits of this gateway; what is left out here is taken from the node's `limits`.")] = Limits()


class KcpOptions(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of a channel over UDP."""

    frame_size: Annotated[int, meta("Bytes of one frame on the wire.", "size", ge=256, le=1 * MIB)] = 4096
    inactive_seconds: Annotated[
        float, meta("Seconds of silence after which the peer counts as gone.", "duration", ge=0.1, le=86_400)
    ] = 10.0
    send_queue_size: Annotated[int, meta("Frames that wait for one peer at most.", ge=1, le=1_000_000)] = 1000
    max_connections_per_sec: Annotated[int, meta("Connections that a server channel accepts in a second.", ge=1, le=100_000)] = 5
    ip_whitelist: Annotated[
        tuple[Annotated[str, meta("", "network")], ...], meta("Addresses and networks that may connect; empty: all.")
    ] = ()


class TcpOptions(KcpOptions, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of a channel over TCP."""

    tls: Annotated[
        Tls | Literal["off"] | None,
        meta("Own certificate, or `off` (loopback only).", shown="a certificate made from the node's key"),
    ] = None


class Channel(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One configured way to other nodes: a listener, or an address to dial."""

    type: Annotated[Literal["server", "client"], meta("Listen, or dial.")]
    protocol: Annotated[Literal["tcp", "kcp"], meta("TCP, or the same over UDP.")] = "tcp"
    listen_addr: Annotated[str, meta("Where a server channel listens.", "address", shown="required for `server`")] = ""
    remote_addr: Annotated[str, meta("Whom a client channel dials.", "address", shown="required for `client`")] = ""
    peer_id: Annotated[str, meta("Node that a client channel expects there; left out: any.", "name", shown="any")] = ""
    tcp: Annotated[TcpOptions, meta("Settings of `protocol: tcp`.")] = TcpOptions()
    kcp: Annotated[KcpOptions, meta("Settings of `protocol: kcp`.")] = KcpOptions()


class RaftGroup(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One Raft group of which this node is a member."""

    group: Annotated[str, meta("Its name.", "name")]
    peers: Annotated[tuple[Annotated[str, meta("", "name")], ...], meta("Node ids of all members, this one included.")]
    dbpath: Annotated[str, meta("Directory of its log and snapshots.", "path")]


class SignalingClient(
    Struct,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    rename={"reconnect_interval_s": "reconnect_interval", "heartbeat_interval_s": "heartbeat_interval"},
):
    """The signaling server that introduces this node to others behind NATs."""

    enabled: Annotated[bool, meta("Whether this node registers there.")] = False
    url: Annotated[str, meta("WebSocket address of the server.", "websocket_url")] = "ws://localhost:8080/ws"
    udp_port: Annotated[int, meta("UDP port of the server.", ge=1, le=65535)] = 8081
    reconnect_interval_s: Annotated[float, meta("Pause before the next try.", "duration", ge=0.1, le=3600)] = 30.0
    heartbeat_interval_s: Annotated[float, meta("Pause between heartbeats.", "duration", ge=0.1, le=3600)] = 30.0


class Log(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Log on standard error, one line an event."""

    format: Annotated[Literal["auto", "console", "json"], meta("`auto` is console on a terminal and json elsewhere.")] = "auto"
    level: Annotated[Literal["debug", "info", "warning", "error"], meta("The lowest level that is written.")] = "info"
    levels: Annotated[
        dict[Annotated[str, meta("", "role")], Literal["debug", "info", "warning", "error"]],
        meta("The lowest level of single roles (`router`, `gateway:18080`) or of all of a kind (`gateway`), by role."),
    ] = {}


class NodeConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One node. No key must be there."""

    node_id: Annotated[
        str,
        meta(
            "Name of the node, unique in its mesh: 1-128 of `A-Za-z0-9._-`. Left out, one is made at the first start and kept in"
            " `<data_dir>/node_id`, or in `./majula-data/node_id` where `data_dir` is left out too.",
            "name",
            shown="name of the host and six random characters",
        ),
    ] = ""
    token: Annotated[
        str,
        meta(
            "Secret that the nodes of a mesh share. It must be random: 128 bits or more. `file:PATH` takes it from the first line"
            " of a file that only its owner can read, `env:NAME` from the environment, where it is then removed.",
            "secret",
            inactive=True,
        ),
    ] = ""
    data_dir: Annotated[
        str,
        meta(
            "Directory of all that outlives the process; one node at a time may hold it.",
            "path",
            shown="`./majula-data/<node_id>`",
        ),
    ] = ""
    run_dir: Annotated[
        str,
        meta(
            "Private directory (mode 0700) of the node's sockets.",
            "path",
            shown="`$XDG_RUNTIME_DIR/majula/<node_id>-<8 hex of data_dir>`, else the same under `/tmp/majula-<uid>`",
        ),
    ] = ""
    majula_servers: Annotated[tuple[Gateway, ...], meta("The gateways, one an entry.", shown="one entry, port 18080")] = ()
    limits: Annotated[Limits, meta("Limits of all gateways of this node.")] = Limits()
    log: Annotated[Log, meta("The log.")] = Log()
    drain_s: Annotated[
        float, meta("Seconds that work in flight gets to finish when the node is told to stop.", "duration", ge=0, le=3600)
    ] = 10.0
    channels: Annotated[tuple[Channel, ...], meta("Ways to other nodes.", inactive=True)] = ()
    raft: Annotated[tuple[RaftGroup, ...], meta("Raft groups.", inactive=True)] = ()
    signaling_server: Annotated[SignalingClient, meta("Signaling server.", inactive=True)] = SignalingClient()

    def __repr__(self) -> str:
        """Short, and without the token: a configuration may end up in a traceback or a log."""
        return f"NodeConfig(node_id={self.node_id!r}, data_dir={self.data_dir!r}, run_dir={self.run_dir!r})"
