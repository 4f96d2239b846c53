"""Does the node serve? Pure: told by two sources that take different ways and so come in any order.

A supervisor reports the life of its children to the runner directly; the registry comes through the root, a little later. A child
that died may still be listed, one that runs may not be listed yet. Incarnations tell: a role is up when the registry lists an
incarnation that no report has declared dead.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal

from majula.messages.base import Role
from majula.messages.supervision import Happening, Report, RoleEntry

Verdict = Literal["incomplete", "degraded", "serving"]
"""`incomplete`: a role is away. `degraded`: those that are away are in quarantine, and the rest serves."""

_ENDS: frozenset[Happening] = frozenset({"child.died", "child.start_failed", "child.hung", "child.stopped", "child.quarantined"})


class Readiness:
    """Args: `roles`, all that a node consists of."""

    def __init__(self, roles: Iterable[Role]) -> None:
        self._roles = tuple(roles)
        self._entries: Mapping[Role, RoleEntry] = {}
        self._least: dict[Role, int] = {}
        self.quarantined: set[Role] = set()

    def tree_ended(self) -> None:
        """Nothing lives any more."""
        self._entries = {}
        self.quarantined.clear()

    def roles_came(self, entries: Mapping[Role, RoleEntry]) -> None:
        """A new version of the registry."""
        self._entries = entries

    def reported(self, report: Report) -> None:
        """A lifecycle event of one role."""
        role = report.offender
        if report.context in _ENDS:
            self._least[role] = max(self._least.get(role, 0), report.incarnation + 1)
        if report.context == "child.quarantined":
            self.quarantined.add(role)
        elif report.context == "child.started":
            self.quarantined.discard(role)
            self._least[role] = max(self._least.get(role, 0), report.incarnation)

    def verdict(self) -> Verdict:
        """As far as is known now."""
        if not all(role in self.quarantined or self._is_up(role) for role in self._roles):
            return "incomplete"
        return "degraded" if self.quarantined else "serving"

    def _is_up(self, role: Role) -> bool:
        entry = self._entries.get(role)
        return entry is not None and entry.incarnation >= self._least.get(role, 0)
