"""Rules that concern more than one value, and what the operator is warned of. Problems refuse the file, warnings do not."""

from __future__ import annotations

import math

from majula.config.decode import Check, Path, Places
from majula.config.document import Problems, quote
from majula.config.rundir import MAX_RUN_DIR_BYTES, MAX_SOCKET_PATH_BYTES
from majula.config.schema import Channel, Gateway, NodeConfig
from majula.config.values import is_loopback

DEFAULT_TOKENS = frozenset({"default_token", "changeme", "token", "secret", "password"})
"""Tokens of templates: whoever has read one knows them all."""

MIN_TOKEN_BITS = 128


def check_gateway(gateway: Gateway, path: Path, places: Places, problems: Problems) -> None:
    """Nothing is served beyond this machine before clients have accounts."""
    if not is_loopback(gateway.bind):
        problems.add(
            places.mark(*path, "bind"),
            f"{gateway.bind} can be reached from other machines, and clients have no accounts yet: bind 127.0.0.1 or ::1",
        )
    address = gateway.native.tcp_address
    if address is not None and not _is_loopback_host(address[0]):
        problems.add(
            places.mark(*path, "native", "tcp"),
            f"{quote(address[0])} is not a loopback address, and clients have no accounts yet: use 127.0.0.1:{address[1]}",
        )


def check_channel(channel: Channel, path: Path, places: Places, problems: Problems) -> None:
    """A listener listens, a dialler dials, and the options are those of its protocol."""
    wanted, other = ("listen_addr", "remote_addr") if channel.type == "server" else ("remote_addr", "listen_addr")
    if not places.is_given(*path, wanted):
        problems.add(places.mark(*path), f"a channel of type {channel.type} needs '{wanted}'")
    if places.is_given(*path, other):
        problems.add(places.mark(*path, other), f"a channel of type {channel.type} has no '{other}'")
    if channel.type == "server" and places.is_given(*path, "peer_id"):
        problems.add(
            places.mark(*path, "peer_id"), "a channel of type server takes any peer: 'peer_id' belongs to a client channel"
        )
    unused = "kcp" if channel.protocol == "tcp" else "tcp"
    if places.is_given(*path, unused):
        problems.add(places.mark(*path, unused), f"'{unused}' does not apply to a channel of protocol {channel.protocol}")


STRUCT_CHECKS: dict[type, Check] = {Gateway: check_gateway, Channel: check_channel}
"""Rules within one struct."""


def check_node(config: NodeConfig, places: Places, problems: Problems) -> None:
    """Rules between the parts of a node."""
    if places.is_given("majula_servers") and not config.majula_servers and not problems.found:
        problems.add(places.mark("majula_servers"), "a node without a gateway serves nobody: add '- port: 18080'")
    ports: dict[int, int] = {}
    listeners: dict[tuple[str, int], str] = {(entry.bind, entry.port): f"gateway {entry.port}" for entry in config.majula_servers}
    for at, gateway in enumerate(config.majula_servers):
        here = ("majula_servers", at)
        if gateway.port in ports:
            problems.add(places.mark(*here, "port"), f"port {gateway.port} is that of majula_servers[{ports[gateway.port]}] too")
        ports.setdefault(gateway.port, at)
        if gateway.limits.retained_bytes != config.limits.retained_bytes:
            problems.add(
                places.mark(*here, "limits", "retained_bytes"),
                "'retained_bytes' is of the whole node, whatever the gateway: set it in the node's 'limits'",
            )
        address = gateway.native.tcp_address
        if address is not None:
            if address in listeners:
                problems.add(places.mark(*here, "native", "tcp"), f"{address[0]}:{address[1]} is taken by {listeners[address]}")
            listeners.setdefault(address, f"the native port of gateway {gateway.port}")
    groups: set[str] = set()
    for at, raft in enumerate(config.raft):
        if raft.group in groups:
            problems.add(places.mark("raft", at, "group"), f"the group {quote(raft.group)} stands here twice")
        groups.add(raft.group)
        if len(set(raft.peers)) != len(raft.peers):
            problems.add(places.mark("raft", at, "peers"), "a member stands here twice")
        if config.node_id not in raft.peers:
            problems.add(places.mark("raft", at, "peers"), f"this node, {quote(config.node_id)}, is not among the peers")


def check_sockets(config: NodeConfig, places: Places, problems: Problems) -> None:
    """Report Unix sockets that the system cannot open. Needs the resolved paths, so it runs last."""
    length = _bytes(config.run_dir)
    if length > MAX_RUN_DIR_BYTES:
        is_own = places.is_given("run_dir")
        advice = "shorten it" if is_own else "set a shorter 'run_dir'"
        problems.add(
            places.mark("run_dir") if is_own else places.mark("node_id"),
            f"the run directory {quote(config.run_dir)} has {length} bytes,"
            f" more than the {MAX_RUN_DIR_BYTES} that leave room for its sockets: {advice}",
        )
    used: dict[str, int] = {}
    for at, gateway in enumerate(config.majula_servers):
        path = gateway.native.unix_path
        if path is None:
            continue
        mark = places.mark("majula_servers", at, "native", "unix")
        if _bytes(path) > MAX_SOCKET_PATH_BYTES and places.is_given("majula_servers", at, "native", "unix"):
            problems.add(mark, f"the socket path {quote(path)} has {_bytes(path)} bytes, more than {MAX_SOCKET_PATH_BYTES}")
        if path in used and config.majula_servers[used[path]].port != gateway.port:  # else the port says it already
            problems.add(mark, f"the socket {quote(path)} is that of majula_servers[{used[path]}] too")
        used[path] = at


def warn(config: NodeConfig, places: Places, found: Problems) -> None:
    """Report what works but should be known."""
    for at, gateway in enumerate(config.majula_servers):
        mark = places.mark("majula_servers", at, "auth")
        found.add(mark, f"the gateway on {gateway.bind}:{gateway.port} has auth: none: every program of this machine may use it")
    if not config.token:
        return
    mark = places.mark("token")
    if config.token in DEFAULT_TOKENS:
        found.add(
            mark,
            f"the token {quote(config.token)} is a template's, so anybody knows it: replace it before a link leaves this machine",
        )
    elif (bits := token_bits(config.token)) < MIN_TOKEN_BITS:
        found.add(
            mark, f"the token holds at most {bits} bits, less than {MIN_TOKEN_BITS}: take 22 or more random letters and digits"
        )


def inactive(config: NodeConfig) -> tuple[str, ...]:
    """Names of the parts that are checked but not carried out yet, for one log line."""
    found = []
    if config.channels:
        found.append(f"channels ({len(config.channels)})")
    if config.raft:
        found.append(f"raft ({len(config.raft)})")
    if config.signaling_server.enabled:
        found.append("signaling_server")
    return tuple(found)


def token_bits(token: str) -> int:
    """At most so many bits of chance are in the token: its length by the alphabet that it shows. A passphrase has far fewer."""
    classes = (
        (10, str.isdigit),
        (26, str.islower),
        (26, str.isupper),
        (33, lambda char: not char.isalnum()),
    )
    alphabet = sum(count for count, belongs in classes if any(belongs(char) for char in token))
    is_hex = all(char in "0123456789abcdef" for char in token)
    return math.floor(len(token) * math.log2(16 if is_hex else max(alphabet, 2)))


def _bytes(path: str) -> int:
    return len(path.encode("utf-8", "surrogateescape"))


def _is_loopback_host(host: str) -> bool:
    try:
        return is_loopback(host)
    except ValueError:
        return False  # a name: what it means depends on a resolver
