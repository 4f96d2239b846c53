"""The role registry: which role lives at which address.

Every supervisor keeps one. It holds the children that run and the slices that child supervisors report; a supervisor below the
root passes the whole of it up as its own slice, the root gives it a version and publishes it. What the registry does not list is
away. A slice goes with its supervisor: when that dies, its children die with it.
"""

from __future__ import annotations

from collections.abc import Mapping

from majula.messages.base import Role
from majula.messages.supervision import RoleEntry, Roles, RoleSlice


class RoleRegistry:
    """Where every role below one supervisor lives, and the highest incarnation that each ever had.

    Args:
        incarnations: known from a former life of this supervisor.
    """

    # 16: a former life may have started a child that it could not report before it died. The restart budget allows six starts in
    # a row, so a later life that begins 16 higher never gives one incarnation to two lives.
    GAP = 16

    def __init__(self, incarnations: Mapping[Role, int]) -> None:
        self._own: dict[Role, RoleEntry] = {}
        self._slices: dict[Role, dict[Role, RoleEntry]] = {}
        self._incarnations: dict[Role, int] = {role: known + self.GAP for role, known in incarnations.items()}
        self._version = 0

    def next_incarnation(self, role: Role) -> int:
        """The incarnation of a start of `role` that begins now."""
        self._incarnations[role] = self._incarnations.get(role, 0) + 1
        return self._incarnations[role]

    def came(self, role: Role, entry: RoleEntry) -> None:
        """A child is ready at this address."""
        self._own[role] = entry

    def went(self, role: Role) -> bool:
        """A child is gone, and with it all that it supervised. False where nothing was listed, so nothing changes."""
        below = self._slices.pop(role, None)
        return self._own.pop(role, None) is not None or bool(below)

    def replace_slice(self, supervisor: Role, part: RoleSlice) -> bool:
        """What a child supervisor has below it now. False where its roles are as they were."""
        for role, incarnation in part.incarnations.items():
            self._incarnations[role] = max(incarnation, self._incarnations.get(role, 0))
        if self._slices.get(supervisor) == part.entries:
            return False
        self._slices[supervisor] = dict(part.entries)
        return True

    def entries(self) -> dict[Role, RoleEntry]:
        """Every role that runs below this supervisor."""
        merged = dict(self._own)
        for part in self._slices.values():
            merged.update(part)
        return merged

    def incarnations(self) -> dict[Role, int]:
        """The highest incarnation of every role that was ever below this supervisor."""
        return dict(self._incarnations)

    def as_slice(self) -> RoleSlice:
        """What the parent is told."""
        return RoleSlice(entries=self.entries(), incarnations=self.incarnations())

    def as_roles(self) -> Roles:
        """The next version of the registry, for the root alone."""
        self._version += 1
        return Roles(version=self._version, entries=self.entries())
