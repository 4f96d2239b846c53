"""Rules that concern more than one value, and what the operator is warned of. Problems refuse the file, warnings do not."""

from __future__ import annotations

import math
from ipaddress import ip_address

from majula.config.decode import Check, Path, Places
from majula.config.document import Mark, Problems, quote
from majula.config.rundir import MAX_RUN_DIR_BYTES, MAX_SOCKET_PATH_BYTES
from majula.config.schema import Channel, Gateway, NodeConfig
from majula.config.values import is_loopback

DEFAULT_TOKENS = frozenset({"default_token", "changeme", "token", "secret", "password"})
"""Tokens of templates: whoever has read one knows them all."""

MIN_TOKEN_BITS = 128

NODE_LIMITS = ("retained_bytes", "node_messages_per_s", "node_bytes_per_s")
"""Of `limits`: what holds for the node as a whole, so no gateway has one of its own."""


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


STRUCT_CHECKS: dict[type, Check] = {Channel: check_channel}
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
        for name in NODE_LIMITS:
            if getattr(gateway.limits, name) != getattr(config.limits, name):
                problems.add(
                    places.mark(*here, "limits", name),
                    f"'{name}' is of the whole node, whatever the gateway: set it in the node's 'limits'",
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


def refuse_start(config: NodeConfig, places: Places, problems: Problems) -> None:
    """Report what may be written but not run: what other machines can reach without proof of who they are, or in the clear, or
    with a secret that is none. The file can be read and shown all the same; a node does not start with it."""
    is_open = False
    for at, gateway in enumerate(config.majula_servers):
        for host, mark in reachable(gateway, ("majula_servers", at), places):
            is_open = True
            if gateway.auth == "none":
                problems.add(
                    mark,
                    f"{quote(host)} can be reached from other machines, so clients must prove who they are there:"
                    " set auth: token, or use 127.0.0.1",
                )
            elif gateway.tls is None and not gateway.insecure:
                problems.add(
                    mark,
                    f"{quote(host)} can be reached from other machines, and tokens would travel in the clear:"
                    " set tls, or insecure: true where something else encrypts",
                )
    weakness = token_weakness(config.token) if is_open and config.token else ""
    if weakness:
        problems.add(places.mark("token"), f"{weakness}, and this node can be reached from other machines")


def reachable(gateway: Gateway, path: Path, places: Places) -> list[tuple[str, Mark]]:
    """The hosts at which other machines can reach a gateway, and where the file says so."""
    found = []
    if not is_loopback(gateway.bind):
        found.append((gateway.bind, places.mark(*path, "bind")))
    address = gateway.native.tcp_address
    if address is not None and not _is_loopback_host(address[0]):
        found.append((address[0], places.mark(*path, "native", "tcp")))
    return found


def token_weakness(token: str) -> str:
    """Why the secret that the nodes share protects nothing; empty: it does."""
    if token in DEFAULT_TOKENS:
        return f"the token {quote(token)} is a template's, so anybody knows it"
    if (bits := token_bits(token)) < MIN_TOKEN_BITS:
        return f"the token holds at most {bits} bits, less than {MIN_TOKEN_BITS}"
    return ""


def warn(config: NodeConfig, places: Places, found: Problems) -> None:
    """Report what works but should be known."""
    for at, gateway in enumerate(config.majula_servers):
        here = ("majula_servers", at)
        if gateway.auth == "none":
            shown = f"the gateway on {gateway.bind}:{gateway.port} has auth: none"
            others = "anybody who reaches it" if reachable(gateway, here, places) else "every program of this machine"
            found.add(places.mark(*here, "auth"), f"{shown}: {others} may use it")
        if not gateway.hosts and ip_address(gateway.bind).is_unspecified:
            found.add(
                places.mark(*here, "bind"),
                f"the gateway on {gateway.bind}:{gateway.port} is served to who calls it localhost or by a loopback address"
                " only: name under `hosts` how other machines call it",
            )
        if gateway.insecure and gateway.tls is None and reachable(gateway, here, places):
            found.add(
                places.mark(*here, "insecure"),
                f"the gateway on {gateway.bind}:{gateway.port} is insecure: tokens and messages travel in the clear",
            )
    if not config.token:
        return
    weakness = token_weakness(config.token)
    if config.token in DEFAULT_TOKENS:
        found.add(places.mark("token"), f"{weakness}: replace it before a link leaves this machine")
    elif weakness:
        found.add(places.mark("token"), f"{weakness}: take 22 or more random letters and digits")


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
