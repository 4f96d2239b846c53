"""The transports of the web, WebSocket in both encodings and HTTP sessions, against the gateway's own edge."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator
from typing import Literal

import pytest

from majula.api.sdk import Client, Message, State, connect
from majula.errors import ConnectionLost, RemoteError
from tests.edges import Served, serve_http

Way = Literal["msgpack", "json", "http"]
"""WebSocket in one of its encodings, or plain HTTP."""


@pytest.fixture
async def served() -> AsyncIterator[Served]:
    async with serve_http() as one:
        yield one


@pytest.fixture(params=["msgpack", "json", "http"])
def way(request: pytest.FixtureRequest) -> Way:
    chosen: Way = request.param
    return chosen


def attached(served: Served, way: Way, path: str = "", **options: object) -> Client:
    if way == "http":
        return connect(f"http://127.0.0.1:{served.port}{path}", **options)  # type: ignore[arg-type]  # passed through
    return connect(f"ws://127.0.0.1:{served.port}{path}", encoding=way, **options)  # type: ignore[arg-type]  # passed through


async def test_messages_of_all_sizes_arrive_in_order(served: Served, way: Way) -> None:
    got: list[Message] = []
    sizes = [0, 1, 200_000, 5, 600_000, 3] * 3
    async with attached(served, way) as client:
        await client.subscribe("t", got.append)
        for n, size in enumerate(sizes):
            await client.publish("t", bytes([n]) * size)
        await client.flush()
        async with asyncio.timeout(10):
            while len(got) < len(sizes):  # filled by a callback of this same loop
                await asyncio.sleep(0)
    assert [message.payload for message in got] == [bytes([n]) * size for n, size in enumerate(sizes)]


async def test_calls_cross_in_both_directions(served: Served, way: Way) -> None:
    async with attached(served, way) as provider, attached(served, way) as caller:

        async def double(value: int) -> int:
            return 2 * value

        def fail() -> None:
            raise ValueError("no")

        await provider.register("double", double)
        await provider.register("fail", fail)
        assert await asyncio.gather(*(caller.call("double", {"value": n}) for n in range(100))) == [2 * n for n in range(100)]
        with pytest.raises(RemoteError) as caught:
            await caller.call("fail")
        assert (caught.value.type, caught.value.message) == ("ValueError", "no")


async def test_a_cancelled_call_cancels_its_handler(served: Served, way: Way) -> None:
    started, cancelled = asyncio.Event(), asyncio.Event()

    async def wait() -> None:
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    async with attached(served, way) as client:
        await client.register("wait", wait)
        call = client.start_call("wait")
        await started.wait()
        call.cancel()
        await cancelled.wait()


async def test_services_are_listed(served: Served, way: Way) -> None:
    async with attached(served, way) as client:
        assert "echo" in {service.name for service in await client.services(provider="init")}


async def test_a_client_that_is_cut_off_gets_one_error_and_comes_back(served: Served, way: Way) -> None:
    told: list[str] = []
    news = asyncio.Event()

    def tell(state: State) -> None:
        told.append(state.name)
        news.set()

    async with attached(served, way, on_state=tell) as client:
        await client.register("wait", asyncio.Event().wait)
        call = client.start_call("wait")
        await client.flush()
        session = served.gateway.switch.session_of(client.client_id)
        assert session is not None
        cut = getattr(session.connection, "abort", None) or session.connection.close  # type: ignore[attr-defined]  # the edge's own
        cut()  # as by a broken network; an HTTP session has no connection to break, it is ended
        with pytest.raises(ConnectionLost):
            await call
        while told.count("connected") < 2:
            news.clear()
            await news.wait()
        assert await client.call("echo", {"a": 1}, provider="init") == {"echo": {"a": 1}}


async def test_nothing_is_left_running_when_a_client_is_closed(served: Served, way: Way) -> None:
    before = asyncio.all_tasks()
    async with attached(served, way) as client:
        await client.publish("t", 1)
        await client.subscribe("t")
    gc.collect()
    left = {task.get_name() for task in asyncio.all_tasks() - before}
    assert not {name for name in left if name.startswith("majula")}


async def test_what_answers_but_is_no_gateway_is_told(served: Served, way: Way) -> None:
    with pytest.raises(ConnectionLost, match="404"):
        await attached(served, way, "/elsewhere", timeout_s=0.4)


async def test_nobody_at_the_address_is_one_clear_error(way: Way) -> None:
    with pytest.raises(ConnectionLost):
        await connect("http://127.0.0.1:1" if way == "http" else "ws://127.0.0.1:1", timeout_s=0.2)
