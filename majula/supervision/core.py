"""The decisions of one supervisor: `handle(event, now) -> effects`.

A child goes through these phases (the names that `status` shows):

    waiting --Create--> starting --ready--> running
       ^                   |  |               |  |
       |                   |  +--- dies ------+  +- Stop -> stopping -> waiting (a sibling's death took it down) or stopped
       +--- restart is due +--- budget spent -> quarantined -> (60 s) -> starting, on probation

`waiting` has a moment at which it is due; it starts when that has come, nothing is being taken down any more, and the
children before it are there: one_for_one waits for them in the first start only, rest_for_one and one_for_all always. Whatever is
taken down goes in reverse order, one after the other.
"""

from __future__ import annotations

from math import inf
from typing import Literal, assert_never

from majula.messages.base import Role
from majula.messages.supervision import (
    Escalate,
    Happening,
    Report,
    RoleEntry,
    Roles,
    RoleSlice,
    Status,
)
from majula.supervision.budget import RestartBudget
from majula.supervision.child import Child
from majula.supervision.events import (
    AllDrained,
    AllStopped,
    Begun,
    ChildCreated,
    ChildDrained,
    ChildEscalated,
    ChildExited,
    ChildPonged,
    ChildReady,
    Create,
    DrainAsked,
    DrainChild,
    Effect,
    Event,
    GiveUp,
    Kill,
    PingChild,
    RolesCame,
    SendRoles,
    SendSlice,
    SettingsCame,
    SliceCame,
    StopAsked,
    StopChild,
    Tell,
    TimerFired,
)
from majula.supervision.registry import RoleRegistry
from majula.supervision.spec import SupervisorSettings, validate, with_settings

# 0.25 s: what a child that drains to the very deadline needs to say so.
DRAIN_ALLOWANCE_S = 0.25


Mode = Literal["idle", "running", "draining", "drained", "given_up", "stopping", "stopped"]


