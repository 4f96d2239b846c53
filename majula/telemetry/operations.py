"""What clients can ask about the state of the node."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec

from majula.operations import ListLimit, ListOffset, Operation, PatternText, Seconds
from majula.wire import headers

Level = Literal["debug", "info", "warning", "error"]


class StatusRequest(msgspec.Struct, frozen=True):
    """No parameters."""


class Ending(msgspec.Struct, frozen=True):
    """One past end of a role: how many seconds ago, why, which start of it."""

    ago_s: float
    reason: str
    incarnation: int


class RoleLine(msgspec.Struct, frozen=True):
    """One role, as its supervisor sees it.

    state: `starting`, `running`, `waiting`, `quarantined`, `stopping`, `stopped`. last_exit: why it ended the last time.
    statistics: its own figures. is_fresh: false where its supervisor does not answer. up_s, retry_in_s: seconds, negative where
    it does not run, where no restart is planned. deaths: the last 8, newest first. queues: bytes that wait for another role.
    """

    role: str
    state: str
    pid: int
    restarts: int
    last_exit: str = ""
    statistics: dict[str, int | float | str] = {}
    supervisor: str = ""
    is_fresh: bool = True
    address: str = ""
    incarnation: int = 0
    up_s: float = -1.0
    silent_s: float = -1.0
    retry_in_s: float = -1.0
    deaths: tuple[Ending, ...] = ()
    queues: dict[str, int] = {}


class SlowClient(msgspec.Struct, frozen=True):
    """One client that reads more slowly than it is sent to: what waits for it, what was dropped."""

    client: str
    gateway: str
    waiting_bytes: int
    dropped_messages: int


class StatusAnswer(msgspec.Struct, frozen=True):
    """state: `starting`, `serving`, `degraded` (a role is in quarantine), `recovering`, `draining`, `stopping`. insecure: what is
    served without the protection that it could have. slow_clients: those that do not read what they are sent, at most 64.
    """

    node: str
    version: str
    state: str
    uptime_s: float
    roles: tuple[RoleLine, ...]
    insecure: tuple[str, ...] = ()
    slow_clients: tuple[SlowClient, ...] = ()


class InfoRequest(msgspec.Struct, frozen=True):
    """No parameters."""


class InfoAnswer(msgspec.Struct, frozen=True):
    """What a client needs to know of a node: version, protocol, surfaces, limits."""

    node: str
    version: str
    protocol: int
    gateway: str
    surfaces: tuple[str, ...]
    limits: dict[str, int | float]


class EventsRequest(msgspec.Struct, frozen=True):
    """The newest last. name: `client.connected`, a pattern such as `client.*`; empty: all. after: number of an event seen."""

    name: PatternText = ""
    after: ListOffset = 0
    limit: ListLimit = 256


class EventLine(msgspec.Struct, frozen=True):
    """One happening; the same is published on the topic `$SYS.<name>`."""

    number: int
    at: str
    name: str
    role: str
    fields: dict[str, Any] = {}


class EventsAnswer(msgspec.Struct, frozen=True):
    events: tuple[EventLine, ...]


class FlightRequest(msgspec.Struct, frozen=True):
    """The last minutes of events and figures."""


class FlightAnswer(msgspec.Struct, frozen=True):
    """seconds: how far it goes back. file: where it was written on the node, mode 0600."""

    seconds: float
    events: tuple[EventLine, ...]
    file: str = ""


class MetricsRequest(msgspec.Struct, frozen=True):
    """No parameters."""


class MetricsAnswer(msgspec.Struct, frozen=True):
    """text: in the Prometheus text format."""

    text: str


class LevelRequest(msgspec.Struct, frozen=True):
    """role: whose log; `*`: of all. level: the lowest that is written.

    for_s: back to what it was after so many seconds, 0: it stays.
    """

    role: str
    level: Level
    for_s: Seconds = 0.0


class RoleRequest(msgspec.Struct, frozen=True):
    """role: whom to look at."""

    role: str


class StacksAnswer(msgspec.Struct, frozen=True):
    """Where the role's process is just now, a thread an entry."""

    role: str
    pid: int
    threads: tuple[str, ...]


class TaskLine(msgspec.Struct, frozen=True):
    name: str
    state: str
    where: str


class TasksAnswer(msgspec.Struct, frozen=True):
    role: str
    tasks: tuple[TaskLine, ...]
    of: int


