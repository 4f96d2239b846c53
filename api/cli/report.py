"""The answer to `status`, for people: one table of roles, then why each one was restarted."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from majula.api.cli.show import harmless, seconds, size

_COLUMNS = ("role", "state", "pid", "up", "restarts", "queue", "last reason")


def render(status: Mapping[str, Any]) -> str:
    """Several lines, without colours; what is not printable is escaped."""
    lines = [
        f"node {status['node_id']}: {status['state']} (pid {status['pid']}, up {seconds(status['up_s'])})",
        f"  data {status['data_dir']}",
        f"  run  {status['run_dir']}",
        *(f"  {address['address']:44} {address['role']}" for address in status["addresses"]),
        *(f"  insecure: {line}" for line in status.get("insecure", ())),
        *_configuration(status.get("configuration")),
        "",
    ]
    lines += table([_COLUMNS, *(_row(role) for role in status["roles"])])
    slow = [(role["role"], names) for role in status["roles"] if (names := role.get("statistics", {}).get("slow_client_names"))]
    if slow:
        lines += ["", "do not read what they are sent (`majula clients` says more):"]
        lines += [f"  {role}: {names}" for role, names in slow]
    deaths = [(death["ago_s"], role["role"], death["reason"]) for role in status["roles"] for death in role["deaths"]]
    if deaths:
        lines += ["", "ended lately:"]
        lines += [f"  {seconds(ago_s):>8} ago  {role}: {reason}" for ago_s, role, reason in sorted(deaths)[:20]]
    return "\n".join(map(harmless, lines))


def _configuration(found: Mapping[str, Any] | None) -> list[str]:
    """What a change of the configuration has left to do; nothing where all is in force."""
    if not found:
        return []
    waiting = [f"  waits for a restart: {', '.join(found['restart'])}"] if found["restart"] else []
    return waiting + [f"  configuration refused, revision {found['revision']} stays: {line}" for line in found["refused"]]


def _row(role: Mapping[str, Any]) -> tuple[str, ...]:
    state = role["state"]
    if role["retry_in_s"] >= 0:
        state = f"{state} ({seconds(role['retry_in_s'])})"
    if not role["is_fresh"]:
        state = f"{state}, as its silent supervisor said last"
    return (
        role["role"],
        state,
        str(role["pid"] or "-"),
        seconds(role["up_s"]) if role["up_s"] >= 0 else "-",
        str(role["restarts"]),
        size(sum(role["queues"].values())),
        role["deaths"][0]["reason"] if role["deaths"] else "",
    )


def table(rows: Iterable[tuple[str, ...]]) -> list[str]:
    """Columns as wide as their widest cell."""
    listed = list(rows)
    widths = [max(len(cell) for cell in column) for column in zip(*listed, strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in listed]
