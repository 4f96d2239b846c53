"""What becomes reachable, from where, and what protects it: a line for each listener of a configuration."""

from __future__ import annotations

from majula.config.schema import Channel, Gateway, NodeConfig
from majula.config.values import is_loopback, split_address


def reachable(config: NodeConfig) -> tuple[str, ...]:
    """One line each, `what address: from where, by what protected`, in the order of the file."""
    found: list[str] = []
    for entry in config.majula_servers:
        found += _gateway(entry, config.run_dir)
    for channel in config.channels:
        if channel.type == "server":
            found.append(_channel(channel))
        else:
            found.append(f"channel to {channel.remote_addr} ({channel.protocol}): dials out, opens no port")
    if config.signaling_server.enabled:
        found.append(f"signaling server {config.signaling_server.url}: dials out, opens no port")
    return tuple(found)


def _gateway(entry: Gateway, run_dir: str) -> list[str]:
    scheme = "http" if entry.tls is None else "https"
    sites = f"; pages of {', '.join(entry.origins)} may use it" if entry.origins else ""
    found = [f"gateway {scheme}://{shown_address(entry.bind, entry.port)}: {_tcp(entry, entry.bind)}{sites}"]
    address = entry.native.tcp_address
    if address is not None:
        found.append(f"native port {shown_address(*address)}: {_tcp(entry, address[0])}")
    path = entry.native.unix_path
    if path is not None and path.startswith(f"{run_dir}/"):
        found.append(f"native port {path}: the node's own user only, who may do everything")
    elif path is not None:
        other = "whoever may open the socket" if entry.auth == "none" else "others with a token"
        # The node makes every socket for its own user alone, at each start.
        found.append(f"native port {path}: the node's own user, who may do everything, and where chmod lets them {other}")
    return found


def _tcp(entry: Gateway, host: str) -> str:
    who = "anybody" if entry.auth == "none" else "who has a token"
    tls = "encrypted" if entry.tls is not None else "in the clear"
    if _is_here(host):
        return f"programs on this machine only, {who}, {tls}"
    allowed = f", from {', '.join(entry.ip_allow)} only" if entry.ip_allow else ""
    return f"{_where(host)}{allowed}, {who}, {tls}"


def _channel(channel: Channel) -> str:
    host, port = split_address(channel.listen_addr)
    options = channel.tcp if channel.protocol == "tcp" else channel.kcp
    where = "this machine only" if _is_here(host) else _where(host)
    allowed = f", from {', '.join(options.ip_whitelist)} only" if options.ip_whitelist else ""
    return (
        f"channel {channel.protocol} {shown_address(host, port)}: {where}{allowed}, nodes with the shared token (not active yet)"
    )


def _where(host: str) -> str:
    if host in ("0.0.0.0", "::"):  # noqa: S104 - compared with, not bound to
        return "every machine that reaches this one"
    return f"every machine that reaches {host}"


def _is_here(host: str) -> bool:
    try:
        return is_loopback(host)
    except ValueError:
        return host == "localhost"


def shown_address(host: str, port: int) -> str:
    """`host:port`, an IPv6 address in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
