"""Which gateway, and there which member, gets a message of a queue group.

The gateway at which a message was published (the *origin*) picks a gateway, itself included, by how many members each has:
smooth weighted round robin, so that 2 members here and 1 there give here, there, here. The picked gateway picks the member: the
least loaded of those that come next in turn.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Generic, TypeVar

from majula.messages.base import Role
from majula.topics.interest import Group

S = TypeVar("S", bound=Hashable)
V = TypeVar("V")

# Groups whose turn is remembered. The oldest starts its turns anew, which nobody can tell from chance.
TURNS_LIMIT = 4_096
# How many members are compared by load. Two random ones already avoid the worst (the "power of two choices"); eight in turn
# cost 1 us.
COMPARED = 8


class QueueGroups(Generic[S]):
    """Whose turn it is, for the groups of one gateway.

    Args:
        role: of this gateway.
    """

    def __init__(self, role: Role) -> None:
        self._role = role
        self._turns: dict[str, int] = {}
        self._weights: dict[str, dict[Role, int]] = {}

    def pick_gateway(self, group: Group[S], is_usable: Callable[[Role], bool]) -> Role | None:
        """The gateway whose turn it is; this one is among them where the group has members here. None: no gateway is usable.

        Args:
            group: as `Route.groups` has it.
            is_usable: says whether another gateway is there and takes messages.
        """
        if not group.remote:
            return self._role if group.members else None
        weights = self._turns_of(self._weights, group.name, {})
        total = 0
        best: Role | None = None
        counts = ((self._role, len(group.members)), *group.remote) if group.members else group.remote
        for gateway, members in counts:
            if gateway != self._role and not is_usable(gateway):
                continue
            total += members
            weight = weights[gateway] = weights.get(gateway, 0) + members
            if best is None or weight > weights[best]:
                best = gateway
        if best is not None:
            weights[best] -= total
            if len(weights) > len(counts):
                for gateway in weights.keys() - {gateway for gateway, _ in counts}:
                    del weights[gateway]
        return best

    def pick_member(self, name: str, members: Sequence[S], load: Callable[[S], int] | None = None) -> S | None:
        """The member whose turn it is. None: there are none.

        Args:
            name: of the group.
            members: `Group.members`.
            load: what waits for a member, in any unit; the least loaded of the next eight is taken, the first of equals. None:
                strict
                turns.
        """
        count = len(members)
        if count <= 1:
            return members[0] if count else None
        first = self._turns_of(self._turns, name, -1) + 1
        if first >= count:
            first = 0
        best = first
        if load is not None:
            least = load(members[first])
            at = first
            for _ in range(min(count, COMPARED) - 1):
                if least == 0:
                    break
                at = at + 1 if at + 1 < count else 0
                here = load(members[at])
                if here < least:
                    best, least = at, here
        self._turns[name] = best
        return members[best]

    @staticmethod
    def _turns_of(turns: dict[str, V], name: str, first: V) -> V:
        found = turns.get(name)
        if found is None:
            if len(turns) >= TURNS_LIMIT:
                del turns[next(iter(turns))]
            found = turns[name] = first
        return found
