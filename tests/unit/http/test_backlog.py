"""Messages that come before the answer to their subscription."""

from __future__ import annotations

import asyncio
import re

import pytest

import majula
from tests.edges import Served, Slices, serve_http

MESSAGE = b"x" * 60_000
NUMBER = 60


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Slices, int]]:
    """Confirmations that other gateways owe: nothing is in force everywhere until they are given."""
    waiting: list[tuple[Slices, int]] = []
    monkeypatch.setattr(Slices, "confirm", lambda slices, _table, token: waiting.append((slices, token)))
    return waiting


async def read_until(reader: asyncio.StreamReader, end: bytes) -> bytes:
    found = b""
    async with asyncio.timeout(20):
        while end not in found:
            chunk = await reader.read(1 << 16)
            assert chunk, f"the stream ended before {end!r}"
            found += chunk
    return found


async def waiting_for(served: Served, topic: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
    writer.write(f"GET /majula/v1/topics/{topic}/messages?sync=true HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    return reader, writer


async def test_what_comes_before_a_stream_can_begin_is_bounded_and_the_rest_is_told(held: list[tuple[Slices, int]]) -> None:
    async with serve_http() as served:
        reader, writer = await waiting_for(served, "t")
        async with majula.connect(f"ws://127.0.0.1:{served.port}") as client:
            while not held:
                await client.flush()  # a turn of the gateway
            for _ in range(NUMBER):
                await client.publish("t", MESSAGE, ack=True)
            for slices, token in held:
                slices._confirmed(token)
            found = await read_until(reader, b"event: slow")
            await client.publish("t", b"after")
            found += await read_until(reader, b"YWZ0ZXI=")  # "after"
        writer.close()
    kept = found.count(b'"method":"PUBLISH"') - 1
    told = re.search(rb'"dropped_messages":(\d+)', found)
    assert told is not None
    assert kept + int(told[1]) == NUMBER
    assert len(found) < (1 << 20) + 10_000
