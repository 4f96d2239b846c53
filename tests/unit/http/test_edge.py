"""HTTP as a client sees it: the inner circle, the REST paths, errors, streams."""

from __future__ import annotations

import asyncio
import json
import logging
import zlib
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import quote

import aiohttp
import pytest
import uvloop
from yarl import URL

from majula.api.http import planned, routes
from majula.gateway.settings import GatewayLimits
from tests.edges import Served, body_of, client_frame, exchange, request, serve_http, status_of


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
        assert found.content_type == "application/json"
        return found.status, await found.json()


async def event(stream: aiohttp.ClientResponse) -> bytes:
    """The next event that is more than a comment."""
    async with asyncio.timeout(10):
        while True:
            block = (await stream.content.readuntil(b"\n\n")).strip()
            if not block.startswith(b":"):
                return block


# --- the inner circle


async def test_rpc_by_query_arrives_with_its_arguments(web: aiohttp.ClientSession) -> None:
    status, body = await answer(web.get("/majula/rpc/me?fun=reverse&target_node=n1&provider=init&s=abc"))
    assert status == 200 and body == {
        "fun": "reverse",
        "args": {"s": "abc"},
        "client": "me",
        "provider": "init",
        "target_node": "n1",
        "result": {"reversed": "cba"},
        "success": True,
    }


@pytest.mark.parametrize("args", [{"a": 1, "b": 2}, '{"a": 1, "b": 2}'])
async def test_rpc_takes_args_as_an_object_or_its_text(web: aiohttp.ClientSession, args: object) -> None:
    body = {"fun": "add", "target_node": "", "provider": "init", "args": args}
    assert (await answer(web.post("/majula/rpc", json=body)))[1]["result"] == {"sum": 3}


async def test_rpc_to_an_unknown_function_is_200_without_success(web: aiohttp.ClientSession) -> None:
    status, body = await answer(web.get("/majula/rpc?fun=nope&target_node=&provider="))
    assert (status, body["success"], body["code"]) == (200, False, "no_provider") and body["error"]


async def test_rpc_to_an_unknown_node_is_an_answer(web: aiohttp.ClientSession) -> None:
    status, body = await answer(web.get("/majula/rpc?fun=add&target_node=elsewhere&provider=init"))
    assert (status, body["success"], body["code"]) == (200, False, "no_such_node")


async def test_a_result_with_an_error_text_is_no_success(web: aiohttp.ClientSession) -> None:
    status, body = await answer(web.get("/majula/rpc?fun=allrpcs&target_node=&provider=init"))
    assert status == 200 and body["success"] is False and isinstance(body["error"], str)


@pytest.mark.parametrize("missing", ["fun", "target_node", "provider"])
async def test_rpc_without_a_parameter_is_refused(web: aiohttp.ClientSession, missing: str) -> None:
    parameters = {"fun": "add", "target_node": "n1", "provider": "init"}
    del parameters[missing]
    status, body = await answer(web.get("/majula/rpc", params=parameters))
    assert status == 400 and missing in body["error"]


async def test_the_form_wins_over_the_query_and_the_query_over_the_body(web: aiohttp.ClientSession) -> None:
    body = {"fun": "echo", "target_node": "", "provider": "nobody", "args": {"from": "body"}}
    status, found = await answer(web.post("/majula/rpc?provider=init", json=body))
    assert (status, found["success"], found["result"]) == (200, True, {"echo": {"from": "body"}})
    form = {"fun": "echo", "target_node": "", "provider": "init", "from": "form"}
    assert (await answer(web.post("/majula/rpc?from=query", data=form)))[1]["args"] == {"from": "form"}


async def test_a_multipart_form_is_served(web: aiohttp.ClientSession) -> None:
    form = aiohttp.FormData({"topic": "t", "msg": "ü"}, default_to_multipart=True)
    status, body = await answer(web.post("/majula/pub", data=form))
    assert (status, body["message"]) == (200, "ü")


