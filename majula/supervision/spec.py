"""What a supervisor is made of. A bad spec is our own mistake, not a peer's: it raises, and it names the value."""

from __future__ import annotations

import re
from typing import get_args

import msgspec

from majula.messages.base import Address, Role
from majula.messages.supervision import ChildSpec, Restart, Strategy
from majula.supervision.budget import BudgetLimits

_ROLE = re.compile(r"[a-z][a-z0-9_]*(:[A-Za-z0-9._-]{1,128})?")
_DOTTED = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)+")
_HOST = re.compile(r"process|host:[A-Za-z0-9._-]{1,64}")
_LONGEST_S = 3_600.0
"""No shutdown or start of a child may take longer: a larger number is a unit that was mixed up."""


class SpecError(ValueError):
    """A child or supervisor cannot be built as described; the message names the role, the field and the value."""


class Pulse(msgspec.Struct, frozen=True):
    """How a supervisor looks after its children.

    Args:
        interval_s: seconds between two pings of every child.
        misses: a child that left so many pings in a row unanswered is hung.
    """

    # 0.5 s and 4: a child that stops right after an answer is found 2.5 s later, within the 3 s that are promised, and one
    # that is only slow has more than 2 s of patience. Misses are counted, not seconds: a supervisor that was itself frozen for a
    # minute finds one unanswered ping and not a minute of silence, so it kills nobody.
    interval_s: float = 0.5
    misses: int = 4


class SupervisorSettings(msgspec.Struct, frozen=True):
    """The typed configuration of a supervisor.

    Args:
        children: in start order; they stop in the reverse one.
        strategy: who is restarted when one child dies.
        is_root: makes the version numbers of the role registry; the others pass their slice up.
        watcher: the address of the runner, which logs the reports; empty where nobody listens.
        incarnations: the highest known one of each role below, from a former life of this supervisor.
        pulse, budget: the numbers of the watch and of the restarts.
    """

    children: tuple[ChildSpec, ...]
    strategy: Strategy = "one_for_one"
    is_root: bool = False
    watcher: Address = ""
    incarnations: dict[Role, int] = msgspec.field(default_factory=dict)
    pulse: Pulse = Pulse()
    budget: BudgetLimits = BudgetLimits()


def with_settings(children: tuple[ChildSpec, ...], role: Role, config: bytes) -> tuple[ChildSpec, ...]:
    """The same children, but the one of this role is started with `config` from now on, also where it is a child of a supervisor
    among them."""
    found = []
    for spec in children:
        if spec.role == role:
            found.append(msgspec.structs.replace(spec, config=config))
        elif spec.role.startswith("supervisor:"):
            below = msgspec.msgpack.decode(spec.config, type=SupervisorSettings)
            changed = msgspec.structs.replace(below, children=with_settings(below.children, role, config))
            found.append(msgspec.structs.replace(spec, config=msgspec.msgpack.encode(changed)))
        else:
            found.append(spec)
    return tuple(found)


def validate(settings: SupervisorSettings) -> None:
    """Checks a supervisor's settings with all its children.

    Raises:
        SpecError: one value is not allowed; it is named with its role and field.
    """
    if settings.strategy not in get_args(Strategy):
        raise SpecError(f"strategy {settings.strategy!r} is none of {', '.join(get_args(Strategy))}")
    if not 0 < settings.pulse.interval_s <= _LONGEST_S:
        raise SpecError(f"pulse.interval_s {settings.pulse.interval_s!r} is not in (0, {_LONGEST_S:g}]")
    if settings.pulse.misses < 1:
        raise SpecError(f"pulse.misses {settings.pulse.misses!r} is less than 1")
    if settings.budget.deaths < 1:
        raise SpecError(f"budget.deaths {settings.budget.deaths!r} is less than 1")
    seen: set[Role] = set()
    for child in settings.children:
        _validate_child(child)
        if child.role in seen:
            raise SpecError(f"role {child.role!r} is given twice")
        seen.add(child.role)


def _validate_child(child: ChildSpec) -> None:
    if not _ROLE.fullmatch(child.role):
        raise SpecError(f"role {child.role!r} is not `name` or `name:instance`")
    if not _DOTTED.fullmatch(child.actor):
        raise SpecError(f"{child.role}: actor {child.actor!r} is not a dotted class path")
    if not _HOST.fullmatch(child.isolation):
        raise SpecError(f"{child.role}: isolation {child.isolation!r} is neither `process` nor `host:NAME`")
    if child.restart not in get_args(Restart):
        raise SpecError(f"{child.role}: restart {child.restart!r} is none of {', '.join(get_args(Restart))}")
    # `not a <= x <= b` refuses NaN too.
    if not 0.0 <= child.shutdown_s <= _LONGEST_S:
        raise SpecError(f"{child.role}: shutdown_s {child.shutdown_s!r} is not in [0, {_LONGEST_S:g}]")
    if not 0.0 < child.start_s <= _LONGEST_S:
        raise SpecError(f"{child.role}: start_s {child.start_s!r} is not in (0, {_LONGEST_S:g}]")
    if child.vital_group and child.vital:
        raise SpecError(f"{child.role}: vital_group {child.vital_group!r} makes no sense beside `vital`")
    if child.restart != "permanent" and (child.vital or child.vital_group):
        raise SpecError(f"{child.role}: a vital child must be permanent, not {child.restart!r}")
