"""How a part of the run says that a promise was broken, and how far each part has come."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class Violation(AssertionError):
    """A promise was broken; its words say which and by what."""


class Verdict:
    """The first violation ends the run, also when it is found in a callback, where nobody would see an exception."""

    def __init__(self) -> None:
        self.violation: Violation | None = None
        self._news = asyncio.Event()

    def broken(self, what: str) -> None:
        """Say it; only the first one counts."""
        if self.violation is None:
            self.violation = Violation(what)
        self._news.set()

    def moved(self) -> None:
        """A part has come further."""
        self._news.set()

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until a move makes it true.

        Raises:
            Violation: something was broken meanwhile.
        """
        while True:
            if self.violation is not None:
                raise self.violation
            if condition():
                return
            self._news.clear()
            await self._news.wait()


class Part:
    """One kind of traffic. `progress` counts what went well, and has to grow again after every fault."""

    name: str

    def __init__(self, verdict: Verdict) -> None:
        self.verdict = verdict
        self.progress = 0
        self.is_over = False

    def went_well(self) -> None:
        """One more."""
        self.progress += 1
        self.verdict.moved()

    def broken(self, what: str) -> None:
        """A promise of this part was broken."""
        self.verdict.broken(f"{self.name}: {what}")

    async def run(self) -> None:
        """Go on until `is_over`."""
        raise NotImplementedError

    async def settle(self) -> None:
        """After `run`, with all processes alive: check what has to be true at the end."""

    def figures(self) -> dict[str, int]:
        """For people, at the end."""
        return {"progress": self.progress}