async def test_list_rpc_names_what_can_be_called(web: aiohttp.ClientSession) -> None:
    _, body = await answer(web.get("/majula/list_rpc?target_node=n1&provider=init"))
    assert {"add", "echo", "time", "whoami", "longtext", "randint", "reverse", "allrpcs"} <= {one["name"] for one in body["rpcs"]}


async def test_pub_answers_what_it_published(web: aiohttp.ClientSession) -> None:
    status, body = await answer(web.post("/majula/pub/c7", json={"topic": "a.b", "msg": "hi"}))
    assert (status, body) == (200, {"status": "published", "topic": "a.b", "client": "c7", "message": "hi"})


@pytest.mark.parametrize(
    ("msg", "args"),
    [
        ('{"n": 1}', {"n": 1}),
        ("text", {"message": "text"}),
        ({"n": [1]}, {"n": [1]}),
        (5, {"message": 5}),
        ("{", {"message": "{"}),
    ],
)
async def test_sub_receives_what_pub_sends_as_an_object(web: aiohttp.ClientSession, msg: object, args: object) -> None:
    async with web.get("/majula/sub/s1?topic=a.b") as stream:
        assert (stream.status, stream.content_type) == (200, "text/event-stream")
        assert await stream.content.readuntil(b"\n\n") == b": subscribed\n\n"
        await answer(web.post("/majula/pub", json={"topic": "a.b", "msg": msg}))
        data = await event(stream)
        assert json.loads(data.removeprefix(b"data: ")) == {"method": "PUBLISH", "topic": "a.b", "args": args}


async def test_a_stream_keeps_the_order_of_a_publisher(web: aiohttp.ClientSession) -> None:
    async with web.post("/majula/sub", data={"topic": "t"}) as stream:
        await stream.content.readuntil(b"\n\n")
        for number in range(20):
            await answer(web.post("/majula/pub", json={"topic": "t", "args": {"n": number}}))
        assert [json.loads((await event(stream))[6:])["args"]["n"] for _ in range(20)] == list(range(20))


async def test_a_client_that_leaves_its_stream_leaves_no_session(served: Served, web: aiohttp.ClientSession) -> None:
    async with web.get("/majula/sub?topic=t") as stream:
        await stream.content.readuntil(b"\n\n")
        assert len(served.gateway.switch.sessions) == 1
        stream.close()
    async with asyncio.timeout(10):
        while served.gateway.switch.sessions:
            await asyncio.sleep(0)


async def test_a_quiet_stream_is_kept_alive_by_comments(served: Served, web: aiohttp.ClientSession, monkeypatch: Any) -> None:
    monkeypatch.setattr("majula.api.http.events.PING_S", 0.01)
    async with web.get("/majula/sub?topic=t") as stream:
        await stream.content.readuntil(b"\n\n")
        assert await stream.content.readuntil(b"\n\n") == b": ping\n\n"


# --- the REST paths


async def test_a_call_answers_its_result(web: aiohttp.ClientSession) -> None:
    body = {"function": "add", "provider": "init", "arguments": {"a": 1, "b": 2}}
    assert await answer(web.post("/majula/v1/calls", json=body)) == (200, {"result": {"sum": 3}})


async def test_a_call_that_nobody_serves_is_404(web: aiohttp.ClientSession) -> None:
    status, body = await answer(web.post("/majula/v1/calls", json={"function": "nope"}))
    assert (status, body["code"]) == (404, "no_provider")


async def test_a_call_whose_deadline_passes_is_504(served: Served, web: aiohttp.ClientSession) -> None:
    async with web.ws_connect("/majula/ws/p1") as provider:
        await provider.send_json({"method": "REGISTER_RPC", "fun": "slow", "id": 1})
        await provider.receive_json()
        status, body = await answer(web.post("/majula/v1/calls", json={"function": "slow", "timeout_ms": 20}))
        assert (status, body["code"]) == (504, "deadline_exceeded")
        assert (await provider.receive_json())["method"] == "RPC_CALL_FROM_REMOTE"
        assert (await provider.receive_json())["method"] == "CANCEL"


