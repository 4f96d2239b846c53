"""Sessions over HTTP: a whole client with nothing but requests and one event stream."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from majula.gateway.settings import GatewayLimits
from tests.edges import RawWebSocket, Served, serve_http

BASE = "/majula/v1/sessions"


@pytest.fixture
async def served() -> AsyncIterator[Served]:
    async with serve_http() as found:
        yield found


@pytest.fixture
async def web(served: Served) -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(served.url) as session:
        yield session


class HttpClient:
    """A session as a program would use it."""

    def __init__(self, web: aiohttp.ClientSession, opened: dict[str, Any]) -> None:
        self.web = web
        self.opened = opened
        self.headers = {"Majula-Session": opened["secret"]}
        self.path = f"{BASE}/{opened['session']}"

    @classmethod
    async def open(cls, web: aiohttp.ClientSession, *, secret: str = "", **request: object) -> HttpClient:
        async with web.post(BASE, json=request, headers={"Majula-Session": secret} if secret else {}) as response:
            assert response.status == 201, await response.text()
            found = await response.json()
            assert response.headers["Location"] == f"{BASE}/{found['session']}"
            return cls(web, found)

    async def send(self, *packages: dict[str, Any]) -> None:
        async with self.web.post(f"{self.path}/packages", json={"packages": packages}, headers=self.headers) as response:
            assert (response.status, await response.json()) == (202, {"taken": len(packages)})

    def events(self, *, last: int | None = None) -> aiohttp.client._RequestContextManager:
        more = {} if last is None else {"Last-Event-ID": str(last)}
        return self.web.get(f"{self.path}/events", headers=self.headers | more)


async def following(stream: aiohttp.ClientResponse) -> tuple[int, Any]:
    """Number and package of the next event that is more than a comment."""
    async with asyncio.timeout(10):
        while True:
            lines = (await stream.content.readuntil(b"\n\n")).decode().strip().splitlines()
            fields = dict(line.split(": ", 1) for line in lines if not line.startswith(":"))
            if "data" in fields:
                return int(fields.get("id", 0)), json.loads(fields["data"])


async def package(stream: aiohttp.ClientResponse) -> Any:
    return (await following(stream))[1]


async def test_a_session_is_a_client_of_the_gateway(served: Served, web: aiohttp.ClientSession) -> None:
    client = await HttpClient.open(web, client="lamp")
    assert client.opened["client"] == "lamp" and client.opened["node"] == "n1" and client.opened["secret"]
    assert served.gateway.switch.session_of("lamp") is not None


async def test_it_subscribes_and_gets_numbered_packages(web: aiohttp.ClientSession) -> None:
    client = await HttpClient.open(web)
    async with client.events() as stream:
        assert stream.content_type == "text/event-stream"
        await client.send({"method": "SUBSCRIBE", "topic": "a.b", "id": 1})
        assert await following(stream) == (1, {"method": "ACK", "id": 1, "guarantee": "gateway"})
        async with web.post("/majula/v1/topics/a.b/messages", json={"message": [1, 2]}):
            pass
        assert await following(stream) == (2, {"method": "SUB_RESULT", "topic": "a.b", "args": [1, 2]})


async def test_it_offers_a_function_and_answers_a_call(web: aiohttp.ClientSession) -> None:
    client = await HttpClient.open(web)
    async with client.events() as stream:
        await client.send({"method": "REGISTER_RPC", "fun": "double", "id": 1})
        await package(stream)
        calling = asyncio.create_task(
            web.post("/majula/v1/calls", json={"function": "double", "arguments": {"x": 4}}).__aenter__()
        )
        call = await package(stream)
        assert (call["method"], call["args"]) == ("RPC_CALL_FROM_REMOTE", {"x": 4})
        await client.send({"method": "RETURN_RESULT", "invokeid": call["invokeid"], "result": 8})
        async with await calling as response:
            assert await response.json() == {"result": 8}


async def test_it_calls_and_asks(web: aiohttp.ClientSession) -> None:
    client = await HttpClient.open(web)
    async with client.events() as stream:
        await client.send({"method": "RPC", "fun": "add", "invokeid": 9, "args": {"a": 1, "b": 2, "_provider": "init"}})
        assert await package(stream) == {"method": "RPC_RESULT", "fun": "add", "invokeid": 9, "result": {"sum": 3}, "ok": True}
        await client.send({"method": "REQUEST", "operation": "rpc.services", "args": {"function": "add"}, "id": "s"})
        answer = await package(stream)
        assert (answer["method"], answer["id"], answer["result"]["services"][0]["name"]) == ("REPLY", "s", "add")


async def test_what_is_wrong_in_a_package_is_answered_on_the_stream(web: aiohttp.ClientSession) -> None:
    client = await HttpClient.open(web)
    await client.send({"method": "NONSENSE", "id": 1}, {"method": "HEARTBEAT", "id": 2})
    async with client.events() as stream:
        assert (await package(stream))["code"] == "invalid_request"
        assert await package(stream) == {"method": "ACK", "id": 2}


async def test_what_comes_while_no_stream_is_open_waits_for_the_next(web: aiohttp.ClientSession) -> None:
    client = await HttpClient.open(web)
    await client.send({"method": "SUBSCRIBE", "topic": "t"}, *({"method": "PUBLISH", "topic": "t", "args": n} for n in range(3)))
    async with client.events() as stream:
        assert [(await package(stream))["args"] for _ in range(3)] == [0, 1, 2]


async def test_a_stream_goes_on_behind_the_last_event_that_was_seen(web: aiohttp.ClientSession) -> None:
    client = await HttpClient.open(web)
    await client.send({"method": "SUBSCRIBE", "topic": "t"}, *({"method": "PUBLISH", "topic": "t", "args": n} for n in range(5)))
    async with client.events() as stream:
        for _ in range(5):
            await following(stream)
    async with client.events(last=2) as stream:
        assert [(await following(stream)) for _ in range(3)] == [
            (n + 1, {"method": "SUB_RESULT", "topic": "t", "args": n}) for n in (2, 3, 4)
        ]
        await client.send({"method": "PUBLISH", "topic": "t", "args": 5})
        assert (await following(stream))[0] == 6


async def test_a_gap_that_is_no_longer_kept_is_told(web: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("majula.api.http.sessions._KEPT_EVENTS", 2)
    client = await HttpClient.open(web)
    await client.send({"method": "SUBSCRIBE", "topic": "t"}, *({"method": "PUBLISH", "topic": "t", "args": n} for n in range(5)))
    async with client.events() as stream:
        for _ in range(5):
            await following(stream)
    async with client.events(last=1) as stream:
        assert await package(stream) == {"method": "SLOW", "dropped_messages": 2, "dropped_bytes": 0}
        assert [(await following(stream))[0] for _ in range(2)] == [4, 5]


async def test_a_newer_stream_takes_the_place_of_the_older(web: aiohttp.ClientSession) -> None:
    client = await HttpClient.open(web)
    async with client.events() as older:
        await older.content.readuntil(b": open\n\n")
        async with client.events() as newer:
            assert await older.content.read() == b""
            await client.send({"method": "HEARTBEAT", "id": 1})
            assert await package(newer) == {"method": "ACK", "id": 1}


@pytest.mark.parametrize("last", ["-1", "x", "²", "9" * 40])
async def test_a_last_event_that_is_no_number_is_refused(web: aiohttp.ClientSession, last: str) -> None:
    client = await HttpClient.open(web)
    async with web.get(f"{client.path}/events", headers=client.headers | {"Last-Event-ID": last}) as response:
        assert (response.status, (await response.json())["code"]) == (400, "invalid_request")


@pytest.mark.parametrize("secret", [None, "", "wrong", "ä"])
async def test_without_its_secret_a_session_is_nobodys(web: aiohttp.ClientSession, secret: str | None) -> None:
    client = await HttpClient.open(web)
    headers = {} if secret is None else {"Majula-Session": secret}
    for method, path in (("GET", "/events"), ("POST", "/packages"), ("DELETE", "")):
        body: object = {"packages": []} if method == "POST" else None
        async with web.request(method, client.path + path, headers=headers, json=body) as response:
            assert (response.status, (await response.json())["code"]) == (401, "unauthorized")


async def test_an_unknown_session_is_404(web: aiohttp.ClientSession) -> None:
    async with web.delete(f"{BASE}/nobody", headers={"Majula-Session": "x"}) as response:
        assert (response.status, (await response.json())["code"]) == (404, "not_found")


async def test_an_id_that_is_held_is_taken_over_by_its_secret_alone(served: Served, web: aiohttp.ClientSession) -> None:
    first = await HttpClient.open(web, client="mine")
    async with web.post(BASE, json={"client": "mine"}) as response:
        assert (response.status, (await response.json())["code"]) == (409, "conflict")
    async with first.events() as stream:
        await stream.content.readuntil(b": open\n\n")
        second = await HttpClient.open(web, client="mine", secret=first.opened["secret"])
        assert (await package(stream))["code"] == "conflict"
        assert await stream.content.read() == b""
    async with second.events() as stream:
        await second.send({"method": "HEARTBEAT", "id": 1})
        assert await package(stream) == {"method": "ACK", "id": 1}


async def test_delete_ends_all_of_a_session(served: Served, web: aiohttp.ClientSession) -> None:
    client = await HttpClient.open(web, client="gone")
    async with client.events() as stream:
        await stream.content.readuntil(b": open\n\n")
        async with web.delete(client.path, headers=client.headers) as response:
            assert (response.status, await response.read()) == (204, b"")
        assert await stream.content.read() == b""
    assert served.gateway.switch.session_of("gone") is None
    async with web.get(f"{client.path}/events", headers=client.headers) as response:
        assert response.status == 404


async def test_quit_ends_a_session_as_well(served: Served, web: aiohttp.ClientSession) -> None:
    client = await HttpClient.open(web, client="gone")
    await client.send({"method": "QUIT"})
    async with web.get(f"{client.path}/events", headers=client.headers) as response:
        assert response.status == 404
    assert served.gateway.switch.session_of("gone") is None


async def test_a_session_that_nobody_uses_ends(
    served: Served, web: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    await HttpClient.open(web, client="idle", idle_s=600)
    used = await HttpClient.open(web, client="used", idle_s=1)
    async with used.events() as stream:
        await stream.content.readuntil(b": open\n\n")
        later = served.gateway.loop.time() + 599
        served.edge._sessions.sweep(later)  # type: ignore[union-attr] # as the edge does twice a second
        assert served.gateway.switch.session_of("idle") and served.gateway.switch.session_of("used")
        served.edge._sessions.sweep(later + 2)  # type: ignore[union-attr]
        assert not served.gateway.switch.session_of("idle") and served.gateway.switch.session_of("used")


@pytest.mark.parametrize("idle_s", [0, -1, 601, 1e300])
async def test_an_idle_time_out_of_bounds_is_refused(web: aiohttp.ClientSession, idle_s: float) -> None:
    async with web.post(BASE, json={"idle_s": idle_s}) as response:
        assert (response.status, (await response.json())["code"]) == (400, "invalid_request")


async def test_a_quiet_stream_is_kept_alive_by_comments(web: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("majula.api.http.events.PING_S", 0.01)
    client = await HttpClient.open(web)
    async with client.events() as stream:
        await stream.content.readuntil(b": ping\n\n")


async def test_a_client_that_does_not_read_is_told_what_it_lost() -> None:
    limits = GatewayLimits(queue_messages=100)
    async with serve_http(limits) as served, aiohttp.ClientSession(served.url) as web:
        client = await HttpClient.open(web)
        await client.send({"method": "SUBSCRIBE", "topic": "t"})
        for _ in range(3):
            await client.send(*({"method": "PUBLISH", "topic": "t", "args": n} for n in range(100)))
        async with client.events() as stream:
            seen = [await package(stream) for _ in range(101)]
        assert [one["method"] for one in seen] == ["SUB_RESULT"] * 100 + ["SLOW"]
        assert seen[-1]["dropped_messages"] == 200


async def test_refusals_that_nobody_reads_end_the_session(
    served: Served, web: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("majula.api.http.sessions._ANSWER_BYTES", 2_000)
    client = await HttpClient.open(web, client="babbler")
    await client.send(*({"method": "NONSENSE"} for _ in range(50)))
    assert served.gateway.switch.session_of("babbler") is None


async def test_sessions_leave_half_of_a_gateway_to_others() -> None:
    async with serve_http(GatewayLimits(connections=8)) as served, aiohttp.ClientSession(served.url) as web:
        for _ in range(4):
            await HttpClient.open(web)
        async with web.post(BASE, json={}) as response:
            assert (response.status, (await response.json())["code"]) == (503, "overloaded")
            assert response.headers["Retry-After"] == "1"
        assert len(served.gateway.switch.sessions) == 4


async def test_a_draining_gateway_ends_streams_with_advice_and_sessions_without_one(
    served: Served, web: aiohttp.ClientSession
) -> None:
    await HttpClient.open(web, client="away")
    client = await HttpClient.open(web, client="here")
    async with client.events() as stream:
        await stream.content.readuntil(b": open\n\n")
        served.gateway.switch.drain(served.gateway.loop.time())
        served.gateway.wake()
        draining = asyncio.create_task(served.edge.drain(served.gateway.loop.time() + 5))
        assert (await package(stream))["method"] == "RECONNECT"
        assert await stream.content.read() == b""
        await draining
    assert served.gateway.switch.session_of("away") is None


async def test_a_session_and_a_websocket_understand_each_other(served: Served, web: aiohttp.ClientSession) -> None:
    client = await HttpClient.open(web)
    socket = await RawWebSocket.open(served.port, "/majula/ws/seed")
    async with client.events() as stream:
        await client.send({"method": "SUBSCRIBE", "topic": "t", "id": 1})
        await package(stream)
        socket.send_json({"method": "PUBLISH", "topic": "t", "args": {"n": (1 << 63) - 1}})
        assert await package(stream) == {"method": "SUB_RESULT", "topic": "t", "args": {"n": (1 << 63) - 1}}
    socket.close()
