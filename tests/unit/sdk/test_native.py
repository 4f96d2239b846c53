"""The native transport on both event loops: uvloop's write is bypassed where it can be, and nothing may be reordered or lost."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import uvloop

from majula.api.sdk import Message, connect
from majula.wire import headers
from tests.unit.sdk.conftest import Clients
from tests.unit.sdk.gateway import FakeGateway

# The way that replaces this fixture needs a newer pytest-asyncio than we ask for.
pytestmark = pytest.mark.filterwarnings("ignore:Overriding the")


@pytest.fixture(params=[asyncio.DefaultEventLoopPolicy, uvloop.EventLoopPolicy], ids=["asyncio", "uvloop"])
def event_loop_policy(request: pytest.FixtureRequest) -> object:
    return request.param()


async def test_messages_of_all_sizes_arrive_in_order(clients: Clients) -> None:
    client = await clients.connect()
    got: list[Message] = []
    await client.subscribe("t", got.append)
    sizes = [0, 1, 200_000, 5, 1_000_000, 64 << 10, 3, 900_000] * 5
    for n, size in enumerate(sizes):
        await client.publish("t", bytes([n]) * size)
    await client.flush()
    assert [message.data for message in got] == [bytes([n]) * size for n, size in enumerate(sizes)]


async def test_a_gateway_that_reads_in_bursts_gets_every_byte_in_order(gateway: FakeGateway, clients: Clients) -> None:
    client = await clients.connect()
    transport = gateway.sessions[0].transport

    async def bursts() -> AsyncIterator[None]:
        while True:
            transport.pause_reading()
            yield
            transport.resume_reading()
            yield

    reading = bursts()
    for n in range(300):
        await client.publish(f"t{n % 3}", n.to_bytes(4, "big") * 5_000)
        await anext(reading)
    transport.resume_reading()
    await client.flush()
    topics = [header.topic for header in gateway.heard if isinstance(header, headers.Publish)]
    assert len(topics) == 300
    assert topics == [f"t{n % 3}" for n in range(300)]


async def test_a_hundred_calls_at_once_are_all_answered(clients: Clients) -> None:
    client = await clients.connect()
    await client.register("echo", lambda value: value)
    assert await asyncio.gather(*(client.call("echo", n) for n in range(100))) == list(range(100))


async def test_a_client_comes_back_after_the_gateway_was_killed_under_load(gateway: FakeGateway, clients: Clients) -> None:
    client = await clients.connect()
    for n in range(200):
        await client.publish("t", bytes(10_000))
        if n == 100:
            gateway.cut()
    await gateway.until(lambda: clients.names().count("connected") == 2)
    await client.flush()


async def test_tcp_is_spoken_too(tmp_path: Path) -> None:
    fake = await FakeGateway(tmp_path / "unused").start_tcp()
    async with connect(fake.address) as client:
        got: list[Message] = []
        await client.subscribe("t", got.append)
        await client.publish("t", "x")
        await client.flush()
        assert [message.payload for message in got] == ["x"]
    await fake.stop()
