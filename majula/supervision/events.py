"""What goes into `SupervisorCore` and what comes out of it."""

from __future__ import annotations

from msgspec import Struct

from majula.messages.base import Address, Role
from majula.messages.supervision import ChildSpec, Escalate, Figure, Report, Roles, RoleSlice


class Begun(Struct, frozen=True):
    """Event: the supervisor is up and starts its children."""


class ChildCreated(Struct, frozen=True):
    """Event: a Create was carried out; the child exists but is not ready."""

    role: Role
    incarnation: int
    address: Address
    pid: int


class ChildReady(Struct, frozen=True):
    """Event: the child's `on_start` returned."""

    role: Role
    incarnation: int
    pid: int


class ChildExited(Struct, frozen=True):
    """Event: the child is gone, or a Create failed. `normal`: it ended by itself with status 0."""

    role: Role
    incarnation: int
    reason: str
    normal: bool = False


class ChildPonged(Struct, frozen=True):
    """Event: the answer to a ping."""

    role: Role
    statistics: dict[str, Figure]
    queues: dict[Address, int]


class ChildDrained(Struct, frozen=True):
    """Event: the child has nothing in flight any more."""

    role: Role


class SliceCame(Struct, frozen=True):
    """Event: a child supervisor says what lives below it."""

    role: Role
    part: RoleSlice


class ChildEscalated(Struct, frozen=True):
    """Event: a child supervisor gives up."""

    role: Role
    escalate: Escalate


class SettingsCame(Struct, frozen=True):
    """Event: the configuration has changed; `role` is started with `config` from its next start on."""

    role: Role
    config: bytes


class RolesCame(Struct, frozen=True):
    """Event: the parent published a new version of the registry."""

    roles: Roles


class DrainAsked(Struct, frozen=True):
    """Event: finish what is in flight, within so many seconds."""

    deadline_s: float


class StopAsked(Struct, frozen=True):
    """Event: end all children, in reverse order, then the supervisor itself."""


class TimerFired(Struct, frozen=True):
    """Event: the deadline came. Early or repeated firing does no harm."""


Event = (
    Begun
    | ChildCreated
    | ChildReady
    | ChildExited
    | ChildPonged
    | ChildDrained
    | SliceCame
    | ChildEscalated
    | RolesCame
    | SettingsCame
    | DrainAsked
    | StopAsked
    | TimerFired
)


class Create(Struct, frozen=True):
    """Effect: start this child. Answered by ChildCreated then ChildReady, or by ChildExited.

    Args:
        incarnations: for a child that is itself a supervisor: the highest known incarnation of each role.
    """

    spec: ChildSpec
    incarnation: int
    incarnations: dict[Role, int]


class Kill(Struct, frozen=True):
    """Effect: SIGKILL, or the like for a hosted child. Answered by ChildExited."""

    role: Role


class PingChild(Struct, frozen=True):
    """Effect: send a Ping."""

    role: Role
    sequence: int


class StopChild(Struct, frozen=True):
    """Effect: send a Stop."""

    role: Role


class DrainChild(Struct, frozen=True):
    """Effect: send a Drain."""

    role: Role
    deadline_s: float


class SendRoles(Struct, frozen=True):
    """Effect: send the registry to these children, and to the watcher where `to_watcher`."""

    roles: Roles
    to: tuple[Role, ...]
    to_watcher: bool = False


class SendSlice(Struct, frozen=True):
    """Effect: tell the parent what lives below this supervisor."""

    part: RoleSlice


class Tell(Struct, frozen=True):
    """Effect: report a lifecycle event to the watcher."""

    report: Report


class GiveUp(Struct, frozen=True):
    """Effect: tell the parent (the root: the watcher) that a vital child cannot be kept alive."""

    escalate: Escalate


class AllDrained(Struct, frozen=True):
    """Effect: the drain is over; tell who asked for it."""


class AllStopped(Struct, frozen=True):
    """Effect: no child is left; the supervisor may end."""


Effect = Create | Kill | PingChild | StopChild | DrainChild | SendRoles | SendSlice | Tell | GiveUp | AllDrained | AllStopped
