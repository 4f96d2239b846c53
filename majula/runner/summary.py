"""What a person sees on standard output when the node is up."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from majula.messages.base import Role
from majula.messages.supervision import RoleEntry
from majula.runner.listeners import Listener


def summary(
    *,
    node_id: str,
    pid: int,
    source: str,
    data_dir: str,
    run_dir: str,
    roles: Mapping[Role, RoleEntry],
    listeners: Iterable[Listener],
    ready_s: float,
    quarantined: Iterable[Role] = (),
) -> str:
    """Several lines: the node, its addresses, its roles with their pids, those that could not be kept alive, and how to look at
    it and end it."""
    lines = [
        f"majula node {node_id} is ready after {ready_s:.2f} s (pid {pid}, configuration {source})",
        f"  data       {data_dir}",
        f"  run        {run_dir}",
    ]
    for listener in listeners:
        what = "http, ws" if listener.name.startswith("http") else "native"
        lines.append(f"  {what:10} {address_of(listener)}   {listener.role}")
    quarantined = tuple(quarantined)
    width = max((len(role) for role in (*roles, *quarantined)), default=0)
    lines += [f"  role       {role:{width}}  pid {entry.pid}" for role, entry in roles.items()]
    lines += [f"  role       {role:{width}}  in quarantine: `majula status` says why" for role in sorted(quarantined)]
    lines.append("  stop with Ctrl-C or SIGTERM; look with: majula status")
    return "\n".join(lines)


def address_of(listener: Listener) -> str:
    """The address as a client writes it."""
    if listener.name.startswith("http"):
        return f"http{'s' if listener.has_tls else ''}://{listener.shown}/majula"
    return listener.shown if listener.path else f"majula{'s' if listener.has_tls else ''}://{listener.shown}"
