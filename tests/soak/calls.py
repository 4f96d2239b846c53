"""Calls: each ends once, in its answer or one clear error."""

from __future__ import annotations

import asyncio
from collections import Counter

import majula
from majula.errors import MajulaError

from .verdict import Part, Verdict

CLEAR = {"connection_lost", "provider_lost", "no_provider", "unavailable", "overloaded", "draining"}
"""How a call may end beside its answer. A deadline is not among them: it would mean that nobody told the caller."""
DEADLINE_S = 40.0
FUNCTION = "soak.twice"


async def twice(value: int) -> int:
    """The function, answered a turn later so that some are always under way."""
    await asyncio.sleep(0)
    return value * 2


class Caller(Part):
    """One client that calls again and again, `lanes` at once."""

    def __init__(self, verdict: Verdict, name: str, client: majula.Client, *, pace_s: float, lanes: int = 4) -> None:
        super().__init__(verdict)
        self.name = f"caller {name}"
        self._client, self._pace_s, self._lanes = client, pace_s, lanes
        self._started = 0
        self._ends: Counter[str] = Counter()

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            for _ in range(self._lanes):
                group.create_task(self._go_on())

    async def settle(self) -> None:
        if sum(self._ends.values()) != self._started:
            self.broken(f"{self._started} calls had {sum(self._ends.values())} ends")

    def figures(self) -> dict[str, int]:
        return {"calls": self._started, **self._ends}

    async def _go_on(self) -> None:
        while not self.is_over:
            self._started += 1
            number = self._started
            try:
                answer = await self._client.call(FUNCTION, number, timeout_s=DEADLINE_S)
            except MajulaError as error:
                self._ends[error.code] += 1
                if error.code not in CLEAR:
                    self.broken(f"call {number} ended in {error.code}: {error}")
            else:
                self._ends["answer"] += 1
                if answer != number * 2:
                    self.broken(f"call {number} was answered by {answer!r}")
                self.went_well()
            await asyncio.sleep(self._pace_s)
