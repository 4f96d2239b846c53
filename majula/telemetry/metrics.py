"""The node's figures in the Prometheus text format, version 0.0.4.

Labels are `role`, and `table` where it is a table's figure: what the program and the configuration name. Nothing that a client
chooses becomes a label or a name.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import inf, isnan

from msgspec import Struct

from majula.messages.base import Role
from majula.telemetry.events import EVENTS
from majula.telemetry.figures import ACTOR, NODE, ROLE, ROOMS, TABLE, Figure, figure, metric_name
from majula.telemetry.operations import RoleLine

Value = int | float


class ProcessUse(Struct, frozen=True):
    """What the kernel says of a process."""

    memory_bytes: int
    cpu_s: float


class NodeFigures(Struct, frozen=True):
    """What is exported beside the roles' own figures."""

    version: str
    up_s: float
    is_degraded: bool
    insecure: int
    trees: int
    event_counts: Mapping[str, int]


class _Page:
    """Samples by metric, so that each metric has one HELP, one TYPE, and all its samples together, as the format wants it."""

    def __init__(self) -> None:
        self._metrics: dict[str, tuple[Figure, list[str]]] = {}

    def add(self, room: str, name: str, declared: Figure, value: Value, **labels: str) -> None:
        metric = metric_name(room, name, declared.kind)
        shown = ",".join(f'{label}="{_escape(text)}"' for label, text in labels.items())
        line = f"{metric}{{{shown}}} {_number(value)}" if shown else f"{metric} {_number(value)}"
        self._metrics.setdefault(metric, (declared, []))[1].append(line)

    def text(self) -> str:
        lines: list[str] = []
        for metric, (declared, samples) in sorted(self._metrics.items()):
            lines += [f"# HELP {metric} {declared.means or 'Not described.'}", f"# TYPE {metric} {declared.kind}", *samples]
        return "\n".join(lines) + "\n"


def expose(roles: Iterable[RoleLine], uses: Mapping[Role, ProcessUse], node: NodeFigures) -> str:
    """The whole page."""
    page = _Page()
    page.add("build", "info", Figure("Always 1; the version is the label."), 1, version=node.version)
    values = (node.up_s, int(node.is_degraded), node.insecure, node.trees)
    for (name, declared), value in zip(NODE.items(), values, strict=True):
        page.add("node", name, declared, value)
    for event, count in sorted(node.event_counts.items()):
        if (known := EVENTS.get(event)) is not None:
            thing, _, happened = event.partition(".")
            page.add(thing, f"{happened}_total", Figure(f"{known.means} (event {event})", "counter"), count)
    for role in roles:
        _add_role(page, role, uses.get(role.role))
    return page.text()


def _add_role(page: _Page, line: RoleLine, use: ProcessUse | None) -> None:
    role = line.role
    own: dict[str, Value] = {
        "running": int(line.state == "running"),
        "restarts_total": line.restarts,
        "up_seconds": max(line.up_s, 0.0),
        "queue_bytes": sum(line.queues.values()),
    }
    if use is not None:
        own |= {"memory_bytes": use.memory_bytes, "cpu_seconds_total": use.cpu_s}
    for name, value in own.items():
        page.add("role", name, ROLE[name], value, role=role)
    room = ROOMS.get(role.partition(":")[0], role.partition(":")[0])
    for name, found in line.statistics.items():
        if isinstance(found, str):
            continue
        table, dot, column = name.partition(".")
        if dot and column in TABLE:
            page.add("table", column, TABLE[column], found, role=role, table=table)
        elif name in ACTOR:
            page.add("actor", name, ACTOR[name], found, role=role)
        else:
            page.add(room, name, figure(room, name), found, role=role)


def undeclared(roles: Iterable[RoleLine]) -> list[str]:
    """Figures that no table describes, as `room: figure`; for the test that holds the tables against the actors."""
    found = set()
    for line in roles:
        room = ROOMS.get(line.role.partition(":")[0], line.role.partition(":")[0])
        for name, value in line.statistics.items():
            is_table = "." in name and name.partition(".")[2] in TABLE
            if not isinstance(value, str) and not is_table and not figure(room, name).means:
                found.add(f"{room}: {name}")
    return sorted(found)


def _escape(text: str) -> str:
    return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


def _number(value: Value) -> str:
    if isinstance(value, float):
        if isnan(value):
            return "NaN"
        if value in (inf, -inf):
            return "+Inf" if value > 0 else "-Inf"
        return repr(value)
    return str(int(value))
