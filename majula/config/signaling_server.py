"""Every key of a signaling server's file: its names, meanings and defaults are those of the system that this one succeeds.

The server itself is a part of a later version; its file is checked and its template made from here.
"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Struct

from majula.config.decode import Places
from majula.config.document import Problems
from majula.config.schema import MIB, meta
from majula.config.values import is_loopback


class Server(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the server says about itself."""

    name: Annotated[str, meta("Its name.")] = "Majula Signaling Server"
    version: Annotated[str, meta("Its version, as its operator counts.")] = "1.0.0"
    description: Annotated[str, meta("A sentence for people.")] = (
        "Signaling server, for finding nodes and coordinating connections"
    )


class Network(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where it listens."""

    http_port: Annotated[int, meta("TCP port of HTTP and WebSocket.", ge=1, le=65535)] = 8080
    udp_port: Annotated[int, meta("UDP port.", ge=1, le=65535)] = 8081
    host: Annotated[str, meta("IP address to listen on.", "ip")] = "0.0.0.0"  # noqa: S104 - whom it introduces come from everywhere


class WebSocket(
    Struct,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    rename={
        "read_timeout_s": "read_timeout",
        "write_timeout_s": "write_timeout",
        "ping_interval_s": "ping_interval",
        "pong_wait_s": "pong_wait",
        "max_message_bytes": "max_message_size",
    },
):
    """Connections of nodes."""

    read_timeout_s: Annotated[float, meta("Silence after which a node counts as gone.", "duration", ge=1, le=3600)] = 60.0
    write_timeout_s: Annotated[float, meta("Time in which a node must take what it is sent.", "duration", ge=0.1, le=3600)] = 10.0
    ping_interval_s: Annotated[float, meta("Pause between pings.", "duration", ge=1, le=3600)] = 30.0
    pong_wait_s: Annotated[float, meta("Time in which a ping must be answered.", "duration", ge=1, le=3600)] = 60.0
    max_message_bytes: Annotated[int, meta("Largest message of a node.", "size", ge=512, le=1 * MIB)] = 4096


class NodeManagement(
    Struct,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    rename={"cleanup_interval_s": "cleanup_interval", "offline_timeout_s": "offline_timeout"},
):
    """Which nodes it knows."""

    cleanup_interval_s: Annotated[float, meta("Pause between looks for nodes that have gone.", "duration", ge=1, le=86_400)] = (
        300.0
    )
    offline_timeout_s: Annotated[float, meta("Silence after which a node is forgotten.", "duration", ge=1, le=86_400)] = 600.0
    max_nodes: Annotated[int, meta("Nodes that it knows at most.", ge=1, le=1_000_000)] = 1000


class Logging(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Its log."""

    level: Annotated[Literal["debug", "info", "warning", "error"], meta("The lowest level that is written.")] = "info"
    format: Annotated[Literal["json", "console", "text"], meta("One line an event; `text` is `console`.")] = "json"
    output: Annotated[Literal["stdout", "stderr", "file"], meta("Where to.")] = "stdout"
    file_path: Annotated[str, meta("Of `output: file`.", "optional_path")] = ""


class Security(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who may use it, and how much."""

    enable_cors: Annotated[bool, meta("Whether pages of other web sites may use it.")] = True
    allowed_origins: Annotated[tuple[Annotated[str, meta("", "any_origin")], ...], meta("Which; `*`: all.")] = ("*",)
    enable_rate_limit: Annotated[bool, meta("Whether requests of one address are counted.")] = True
    max_requests_per_minute: Annotated[int, meta("Requests of one address in a minute.", ge=1, le=1_000_000)] = 100


class Monitoring(
    Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename={"health_check_interval_s": "health_check_interval"}
):
    """What an operator can look at."""

    enable_metrics: Annotated[bool, meta("Whether metrics are served.")] = True
    metrics_port: Annotated[int, meta("TCP port of the metrics.", ge=1, le=65535)] = 9090
    health_check_interval_s: Annotated[float, meta("Pause between looks at itself.", "duration", ge=1, le=3600)] = 30.0


class Advanced(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """For its developers."""

    enable_debug: Annotated[bool, meta("Whether it tells more.")] = False
    enable_profiling: Annotated[bool, meta("Whether profiles are served.")] = False
    profile_port: Annotated[int, meta("TCP port of the profiles.", ge=1, le=65535)] = 6060


class SignalingServerConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One signaling server. No key must be there."""

    server: Annotated[Server, meta("What it says about itself.")] = Server()
    network: Annotated[Network, meta("Where it listens.")] = Network()
    websocket: Annotated[WebSocket, meta("Connections of nodes.")] = WebSocket()
    node_management: Annotated[NodeManagement, meta("Which nodes it knows.")] = NodeManagement()
    logging: Annotated[Logging, meta("Its log.")] = Logging()
    security: Annotated[Security, meta("Who may use it.")] = Security()
    monitoring: Annotated[Monitoring, meta("What an operator can look at.")] = Monitoring()
    advanced: Annotated[Advanced, meta("For its developers.")] = Advanced()


def check_server(config: SignalingServerConfig, places: Places, problems: Problems) -> None:
    """Rules between the parts."""
    ports: dict[int, str] = {config.network.http_port: "network.http_port"}
    found = [("monitoring", "metrics_port", config.monitoring.metrics_port)] if config.monitoring.enable_metrics else []
    found += [("advanced", "profile_port", config.advanced.profile_port)] if config.advanced.enable_profiling else []
    for section, name, port in found:
        if port in ports:
            problems.add(places.mark(section, name), f"{section}.{name} and {ports[port]} are both {port}")
        ports.setdefault(port, f"{section}.{name}")
    if config.logging.output == "file" and not config.logging.file_path:
        problems.add(places.mark("logging", "output"), "the output is 'file', so logging.file_path must name one")


def warn_server(config: SignalingServerConfig, places: Places, found: Problems) -> None:
    """What works but should be known."""
    security, host = config.security, config.network.host
    if security.enable_cors and "*" in security.allowed_origins:
        found.add(
            places.mark("security", "allowed_origins"),
            "every web site may use this server from its visitors' browsers: name the origins that are yours",
        )
    if not is_loopback(host):
        found.add(places.mark("network", "host"), f"the server on {host} can be reached from other machines, without TLS")


def server_reach(config: SignalingServerConfig) -> tuple[str, ...]:
    """What listens where, a line each."""
    host, ports = config.network.host, config.network
    where = "this machine only" if is_loopback(host) else "other machines"
    found = [f"http://{host}:{ports.http_port} and udp {host}:{ports.udp_port}: {where}, in the clear (not active yet)"]
    if config.monitoring.enable_metrics:
        found.append(f"metrics on port {config.monitoring.metrics_port} (not active yet)")
    if config.advanced.enable_profiling:
        found.append(f"profiles on port {config.advanced.profile_port} (not active yet)")
    return tuple(found)
