"""What is different between two configurations, key by key, and what of it a running node can take over."""

from __future__ import annotations

from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from majula.config.plain import hidden
from majula.config.schema import Gateway, NodeConfig

NAMED_BY = {"majula_servers": "port", "raft": "group"}
"""Lists whose entries have a name of their own: one that only stands elsewhere is the same. Others are known by their place."""

Place = tuple[Any, ...]


class Difference(Struct, frozen=True):
    """One key whose value is another. `old` or `new` is None where it has none. Secrets are hidden.

    path: as people write it, `majula_servers[0].limits.connections`. place: the same with the entry's name for its position.
    """

    path: str
    place: Place
    old: Any
    new: Any


def differences(old: dict[str, Any], new: dict[str, Any]) -> tuple[Difference, ...]:
    """In the order of the new one; what is gone comes last in its mapping."""
    return tuple(_walk("", (), "", old, new))


def in_force(started: NodeConfig, newest: NodeConfig) -> NodeConfig:
    """What a node runs by that was started with `started` and is told `newest`: all that can change while it runs is that of
    `newest`, the rest stays. The one place that says which is which."""
    entries = {entry.port: entry for entry in newest.majula_servers}
    return replace(
        started,
        limits=newest.limits,
        drain_s=newest.drain_s,
        log=replace(newest.log, format=started.log.format),
        majula_servers=tuple(_gateway(entry, entries.get(entry.port, entry)) for entry in started.majula_servers),
    )


def _gateway(started: Gateway, newest: Gateway) -> Gateway:
    # Another certificate is taken for new connections; a port that began in the clear stays so until its socket is opened anew.
    tls = newest.tls if started.tls is not None and newest.tls is not None else started.tls
    return replace(started, limits=newest.limits, hosts=newest.hosts, origins=newest.origins, ip_allow=newest.ip_allow, tls=tls)


def waits_for_restart(difference: Difference, waiting: tuple[Difference, ...]) -> bool:
    """Whether it is among what a running node could not take over, `differences(in_force, newest)`."""
    place = difference.place
    return any(place[: len(other.place)] == other.place or other.place[: len(place)] == place for other in waiting)


def _walk(path: str, place: Place, key: str, old: Any, new: Any) -> list[Difference]:
    if old == new:
        return []
    if isinstance(old, dict) and isinstance(new, dict):
        found = []
        for name in [*new, *(name for name in old if name not in new)]:
            found += _walk(f"{path}.{name}" if path else name, (*place, name), name, old.get(name), new.get(name))
        return found
    if isinstance(old, list) and isinstance(new, list) and _is_of_entries(old) and _is_of_entries(new):
        before, after = _named(key, old), _named(key, new)
        found = []
        for name, (at, entry) in after.items():
            found += _walk(f"{path}[{at}]", (*place, name), key, before[name][1] if name in before else None, entry)
        for name, (at, entry) in before.items():
            if name not in after:
                found += _walk(f"{path}[{at}]", (*place, name), key, entry, None)
        return found
    return [Difference(path, place, hidden(old, key), hidden(new, key))]


def _is_of_entries(values: list[Any]) -> bool:
    return all(isinstance(value, dict) for value in values)


def _named(key: str, entries: list[dict[str, Any]]) -> dict[Any, tuple[int, dict[str, Any]]]:
    named_by = NAMED_BY.get(key)
    return {(at if named_by is None else entry.get(named_by, at)): (at, entry) for at, entry in enumerate(entries)}
