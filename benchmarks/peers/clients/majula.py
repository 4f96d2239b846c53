"""Majula by its public SDK alone, as a program that wants throughput uses it.

Where the encoding is JSON, payloads are texts of the same length: JSON has no bytes, and base64 would measure something else.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice

import majula
from benchmarks.peers.clients.contract import Client
from majula.errors import Overloaded


class Connection(Client):
    async def connect(self) -> None:
        self._client = await majula.connect(
            self.task.address,
            encoding="json" if self.task.encoding == "json" else "msgpack",
            token=f"file:{self.task.token_file}" if self.task.token_file else None,
        )
        self._prepared: tuple[bytes, bytes | str] = (b"", b"")

    async def subscribe(self, received: Callable[[int], None]) -> None:
        def on_message(message: majula.Message) -> None:
            received(len(message.payload))

        for topic in self.task.topics:
            await self._client.subscribe(topic, callback=on_message)

    async def publish(self, payload: bytes, count: int) -> None:
        publish, value = self._client.publish_nowait, self._value(payload)
        for topic in islice(self.topics, count):
            try:
                publish(topic, value)
            except Overloaded:  # the client's buffer is full: wait for room this once
                await self._client.publish(topic, value)

    async def serve(self) -> None:
        def echo(value: object) -> object:
            return value

        await self._client.register(self.task.topic, echo)

    async def call(self, payload: bytes) -> bytes:
        value = self._value(payload)
        answer = await self._client.call(self.task.topic, value)
        return payload if answer == value else b""

    def _value(self, payload: bytes) -> bytes | str:
        if self._prepared[0] is not payload:
            is_text = self.task.encoding == "json"
            self._prepared = (payload, payload.hex()[: len(payload)] if is_text else payload)
        return self._prepared[1]
