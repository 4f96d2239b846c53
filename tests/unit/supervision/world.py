"""Fake children around one SupervisorCore: effects are carried out at once, the clock jumps from deadline to deadline."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from majula.messages.base import Role
from majula.messages.supervision import ChildSpec, Escalate, Report, Roles, RoleSlice, Strategy
from majula.supervision import SupervisorCore, SupervisorSettings
from majula.supervision.budget import BudgetLimits
from majula.supervision.events import (
    AllDrained,
    AllStopped,
    Begun,
    ChildCreated,
    ChildDrained,
    ChildExited,
    ChildPonged,
    ChildReady,
    Create,
    DrainChild,
    Event,
    GiveUp,
    Kill,
    PingChild,
    SendRoles,
    SendSlice,
    StopChild,
    Tell,
    TimerFired,
)


def spec(role: Role, **fields: object) -> ChildSpec:
    return ChildSpec(role=role, actor="majula.actors.probe.Probe", **fields)  # type: ignore[arg-type] # fields by name


class World:
    """Children behave as told: `frozen` ones answer nothing, `broken` ones fail to start, `stubborn` ones ignore Stop."""

    def __init__(
        self,
        children: Sequence[ChildSpec],
        *,
        strategy: Strategy = "one_for_one",
        is_root: bool = True,
        incarnations: dict[Role, int] | None = None,
        budget: BudgetLimits | None = None,
    ) -> None:
        self.now = 100.0
        settings = SupervisorSettings(
            children=tuple(children),
            strategy=strategy,
            is_root=is_root,
            incarnations=incarnations or {},
            budget=budget or BudgetLimits(),
        )
        self.core = SupervisorCore(role="supervisor:root", settings=settings)
        self.living: dict[Role, int] = {}
        self.frozen: set[Role] = set()
        self.broken: set[Role] = set()
        self.stubborn: set[Role] = set()
        self.busy: set[Role] = set()
        self.slow: set[Role] = set()
        self.log: list[str] = []
        self.reports: list[Report] = []
        self.roles = Roles(version=0, entries={})
        self.slices: list[RoleSlice] = []
        self.escalations: list[Escalate] = []
        self.created_at: dict[Role, list[float]] = {}
        self.is_stopped = self.is_drained = False
        self._inbox: list[Event] = []

    def begin(self) -> World:
        self.feed(Begun())
        return self

    def feed(self, event: Event) -> None:
        self._inbox.append(event)
        while self._inbox:
            for effect in self.core.handle(self._inbox.pop(0), self.now):
                self._carry_out(effect)

    def die(self, role: Role, reason: str = "killed by SIGKILL", *, normal: bool = False) -> None:
        incarnation = self.living.pop(role)
        self.log.append(f"{role} died")
        self.feed(ChildExited(role=role, incarnation=incarnation, reason=reason, normal=normal))

    def ready(self, role: Role) -> None:
        self.feed(ChildReady(role=role, incarnation=self.living[role], pid=1000 + self.living[role]))

    def run_for(self, seconds: float, *, until: Callable[[], bool] = lambda: False) -> None:
        """Fires each timer exactly at its deadline, and asserts that the deadline then moved."""
        end = self.now + seconds
        while (deadline := self.core.next_deadline()) <= end and not until():
            assert deadline >= self.now, f"deadline {deadline} lies before now {self.now}"
            self.now = deadline
            self.feed(TimerFired())
            assert self.core.next_deadline() > self.now, "the timer spins"
        if not until():
            self.now = end

    def state(self, role: Role) -> str:
        return next(c.state for c in self.core.status(0, 1, self.now).children if c.role == role)

    def said(self, role: Role) -> list[str]:
        return [report.context for report in self.reports if report.offender == role]

    def _carry_out(self, effect: object) -> None:
        match effect:
            case Create(spec=child, incarnation=incarnation):
                role = child.role
                assert role not in self.living, f"two lives of {role}"
                self.created_at.setdefault(role, []).append(self.now)
                self.log.append(f"{role} start")
                if role in self.broken:
                    self._inbox.append(ChildExited(role=role, incarnation=incarnation, reason="OSError: no luck"))
                    return
                self.living[role] = incarnation
                self._inbox.append(ChildCreated(role=role, incarnation=incarnation, address=f"a{incarnation}", pid=1))
                if role not in self.slow:
                    self._inbox.append(ChildReady(role=role, incarnation=incarnation, pid=1000 + incarnation))
            case Kill(role=role):
                self.log.append(f"{role} kill")
                if role in self.living:
                    self._inbox.append(ChildExited(role=role, incarnation=self.living.pop(role), reason="killed by SIGKILL"))
            case StopChild(role=role):
                self.log.append(f"{role} stop")
                if role not in self.stubborn and role in self.living:
                    self._inbox.append(
                        ChildExited(role=role, incarnation=self.living.pop(role), reason="exit status 0", normal=True)
                    )
            case PingChild(role=role):
                if role not in self.frozen:
                    self._inbox.append(ChildPonged(role=role, statistics={"n": 1}, queues={}))
            case DrainChild(role=role):
                if role not in self.busy:
                    self._inbox.append(ChildDrained(role=role))
            case Tell(report=report):
                self.reports.append(report)
            case SendRoles(roles=roles):
                self.roles = roles
            case SendSlice(part=part):
                self.slices.append(part)
            case GiveUp(escalate=escalate):
                self.escalations.append(escalate)
            case AllDrained():
                self.is_drained = True
            case AllStopped():
                self.is_stopped = True
