"""The Python client by HTTP alone at a real node, beside one on the native port."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

import majula
from tests.cluster.node_rig import NodeRig

pytestmark = pytest.mark.slow


class Told:
    """The states that a client was told."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self._news = asyncio.Event()

    def __call__(self, state: majula.State) -> None:
        self.names.append(state.name)
        self._news.set()

    async def until(self, name: str, times: int) -> None:
        while self.names.count(name) < times:
            self._news.clear()
            await self._news.wait()


@pytest.fixture
async def node(tmp_path: Path) -> AsyncIterator[NodeRig]:
    async with NodeRig(tmp_path / "node", module="majula.runner", gateways=2) as one:
        yield one


async def test_private_messages_go_both_ways(node: NodeRig) -> None:
    native = await node.connect(0, client_id="native")
    async with majula.connect(node.url(1), client_id="web") as web:
        assert await native.send("web", {"n": 1}) == "delivered"
        assert await web.send("native", b"2") == "delivered"
        first = await anext(web.messages())
        second = await anext(native.messages())
        assert (first.payload, first.source, second.payload, second.source) == ({"n": 1}, "native", b"2", "web")


async def test_functions_are_offered_and_called(node: NodeRig) -> None:
    native = await node.connect(0)
    async with majula.connect(node.url(1), client_id="web") as web:
        await web.register("twice", lambda value: value * 2, sync=True)
        assert await asyncio.gather(*(native.call("twice", n) for n in range(50))) == [n * 2 for n in range(50)]
        await native.register("half", lambda value: value / 2, sync=True)
        assert await web.call("half", {"value": 5}, provider=native.client_id) == 2.5


async def test_a_killed_gateway_is_found_again_with_everything_in_force(node: NodeRig) -> None:
    told = Told()
    native = await node.connect(0)
    async with majula.connect(node.url(1), client_id="web", on_state=told) as web:
        subscription = await web.subscribe("t")
        await web.register("f", lambda: "here")
        await node.kill(f"gateway:{node.ports[1]}")
        await told.until("connected", 2)
        assert web.client_id == "web"
        await web.publish("t", "own", ack=True)
        assert (await subscription.receive(timeout_s=20)).payload == "own"
        await node.wait_ready()
        while not await native.services(function="f"):
            await native.flush()  # in force at its own gateway; the other one hears of it next
        assert await native.call("f") == "here"


async def test_a_node_that_stops_ends_the_session_in_order(node: NodeRig) -> None:
    told = Told()
    async with majula.connect(node.url(0), on_state=told) as web:
        call = web.start_call("echo", {"a": 1}, provider="init")
        assert await call == {"echo": {"a": 1}}
        node.process.terminate()
        assert await node.ended() == 0
        await told.until("disconnected", 1)
        assert "slow" not in told.names
