"""One child as its supervisor knows it. The core alone changes it."""

from __future__ import annotations

from collections import deque
from math import inf

from majula.messages.base import Address
from majula.messages.supervision import ChildSpec, ChildStatus, Death, Figure, RoleState
from majula.supervision.budget import RestartBudget


class Child:
    """One child. `timer_at` is the one moment that its phase waits for."""

    def __init__(self, spec: ChildSpec, position: int, budget: RestartBudget) -> None:
        self.spec = spec
        self.position = position
        self.budget = budget
        self.state: RoleState = "waiting"
        self.is_due = True  # waiting or quarantined, and its moment has come
        self.timer_at = inf
        self.incarnation = 0
        self.address: Address = ""
        self.pid = 0
        self.restarts = 0
        self.deaths: deque[tuple[float, str, int]] = deque(maxlen=8)
        self.settled = False  # it was ready once, or was given up: those after it may start
        self.ready_at = 0.0
        self.heard_at = 0.0
        self.missed = 0
        self.asked = False  # a ping is unanswered
        self.verdict = ""  # why we kill it; better than the "killed by SIGKILL" that its exit will say
        self.draining = False
        self.statistics: dict[str, Figure] = {}
        self.queues: dict[Address, int] = {}

    @property
    def is_alive(self) -> bool:
        return self.state in ("starting", "running", "stopping")

    def status(self, now: float) -> ChildStatus:
        """What `majula status` shows of it."""
        is_running = self.state == "running"
        is_timed = self.state in ("waiting", "quarantined") and self.timer_at < inf
        return ChildStatus(
            role=self.spec.role,
            state=self.state,
            pid=self.pid,
            address=self.address,
            incarnation=self.incarnation,
            restarts=self.restarts,
            deaths=tuple(Death(ago_s=now - at, reason=reason, incarnation=number) for at, reason, number in self.deaths),
            retry_in_s=max(0.0, self.timer_at - now) if is_timed else -1.0,
            up_s=now - self.ready_at if is_running else -1.0,
            silent_s=now - self.heard_at if is_running else -1.0,
            statistics=self.statistics,
            queues=self.queues,
        )
