"""Majula by its public SDK alone, as a program that wants throughput uses it."""

from __future__ import annotations

from collections.abc import Callable

import majula
from benchmarks.peers.clients.contract import Client


class Connection(Client):
    async def connect(self) -> None:
        self._client = await majula.connect(self.task.address)

    async def subscribe(self, received: Callable[[int], None]) -> None:
        def on_message(message: majula.TopicMessage) -> None:
            received(len(message.payload))

        await self._client.subscribe(self.task.topic, callback=on_message)

    async def publish(self, payload: bytes, count: int) -> None:
        publish, topic = self._client.publish_nowait, self.task.topic
        for _ in range(count):
            publish(topic, payload)

    async def serve(self) -> None:
        def echo(payload: bytes) -> bytes:
            return payload

        await self._client.register(self.task.topic, echo)

    async def call(self, payload: bytes) -> bytes:
        answer = await self._client.call(self.task.topic, payload)
        assert isinstance(answer, bytes)
        return answer
