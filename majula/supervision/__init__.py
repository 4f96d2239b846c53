"""Who lives, and where each role is. Pure: events and the time go in, effects come out; `actors/supervisor.py` carries them out.

Read in this order:

- `spec`: what a child and a supervisor are made of, and the check that refuses a bad one by name.
- `budget`: how often a child may die, and how long its supervisor waits before it starts it again.
- `registry`: the role registry: who lives where, merged from the supervisors below, versioned by the root.
- `events`: what goes into the core and what comes out.
- `child`: one child as its supervisor knows it.
- `core`: the state of every child and the decisions: order, strategies, hung children, quarantine, escalation, drain, stop.

The messages are in `majula.messages.supervision`.
"""

from majula.supervision.budget import RestartBudget
from majula.supervision.core import SupervisorCore
from majula.supervision.registry import RoleRegistry
from majula.supervision.spec import Pulse, SpecError, SupervisorSettings, validate, with_settings

__all__ = [
    "Pulse",
    "RestartBudget",
    "RoleRegistry",
    "SpecError",
    "SupervisorCore",
    "SupervisorSettings",
    "validate",
    "with_settings",
]
