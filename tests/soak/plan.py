"""Which process is harmed when and how. The same seed draws the same faults."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

ROLES = (
    "config",
    "telemetry",
    "router",
    "topic_manager",
    "rpc_broker",
    "gateway 0",
    "gateway 1",
    "gateway 2",
    "supervisor:control",
    "supervisor:data",
    "supervisor:root",
    "admin",
    "logger",
)
WEIGHTS = (2, 2, 2, 2, 2, 4, 4, 2, 1, 1, 1, 1, 1)
KINDS = {"kill": 6, "stop": 2, "pause": 3}
"""`stop` is a process that hangs until it is found and replaced; `pause` one that goes on after less than its patience."""

_DEATHS, _WINDOW_S = 4, 35.0
"""The sixth death of one child in 30 s ends in quarantine, which is right and would end the run."""
_JOINED = 0.25
_WHOLE_TREE = ("supervisor:root", "admin")


@dataclass(frozen=True)
class Fault:
    """`after_s` since the node had recovered from the one before; `for_s` is how long a pause lasts; `is_joined`: the next one
    comes at the same moment."""

    number: int
    after_s: float
    role: str
    kind: str
    for_s: float
    is_joined: bool

    def __str__(self) -> str:
        return f"{self.number}: {self.kind} {self.role}" + (f" for {self.for_s:.2f} s" if self.kind == "pause" else "")


def draw(seed: int) -> Iterator[Fault]:
    """Faults without an end. Times only grow in a real run, so a budget that is kept here is kept there."""
    random = Random(seed)
    deaths: defaultdict[str, deque[float]] = defaultdict(deque)
    now, number = 0.0, 0
    while True:
        after_s = random.uniform(0.3, 4.0)
        (role,) = random.choices(ROLES, WEIGHTS)
        (kind,) = random.choices(list(KINDS), list(KINDS.values()))
        for_s = random.uniform(0.05, 1.2)
        is_joined = random.random() < _JOINED
        now += after_s
        key = "the tree" if role in _WHOLE_TREE else role
        while deaths[key] and now - deaths[key][0] > _WINDOW_S:
            deaths[key].popleft()
        if kind != "pause":
            if len(deaths[key]) >= _DEATHS:
                continue
            deaths[key].append(now)
        number += 1
        yield Fault(number, after_s, role, kind, for_s, is_joined)