async def test_a_caller_that_goes_away_cancels_its_call(served: Served, web: aiohttp.ClientSession) -> None:
    async with web.ws_connect("/majula/ws/p1") as provider:
        await provider.send_json({"method": "REGISTER_RPC", "fun": "slow", "id": 1})
        await provider.receive_json()
        calling = asyncio.create_task(answer(web.post("/majula/v1/calls", json={"function": "slow"})))
        number = (await provider.receive_json())["invokeid"]
        calling.cancel()
        assert await provider.receive_json(timeout=10) == {"method": "CANCEL", "invokeid": number}


async def test_a_remote_failure_is_502_with_its_type(web: aiohttp.ClientSession) -> None:
    async with web.ws_connect("/majula/ws/p1") as provider:
        await provider.send_json({"method": "REGISTER_RPC", "fun": "fails", "id": 1})
        await provider.receive_json()
        calling = asyncio.create_task(answer(web.post("/majula/v1/calls", json={"function": "fails"})))
        number = (await provider.receive_json())["invokeid"]
        failure = {"type": "KeyError", "message": "no key"}
        await provider.send_json({"method": "RETURN_RESULT", "invokeid": number, "ok": False, "error": failure})
        status, body = await calling
        assert (status, body) == (502, {"error": "no key", "code": "remote_error", "detail": {"type": "KeyError"}})


async def test_messages_of_v1_are_any_json(web: aiohttp.ClientSession) -> None:
    async with web.get("/majula/v1/topics/a.*/messages?pattern=true") as stream:
        await stream.content.readuntil(b"\n\n")
        posted = await answer(web.post("/majula/v1/topics/a.b/messages", json={"message": [1, None]}))
        assert posted == (200, {"status": "published", "topic": "a.b"})
        assert json.loads((await event(stream))[6:]) == {"method": "PUBLISH", "topic": "a.b", "args": [1, None]}


async def test_a_retained_message_that_nobody_confirms_is_503(web: aiohttp.ClientSession, monkeypatch: Any) -> None:
    monkeypatch.setattr("majula.api.http.exchange.ANSWER_S", 0.01)  # here is no topic manager
    status, body = await answer(web.post("/majula/v1/topics/t/messages", json={"message": 1, "retain": True}))
    assert (status, body["code"]) == (503, "unavailable")


async def test_services_are_listed_with_their_metadata(web: aiohttp.ClientSession) -> None:
    status, body = await answer(web.get("/majula/v1/services?provider=init&function=add"))
    assert status == 200 and [(one["name"], one["provider"], one["node"]) for one in body["services"]] == [("add", "init", "n1")]


@pytest.mark.parametrize("path", ["/majula/v1/calls?function=add"])
async def test_get_changes_nothing_below_v1(web: aiohttp.ClientSession, path: str) -> None:
    async with web.get(path) as response:
        assert response.status == 405 and response.headers["Allow"] == "POST"
        assert (await response.json())["code"] == "method_not_allowed"


async def test_wrong_types_are_refused_by_name(web: aiohttp.ClientSession) -> None:
    status, body = await answer(web.post("/majula/v1/calls", json={"function": "add", "timeout_ms": "soon"}))
    assert status == 400 and "timeout_ms" in body["error"]


# --- health, what is planned, what is not there


async def test_health_says_live_and_ready_to_anyone(served: Served, web: aiohttp.ClientSession) -> None:
    assert await answer(web.get("/majula/health")) == (200, {"live": True, "ready": True})
    served.gateway.is_ready = False
    assert await answer(web.get("/majula/health")) == (503, {"live": True, "ready": False})


@pytest.mark.parametrize("path", [*(f"/majula{path}" for path in planned.INNER), "/majula/map/list"])
async def test_planned_paths_of_the_inner_circle_say_so(web: aiohttp.ClientSession, path: str) -> None:
    assert (await answer(web.post(path)))[1]["code"] == "not_built"


