"""eclipse-zenoh: clients of a zenoh router. Its threads call back, its `put` blocks; neither hurts here, because the harness's
event loop has nothing else to do in such a process.

From 1.4 on, zenoh moves payloads above about 3 KiB through shared memory on one host by itself: its 64 KiB figures are
zero-copy ones.
"""

from __future__ import annotations

import json
import queue
import time
from collections.abc import Callable
from itertools import cycle, islice
from typing import Any

import zenoh
from zenoh.handlers import Callback

from benchmarks.peers.clients.contract import Client

_TIMEOUT_S = 10.0


def _open(mode: str, **endpoints: str) -> Any:
    config = zenoh.Config()
    config.insert_json5("mode", json.dumps(mode))
    for way in ("connect", "listen"):
        config.insert_json5(f"{way}/endpoints", json.dumps([endpoints[way]] if way in endpoints else []))
    config.insert_json5("scouting/multicast/enabled", "false")
    config.insert_json5("scouting/gossip/enabled", "false")
    return zenoh.open(config)


class Connection(Client):
    async def connect(self) -> None:
        self._session = _open("client", connect=self.task.address)
        self._kept: list[Any] = []
        if self.task.role == "publish":
            declare = self._session.declare_publisher
            self._kept = [declare(topic, congestion_control=zenoh.CongestionControl.BLOCK) for topic in self.task.topics]
            self._puts = cycle([publisher.put for publisher in self._kept])
        elif self.task.role == "call":
            self._querier = self._session.declare_querier(self.task.topic)
            self._wait_for_the_echo()

    async def subscribe(self, received: Callable[[int], None]) -> None:
        for topic in self.task.topics:
            self._kept.append(self._session.declare_subscriber(topic, lambda sample: received(len(sample.payload.to_bytes()))))

    async def publish(self, payload: bytes, count: int) -> None:
        for put in islice(self._puts, count):
            put(payload)

    async def serve(self) -> None:
        topic = self.task.topic
        self._kept.append(self._session.declare_queryable(topic, lambda query: query.reply(topic, query.payload)))

    async def call(self, payload: bytes) -> bytes:
        answers: queue.SimpleQueue[Any] = queue.SimpleQueue()
        # A direct callback: zenoh's default would start a Python thread for each query.
        self._querier.get(handler=Callback(answers.put, indirect=False), payload=payload)
        answer: bytes = answers.get(timeout=_TIMEOUT_S).ok.payload.to_bytes()
        return answer

    async def call_in_flight(self, payload: bytes, in_flight: int, seconds: float) -> list[float]:
        done: queue.SimpleQueue[float] = queue.SimpleQueue()
        latencies: list[float] = []
        clock = time.perf_counter

        def begin() -> None:
            began_at = clock()

            def finish(reply: Any) -> None:
                reply.ok.payload.to_bytes()
                done.put(clock() - began_at)

            self._querier.get(handler=Callback(finish, indirect=False), payload=payload)

        end_at, outstanding = clock() + seconds, in_flight
        for _ in range(in_flight):
            begin()
        while outstanding:
            latencies.append(done.get(timeout=_TIMEOUT_S))
            if clock() < end_at:
                begin()
            else:
                outstanding -= 1
        return latencies

    def _wait_for_the_echo(self) -> None:
        """A query before the router knows of the queryable gets no reply at all; only a reply shows that it does."""
        give_up_at = time.monotonic() + _TIMEOUT_S
        while not [reply for reply in self._querier.get(payload=b"?") if reply.ok is not None]:
            if time.monotonic() > give_up_at:
                raise TimeoutError("the router never heard of the service")
            time.sleep(0.02)


async def broker(address: str) -> Any:
    """A zenoh router at `address`, in this process; it lives while the returned session is kept."""
    return _open("router", listen=address)
