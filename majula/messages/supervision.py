"""What supervisors, their children and the runner say to each other. Control traffic: small, typed, never on the data path.

A child is described by a `ChildSpec` and started by its supervisor. From then on

    supervisor -> child     Start, Roles, Ping, Drain, Stop
    child -> supervisor     Started | StartFailed, Pong, Drained, Crashed
    supervisor -> parent    RoleSlice (where its subtree lives), Escalate (a vital child cannot be kept alive)
    supervisor -> runner    Report (one lifecycle event), Roles; and Status, the answer to StatusRequest
"""

from __future__ import annotations

from typing import Literal

import msgspec

from majula.messages.base import Address, Message, Role

Strategy = Literal["one_for_one", "rest_for_one", "one_for_all"]
"""Who is restarted when one child dies: it alone; it and all started after it; all."""

Restart = Literal["permanent", "transient", "temporary"]
"""Whether a child that ended is started again: always; only when it ended abnormally; never."""

Happening = Literal[
    "child.started",
    "child.start_failed",
    "child.died",
    "child.hung",
    "child.restarting",
    "child.quarantined",
    "child.escalated",
    "child.drained",
    "child.stopped",
    "child.killed",
]
"""The lifecycle events, under the names that logs use."""

RoleState = Literal["starting", "running", "waiting", "quarantined", "stopping", "stopped"]
"""`waiting`: it died and its restart is due later, or it waits for a sibling that starts before it."""

Figure = int | float | str
"""One value of an actor's statistics."""


class ChildSpec(msgspec.Struct, frozen=True):
    """How one child is started, watched and ended. Checked by `majula.supervision.spec.validate`.

    Args:
        role: what it is to the others, `router` or `gateway:18080`; unique in the node.
        actor: dotted path of its class, a MajulaActor: `majula.actors.router.RouterActor`.
        config: its typed configuration, the msgpack of the class's `config_type`.
        isolation: `process` (a process of its own) or `host:NAME` (a mailbox in the host process of that name).
        restart: whether it is started again when it ends.
        vital: its supervisor gives up (escalates) when this child spends its restart budget; otherwise the child is quarantined.
        vital_group: members of one group are vital together: the last one that runs escalates, the others are quarantined.
        shutdown_s: seconds between Stop and the kill; 0 kills at once.
        start_s: seconds from Start within which it must be Started; later it counts as hung.
        sockets: names of the listening sockets that the runner holds for it.
    """

    role: Role
    actor: str
    config: bytes = b"\x80"
    isolation: str = "process"
    restart: Restart = "permanent"
    vital: bool = False
    vital_group: str = ""
    shutdown_s: float = 5.0
    start_s: float = 10.0
    sockets: tuple[str, ...] = ()


class RoleEntry(msgspec.Struct, frozen=True, array_like=True):
    """Where a role lives now.

    Args:
        address: of the actor.
        incarnation: grows with each start of this role in the node's life (not always by one).
        pid: of the process that it lives in; 0 where it is not known yet.
    """

    address: Address
    incarnation: int
    pid: int


# --- supervisor -> child


class Start(Message, frozen=True, array_like=True, tag="supervision.Start"):
    """The first message to a child: be this role, with this configuration. Answered by Started or StartFailed."""

    role: Role
    node_id: str
    incarnation: int
    config: bytes


class Roles(Message, frozen=True, array_like=True, tag="supervision.Roles"):
    """The whole role registry; a role that is not in it is away. Made by the root supervisor, passed down by each supervisor.

    Args:
        version: grows by one with each change; one that is not higher than the version held is old and ignored.
        entries: every role that runs.
    """

    version: int
    entries: dict[Role, RoleEntry]


class Ping(Message, frozen=True, array_like=True, tag="supervision.Ping"):
    """Are you turning? Answered at once, by the actor's own loop."""

    sequence: int


class Drain(Message, frozen=True, array_like=True, tag="supervision.Drain"):
    """Take no new work and finish what is in flight, at most `deadline_s` seconds from now; then Drained."""

    deadline_s: float


class Stop(Message, frozen=True, array_like=True, tag="supervision.Stop"):
    """End now: `on_stop`, then exit with status 0. What is still there after `shutdown_s` is killed."""