@pytest.mark.parametrize("path", [*(path.format(id=7) for path in planned.OUTER), "raft/orders/keys/a"])
async def test_planned_resources_say_so(web: aiohttp.ClientSession, path: str) -> None:
    status, body = await answer(web.put(f"/majula/v1/{path}"))
    assert (status, body["code"]) == (501, "not_built")


@pytest.mark.parametrize("path", ["/", "/majula", "/majula/nope", "/majula/v1/nope", "/majula/pub/a/b", "/..%2f..%2fetc/passwd"])
async def test_unknown_paths_are_404(web: aiohttp.ClientSession, path: str) -> None:
    status, body = await answer(web.get(path))
    assert (status, body["code"]) == (404, "not_found")


# --- bad input


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"[]",
        b"5",
        b'{"topic":"t","topic":"u"}',
        b'{"topic":"t","msg":NaN}',
        b'{"topic":"t","msg":"\\ud800"}',
        b'{"topic":"t","msg":' + b"1" * 5000 + b"}",
        b'{"topic":"t","msg":' + b"[" * 200_000 + b"]" * 200_000 + b"}",
        b"\xff\xfe",
        b'{"msg":"no topic"}',
        b'{"topic":{"a":1}}',
        b'{"topic":""}',
        b'{"topic":"$SYS.x"}',
    ],
)
async def test_bad_bodies_are_refused(web: aiohttp.ClientSession, body: bytes) -> None:
    status, found = await answer(web.post("/majula/pub", data=body, headers={"Content-Type": "application/json"}))
    assert status in {400, 403} and set(found) == {"error", "code", "detail"}


async def test_text_that_carries_json_is_415(web: aiohttp.ClientSession) -> None:
    status, body = await answer(web.post("/majula/pub", data='{"topic":"t"}', headers={"Content-Type": "text/plain"}))
    assert (status, body["code"]) == (415, "unsupported_media")


async def test_a_gzip_body_is_unpacked(web: aiohttp.ClientSession) -> None:
    packer = zlib.compressobj(wbits=31)
    body = packer.compress(b'{"topic":"t","msg":"x"}') + packer.flush()
    headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
    assert (await answer(web.post("/majula/pub", data=body, headers=headers)))[0] == 200


async def test_a_message_of_the_largest_size_is_published(web: aiohttp.ClientSession) -> None:
    message = "x" * ((1 << 20) - 2)  # and its quotes
    headers = {"Expect": "100-continue"}
    status, _ = await answer(web.post("/majula/v1/topics/t/messages", json={"message": message}, headers=headers))
    assert status == 200


async def test_a_message_over_the_largest_size_is_413(web: aiohttp.ClientSession) -> None:
    status, body = await answer(web.post("/majula/v1/topics/t/messages", json={"message": "x" * (1 << 20)}))
    assert (status, body["code"], body["detail"]) == (413, "too_large", {"limit_bytes": 1 << 20})


@pytest.mark.parametrize("client", ["x" * 129, "a%0d%0ab", "a%1bb"])
async def test_a_client_id_that_could_not_be_printed_is_refused(served: Served, client: str) -> None:
    found = await exchange(served.port, request("GET", f"/majula/pub/{client}?topic=t&msg=m"))
    assert status_of(found) == 400


async def test_a_fault_of_ours_is_told_by_its_trace_id_alone(
    served: Served, web: aiohttp.ClientSession, monkeypatch: Any, caplog: pytest.LogCaptureFixture
) -> None:
    def broken() -> dict[str, object]:
        raise RuntimeError("secret detail")

    monkeypatch.setattr(served.gateway, "health", broken)
    with caplog.at_level(logging.ERROR):
        status, body = await answer(web.get("/majula/health"))
    assert (status, body["code"]) == (500, "internal") and "secret" not in json.dumps(body)
    (record,) = caplog.records
    assert record.__dict__["trace_id"] == body["detail"]["trace_id"] and record.exc_info
    monkeypatch.undo()
    assert (await answer(web.get("/majula/health")))[0] == 200  # over the same connection


