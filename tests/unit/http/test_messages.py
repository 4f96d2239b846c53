"""Private messages over HTTP: sent by requests, read as event streams."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from tests.edges import RawWebSocket, Served, client_frame, serve_http


@pytest.fixture
async def served() -> AsyncIterator[Served]:
    async with serve_http() as found:
        yield found


@pytest.fixture
async def web(served: Served) -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(served.url) as session:
        yield session


async def answer(response: aiohttp.client._RequestContextManager) -> tuple[int, Any]:
    async with response as found:
        return found.status, await found.json()


async def seed(served: Served, client_id: str) -> RawWebSocket:
    """A program of the seed protocol, once the gateway has it."""
    socket = await RawWebSocket.open(served.port, f"/majula/ws/{client_id}")
    await say(socket, {"method": "HEARTBEAT", "id": 1})
    assert (await socket.receive_json())["id"] == 1
    return socket


async def say(socket: RawWebSocket, package: dict[str, Any]) -> None:
    socket.writer.write(client_frame(1, json.dumps(package).encode()))
    await socket.writer.drain()


async def package(stream: aiohttp.ClientResponse) -> Any:
    """The next package of an event stream."""
    async with asyncio.timeout(10):
        while True:
            for line in (await stream.content.readuntil(b"\n\n")).splitlines():
                if line.startswith(b"data: "):
                    return json.loads(line[6:])


async def test_send_says_what_became_of_the_message(served: Served, web: aiohttp.ClientSession) -> None:
    bob = await seed(served, "bob")
    status, body = await answer(web.get("/majula/send/me?target_node=n1&target_client=bob&msg=hello"))
    assert status == 200
    message_id = body.pop("message_id")
    assert body == {
        "status": "sent",
        "source_client": "me",
        "target_node": "n1",
        "target_client": "bob",
        "message": "hello",
        "state": "written",
    }
    args = (await bob.receive_json())["args"]
    assert args == {"source_node": "n1", "source_client": "me", "message_id": message_id, "message": "hello"}


async def test_send_to_an_empty_client_reaches_all(served: Served, web: aiohttp.ClientSession) -> None:
    bob, carl = await seed(served, "bob"), await seed(served, "carl")
    _, body = await answer(web.post("/majula/send", json={"target_node": "", "target_client": "", "msg": {"a": 1}}))
    assert (body["delivered"], body["written"], body["of"]) == (0, 2, 2)
    assert (await bob.receive_json())["args"]["message"] == {"a": 1} == (await carl.receive_json())["args"]["message"]


@pytest.mark.parametrize("query", ["", "target_node=n1", "target_client=bob"])
async def test_send_without_a_target_is_400(web: aiohttp.ClientSession, query: str) -> None:
    status, body = await answer(web.get(f"/majula/send?msg=x&{query}"))
    assert (status, body["code"]) == (400, "invalid_request")


@pytest.mark.parametrize("more", ["wait_s=nan", "wait_s=-1", "wait_s=61", "wait_s=x", "ttl_s=0", "ttl_s=1e9", "ttl_s=inf"])
async def test_times_out_of_bounds_are_400(web: aiohttp.ClientSession, more: str) -> None:
    status, body = await answer(web.get(f"/majula/send?target_node=&target_client=bob&msg=x&{more}"))
    assert (status, body["code"]) == (400, "invalid_request")


async def test_send_to_another_node_is_404(web: aiohttp.ClientSession) -> None:
    status, body = await answer(web.get("/majula/send?target_node=n2&target_client=bob&msg=x"))
    assert (status, body["code"]) == (404, "no_such_node")


@pytest.mark.parametrize("name", ["a%1bb", "a%0d%0ab", "a%00b"])
async def test_names_with_control_characters_are_400(web: aiohttp.ClientSession, name: str) -> None:
    for path in (f"/majula/send?target_node=&target_client={name}", f"/majula/send/{name}?target_node=&target_client=bob"):
        status, body = await answer(web.get(path))
        assert (status, body["code"]) == (400, "invalid_request")


async def test_nobody_of_that_id_is_an_answer(web: aiohttp.ClientSession) -> None:
    status, body = await answer(web.get("/majula/send?target_node=&target_client=nobody&msg=x&ttl_s=0.2"))
    assert status == 200
    assert body["state"] in ("no_route", "expired")


async def test_who_does_not_wait_hears_pending(web: aiohttp.ClientSession) -> None:
    _, body = await answer(web.get("/majula/send?target_node=&target_client=nobody&msg=x&wait_s=0"))
    assert body["state"] == "pending"


async def test_outer_circle_sends_any_json(served: Served, web: aiohttp.ClientSession) -> None:
    bob = await seed(served, "bob")
    status, body = await answer(web.post("/majula/v1/messages", json={"client": "bob", "message": [1, None, "x"]}))
    assert (status, body["state"]) == (200, "written")
    assert (await bob.receive_json())["args"]["message"] == [1, None, "x"]


async def test_broadcast_counts_its_clients(served: Served, web: aiohttp.ClientSession) -> None:
    bob = await seed(served, "bob")
    status, body = await answer(web.post("/majula/v1/broadcast", json={"message": "all"}))
    assert status == 200
    assert (body["written"], body["of"]) == (1, 1)
    assert (await bob.receive_json())["args"]["message"] == "all"


async def test_stream_receives_for_a_client_that_has_nothing_but_http(web: aiohttp.ClientSession) -> None:
    async with web.get("/majula/h/bob") as stream:
        _, body = await answer(web.get("/majula/send/me?target_node=&target_client=bob&msg=hello"))
        assert body["state"] == "written"
        found = await package(stream)
    assert (found["method"], found["args"]["message"], found["args"]["source_client"]) == ("PRIVATE_MESSAGE", "hello", "me")


async def test_stream_reads_beside_a_connected_client(served: Served, web: aiohttp.ClientSession) -> None:
    bob = await seed(served, "bob")
    async with web.get("/majula/v1/clients/bob/messages") as stream:
        await answer(web.post("/majula/v1/messages", json={"client": "bob", "message": 1}))
        assert (await package(stream))["args"]["message"] == 1 == (await bob.receive_json())["args"]["message"]


async def test_message_with_line_feeds_is_one_event(web: aiohttp.ClientSession) -> None:
    text = '{"client": "bob", "message": {"a":\n\r\n1}}'
    async with web.get("/majula/h/bob") as stream:
        await answer(web.post("/majula/v1/messages", data=text, headers={"Content-Type": "application/json"}))
        assert (await package(stream))["args"]["message"] == {"a": 1}


async def test_stream_without_a_client_is_400(web: aiohttp.ClientSession) -> None:
    status, body = await answer(web.get("/majula/h"))
    assert (status, body["code"]) == (400, "invalid_request")


async def test_seed_send_reaches_another_seed_client_unparsed(served: Served) -> None:
    ann, bob = await seed(served, "ann"), await seed(served, "bob")
    content = '{"payload":{"n":1}}'
    await say(ann, {"method": "SEND", "args": {"target_node": "n1", "target_client": "bob", "content": content}})
    found = await bob.receive_json()
    assert (found["method"], found["args"]["message"], found["args"]["source_node"]) == ("PRIVATE_MESSAGE", content, "n1")


async def test_seed_send_with_an_id_hears_its_verdict(served: Served) -> None:
    ann, bob = await seed(served, "ann"), await seed(served, "bob")
    await say(ann, {"method": "SEND", "id": 7, "args": {"target_node": "", "target_client": "bob", "content": "x"}})
    found = await ann.receive_json()
    assert (found["method"], found["id"], found["result"]["state"]) == ("ACK", 7, "written")
    await bob.receive_json()


async def test_seed_broadcast_leaves_its_sender_out(served: Served) -> None:
    ann, bob = await seed(served, "ann"), await seed(served, "bob")
    await say(ann, {"method": "SEND", "id": 8, "args": {"target_node": "n1", "target_client": "", "content": "x"}})
    assert (await ann.receive_json())["result"]["of"] == 1
    assert (await bob.receive_json())["args"]["message"] == "x"


async def test_refused_send_names_the_method(served: Served) -> None:
    ann = await seed(served, "ann")
    await say(ann, {"method": "SEND", "args": {"target_node": "n9", "target_client": "bob", "content": "x"}})
    found = await ann.receive_json()
    assert (found["method"], found["refused"], found["code"]) == ("ERROR", "SEND", "no_such_node")


async def test_http_session_sends_and_receives(served: Served, web: aiohttp.ClientSession) -> None:
    bob = await seed(served, "bob")
    _, opened = await answer(web.post("/majula/v1/sessions", json={"client": "ann"}))
    base, headers = f"/majula/v1/sessions/{opened['session']}", {"Majula-Session": opened["secret"]}
    async with web.get(f"{base}/events", headers=headers) as stream:
        sent = {"method": "SEND", "id": 4, "args": {"target_client": "bob", "content": {"n": 1}}}
        async with web.post(f"{base}/packages", json={"packages": [sent]}, headers=headers) as taken:
            assert taken.status in (200, 202)
        args = (await bob.receive_json())["args"]
        assert (args["source_client"], args["message"]) == ("ann", {"n": 1})
        assert (await package(stream))["result"]["state"] == "written"
        await say(bob, {"method": "SEND", "args": {"target_node": "n1", "target_client": "ann", "content": "back"}})
        found = await package(stream)
    assert (found["method"], found["args"]["source_client"], found["args"]["message"]) == ("PRIVATE_MESSAGE", "bob", "back")


async def test_v1_client_that_runs_its_flows_acknowledges_by_itself(served: Served, web: aiohttp.ClientSession) -> None:
    bob = await RawWebSocket.open(served.port, "/majula/ws/bob", protocols="majula.v1.json")
    await say(bob, {"method": "REGISTER_CLIENT", "id": 1, "args": {"client_id": "bob", "flows": True}})
    assert (await bob.receive_json())["method"] == "ACK"
    sending = asyncio.create_task(answer(web.post("/majula/v1/messages", json={"client": "bob", "message": 1})))
    found = await bob.receive_json()
    args = found["args"]
    receipt = {"target_client": args["source_client"], "target_node": args["source_node"], "up_to": found["sequence"]}
    await say(bob, {"method": "RECEIPT", "flow": found["flow"], "args": {**receipt, "via": found["via"]}})
    assert (await sending)[1]["state"] == "delivered"