# --- child -> supervisor


class Started(Message, frozen=True, array_like=True, tag="supervision.Started"):
    """`on_start` has returned: the role is ready.

    Args:
        incarnation: the one of the Start that this answers.
        pid: the process that the actor lives in.
    """

    incarnation: int
    pid: int


class StartFailed(Message, frozen=True, array_like=True, tag="supervision.StartFailed"):
    """`on_start` raised; the actor ends. `reason` is one line, `OSError: address in use`."""

    incarnation: int
    reason: str


class Crashed(Message, frozen=True, array_like=True, tag="supervision.Crashed"):
    """The last words of an actor that ends by an exception. `reason` is one line, `ValueError: bad topic`."""

    reason: str


class Pong(Message, frozen=True, array_like=True, tag="supervision.Pong"):
    """The answer to Ping, with what `status` shows.

    Args:
        sequence: of the Ping.
        statistics: the actor's `statistics()`.
        queues: bytes waiting in its outboxes, by the target's address; the 16 fullest.
    """

    sequence: int
    statistics: dict[str, Figure] = msgspec.field(default_factory=dict)
    queues: dict[Address, int] = msgspec.field(default_factory=dict)


class Drained(Message, frozen=True, array_like=True, tag="supervision.Drained"):
    """Nothing is in flight any more, or the deadline came."""


# --- supervisor -> parent, runner


class RoleSlice(Message, frozen=True, array_like=True, tag="supervision.RoleSlice"):
    """Every role below this supervisor that runs; replaces its former slice. Sent to its parent at each change.

    Args:
        entries: as in Roles.
        incarnations: the highest incarnation of every role below, running or not, so that a later life starts above it.
    """

    entries: dict[Role, RoleEntry]
    incarnations: dict[Role, int]


class Escalate(Message, frozen=True, array_like=True, tag="supervision.Escalate"):
    """This supervisor gives up: a vital child cannot be kept alive. A parent to which it is vital escalates too.

    Args:
        offender: the role that spent its budget.
        reason: of its last death.
    """

    offender: Role
    reason: str


class Report(Message, frozen=True, array_like=True, tag="supervision.Report"):
    """One lifecycle event of one child, always with the same fields; the runner logs it.

    Args:
        supervisor: the role of who says it.
        context: what happened.
        offender: the child's role.
        pid: of the child, 0 where it has none.
        incarnation: of the child.
        reason: why, in words; empty where there is nothing to say.
        in_s: seconds until the restart that follows; 0 is at once, negative means none is planned.
    """

    supervisor: Role
    context: Happening
    offender: Role
    pid: int
    incarnation: int
    reason: str = ""
    in_s: float = -1.0


class StatusRequest(Message, frozen=True, array_like=True, tag="supervision.StatusRequest"):
    """Asks one supervisor for the Status of its own children. `number` comes back in the answer."""

    number: int


class Death(msgspec.Struct, frozen=True, array_like=True):
    """One past end of a child: how many seconds ago, why, and which incarnation."""

    ago_s: float
    reason: str
    incarnation: int


class ChildStatus(msgspec.Struct, frozen=True):
    """One child as its supervisor sees it.

    Args:
        role, state, pid, address, incarnation: as named; pid 0 and an empty address where it does not run.
        restarts: how often it was started again in this supervisor's life.
        deaths: the last 8, newest first.
        retry_in_s: seconds until the next start is tried; negative where none is planned.
        up_s: seconds since it was ready; negative where it does not run.
        silent_s: seconds since its last sign of life.
        statistics, queues: of its last Pong.
    """

    role: Role
    state: RoleState
    pid: int
    address: Address
    incarnation: int
    restarts: int
    deaths: tuple[Death, ...]
    retry_in_s: float
    up_s: float
    silent_s: float
    statistics: dict[str, Figure] = msgspec.field(default_factory=dict)
    queues: dict[Address, int] = msgspec.field(default_factory=dict)


class Status(Message, frozen=True, array_like=True, tag="supervision.Status"):
    """The answer to StatusRequest: the supervisor's children in start order. `degraded` when one is quarantined."""

    number: int
    supervisor: Role
    pid: int
    degraded: bool
    children: tuple[ChildStatus, ...]
