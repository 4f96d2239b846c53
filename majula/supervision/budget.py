"""How often one child may die. One budget a child; the defaults are the node's promises of recovery."""

from __future__ import annotations

from collections import deque
from math import inf

import msgspec


class BudgetLimits(msgspec.Struct, frozen=True):
    """The numbers of a restart budget.

    Args:
        deaths: the death of this number within `window_s` spends the budget.
        window_s: seconds that a death counts; as many without a death reset everything.
        immediate: so many restarts in the window come without a wait.
        first_delay_s: the wait before the next one; each further one doubles it.
        longest_delay_s: where the doubling ends.
        retry_s: seconds between two tries of a child in quarantine.
    """

    deaths: int = 6
    window_s: float = 30.0
    immediate: int = 2
    first_delay_s: float = 0.1
    longest_delay_s: float = 5.0
    retry_s: float = 60.0


class RestartBudget:
    """Counts the deaths of one child and says when it may start again.

    A child that spent its budget and is tried again is on probation: one death within `window_s` of that try spends the budget
    at once, since six fresh attempts each minute would be the crash loop that the quarantine is to end.
    """

    def __init__(self, limits: BudgetLimits) -> None:
        self._limits = limits
        self._died_at: deque[float] = deque(maxlen=limits.deaths)
        self._probation_until = -inf

    def died(self, now: float) -> float | None:
        """Counts a death. Seconds until the restart (0: at once), or None where the budget is spent."""
        if now < self._probation_until:
            return None
        oldest = now - self._limits.window_s
        while self._died_at and self._died_at[0] <= oldest:
            self._died_at.popleft()
        self._died_at.append(now)
        number = len(self._died_at)
        if number >= self._limits.deaths:
            return None
        if number <= self._limits.immediate:
            return 0.0
        doublings = number - self._limits.immediate - 1
        # 2.0 ** 1024 overflows; by 64 doublings any delay has met its bound.
        return min(self._limits.first_delay_s * 2.0 ** min(doublings, 64), self._limits.longest_delay_s)

    def retried(self, now: float) -> None:
        """A child in quarantine is started for a try: from now on it is on probation."""
        self._died_at.clear()
        self._probation_until = now + self._limits.window_s
