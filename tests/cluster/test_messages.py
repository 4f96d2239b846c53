"""Private messages through a real node: programs of the seed protocol, HTTP and Python clients, at one gateway and at two."""

from __future__ import annotations

import asyncio
import json
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


class Programs:
    """The clients of a test; they end with it."""

    def __init__(self, node: NodeRig, web: aiohttp.ClientSession, stack: AsyncExitStack) -> None:
        self.node, self.web, self._stack = node, web, stack

    async def seed(self, name: str, gateway: int) -> RawWebSocket:
        """A program of the seed protocol, once it is known at every gateway."""
        socket = await RawWebSocket.open(self.node.ports[gateway], f"/majula/ws/{name}")
        self._stack.callback(socket.writer.close)
        socket.send_json({"method": "REGISTER_CLIENT", "args": {"client_id": name}})
        socket.send_json({"method": "REGISTER_RPC", "id": 1, "fun": f"of-{name}", "sync": True})
        assert (await socket.receive_json())["method"] == "ACK"
        return socket

    async def sdk(self, name: str, gateway: int) -> majula.Client:
        address = f"unix:{self.node.run_dir}/native-{self.node.ports[gateway]}.sock"
        return await self._stack.enter_async_context(majula.connect(address, client_id=name))

    def url(self, gateway: int, path: str) -> str:
        return f"http://127.0.0.1:{self.node.ports[gateway]}/majula{path}"

    async def ask(self, gateway: int, path: str, **parameters: Any) -> Any:
        async with self.web.post(self.url(gateway, path), json=parameters) as response:
            assert response.status == 200, await response.text()
            return await response.json()

    async def stream(self, gateway: int, name: str) -> aiohttp.ClientResponse:
        stream = await self._stack.enter_async_context(self.web.get(self.url(gateway, f"/h/{name}")))
        assert await stream.content.readuntil(b"\n\n") == b": subscribed\n\n"
        return stream


@pytest.fixture
async def programs(tmp_path: Path) -> AsyncIterator[Programs]:
    async with (
        NodeRig(tmp_path / "node", module="majula.runner", gateways=2) as node,
        aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(GUARD_S)) as web,
        AsyncExitStack() as stack,
    ):
        yield Programs(node, web, stack)


async def received(client: majula.Client) -> majula.PrivateMessage:
    async with asyncio.timeout(GUARD_S):
        async for message in client.messages():
            return message
    raise AssertionError("the client was closed")


async def event(stream: aiohttp.ClientResponse) -> Any:
    async with asyncio.timeout(GUARD_S):
        while True:
            block = await stream.content.readuntil(b"\n\n")
            if block.startswith(b"data: "):
                return json.loads(block[6:])


both = pytest.mark.parametrize("other", [0, 1], ids=["one_gateway", "two_gateways"])


@both
async def test_seed_to_seed_is_delivered_unparsed(programs: Programs, other: int) -> None:
    ann, bob = await programs.seed("ann", 0), await programs.seed("bob", other)
    content = '{"payload":{"n":1}}'
    ann.send_json({"method": "SEND", "id": 5, "args": {"target_node": "n1", "target_client": "bob", "content": content}})
    found = await bob.receive_json()
    assert (found["method"], found["args"]["message"], found["args"]["source_node"]) == ("PRIVATE_MESSAGE", content, "n1")
    assert (await ann.receive_json())["result"]["state"] == "written"


@both
async def test_sdk_to_seed_is_written(programs: Programs, other: int) -> None:
    ann, bob = await programs.sdk("ann", 0), await programs.seed("bob", other)
    assert await ann.send("bob", {"n": 1}) == "written"
    args = (await bob.receive_json())["args"]
    assert (args["message"], args["source_client"]) == ({"n": 1}, "ann")


@both
async def test_seed_to_sdk_is_delivered(programs: Programs, other: int) -> None:
    ann, bob = await programs.seed("ann", 0), await programs.sdk("bob", other)
    reading = asyncio.create_task(received(bob))
    ann.send_json({"method": "SEND", "id": 5, "args": {"target_node": "", "target_client": "bob", "content": "hi"}})
    message = await reading
    assert (message.payload, message.source) == ("hi", "ann")
    assert (await ann.receive_json())["result"]["state"] == "delivered"