class SupervisorCore:
    """One supervisor. Its actor feeds every event with the time and carries the effects out in order.

    Args:
        role: of the supervisor itself, as reports name it.
        settings: children, strategy and numbers; refused by SpecError where a value is not allowed.
        entry: where the root itself lives, so that it is in the registry; None below the root.
    """

    def __init__(self, *, role: Role, settings: SupervisorSettings, entry: RoleEntry | None = None) -> None:
        validate(settings)
        self._role = role
        self._settings = settings
        self._registry = RoleRegistry(settings.incarnations)
        if entry is not None:
            self._registry.came(role, entry)
        self._roles = Roles(version=0, entries={})
        self._children = {
            spec.role: Child(spec, position, RestartBudget(settings.budget)) for position, spec in enumerate(settings.children)
        }
        self._taking_down: list[Child] = []  # reverse start order: the last one is stopped first
        self._tick_at = inf
        self._sequence = 0
        self._drain_until = inf
        self._mode: Mode = "idle"
        self._effects: list[Effect] = []
        self._registry_changed = False

    # --- the face of a core

    def next_deadline(self) -> float:
        """The moment at which TimerFired is wanted; inf where nothing waits."""
        return min(self._tick_at, self._drain_until, min((c.timer_at for c in self._children.values()), default=inf))

    def handle(self, event: Event, now: float) -> list[Effect]:
        """What follows from `event`. Events of a former incarnation, and of roles that are not ours, change nothing."""
        match event:
            case Begun():
                self._mode = "running"
                self._tick_at = now + self._settings.pulse.interval_s
                # The root's own entry, and for a parent that it restarted us: the former slice is void.
                self._registry_changed = True
            case ChildCreated():
                self._on_created(event)
            case ChildReady():
                self._on_ready(event, now)
            case ChildExited():
                self._on_exited(event, now)
            case ChildPonged():
                self._on_ponged(event, now)
            case ChildDrained():
                self._on_drained(event.role)
            case SliceCame():
                self._on_slice(event)
            case ChildEscalated():
                self._on_escalated(event, now)
            case RolesCame():
                if event.roles.version > self._roles.version:
                    self._roles = event.roles
                    self._effects.append(SendRoles(roles=self._roles, to=self._running()))
            case SettingsCame():
                self._on_settings(event)
            case DrainAsked():
                self._on_drain(event.deadline_s, now)
            case StopAsked():
                self._on_stop(now)
            case TimerFired():
                self._on_timer(now)
            case _:
                assert_never(event)
        self._advance(now)
        self._publish()
        effects, self._effects = self._effects, []
        return effects

    @property
    def roles(self) -> Roles:
        """The newest registry that this supervisor has made or passed on."""
        return self._roles

    def as_slice(self) -> RoleSlice:
        """What lives below this supervisor."""
        return self._registry.as_slice()

    def status(self, number: int, pid: int, now: float) -> Status:
        """The children in start order, as `majula status` shows them. `pid` is the supervisor's own."""
        return Status(
            number=number,
            supervisor=self._role,
            pid=pid,
            degraded=any(child.state == "quarantined" for child in self._children.values()),
            children=tuple(child.status(now) for child in self._children.values()),
        )

    # --- events

    def _on_created(self, event: ChildCreated) -> None:
        child = self._children.get(event.role)
        if child is not None and child.incarnation == event.incarnation and child.is_alive:
            child.address, child.pid = event.address, event.pid
            if self._roles.entries:
                # It needs the registry while it starts; the version after its own start reaches it too.
                self._effects.append(SendRoles(roles=self._roles, to=(event.role,)))

    def _on_ready(self, event: ChildReady, now: float) -> None:
        child = self._children.get(event.role)
        if child is None or child.incarnation != event.incarnation or child.state != "starting":
            return
        child.state, child.timer_at, child.settled = "running", inf, True
        child.pid = event.pid or child.pid
        child.ready_at = child.heard_at = now
        child.missed, child.asked = 0, False
        self._registry.came(event.role, RoleEntry(address=child.address, incarnation=child.incarnation, pid=child.pid))
        self._registry_changed = True
        self._tell("child.started", child)

    def _on_slice(self, event: SliceCame) -> None:
        child = self._children.get(event.role)
        if child is not None and child.is_alive and self._registry.replace_slice(event.role, event.part):
            self._registry_changed = True

    def _on_settings(self, event: SettingsCame) -> None:
        # The child that runs is told by whoever tells us. Every supervisor is told of every role.
        for child in self._children.values():
            (child.spec,) = with_settings((child.spec,), event.role, event.config)

    def _on_ponged(self, event: ChildPonged, now: float) -> None:
        child = self._children.get(event.role)
        if child is not None and child.state in ("starting", "running"):
            child.missed, child.asked, child.heard_at = 0, False, now
            child.statistics, child.queues = event.statistics, event.queues

    def _on_exited(self, event: ChildExited, now: float) -> None:
        child = self._children.get(event.role)
        if child is None or child.incarnation != event.incarnation or not child.is_alive:
            return
        was, pid = child.state, child.pid
        reason = child.verdict or event.reason
        child.address, child.pid, child.verdict, child.draining = "", 0, "", False
        child.statistics, child.queues = {}, {}
        child.timer_at = inf
        if self._registry.went(event.role):
            self._registry_changed = True
        if was == "stopping":
            self._tell("child.stopped", child, pid=pid, reason=reason)
            # Taken down because of a sibling: it comes back with it, but for a temporary one.
            comes_back = self._mode == "running" and child.spec.restart != "temporary"
            child.state, child.is_due = ("waiting", True) if comes_back else ("stopped", False)
            return
        child.deaths.appendleft((now, reason, child.incarnation))
        self._tell("child.start_failed" if was == "starting" else "child.died", child, pid=pid, reason=reason)
        if self._mode != "running":
            child.state = "stopped"
        elif child.spec.restart == "temporary" or (child.spec.restart == "transient" and event.normal):
            child.state, child.settled = "stopped", True
        else:
            self._restart(child, reason, now)

    def _on_drained(self, role: Role) -> None:
        child = self._children.get(role)
        if child is not None and child.draining:
            child.draining = False
            self._tell("child.drained", child)

    def _on_escalated(self, event: ChildEscalated, now: float) -> None:
        """A child supervisor that gives up has spent its budget by definition: its own children spent theirs."""
        child = self._children.get(event.role)
        if child is None or child.state not in ("starting", "running") or self._mode != "running":
            return
        if self._is_vital(child):
            self._give_up(event.escalate)
            return
        child.verdict = f"gave up: {event.escalate.offender}: {event.escalate.reason}"
        child.deaths.appendleft((now, child.verdict, child.incarnation))
        self._effects.append(Kill(event.role))
        self._quarantine(child, child.verdict, now)

    def _on_drain(self, deadline_s: float, now: float) -> None:
        if self._mode != "running":
            if self._mode != "draining":
                self._effects.append(AllDrained())
            return
        self._mode = "draining"
        self._drain_until = now + deadline_s + DRAIN_ALLOWANCE_S
        for child in self._children.values():
            if child.state == "running":
                child.draining = True
                self._effects.append(DrainChild(role=child.spec.role, deadline_s=deadline_s))

    def _on_stop(self, now: float) -> None:
        if self._mode in ("stopping", "stopped"):
            return
        self._mode = "stopping"
        self._tick_at = self._drain_until = inf
        for child in self._children.values():
            child.draining = False
            if not child.is_alive:
                child.state, child.timer_at = "stopped", inf
        self._take_down([child for child in self._children.values() if child.state in ("starting", "running")])

    def _on_timer(self, now: float) -> None:
        if now >= self._tick_at:
            # From now, not from the former tick: after a pause of the whole machine no ticks are made up for.
            self._tick_at = now + self._settings.pulse.interval_s
            self._sequence += 1
            for child in self._children.values():
                # Also while it starts: its loop answers, or it hangs; `start_s` is for one that turns and is never ready.
                if child.state in ("starting", "running") and child.address:
                    self._watch(child)
        if now >= self._drain_until:
            for child in self._children.values():
                child.draining = False
        for child in self._children.values():
            if now < child.timer_at:
                continue
            if child.state == "starting":
                child.timer_at = inf
                self._hung(child, f"hung: not ready within {child.spec.start_s:g} s")
            elif child.state == "stopping":
                child.timer_at = inf
                child.verdict = f"killed: did not stop within {child.spec.shutdown_s:g} s"
                self._tell("child.killed", child, reason=child.verdict)
                self._effects.append(Kill(child.spec.role))
            elif child.state in ("waiting", "quarantined"):
                # The timer is spent here: it may still have to wait for a sibling, and must not spin until then.
                child.is_due, child.timer_at = True, inf

    # --- decisions

    def _watch(self, child: Child) -> None:
        child.missed = child.missed + 1 if child.asked else 0
        if child.missed >= self._settings.pulse.misses:
            if not child.verdict:
                self._hung(child, f"hung: {child.missed} pings unanswered")
            return
        child.asked = True
        self._effects.append(PingChild(role=child.spec.role, sequence=self._sequence))

    def _hung(self, child: Child, verdict: str) -> None:
        child.verdict = verdict
        self._tell("child.hung", child, reason=verdict)
        self._effects.append(Kill(child.spec.role))

    def _restart(self, child: Child, reason: str, now: float) -> None:
        delay_s = child.budget.died(now)
        if delay_s is None:
            if self._is_vital(child):
                child.state = "stopped"
                self._give_up(Escalate(offender=child.spec.role, reason=reason))
                return
            self._quarantine(child, reason, now)
        else:
            child.state = "waiting"
            child.is_due, child.timer_at = (True, inf) if delay_s == 0.0 else (False, now + delay_s)
            self._tell("child.restarting", child, reason=reason, in_s=delay_s)
        match self._settings.strategy:
            case "one_for_one":
                pass
            case "rest_for_one":
                self._take_down([c for c in self._children.values() if c.position > child.position])
            case "one_for_all":
                self._take_down([c for c in self._children.values() if c is not child])
            case never:
                assert_never(never)

    def _is_vital(self, child: Child) -> bool:
        """By itself, or as the last member of its group that is not given up."""
        if child.spec.vital or not child.spec.vital_group:
            return child.spec.vital
        return not any(
            other.state in ("starting", "running", "waiting")
            for other in self._children.values()
            if other is not child and other.spec.vital_group == child.spec.vital_group
        )

    def _quarantine(self, child: Child, reason: str, now: float) -> None:
        retry_s = self._settings.budget.retry_s
        child.state, child.settled = "quarantined", True
        child.is_due, child.timer_at = False, now + retry_s
        child.address, child.pid = "", 0
        if self._registry.went(child.spec.role):
            self._registry_changed = True
        self._tell("child.quarantined", child, reason=reason, in_s=retry_s)

    def _give_up(self, escalate: Escalate) -> None:
        """Nothing is restarted from here on; what still lives goes on until the parent ends this supervisor."""
        self._mode = "given_up"
        for child in self._children.values():
            if not child.is_alive:
                child.timer_at = inf
        self._effects.append(Tell(Report(self._role, "child.escalated", escalate.offender, 0, 0, reason=escalate.reason)))
        self._effects.append(GiveUp(escalate))

    def _take_down(self, children: list[Child]) -> None:
        self._taking_down += [c for c in children if c.state in ("starting", "running") and c not in self._taking_down]
        self._taking_down.sort(key=lambda c: c.position)

    def _advance(self, now: float) -> None:
        """Carries on with what is under way: the next one down, else those up whose turn it is."""
        if self._mode == "draining" and not any(c.draining for c in self._children.values()):
            self._drain_until = inf
            self._mode = "drained"
            self._effects.append(AllDrained())
        while self._taking_down:
            child = self._taking_down[-1]
            if child.state in ("starting", "running"):
                child.state, child.timer_at = "stopping", now + child.spec.shutdown_s
                if child.spec.shutdown_s > 0:
                    self._effects.append(StopChild(child.spec.role))
                else:
                    child.timer_at = inf
                    self._effects.append(Kill(child.spec.role))
            if child.state == "stopping":
                return
            self._taking_down.pop()
        if self._mode == "running":
            self._start_those_due(now)
        elif self._mode == "stopping" and not any(c.is_alive for c in self._children.values()):
            self._mode = "stopped"
            self._effects.append(AllStopped())

    def _start_those_due(self, now: float) -> None:
        earlier_are_there = True
        for child in self._children.values():
            if child.state in ("waiting", "quarantined") and child.is_due and earlier_are_there:
                self._create(child, now)
            if self._settings.strategy == "one_for_one":
                earlier_are_there = earlier_are_there and child.settled
            else:
                earlier_are_there = earlier_are_there and child.state in ("running", "stopped")

    def _create(self, child: Child, now: float) -> None:
        if child.state == "quarantined":
            child.budget.retried(now)
        role = child.spec.role
        if child.incarnation:
            child.restarts += 1
        child.incarnation = self._registry.next_incarnation(role)
        child.state, child.timer_at = "starting", now + child.spec.start_s
        child.verdict, child.missed, child.asked = "", 0, False
        self._effects.append(Create(spec=child.spec, incarnation=child.incarnation, incarnations=self._registry.incarnations()))

    # --- what others learn

    def _running(self) -> tuple[Role, ...]:
        return tuple(role for role, child in self._children.items() if child.is_alive and child.address)

    def _publish(self) -> None:
        if not self._registry_changed:
            return
        self._registry_changed = False
        if self._settings.is_root:
            self._roles = self._registry.as_roles()
            self._effects.append(SendRoles(roles=self._roles, to=self._running(), to_watcher=True))
        else:
            self._effects.append(SendSlice(self._registry.as_slice()))

    def _tell(self, context: Happening, child: Child, *, pid: int | None = None, reason: str = "", in_s: float = -1.0) -> None:
        report = Report(
            supervisor=self._role,
            context=context,
            offender=child.spec.role,
            pid=child.pid if pid is None else pid,
            incarnation=child.incarnation,
            reason=reason,
            in_s=in_s,
        )
        self._effects.append(Tell(report))
