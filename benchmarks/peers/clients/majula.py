"""Majula by its public SDK alone, as a program that wants throughput uses it.

Where the encoding is JSON, payloads are texts of the same length: JSON has no bytes, and base64 would measure something else.
Private messages go to client ids that are made of the topic; each is acknowledged, and there and back is one each way.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from itertools import cycle, islice

import majula
from benchmarks.peers.clients.contract import Client
from benchmarks.peers.task import Task
from majula.errors import Overloaded

_FLOW = 512
"""Half of what a flow holds: a sender whose flow is full waits until so many are acknowledged."""


class Connection(Client):
    def __init__(self, task: Task) -> None:
        super().__init__(task)
        case = task.case
        self._is_private = case is not None and case.kind in {"private", "ping"}
        self._receivers = cycle([f"{task.topic}.{number}" for number in range(case.subscribers if case is not None else 0)])
        self._sent: deque[asyncio.Future[str]] = deque(maxlen=_FLOW)
        self._waiting: deque[asyncio.Future[bytes]] = deque()  # for answers, which come in order

    async def connect(self) -> None:
        is_named = self._is_private and self.task.role in {"subscribe", "serve"}
        self._client = await majula.connect(
            self.task.address,
            client_id=f"{self.task.topic}.{self.number}" if is_named else "",
            encoding="json" if self.task.encoding == "json" else "msgpack",
            token=f"file:{self.task.token_file}" if self.task.token_file else None,
        )
        self._prepared: tuple[bytes, bytes | str] = (b"", b"")
        if self._is_private and self.task.role == "call":
            self._client.on_message(self._answered)

    async def subscribe(self, received: Callable[[int], None]) -> None:
        if self._is_private:
            self._client.on_message(lambda message: received(len(message.payload)))
            return

        def on_message(message: majula.Message) -> None:
            received(len(message.payload))

        for topic in self.task.topics:
            await self._client.subscribe(topic, callback=on_message)

    async def publish(self, payload: bytes, count: int) -> None:
        if self._is_private:
            await self._send(payload, count)
            return
        publish, value = self._client.publish_nowait, self._value(payload)
        for topic in islice(self.topics, count):
            try:
                publish(topic, value)
            except Overloaded:  # the client's buffer is full: wait for room this once
                await self._client.publish(topic, value)

    async def serve(self) -> None:
        if self._is_private:
            send = self._client.send_nowait
            self._client.on_message(lambda message: send(message.source, message.payload))
            return

        def echo(value: object) -> object:
            return value

        await self._client.register(self.task.topic, echo)

    async def call(self, payload: bytes) -> bytes:
        value = self._value(payload)
        if self._is_private:
            answered: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
            self._waiting.append(answered)
            self._client.send_nowait(f"{self.task.topic}.0", value)
            return await answered
        answer = await self._client.call(self.task.topic, value)
        return payload if answer == value else b""

    async def _send(self, payload: bytes, count: int) -> None:
        send, value, sent = self._client.send_nowait, self._value(payload), self._sent
        for receiver in islice(self._receivers, count):
            while True:
                try:
                    sent.append(send(receiver, value))
                    break
                except Overloaded:
                    await sent[0]

    def _answered(self, message: majula.PrivateMessage) -> None:
        self._waiting.popleft().set_result(message.payload)

    def _value(self, payload: bytes) -> bytes | str:
        if self._prepared[0] is not payload:
            is_text = self.task.encoding == "json"
            self._prepared = (payload, payload.hex()[: len(payload)] if is_text else payload)
        return self._prepared[1]
