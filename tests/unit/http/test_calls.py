"""Calls that are begun now and fetched later."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from tests.edges import RawWebSocket, Served, serve_http

BASE = "/majula/v1/calls"


@pytest.fixture
async def served() -> AsyncIterator[Served]:
    async with serve_http() as found:
        yield found


@pytest.fixture
async def web(served: Served) -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(served.url) as session:
        yield session


async def begin(web: aiohttp.ClientSession, function: str, **more: object) -> str:
    async with web.post(BASE, json={"function": function, "wait": False, **more}) as response:
        line = await response.json()
        assert response.status == 202 and response.headers["Location"] == f"{BASE}/{line['call']}"
        return str(line["call"])


async def line(web: aiohttp.ClientSession, call: str, *, method: str = "GET", wait_s: float = 0) -> dict[str, Any]:
    async with web.request(method, f"{BASE}/{call}", params={"wait_s": wait_s} if wait_s else {}) as response:
        assert response.status == 200, await response.text()
        found: dict[str, Any] = await response.json()
        return found


@pytest.fixture
async def provider(served: Served) -> AsyncIterator[RawWebSocket]:
    """Offers `slow`, and answers when the test does."""
    socket = await RawWebSocket.open(served.port, "/majula/ws/worker")
    socket.send_json({"method": "REGISTER_RPC", "fun": "slow", "id": 1})
    await socket.receive_json()
    yield socket
    socket.close()


async def test_a_call_is_begun_and_its_result_fetched(web: aiohttp.ClientSession) -> None:
    call = await begin(web, "add", provider="init", arguments={"a": 1, "b": 2})
    assert await line(web, call, wait_s=10) == {"call": call, "state": "done", "result": {"sum": 3}, "error": None}


async def test_an_open_call_is_looked_at_without_waiting(web: aiohttp.ClientSession, provider: RawWebSocket) -> None:
    call = await begin(web, "slow")
    assert (await line(web, call))["state"] == "open"


async def test_who_waits_gets_the_result_when_it_is_there(web: aiohttp.ClientSession, provider: RawWebSocket) -> None:
    call = await begin(web, "slow")
    waiting = asyncio.create_task(line(web, call, wait_s=30))
    asked = await provider.receive_json()
    provider.send_json({"method": "RETURN_RESULT", "invokeid": asked["invokeid"], "result": {"n": (1 << 63) - 1}})
    assert (await waiting)["result"] == {"n": (1 << 63) - 1}
    assert (await line(web, call))["state"] == "done"


async def test_waiting_ends_with_the_call_still_open(web: aiohttp.ClientSession, provider: RawWebSocket) -> None:
    call = await begin(web, "slow")
    assert (await line(web, call, wait_s=0.01))["state"] == "open"


async def test_a_failure_is_told_as_http_would_tell_it(web: aiohttp.ClientSession) -> None:
    call = await begin(web, "nobody-has-it")
    found = await line(web, call, wait_s=10)
    assert (found["state"], found["error"]["code"]) == ("failed", "no_provider")


async def test_cancelling_tells_the_provider(web: aiohttp.ClientSession, provider: RawWebSocket) -> None:
    call = await begin(web, "slow")
    asked = await provider.receive_json()
    assert (await line(web, call, method="DELETE"))["state"] == "cancelled"
    assert await provider.receive_json() == {"method": "CANCEL", "invokeid": asked["invokeid"]}


async def test_who_waits_hears_that_a_call_was_given_up(web: aiohttp.ClientSession, provider: RawWebSocket) -> None:
    call = await begin(web, "slow")
    waiting = asyncio.create_task(line(web, call, wait_s=30))
    await provider.receive_json()
    await line(web, call, method="DELETE")
    found = await waiting
    assert (found["state"], found["error"]["code"]) == ("cancelled", "cancelled")


async def test_a_call_that_is_given_up_is_forgotten_with_its_last_state(served: Served, web: aiohttp.ClientSession) -> None:
    call = await begin(web, "add", provider="init", arguments={"a": 1, "b": 2})
    await line(web, call, wait_s=10)
    assert (await line(web, call, method="DELETE"))["state"] == "done"
    async with web.get(f"{BASE}/{call}") as response:
        assert response.status == 404
    assert served.edge.statistics()["http_calls_begun"] == 0


async def test_who_waits_does_not_hold_up_a_drain(served: Served, web: aiohttp.ClientSession, provider: RawWebSocket) -> None:
    call = await begin(web, "slow")
    waiting = asyncio.create_task(line(web, call, wait_s=60))
    await provider.receive_json()
    while not served.edge.statistics()["http_in_flight"]:
        await asyncio.sleep(0)
    await served.edge.drain(served.gateway.loop.time() + 30)
    assert (await waiting)["state"] == "open"


async def test_a_result_is_forgotten_after_a_minute(served: Served, web: aiohttp.ClientSession) -> None:
    call = await begin(web, "add", provider="init", arguments={"a": 1, "b": 2})
    await line(web, call, wait_s=10)
    served.edge._calls.sweep(served.gateway.loop.time() + 59)  # type: ignore[union-attr] # as the edge does twice a second
    assert (await line(web, call))["state"] == "done"
    served.edge._calls.sweep(served.gateway.loop.time() + 61)  # type: ignore[union-attr]
    async with web.get(f"{BASE}/{call}") as response:
        assert (response.status, (await response.json())["code"]) == (404, "not_found")


async def test_a_call_that_has_ended_holds_no_session(served: Served, web: aiohttp.ClientSession) -> None:
    call = await begin(web, "add", provider="init", arguments={"a": 1, "b": 2})
    await line(web, call, wait_s=10)
    assert served.gateway.switch.sessions == {}


async def test_names_of_calls_cannot_be_guessed(web: aiohttp.ClientSession) -> None:
    names = {await begin(web, "add", provider="init") for _ in range(8)}
    assert len(names) == 8 and min(map(len, names)) >= 20


async def test_too_many_calls_are_refused(web: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("majula.api.http.calls._CALLS", 2)
    for _ in range(2):
        await begin(web, "add", provider="init")
    async with web.post(BASE, json={"function": "add", "wait": False}) as response:
        assert (response.status, (await response.json())["code"]) == (503, "overloaded")
        assert int(response.headers["Retry-After"]) > 0


async def test_results_that_are_kept_are_bounded(web: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("majula.api.http.calls._RESULT_BYTES", 1_000)
    await line(web, await begin(web, "longtext", provider="init"), wait_s=10)
    async with web.post(BASE, json={"function": "add", "wait": False}) as response:
        assert (response.status, (await response.json())["code"]) == (503, "overloaded")


async def test_result_for_which_there_is_no_room_is_told_as_lost_not_as_open(
    web: aiohttp.ClientSession, provider: RawWebSocket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("majula.api.http.calls._RESULT_BYTES", 10)
    first, second = await begin(web, "slow"), await begin(web, "slow")
    for _ in range(2):
        asked = await provider.receive_json()
        provider.send_json({"method": "RETURN_RESULT", "invokeid": asked["invokeid"], "result": "x" * 20})
    assert (await line(web, first, wait_s=10))["result"] == "x" * 20
    found = await line(web, second, wait_s=10)
    assert (found["state"], found["error"]["code"]) == ("failed", "overloaded")


@pytest.mark.parametrize("wait_s", ["61", "-1", "x", "nan", "inf"])
async def test_a_wait_out_of_bounds_is_refused(web: aiohttp.ClientSession, wait_s: str) -> None:
    call = await begin(web, "add", provider="init")
    async with web.get(f"{BASE}/{call}?wait_s={wait_s}") as response:
        assert response.status == 400
