"""nats-py against nats-server, as its documentation shows, with the buffer limits raised so that nothing is dropped."""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice

import nats
from nats.aio.client import Client as NatsClient
from nats.aio.msg import Msg

from benchmarks.peers.clients.contract import Client


class Connection(Client):
    _nats: NatsClient

    async def connect(self) -> None:
        self._nats = await nats.connect(self.task.address, max_reconnect_attempts=0, pending_size=64 << 20)

    async def subscribe(self, received: Callable[[int], None]) -> None:
        async def on_message(message: Msg) -> None:
            received(len(message.data))

        for topic in self.task.topics:
            await self._nats.subscribe(topic, cb=on_message, pending_bytes_limit=256 << 20)
        await self._nats.flush()

    async def publish(self, payload: bytes, count: int) -> None:
        send = self._nats.publish
        for topic in islice(self.topics, count):
            await send(topic, payload)

    async def flush(self) -> None:
        await self._nats.flush()

    async def serve(self) -> None:
        async def on_message(message: Msg) -> None:
            await message.respond(message.data)

        await self._nats.subscribe(self.task.topic, queue="echo", cb=on_message)
        await self._nats.flush()

    async def call(self, payload: bytes) -> bytes:
        answer: bytes = (await self._nats.request(self.task.topic, payload, timeout=10)).data
        return answer