async def test_answers_carry_no_versions_and_are_no_documents(web: aiohttp.ClientSession) -> None:
    async with web.get("/majula/health") as response:
        assert response.headers["Server"] == "majula"
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        assert response.headers["Cache-Control"] == "no-store"


async def test_an_allowed_origin_may_read_the_answer() -> None:
    async with serve_http(origins=("https://app.example",)) as served:
        found = await exchange(served.port, request("GET", "/majula/health", "Origin: https://app.example"))
        assert status_of(found) == 200 and b"Access-Control-Allow-Origin: https://app.example" in found
        assert b"Access-Control-Expose-Headers: Location, Retry-After" in found


async def test_a_page_of_an_allowed_origin_may_ask_what_it_may_send() -> None:
    asked = ("Access-Control-Request-Method: POST", "Access-Control-Request-Headers: content-type")
    async with serve_http(origins=("https://app.example",)) as served:
        found = await exchange(served.port, request("OPTIONS", "/majula/v1/calls", "Origin: https://app.example", *asked))
        assert status_of(found) == 204
        assert b"Access-Control-Allow-Headers: Authorization, Content-Type, Last-Event-ID, Majula-Session" in found
        found = await exchange(served.port, request("OPTIONS", "/majula/pub", "Origin: https://evil.example", *asked))
        assert status_of(found) == 403


async def test_options_says_which_methods_a_path_is_served_for(web: aiohttp.ClientSession) -> None:
    for path, allowed in (
        ("/v1/calls", "OPTIONS, POST"),
        ("/v1/services", "GET, HEAD, OPTIONS"),
        ("/pub/me", "GET, OPTIONS, POST"),
    ):
        async with web.options("/majula" + path) as response:
            assert (response.status, response.headers["Allow"], await response.read()) == (204, allowed, b"")


async def test_options_of_an_unknown_path_is_404(web: aiohttp.ClientSession) -> None:
    assert (await answer(web.options("/majula/nope")))[0] == 404


async def test_head_is_get_without_the_body(web: aiohttp.ClientSession) -> None:
    for path in ("/majula/v1/services", "/majula/health", "/majula/info", "/majula/docs"):
        async with web.get(path) as whole, web.head(path) as head:
            assert (head.status, await head.read()) == (200, b"")
            assert head.headers["Content-Length"] == whole.headers["Content-Length"]


@pytest.mark.parametrize("path", ["/majula/pub?topic=t", "/majula/sub?topic=t", "/majula/v1/topics/t/messages"])
async def test_head_neither_changes_anything_nor_opens_a_stream(web: aiohttp.ClientSession, path: str) -> None:
    async with web.head(path) as response:
        assert response.status == 405 and "HEAD" not in response.headers["Allow"]


@pytest.mark.parametrize("path", ["/majula/v1/topics/a%FFb/messages", "/majula/v1/clients/%C3", "/majula/pub/%ff?topic=t"])
async def test_a_path_that_is_not_utf8_is_refused(served: Served, path: str) -> None:
    assert body_of(await exchange(served.port, request("POST", path)))["code"] in {"invalid_request", "method_not_allowed"}


async def test_a_topic_in_a_path_may_hold_anything_that_a_topic_may(web: aiohttp.ClientSession) -> None:
    for topic in ("a{b}", "a/b", "ä.ö", "a b", "100%", "%41", "*", "a+b"):
        async with web.post(URL(f"/majula/v1/topics/{quote(topic, safe='')}/messages", encoded=True), json={}) as response:
            assert (await response.json()) == {"status": "published", "topic": topic}


async def test_info_says_what_a_client_needs_to_know(web: aiohttp.ClientSession) -> None:
    status, body = await answer(web.get("/majula/info"))
    assert status == 200 and body["node"] == "n1" and body["limits"]["message_bytes"] == 1 << 20
    assert await answer(web.get("/majula/v1/info")) == (status, body)


# --- connections


