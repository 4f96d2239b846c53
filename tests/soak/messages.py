"""Private messages between two clients: each once and in order, whatever dies."""

from __future__ import annotations

import asyncio
from collections import Counter

import majula
from majula.errors import Overloaded

from .verdict import Part, Verdict

TTL_S = 900.0
"""More than a run's outages together: nothing may expire."""


class Messages(Part):
    """0, 1, 2 ... from one client to another; which surfaces they use stands in the name."""

    def __init__(self, verdict: Verdict, name: str, sender: majula.Client, receiver: majula.Client, *, pace_s: float) -> None:
        super().__init__(verdict)
        self.name = f"messages {name}"
        self._sender, self._receiver, self._pace_s = sender, receiver, pace_s
        self._sent = self._ended = 0
        self._ends: Counter[str] = Counter()
        receiver.on_message(self._take)

    async def run(self) -> None:
        while not self.is_over:
            try:
                future = self._sender.send_nowait(self._receiver.client_id, self._sent, ttl_s=TTL_S)
            except Overloaded:
                await asyncio.sleep(self._pace_s)  # nobody acknowledges at the moment, and the buffer is full
                continue
            future.add_done_callback(self._end)
            self._sent += 1
            await asyncio.sleep(self._pace_s)

    async def settle(self) -> None:
        await self.verdict.until(lambda: self._ended == self._sent)
        if self._ends != {"delivered": self._sent}:
            self.broken(f"of {self._sent} messages: {dict(self._ends)}")
        await self.verdict.until(lambda: self.progress == self._sent)

    def figures(self) -> dict[str, int]:
        return {"sent": self._sent, "received": self.progress, "delivered": self._ends["delivered"]}

    def _take(self, message: majula.PrivateMessage) -> None:
        if message.payload != self.progress:
            self.broken(f"message {message.payload} came where {self.progress} was due")
        self.went_well()

    def _end(self, future: asyncio.Future[str]) -> None:
        self._ended += 1
        self._ends[future.result()] += 1
        self.verdict.moved()
