"""HTTP and WebSockets of a real node with two gateways: real processes, real sockets, the public API alone."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.cluster.node_rig import NodeRig
from tests.edges import RawWebSocket

pytestmark = pytest.mark.slow
JSON_V1 = "majula.v1.json"


@pytest.fixture
async def node(tmp_path: Path) -> AsyncIterator[NodeRig]:
    async with NodeRig(tmp_path / "node", module="majula.runner", gateways=2) as rig:
        yield rig


@pytest.fixture
async def web() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(20)) as session:
        yield session


def url(node: NodeRig, gateway: int, path: str) -> str:
    return f"http://127.0.0.1:{node.ports[gateway]}/majula{path}"


async def get(web: aiohttp.ClientSession, address: str, **parameters: str) -> tuple[int, Any]:
    async with web.get(address, params=parameters) as response:
        return response.status, await response.json()


async def seed(node: NodeRig, gateway: int, name: str) -> RawWebSocket:
    client = await RawWebSocket.open(node.ports[gateway], f"/majula/ws/{name}")
    client.send_json({"method": "REGISTER_CLIENT", "args": {"client_id": name}})
    return client


async def acknowledged(client: RawWebSocket, package: dict[str, Any]) -> None:
    client.send_json({**package, "id": "once"})
    answer = await client.receive_json()
    assert (answer["method"], answer["id"]) == ("ACK", "once"), answer


async def test_the_nodes_own_functions_are_served_by_each_gateway(node: NodeRig, web: aiohttp.ClientSession) -> None:
    for gateway in (0, 1):
        assert await get(web, url(node, gateway, "/health")) == (200, {"live": True, "ready": True})
        _, body = await get(web, url(node, gateway, "/rpc"), fun="whoami", target_node="n1", provider="init")
        assert (body["result"], body["success"]) == ({"id": "n1"}, True)


async def test_what_is_published_at_one_gateway_reaches_sockets_and_streams_of_the_other(
    node: NodeRig, web: aiohttp.ClientSession
) -> None:
    socket = await seed(node, 1, "witness")
    await acknowledged(socket, {"method": "SUBSCRIBE", "topic": "a.b", "sync": True})
    async with web.get(url(node, 1, "/v1/topics/a.*/messages?pattern=true&sync=true")) as stream:
        await stream.content.readuntil(b": subscribed\n\n")
        await get(web, url(node, 0, "/pub"), topic="a.b", msg='{"n": 1}')
        event = json.loads((await stream.content.readuntil(b"\n\n")).removeprefix(b"data: "))
    assert event == {"method": "PUBLISH", "topic": "a.b", "args": {"n": 1}}
    assert await socket.receive_json() == {"method": "SUB_RESULT", "topic": "a.b", "args": {"n": 1}}


async def test_a_provider_at_one_gateway_is_called_at_the_other(node: NodeRig, web: aiohttp.ClientSession) -> None:
    provider = await seed(node, 0, "worker")
    await acknowledged(provider, {"method": "REGISTER_RPC", "fun": "double", "args": {"note": "twice"}, "sync": True})
    _, listed = await get(web, url(node, 1, "/list_rpc"), target_node="n1", provider="worker")
    assert [(one["name"], one["note"]) for one in listed["rpcs"]] == [("double", "twice")]
    calling = asyncio.create_task(get(web, url(node, 1, "/rpc"), fun="double", target_node="n1", provider="worker", x="4"))
    call = await provider.receive_json()
    provider.send_json({"method": "RETURN_RESULT", "fun": "double", "invokeid": call["invokeid"], "result": {"y": 8}})
    _, body = await calling
    assert (call["args"], body["result"], body["success"]) == ({"x": "4"}, {"y": 8}, True)


async def test_the_newest_seed_socket_of_a_name_wins_over_one_at_the_other_gateway(node: NodeRig) -> None:
    older = await seed(node, 0, "twin")
    await acknowledged(older, {"method": "SUBSCRIBE", "topic": "t", "sync": True})
    newer = await seed(node, 1, "twin")
    assert await older.close_code() == 4409
    await acknowledged(newer, {"method": "SUBSCRIBE", "topic": "t", "sync": True})


async def test_a_name_with_a_secret_is_refused_to_others_at_the_other_gateway(node: NodeRig) -> None:
    claim = {"method": "REGISTER_CLIENT", "id": 1, "args": {"client_id": "mine"}}
    owner = await RawWebSocket.open(node.ports[0], protocols=JSON_V1)
    owner.send_json(claim)
    secret = (await owner.receive_json())["result"]["secret"]
    other = await RawWebSocket.open(node.ports[1], protocols=JSON_V1)
    other.send_json(claim)
    assert (await other.receive_json())["code"] == "conflict"
    again = await RawWebSocket.open(node.ports[1], protocols=JSON_V1)
    again.send_json({**claim, "args": {"client_id": "mine", "secret": secret}})
    assert (await again.receive_json())["method"] == "ACK"
    assert await owner.close_code() == 4409


async def test_a_retained_value_is_the_first_event_of_a_late_stream(node: NodeRig, web: aiohttp.ClientSession) -> None:
    async with web.post(url(node, 0, "/v1/topics/door/messages"), json={"message": "open", "retain": True}) as response:
        assert response.status == 200
    async with asyncio.timeout(20):
        while True:  # the value reaches the other gateway by a table
            async with web.get(url(node, 1, "/v1/topics/door/messages?retained=true")) as stream:
                await stream.content.readuntil(b": subscribed\n\n")
                await get(web, url(node, 1, "/pub"), topic="door", msg='{"mark": 1}')
                event = json.loads((await stream.content.readuntil(b"\n\n")).removeprefix(b"data: "))
            if event.get("retained"):
                break
    assert (event["topic"], event["args"]) == ("door", "open")


async def test_a_gateway_that_is_killed_refuses_no_connection_and_ends_its_calls(
    node: NodeRig, web: aiohttp.ClientSession
) -> None:
    provider = await seed(node, 1, "worker")
    await acknowledged(provider, {"method": "REGISTER_RPC", "fun": "never", "sync": True})
    calling = asyncio.create_task(web.post(url(node, 0, "/v1/calls"), json={"function": "never"}))
    await provider.receive_json()
    os.kill(await node.pid(f"gateway:{node.ports[1]}"), signal.SIGKILL)
    assert await get(web, url(node, 1, "/health")) is not None  # waits in the listening socket, which the runner holds
    async with await calling as response:
        assert (response.status, (await response.json())["code"]) == (502, "provider_lost")


async def test_a_node_that_stops_says_so_and_lets_calls_finish(node: NodeRig, web: aiohttp.ClientSession) -> None:
    provider = await seed(node, 0, "worker")
    await acknowledged(provider, {"method": "REGISTER_RPC", "fun": "slow", "sync": True})
    calling = asyncio.create_task(web.post(url(node, 0, "/v1/calls"), json={"function": "slow"}))
    call = await provider.receive_json()
    node.process.send_signal(signal.SIGTERM)
    assert (await provider.receive_json())["method"] == "RECONNECT"
    provider.send_json({"method": "RETURN_RESULT", "invokeid": call["invokeid"], "result": 5})
    async with await calling as response:
        assert (response.status, await response.json()) == (200, {"result": 5})
    assert await provider.close_code() == 1001
    assert await node.ended() == 0