async def test_a_websocket_may_be_opened_on_a_connection_that_served_requests(served: Served) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
    async with asyncio.timeout(10):
        writer.write(b"GET /majula/health HTTP/1.1\r\nHost: localhost\r\n\r\n")
        await reader.readuntil(b'"ready":true}')
        writer.write(
            b"GET /majula/ws/a HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
            + client_frame(1, b'{"method":"HEARTBEAT","id":1}')  # behind the opening in one write
        )
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101")
        assert (await reader.readuntil(b"}")).endswith(b'{"method":"ACK","id":1}')
    assert not served.edge.connections and len(served.edge.websockets) == 1
    writer.close()


async def test_requests_are_answered_in_order_on_one_connection(served: Served) -> None:
    first = b"GET /majula/rpc/a?fun=whoami&target_node=&provider=init HTTP/1.1\r\nHost: localhost\r\n\r\n"
    found = await exchange(served.port, first + request("GET", "/majula/health"))
    assert found.count(b"HTTP/1.1 200") == 2 and found.index(b"whoami") < found.index(b"ready")


async def test_a_connection_over_the_limit_hears_503() -> None:
    async with serve_http(GatewayLimits(connections=1)) as served:
        _, holder = await asyncio.open_connection("127.0.0.1", served.port)
        async with asyncio.timeout(10):
            while not served.edge.connections:
                await asyncio.sleep(0)
        found = await exchange(served.port, b"")
        assert status_of(found) == 503 and body_of(found)["code"] == "overloaded" and b"Retry-After: 1" in found
        holder.close()


async def test_drain_refuses_new_connections_and_finishes_what_is_in_flight(served: Served, web: aiohttp.ClientSession) -> None:
    async with web.ws_connect("/majula/ws/p1") as provider:
        await provider.send_json({"method": "REGISTER_RPC", "fun": "f", "id": 1})
        await provider.receive_json()
        calling = asyncio.create_task(answer(web.post("/majula/v1/calls", json={"function": "f"})))
        number = (await provider.receive_json())["invokeid"]
        draining = asyncio.create_task(served.edge.drain(served.gateway.loop.time() + 10))
        await asyncio.sleep(0)
        with pytest.raises(OSError):
            await asyncio.open_connection("127.0.0.1", served.port)
        assert not draining.done()
        await provider.send_json({"method": "RETURN_RESULT", "invokeid": number, "result": 1})
        assert await calling == (200, {"result": 1})
        async with asyncio.timeout(10):
            await draining


async def test_a_draining_gateway_ends_its_streams_with_advice(served: Served, web: aiohttp.ClientSession) -> None:
    async with web.get("/majula/sub?topic=t") as stream:
        await stream.content.readuntil(b"\n\n")
        served.gateway.switch.drain(served.gateway.loop.time())
        served.gateway.wake()
        assert (await event(stream)).startswith(b"event: reconnect\n")
        async with asyncio.timeout(10):
            await served.edge.drain(served.gateway.loop.time() + 10)
        assert await stream.content.read() == b""


def test_the_same_holds_on_uvloop() -> None:
    async def play() -> None:
        async with serve_http() as served, aiohttp.ClientSession(served.url) as web:
            assert (await answer(web.get("/majula/health")))[0] == 200
            async with web.ws_connect("/majula/ws/a") as socket:
                await socket.send_json({"method": "HEARTBEAT", "id": 1})
                assert await socket.receive_json() == {"method": "ACK", "id": 1}

    uvloop.run(play())


def test_the_base_path_is_the_documented_one() -> None:
    assert (routes.BASE, routes.OUTER) == ("/majula", "/majula/v1")


async def test_a_fault_in_a_connection_ends_that_connection_alone(
    served: Served, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("no")

    with monkeypatch.context() as patch:
        patch.setattr("majula.api.http.connection.refusal", broken)
        assert await exchange(served.port, request("GET", "/majula/health")) == b""
    assert [one.message for one in caplog.records] == ["connection.failed"]
    assert status_of(await exchange(served.port, request("GET", "/majula/health"))) == 200
