"""What a message system's client does for the harness."""

from __future__ import annotations

import abc
import asyncio
import time
from collections.abc import Callable
from itertools import cycle

from benchmarks.peers.task import Task


class Client(abc.ABC):
    """One connection, used as someone would use it who wants throughput.

    The harness calls `connect`, then exactly one of: `subscribe`; `publish` again and again; `serve`; `call` again and again.
    """

    def __init__(self, task: Task) -> None:
        self.task = task
        self.number = 0
        """Which of the case's subscribers it is."""
        self.topics = cycle(task.topics) if task.case is not None else cycle([task.topic])

    @abc.abstractmethod
    async def connect(self) -> None:
        """Connect to `task.address`."""

    @abc.abstractmethod
    async def subscribe(self, received: Callable[[int], None]) -> None:
        """Subscribe to each of `task.topics`; `received` is told the length of each payload, by then an object of its own."""

    @abc.abstractmethod
    async def publish(self, payload: bytes, count: int) -> None:
        """Publish `payload` `count` times, as that many messages, each to the next of `self.topics`. May wait for room."""

    async def flush(self) -> None:  # noqa: B027 - most systems write out by themselves
        """Write out what is still held back on this side."""

    @abc.abstractmethod
    async def serve(self) -> None:
        """Answer each call to `task.topic` with its own payload, from now on."""

    @abc.abstractmethod
    async def call(self, payload: bytes) -> bytes:
        """Call `task.topic` and return the answer."""

    async def call_in_flight(self, payload: bytes, in_flight: int, seconds: float) -> list[float]:
        """Keep `in_flight` calls outstanding for `seconds`; returns the latency of each call, in seconds."""
        latencies: list[float] = []
        clock = time.perf_counter
        end_at = clock() + seconds

        async def caller() -> None:
            while (began_at := clock()) < end_at:
                await self.call(payload)
                latencies.append(clock() - began_at)

        await asyncio.gather(*[caller() for _ in range(in_flight)])
        return latencies
