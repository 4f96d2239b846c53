"""The calls that wait for an answer.

The caller's gateway holds each call until its result, its deadline, or the end of its caller or provider: whichever comes first
takes the call out, and whatever comes later finds nothing. So there is exactly one answer. The provider's gateway holds the
same for calls that came from other gateways; there the *origin* is a gateway.

Deadlines are in one heap. A call that was answered stays in it as a dead entry until its deadline or until dead entries are the
most; then they are swept out, which costs 0.05 us a call.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from heapq import heapify, heappop, heappush
from math import inf
from typing import Generic, TypeVar

from majula.errors import LimitReached

O = TypeVar("O", bound=Hashable)  # noqa: E741 - one letter a parameter: O the origin, T the target
T = TypeVar("T", bound=Hashable)

CALLS_LIMIT = 4_096


class PendingCall(Generic[O, T]):
    """One call under way.

    Attributes:
        id: ours; it is what the provider sees.
        origin: who called, and whom its end concerns.
        origin_call: the caller's own number of the call.
        target: who is to answer, and whose end concerns it.
        deadline: monotonic second.
        context: whatever the owner of the call needs when it ends.
    """

    __slots__ = ("context", "deadline", "id", "origin", "origin_call", "target")

    # Positional: it is built for each call, and keywords would cost it a tenth of a microsecond.
    def __init__(  # noqa: PLR0917
        self, id: int, origin: O, origin_call: int, target: T, deadline: float, context: object
    ) -> None:
        self.id = id
        self.origin = origin
        self.origin_call = origin_call
        self.target = target
        self.deadline = deadline
        self.context = context


class PendingCalls(Generic[O, T]):
    """Calls by id, by caller, by provider and by deadline.

    Args:
        limit: calls of one origin at most.
    """

    def __init__(self, *, limit: int = CALLS_LIMIT) -> None:
        self.limit = limit
        """May change; whoever has more already keeps it."""
        self._next = 1
        self._calls: dict[int, PendingCall[O, T]] = {}
        self._origins: dict[O, dict[int, int]] = {}  # origin -> its own number -> ours
        self._targets: dict[T, dict[int, None]] = {}
        self._heap: list[tuple[float, int]] = []

    def add(
        self, origin: O, origin_call: int, target: T, deadline: float, context: object = None, *, limit: int | None = None
    ) -> PendingCall[O, T]:
        """A call begins.

        Args:
            origin_call: unique among the open calls of its origin.
            limit: instead of the usual one, for an origin that is no client.
        Raises:
            LimitReached: the origin has as many calls under way as it may.
            KeyError: `origin_call` is under way already.
        """
        mine = self._origins.get(origin)
        if mine is None:
            mine = self._origins[origin] = {}
        elif len(mine) >= (self.limit if limit is None else limit):
            raise LimitReached("this client has too many calls under way", limit="pending_calls", limit_calls=self.limit)
        elif origin_call in mine:
            raise KeyError(origin_call)
        number, self._next = self._next, self._next + 1
        call = self._calls[number] = PendingCall(number, origin, origin_call, target, deadline, context)
        mine[origin_call] = number
        theirs = self._targets.get(target)
        if theirs is None:
            theirs = self._targets[target] = {}
        theirs[number] = None
        heappush(self._heap, (deadline, number))
        if len(self._heap) > 2 * len(self._calls) + 1_024:
            self._sweep()
        return call

    def get(self, id: int) -> PendingCall[O, T] | None:
        return self._calls.get(id)

    def find(self, origin: O, origin_call: int) -> PendingCall[O, T] | None:
        """By the caller's own number: what a CANCEL names."""
        number = self._origins.get(origin, {}).get(origin_call)
        return None if number is None else self._calls[number]

    def take(self, id: int) -> PendingCall[O, T] | None:
        """The call ends: it is taken out, and this is the one time that it is given. None: it has ended before, or never was."""
        call = self._calls.pop(id, None)
        if call is None:
            return None
        mine = self._origins[call.origin]
        del mine[call.origin_call]
        if not mine:
            del self._origins[call.origin]
        theirs = self._targets[call.target]
        del theirs[id]
        if not theirs:
            del self._targets[call.target]
        return call

    def expire(self, now: float) -> list[PendingCall[O, T]]:
        """Take out all calls whose deadline has come, in the order of their deadlines."""
        expired: list[PendingCall[O, T]] = []
        heap = self._heap
        while heap and heap[0][0] <= now:
            call = self.take(heappop(heap)[1])
            if call is not None:
                expired.append(call)
        return expired

    def drop_origin(self, origin: O) -> list[PendingCall[O, T]]:
        """Take out all calls of a caller that is gone."""
        return self._take_all(tuple(self._origins.get(origin, {}).values()))

    def drop_target(self, target: T) -> list[PendingCall[O, T]]:
        """Take out all calls to a provider that is gone."""
        return self._take_all(tuple(self._targets.get(target, ())))

    def next_deadline(self) -> float:
        """When `expire` has something to do; inf: nothing is under way."""
        heap, calls = self._heap, self._calls
        while heap and heap[0][1] not in calls:
            heappop(heap)
        return heap[0][0] if heap else inf

    def count(self, origin: O) -> int:
        """How many calls of this origin are under way."""
        return len(self._origins.get(origin, ()))

    def count_target(self, target: T) -> int:
        """How many calls this target has to answer."""
        return len(self._targets.get(target, ()))

    def statistics(self) -> dict[str, int]:
        """How much is kept: `deadlines` counts dead entries too."""
        return {
            "calls": len(self._calls),
            "origins": len(self._origins),
            "targets": len(self._targets),
            "deadlines": len(self._heap),
        }

    def __len__(self) -> int:
        return len(self._calls)

    def __iter__(self) -> Iterator[PendingCall[O, T]]:
        return iter(tuple(self._calls.values()))

    def _take_all(self, numbers: tuple[int, ...]) -> list[PendingCall[O, T]]:
        return [call for number in numbers if (call := self.take(number)) is not None]

    def _sweep(self) -> None:
        calls = self._calls
        self._heap = [entry for entry in self._heap if entry[1] in calls]
        heapify(self._heap)