@both
async def test_http_to_sdk_is_delivered(programs: Programs, other: int) -> None:
    bob = await programs.sdk("bob", other)
    reading = asyncio.create_task(received(bob))
    answer = await programs.ask(0, "/send/me", target_node="n1", target_client="bob", msg="hi")
    assert (answer["status"], answer["state"], answer["source_client"]) == ("sent", "delivered", "me")
    assert (await reading).payload == "hi"


@both
async def test_http_alone_receives_by_a_stream(programs: Programs, other: int) -> None:
    stream = await programs.stream(other, "bob")
    ann = await programs.sdk("ann", 0)
    assert await ann.send("bob", [1, 2]) == "written"
    assert (await event(stream))["args"]["message"] == [1, 2]


async def test_stream_at_another_gateway_reads_beside_the_client(programs: Programs) -> None:
    bob, stream = await programs.seed("bob", 0), await programs.stream(1, "bob")
    answer = await programs.ask(0, "/send", target_node="", target_client="bob", msg={"n": 1})
    assert answer["state"] == "written"
    assert (await event(stream))["args"]["message"] == {"n": 1} == (await bob.receive_json())["args"]["message"]


async def test_broadcast_reaches_every_client_of_both_gateways(programs: Programs) -> None:
    bob, carl = await programs.seed("bob", 0), await programs.seed("carl", 1)
    dora = await programs.sdk("dora", 1)
    reading = asyncio.create_task(received(dora))
    # A client that has come is known at the other gateways within milliseconds, and a broadcast is for those who are known.
    await programs.ask(0, "/send", target_node="", target_client="carl", msg="first")
    await programs.ask(0, "/send", target_node="", target_client="dora", msg="first")
    assert (await carl.receive_json())["args"]["message"] == "first" == (await reading).payload
    reading = asyncio.create_task(received(dora))
    answer = await programs.ask(0, "/send", target_node="n1", target_client="", msg="all")
    assert (answer["delivered"], answer["written"], answer["of"]) == (1, 2, 3)
    assert (await bob.receive_json())["args"]["message"] == "all" == (await carl.receive_json())["args"]["message"]
    assert (await reading).payload == "all"


async def test_nobody_of_that_id_is_told_in_time(programs: Programs) -> None:
    answer = await programs.ask(0, "/send", target_node="", target_client="nobody", msg="x")
    assert answer["state"] == "no_route"


async def test_who_waits_at_a_gateway_that_dies_hears_of_it(programs: Programs) -> None:
    ask = asyncio.create_task(programs.ask(1, "/v1/messages", client="nobody", message=1, wait_s=30))
    role = f"gateway:{programs.node.ports[1]}"
    witness = await programs.seed("witness", 1)
    os.kill(await programs.node.pid(role), signal.SIGKILL)
    with pytest.raises((aiohttp.ClientError, ConnectionError)):
        await ask
    witness.writer.close()


async def test_message_to_a_client_whose_gateway_was_killed_comes_when_it_is_back(programs: Programs) -> None:
    ann, bob = await programs.sdk("ann", 0), await programs.sdk("bob", 1)
    reading = asyncio.create_task(received(bob))
    assert await ann.send("bob", 1) == "delivered"
    assert (await reading).payload == 1
    os.kill(await programs.node.pid(f"gateway:{programs.node.ports[1]}"), signal.SIGKILL)
    reading = asyncio.create_task(received(bob))
    assert await ann.send("bob", 2) == "delivered"
    assert (await reading).payload == 2


async def test_message_goes_on_while_the_router_is_dead(programs: Programs) -> None:
    ann, bob = await programs.sdk("ann", 0), await programs.seed("bob", 1)
    assert await ann.send("bob", 1) == "written"
    os.kill(await programs.node.pid("router"), signal.SIGSTOP)
    assert await ann.send("bob", 2) == "written"
    assert [(await bob.receive_json())["args"]["message"] for _ in range(2)] == [1, 2]
