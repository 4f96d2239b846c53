"""Who comes and goes at a real node, as its clients see it: `$SYS.client.*`, the list of clients, the end by an operator."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import aiohttp
import pytest

import majula
from tests.cluster.node_rig import NodeRig
from tests.edges import RawWebSocket

pytestmark = pytest.mark.slow
GUARD_S = 20.0


class Watch:
    """A client that hears who comes and goes."""

    def __init__(self, node: NodeRig, client: majula.Client, events: Any, stack: AsyncExitStack) -> None:
        self.node, self.client, self._events, self._stack = node, client, events, stack

    async def connect(self, name: str, gateway: int = 1) -> majula.Client:
        return await self._stack.enter_async_context(majula.connect(address(self.node, gateway), client_id=name))

    async def seed(self, name: str, gateway: int = 1) -> RawWebSocket:
        socket = await RawWebSocket.open(self.node.ports[gateway], f"/majula/ws/{name}")
        self._stack.callback(socket.writer.close)
        return socket

    async def next(self, name: str) -> tuple[str, dict[str, Any]]:
        """The next event of this client."""
        async with asyncio.timeout(GUARD_S):
            async for message in self._events:
                value = message.payload
                fields = value.get("fields", value)
                if fields.get("client_id") == name:
                    return message.topic, fields
        raise AssertionError("the subscription ended")

    async def comes(self, name: str) -> dict[str, Any]:
        topic, fields = await self.next(name)
        assert topic == "$SYS.client.connected", fields
        return fields

    async def goes(self, name: str) -> dict[str, Any]:
        topic, fields = await self.next(name)
        assert topic == "$SYS.client.disconnected", fields
        return fields


def address(node: NodeRig, gateway: int) -> str:
    return f"unix:{node.run_dir}/native-{node.ports[gateway]}.sock"


@pytest.fixture
async def watch(tmp_path: Path) -> AsyncIterator[Watch]:
    async with (
        NodeRig(tmp_path / "node", module="majula.runner", gateways=2) as node,
        majula.connect(address(node, 0), client_id="watcher") as client,
        await client.subscribe("$SYS.client.*", sync=True) as events,
        AsyncExitStack() as stack,
    ):
        yield Watch(node, client, events, stack)


async def test_client_is_told_with_where_it_is_and_why_it_went(watch: Watch) -> None:
    ann = await watch.connect("ann")
    found = await watch.comes("ann")
    assert (found["gateway"], found["surface"]) == (f"gateway:{watch.node.ports[1]}", "native")
    await ann.close()
    assert (await watch.goes("ann"))["reason"] == "closed"


async def test_seed_client_that_is_replaced_goes_and_comes(watch: Watch) -> None:
    await watch.seed("ann")
    await watch.comes("ann")
    await watch.seed("ann", 0)
    assert (await watch.goes("ann"))["reason"] == "replaced"
    assert (await watch.comes("ann"))["gateway"] == f"gateway:{watch.node.ports[0]}"


async def test_clients_of_a_killed_gateway_are_told_as_lost(watch: Watch) -> None:
    await watch.seed("ann")
    await watch.comes("ann")
    os.kill(await watch.node.pid(f"gateway:{watch.node.ports[1]}"), signal.SIGKILL)
    assert (await watch.goes("ann"))["reason"] == "gateway_lost"


async def test_killed_router_tells_nothing_of_those_who_stayed(watch: Watch) -> None:
    ann = await watch.connect("ann")
    await watch.comes("ann")
    await watch.node.harm("router", signal.SIGKILL)
    await watch.connect("bob")
    await watch.comes("bob")  # and nothing of ann or the watcher before: `next` would have met it
    await ann.close()
    assert (await watch.goes("ann"))["reason"] == "closed"


async def test_operator_ends_a_session_and_the_audit_says_so(watch: Watch) -> None:
    await watch.seed("ann")
    await watch.comes("ann")
    base = f"http://127.0.0.1:{watch.node.ports[0]}/majula/v1/clients"
    async with aiohttp.ClientSession() as web:
        async with web.delete(f"{base}/ann") as response:
            assert response.status in (200, 204), await response.text()
        assert (await watch.goes("ann"))["reason"] == "disconnected"
        async with web.delete(f"{base}/ann") as response:
            assert response.status == 404
        async with web.get(f"http://127.0.0.1:{watch.node.ports[0]}/majula/v1/audit") as response:
            entries = (await response.json())["entries"]
        assert [entry["detail"]["client"] for entry in entries if entry["what"] == "clients.disconnect"] == ["ann"]


async def test_topics_of_both_gateways_are_listed(watch: Watch) -> None:
    ann = await watch.connect("ann")
    async with (
        await ann.subscribe("orders.*", sync=True),
        aiohttp.ClientSession() as web,
        web.get(f"http://127.0.0.1:{watch.node.ports[0]}/majula/v1/topics", params={"pattern": "orders.>"}) as response,
    ):
        found = await response.json()
    assert [(line["topic"], line["pattern"], line["subscribers"]) for line in found["topics"]] == [
        ("orders.*", True, [f"gateway:{watch.node.ports[1]}"])
    ]
