"""The floor: what a Python broker costs that does nothing but read a length, look up a topic and move bytes, on uvloop.

Frame: u32 little-endian length of the rest, then `S` topic (subscribe), or `P` u8 length of topic, topic, payload (publish).
Frames that are written within one turn of the loop leave in one write. An RPC is two publishes: to the service's topic, and
back to the topic `re`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from itertools import cycle, islice
from typing import cast

from benchmarks.peers.clients.contract import Client

_REPLIES = b"re"
_ID_BYTES = 8

OnFrame = Callable[["Wire", bytes, int, int], None]
"""Called with the connection, a buffer, and where in it the frame begins (at its length) and ends."""


class Wire(asyncio.Protocol):
    """Frames over one socket."""

    def __init__(self, on_frame: OnFrame) -> None:
        self._on_frame = on_frame
        self._loop = asyncio.get_running_loop()
        self._unread = b""
        self._unwritten: list[bytes] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are not instances of asyncio's classes, though they have their methods.
        self._transport = cast(asyncio.WriteTransport, transport)

    def send(self, frame: bytes) -> None:
        if not self._unwritten:
            self._loop.call_soon(self._write_out)
        self._unwritten.append(frame)

    def _write_out(self) -> None:
        frames = self._unwritten
        self._unwritten = []
        self._transport.write(frames[0] if len(frames) == 1 else b"".join(frames))

    def data_received(self, data: bytes) -> None:
        if self._unread:
            data = self._unread + data
        begin, size, on_frame, number = 0, len(data), self._on_frame, int.from_bytes
        while size - begin >= 4:
            end = begin + 4 + number(data[begin : begin + 4], "little")
            if end > size:
                break
            on_frame(self, data, begin, end)
            begin = end
        self._unread = data[begin:]


def _frame(body: bytes) -> bytes:
    return len(body).to_bytes(4, "little") + body


def _publish_head(topic: bytes) -> bytes:
    return b"P" + bytes((len(topic),)) + topic


class Connection(Client):
    async def connect(self) -> None:
        self._topic = self.task.topic.encode()
        self._heads = cycle([_publish_head(topic.encode()) for topic in self.task.topics])
        self._payload_at = 4 + len(next(self._heads))
        self._on_payload: OnFrame = _ignore
        loop = asyncio.get_running_loop()
        _, self._wire = await loop.create_unix_connection(
            lambda: Wire(lambda wire, data, begin, end: self._on_payload(wire, data, begin, end)), self.task.address
        )
        if self.task.role == "call":
            self._last_call = 0
            self._pending: dict[bytes, asyncio.Future[bytes]] = {}
            self._on_payload = self._on_reply
            self._wire.send(_frame(b"S" + _REPLIES))

    async def subscribe(self, received: Callable[[int], None]) -> None:
        offset = self._payload_at

        def on_payload(_: Wire, data: bytes, begin: int, end: int) -> None:
            received(len(data[begin + offset : end]))

        self._on_payload = on_payload
        for topic in self.task.topics:
            self._wire.send(_frame(b"S" + topic.encode()))

    async def publish(self, payload: bytes, count: int) -> None:
        send, length = self._wire.send, (self._payload_at - 4 + len(payload)).to_bytes(4, "little")
        for head in islice(self._heads, count):
            send(length + head + payload)

    async def serve(self) -> None:
        offset, head = self._payload_at, _publish_head(_REPLIES)
        self._on_payload = lambda wire, data, begin, end: wire.send(_frame(head + data[begin + offset : end]))
        self._wire.send(_frame(b"S" + self._topic))

    async def call(self, payload: bytes) -> bytes:
        self._last_call += 1
        number = self._last_call.to_bytes(_ID_BYTES, "big")
        answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._pending[number] = answer
        self._wire.send(_frame(_publish_head(self._topic) + number + payload))
        return await answer

    def _on_reply(self, _: Wire, data: bytes, begin: int, end: int) -> None:
        number_at = begin + 4 + len(_publish_head(_REPLIES))
        payload_at = number_at + _ID_BYTES
        self._pending.pop(data[number_at:payload_at]).set_result(data[payload_at:end])


def _ignore(wire: Wire, data: bytes, begin: int, end: int) -> None:
    """A publisher hears nothing."""


async def broker(address: str) -> asyncio.Server:
    """The broker, listening on the Unix socket `address`; it lives while the returned server is kept."""
    topics: dict[bytes, list[Wire]] = {}

    def on_frame(wire: Wire, data: bytes, begin: int, end: int) -> None:
        if data[begin + 4] == ord("P"):
            topic_at = begin + 6
            frame = data[begin:end]
            for subscriber in topics.get(data[topic_at : topic_at + data[begin + 5]], ()):
                subscriber.send(frame)
        else:
            topics.setdefault(data[begin + 5 : end], []).append(wire)

    return await asyncio.get_running_loop().create_unix_server(lambda: Wire(on_frame), address)
