"""Every role of the node, as its supervisor sees it.

One maker of these lines for `status.show`, `/metrics` and the control socket, so that they cannot disagree.
"""

from __future__ import annotations

from collections.abc import Mapping

from majula.messages.base import Address, Role
from majula.messages.supervision import ChildStatus, Status
from majula.telemetry.operations import Ending, RoleLine

SUPERVISORS = "supervisor:"
ROOT = "supervisor:root"


def role_line(child: ChildStatus, *, supervisor: Role, names: Mapping[Address, Role], is_fresh: bool) -> RoleLine:
    """One role.

    Args:
        supervisor: who says it.
        names: which role lives where, to name the queues by.
        is_fresh: False: its supervisor does not answer, and this is what it said last.
    """
    return RoleLine(
        role=child.role,
        state=child.state,
        pid=child.pid,
        restarts=child.restarts,
        last_exit=child.deaths[0].reason if child.deaths else "",
        statistics=child.statistics,
        supervisor=supervisor,
        is_fresh=is_fresh,
        address=child.address,
        incarnation=child.incarnation,
        up_s=child.up_s,
        silent_s=child.silent_s,
        retry_in_s=child.retry_in_s,
        deaths=tuple(Ending(round(death.ago_s, 3), death.reason, death.incarnation) for death in child.deaths),
        queues={names.get(address, address): size for address, size in child.queues.items()},
    )


class RoleBoard:
    """What the supervisors said last.

    Args:
        fresh_s: an answer that is older counts as none.
    """

    def __init__(self, *, fresh_s: float) -> None:
        self._fresh_s = fresh_s
        self._known: dict[Role, tuple[Status, float]] = {}

    def told(self, status: Status, now: float) -> None:
        """A supervisor has answered."""
        self._known[status.supervisor] = (status, now)

    def keep(self, supervisors: set[Role]) -> None:
        """Forget those that are not among these: the whole tree was started anew without them."""
        for role in self._known.keys() - supervisors:
            del self._known[role]

    def is_degraded(self) -> bool:
        """Whether a role is in quarantine."""
        return any(status.degraded for status, _ in self._known.values())

    def lines(self, names: Mapping[Address, Role], now: float, *, trees: int = 1) -> tuple[RoleLine, ...]:
        """Every role, below its supervisor; the root first, which the runner watches.

        Args:
            trees: how many there were, this one included: so often the root was started.
        """
        lines: list[RoleLine] = []
        for supervisor, (status, at) in sorted(self._known.items(), key=lambda item: (item[0] != ROOT, item[0])):
            is_fresh = now - at <= self._fresh_s
            if supervisor == ROOT:
                lines.append(
                    RoleLine(
                        role=ROOT,
                        state="running",
                        pid=status.pid,
                        restarts=trees - 1,
                        supervisor="runner",
                        is_fresh=is_fresh,
                        incarnation=trees,
                    )
                )
            lines += [role_line(child, supervisor=supervisor, names=names, is_fresh=is_fresh) for child in status.children]
        return tuple(lines)