class QueueLine(msgspec.Struct, frozen=True):
    """One bounded queue: to whom, how full, its mark."""

    name: str
    bytes: int
    messages: int
    limit_bytes: int


class QueuesAnswer(msgspec.Struct, frozen=True):
    role: str
    queues: tuple[QueueLine, ...]


class TapRequest(msgspec.Struct, frozen=True):
    """role: whose messages. for_s: how long to listen, at most 60. limit: lines at most, at most 1,024."""

    role: str
    for_s: Annotated[float, msgspec.Meta(ge=0, le=60)] = 5.0
    limit: ListLimit = 256


class TapLine(msgspec.Struct, frozen=True):
    """One message between actors; never its payload."""

    at_s: float
    direction: str
    peer: str
    message: str
    bytes: int


class TapAnswer(msgspec.Struct, frozen=True):
    role: str
    lines: tuple[TapLine, ...]
    skipped: int


def _observe(name: str, summary: str, request: type[msgspec.Struct], answer: type[msgspec.Struct], **more: Any) -> Operation:
    fields: dict[str, Any] = {"scope": "observe", "method": "GET", "idempotent": True, "frame": headers.Request}
    fields |= {"role": "telemetry"}
    return Operation(name=name, summary=summary, request=request, answer=answer, **(fields | more))


def _debug(name: str, summary: str, request: type[msgspec.Struct], answer: type[msgspec.Struct] | None, **more: Any) -> Operation:
    fields: dict[str, Any] = {"scope": "admin", "scope_field": "=debug", "method": "GET", "idempotent": True}
    fields |= {"frame": headers.Request, "role": "telemetry"}
    return Operation(name=name, summary=summary, request=request, answer=answer, **(fields | more))


STATUS = _observe(
    "status.show",
    "Show every role: process, restarts and their reasons, figures.",
    StatusRequest,
    StatusAnswer,
    scope_field="=status",
    path="/status",
    sdk="status",
    cli="status",
)
INFO = _observe(
    "node.info",
    "Show what a client needs to know of this node.",
    InfoRequest,
    InfoAnswer,
    scope_field="=info",
    path="/info",
    sdk="info",
    role="",
)
EVENTS = _observe(
    "events.list",
    "List the last events of the node.",
    EventsRequest,
    EventsAnswer,
    scope_field="=events",
    path="/events",
    sdk="events",
    cli="events",
)
METRICS = _observe(
    "metrics.show",
    "Show the node's figures in the Prometheus text format.",
    MetricsRequest,
    MetricsAnswer,
    scope_field="=metrics",
    path="/metrics",
    sdk="metrics",
)
FLIGHT = _debug(
    "debug.flight",
    "Write and show the flight recorder: the last minutes of events.",
    FlightRequest,
    FlightAnswer,
    path="/debug/flight",
    method="POST",
    sdk="flight",
    cli="debug flight",
)
LEVEL = _debug(
    "log.level",
    "Set the lowest level that a role logs, at run time.",
    LevelRequest,
    None,
    path="/debug/roles/{role}/log-level",
    method="PUT",
    sdk="log_level",
    cli="log level",
)
STACKS = _debug(
    "debug.stacks",
    "Show where a role's process is just now.",
    RoleRequest,
    StacksAnswer,
    path="/debug/roles/{role}/stacks",
    sdk="debug_stacks",
    cli="debug stacks",
)
TASKS = _debug(
    "debug.tasks",
    "List the tasks of a role.",
    RoleRequest,
    TasksAnswer,
    path="/debug/roles/{role}/tasks",
    sdk="debug_tasks",
    cli="debug tasks",
)
QUEUES = _debug(
    "debug.queues",
    "List the queues of a role.",
    RoleRequest,
    QueuesAnswer,
    path="/debug/roles/{role}/queues",
    sdk="debug_queues",
    cli="debug queues",
)
TAP = _debug(
    "debug.tap",
    "Listen to the messages of a role for some seconds; payloads are never shown.",
    TapRequest,
    TapAnswer,
    path="/debug/roles/{role}/tap",
    method="POST",
    sdk="debug_tap",
    cli="debug tap",
)

OPERATIONS = (STATUS, INFO, EVENTS, METRICS, FLIGHT, LEVEL, STACKS, TASKS, QUEUES, TAP)
