"""Messages at a topic: what died may lose some, but none comes twice or out of order."""

from __future__ import annotations

import asyncio

import majula

from .verdict import Part, Verdict

TOPIC = "soak.numbers"


class Publisher(Part):
    """0, 1, 2 ... at one topic."""

    name = "publisher"

    def __init__(self, verdict: Verdict, client: majula.Client, *, pace_s: float) -> None:
        super().__init__(verdict)
        self._client, self._pace_s = client, pace_s

    async def run(self) -> None:
        while not self.is_over:
            await self._client.publish(TOPIC, self.progress)
            self.went_well()
            await asyncio.sleep(self._pace_s)


class Subscriber(Part):
    """One client that hears them."""

    def __init__(self, verdict: Verdict, name: str, client: majula.Client) -> None:
        super().__init__(verdict)
        self.name = f"subscriber {name}"
        self._client = client
        self._last = -1

    async def run(self) -> None:
        subscription = await self._client.subscribe(TOPIC, self._take)
        await self.verdict.until(lambda: self.is_over)
        await subscription.unsubscribe()

    def _take(self, message: majula.Message) -> None:
        if message.payload <= self._last:
            self.broken(f"{message.payload} came after {self._last}")
        self._last = message.payload
        self.went_well()
