"""A program that was written for the system before this one works against a node unchanged."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import aiohttp
import pytest

from tests.cluster.node_rig import NodeRig
from tests.conformance.seed_client import SeedClient, as_go_reads

pytestmark = pytest.mark.slow

NOT_BUILT = ("REGISTER_FRP", "UPLOAD_FILE", "PUT_IN_GROUP", "JOIN_ELECTION", "CONNECT_TO_NODE")


@pytest.fixture
async def node(tmp_path: Path) -> AsyncIterator[NodeRig]:
    async with NodeRig(tmp_path / "node", module="majula.runner", gateways=2) as rig:
        yield rig


@pytest.fixture
async def clients(node: NodeRig) -> AsyncIterator[list[SeedClient]]:
    """Three of them, at two gateways."""
    async with AsyncExitStack() as stack:
        found = []
        for name, gateway in (("alpha", 0), ("beta", 1), ("gamma", 0)):
            client = await SeedClient.connect(node.ports[gateway], name)
            stack.push_async_callback(client.close)
            await client.settled()
            found.append(client)
        yield found
        assert [client.dropped for client in found] == [[], [], []]


async def test_nothing_is_said_that_was_not_asked_for(clients: list[SeedClient]) -> None:
    alpha = clients[0]
    alpha.send("SUBSCRIBE", topic="quiet")
    alpha.send("HEARTBEAT", args={"client_id": "alpha", "time_stamp": 1_700_000_000})
    alpha.send("REGISTER_RPC", fun="f", args={"parameters": [{"name": "a", "type": "int", "note": ""}], "note": "n"})
    alpha.send("UNREGISTER_RPC", fun="f")
    alpha.send("RETURN_RESULT", fun="f", invokeid=5, result={"stray": True})
    alpha.send("UNSUBSCRIBE", topic="quiet")
    await alpha.settled()
    assert alpha.received == []


async def test_a_publisher_hears_itself_once_and_so_do_the_others(clients: list[SeedClient]) -> None:
    alpha, beta, _ = clients
    for client in (alpha, beta, beta):
        client.send("SUBSCRIBE", topic="room.1")
    beta.write(b'{"method":"SUBSCRIBE","topic":"room.1","sync":true,"id":1}')
    await beta.expect("ACK")
    alpha.send("PUBLISH", topic="room.1", args={"text": "h\u00e4", "n": (1 << 63) - 1})
    for client in (alpha, beta):
        assert (await client.expect("SUB_RESULT", topic="room.1"))["args"] == {"text": "h\u00e4", "n": (1 << 63) - 1}
        await client.settled()
        assert client.received == []


async def test_order_of_a_publisher_is_kept(clients: list[SeedClient]) -> None:
    alpha, beta, _ = clients
    beta.write(b'{"method":"SUBSCRIBE","topic":"steps","sync":true,"id":1}')
    await beta.expect("ACK")
    for n in range(200):
        alpha.send("PUBLISH", topic="steps", args={"n": n})
    assert [(await beta.expect("SUB_RESULT"))["args"]["n"] for _ in range(200)] == list(range(200))


@pytest.mark.parametrize("number", [1, (1 << 53) + 1, (1 << 63) - 1, -(1 << 63)])
async def test_invoke_ids_are_exact_to_64_bits(clients: list[SeedClient], number: int) -> None:
    clients[0].write(
        b'{"method":"RPC","fun":"add","invokeid":%d,"args":{"a":1,"b":2,"_target_node":"n1","_provider":"init"}}' % number
    )
    assert (await clients[0].expect("RPC_RESULT", invokeid=number))["result"] == {"sum": 3}


async def test_a_call_without_an_invoke_id_is_answered_without_one(clients: list[SeedClient]) -> None:
    clients[0].write(b'{"method":"RPC","fun":"whoami","args":{"_target_node":"","_provider":"init"}}')
    assert "invokeid" not in await clients[0].expect("RPC_RESULT")


async def test_the_functions_of_a_node_answer_as_they_did(clients: list[SeedClient]) -> None:
    alpha = clients[0]
    assert await alpha.call("whoami", "init") == {"id": "n1"}
    assert await alpha.call("echo", "init", x=1) == {"echo": {"x": 1}}
    assert await alpha.call("reverse", "init", s="abc") == {"reversed": "cba"}
    assert await alpha.call("longtext", "init") == {"data": "HelloWorld " * 100}
    assert "error" in await alpha.call("allrpcs", "init")
    assert {one["name"] for one in await alpha.call("allrpcs", "init", rpc_provider="init")} >= {"add", "time", "randint"}


async def test_a_function_is_offered_called_and_listed(clients: list[SeedClient], node: NodeRig) -> None:
    alpha, beta, _ = clients
    beta.write(b'{"method":"REGISTER_RPC","fun":"double","args":{"note":"twice"},"sync":true,"id":1}')
    await beta.expect("ACK")
    assert await alpha.call("allrpcs", "init", rpc_provider="beta") == [{"name": "double", "note": "twice"}]
    alpha.send("RPC", fun="double", invokeid=9, args={"x": 4, "_target_node": "n1", "_provider": "beta"})
    asked = await beta.expect("RPC_CALL_FROM_REMOTE", fun="double")
    assert asked["args"] == {"x": 4}
    beta.send("RETURN_RESULT", fun="double", invokeid=asked["invokeid"], result={"y": 8})
    assert (await alpha.expect("RPC_RESULT", invokeid=9))["result"] == {"y": 8}


async def test_a_failed_call_says_so_in_its_result(clients: list[SeedClient]) -> None:
    assert (await clients[0].call("nobody-has-it", "beta"))["error"]
    assert (await clients[0].call("whoami", "init", node="elsewhere"))["error"]


@pytest.mark.parametrize("receiver", ["beta", "gamma"])
async def test_a_private_message_is_delivered_unparsed(clients: list[SeedClient], receiver: str) -> None:
    alpha = clients[0]
    to = {client.client_id: client for client in clients}[receiver]
    content = '{"payload":{"n":9007199254740993,"text":"h\u00e4"}}'
    alpha.send("SEND", args={"target_node": "n1", "target_client": receiver, "content": content})
    args = (await to.expect("PRIVATE_MESSAGE"))["args"]
    assert (args["source_node"], args["message"]) == ("n1", content)
    await alpha.settled()
    assert alpha.received == []


async def test_a_message_to_nobody_named_goes_to_every_client_of_the_node(clients: list[SeedClient]) -> None:
    alpha, beta, gamma = clients
    for client in (beta, gamma):  # whoever has got a message is known where the next one is sent from
        alpha.send("SEND", args={"target_node": "n1", "target_client": client.client_id, "content": '{"payload":"one"}'})
        await client.expect("PRIVATE_MESSAGE")
    alpha.send("SEND", args={"target_node": "n1", "target_client": "", "content": '{"payload":"all"}'})
    for client in (beta, gamma):
        assert (await client.expect("PRIVATE_MESSAGE"))["args"]["message"] == '{"payload":"all"}'


async def test_http_reaches_a_client_by_send(clients: list[SeedClient], node: NodeRig) -> None:
    async with aiohttp.ClientSession(f"http://127.0.0.1:{node.ports[0]}") as web:
        parameters = {"target_node": "n1", "target_client": "beta", "msg": '{"payload":1}'}
        async with web.get("/majula/send/me", params=parameters) as response:
            answer = await response.json()
    assert (answer["status"], answer["source_client"], answer["state"]) == ("sent", "me", "written")
    assert json.loads((await clients[1].expect("PRIVATE_MESSAGE"))["args"]["message"]) == {"payload": 1}


async def test_what_is_not_built_is_refused_and_the_connection_goes_on(clients: list[SeedClient]) -> None:
    alpha = clients[0]
    for method in NOT_BUILT:
        alpha.send(method, args={"group": "g", "key": "k"})
        assert (await alpha.expect("ERROR"))["code"] == "not_built"
    await alpha.settled()


async def test_a_newer_connection_of_the_same_name_wins(clients: list[SeedClient], node: NodeRig) -> None:
    newer = await SeedClient.connect(node.ports[0], "beta")
    await newer.settled()
    await clients[1].expect("(closed)")
    await newer.close()


async def test_a_program_that_just_ends_leaves_nothing(clients: list[SeedClient]) -> None:
    alpha, beta, _ = clients
    beta.write(b'{"method":"REGISTER_RPC","fun":"gone","args":{},"sync":true,"id":1}')
    await beta.expect("ACK")
    await beta.close()
    while "error" not in await alpha.call("gone", "beta", node="n1"):
        pass  # its end travels by a table; a call to it before that is answered as well


@pytest.mark.parametrize(
    "text",
    [b'{"method":"X","invokeid":2.0}', b'{"method":"X","invokeid":"3"}', b'{"method":"X","args":[]}', b'{"method":1}', b"[]"],
)
def test_what_go_would_drop_is_dropped_here(text: bytes) -> None:
    assert as_go_reads(text) is None
