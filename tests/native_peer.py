"""A client of the native port that writes bytes and reads frames: what a test of a gateway plays with."""

from __future__ import annotations

import asyncio

from majula.wire.frames import decode_header, encode_frame
from majula.wire.headers import Ack, AnyHeader, Header, Hello, Subscribe, Welcome


class Peer:
    """A client that writes bytes and reads frames."""

    welcome: Welcome

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def hello(self, client_id: str = "", secret: str = "", token: str = "") -> Welcome:
        self.send(Hello(1, client_id, secret, token))
        header, _ = await self.read()
        assert isinstance(header, Welcome), header
        self.welcome = header
        return header

    def send(self, header: Header, body: bytes = b"") -> None:
        self.writer.write(encode_frame(header, body))

    async def subscribe(self, topic: str) -> None:
        self.send(Subscribe(1, topic))
        assert (await self.read())[0] == Ack(1, "gateway")

    async def read(self) -> tuple[AnyHeader, bytes]:
        async with asyncio.timeout(10):
            length = int.from_bytes(await self.reader.readexactly(4), "little")
            frame = await self.reader.readexactly(length)
        body_at = 2 + int.from_bytes(frame[:2], "little")
        return decode_header(frame[2:body_at]), frame[body_at:]

    async def closed(self) -> None:
        """Nothing more comes."""
        async with asyncio.timeout(10):
            assert await self.reader.read() == b""
