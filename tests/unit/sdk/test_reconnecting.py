"""Losing the connection and coming back: what a program sees."""

from __future__ import annotations

import asyncio
import gc

import pytest

from majula.api.sdk import Client, Message, connect
from majula.errors import (
    ConnectionLost,
    DeadlineExceeded,
    InvalidRequest,
    NoProvider,
    Overloaded,
)
from majula.wire import headers
from majula.wire.frames import encode_frame, encode_run
from majula.wire.headers import Ack, Hello
from tests.unit.sdk.conftest import Clients
from tests.unit.sdk.gateway import FakeGateway


async def test_a_client_that_is_cut_off_in_mid_call_gets_one_clear_error(gateway: FakeGateway, clients: Clients) -> None:
    client = await clients.connect()
    await client.register("wait", asyncio.Event().wait)
    calls = [client.start_call("wait") for _ in range(10)]
    await gateway.until(lambda: len(gateway.of(headers.Call)) == 10)
    gateway.cut()
    results = await asyncio.gather(*calls, return_exceptions=True)
    assert [type(result) for result in results] == [ConnectionLost] * 10


async def test_everything_is_in_force_again_before_connected_is_told(gateway: FakeGateway, clients: Clients) -> None:
    client = await clients.connect()
    got: list[Message] = []
    await client.subscribe("t", got.append)
    await client.register("f", lambda: 1)
    gateway.cut()
    await gateway.until(lambda: clients.names().count("connected") == 2)
    (session,) = gateway.sessions
    assert [one.topic for one in session.subscriptions] == ["t"]
    assert list(session.functions) == ["f"]
    await client.publish("t", 1)
    assert await client.call("f") == 1
    assert [message.payload for message in got] == [1]
    assert clients.names() == ["connecting", "connected", "disconnected", "connecting", "connected"]


async def test_it_comes_back_under_its_id_with_its_secret(gateway: FakeGateway, clients: Clients) -> None:
    client = await clients.connect()
    own = client.client_id
    gateway.cut()
    await gateway.until(lambda: clients.names().count("connected") == 2)
    assert gateway.of(Hello)[1] == Hello(1, own, "s3cret", "", gateway.of(Hello)[0].agent)  # type: ignore[attr-defined]
    assert client.client_id == own


async def test_what_is_published_without_a_connection_is_sent_later_in_order(gateway: FakeGateway, clients: Clients) -> None:
    client = await clients.connect()
    got: list[Message] = []
    await client.subscribe("t", got.append)
    await gateway.stop()
    await gateway.until(lambda: "disconnected" in clients.names())
    for n in range(50):
        await client.publish("t", n)
    await gateway.start()
    await gateway.until(lambda: clients.names().count("connected") == 2)
    await client.flush()
    assert [message.payload for message in got] == list(range(50))


async def test_beyond_the_buffer_publishing_without_a_connection_is_refused(gateway: FakeGateway, clients: Clients) -> None:
    client = await clients.connect(buffer_bytes=1_000)
    await gateway.stop()
    await gateway.until(lambda: "disconnected" in clients.names())
    with pytest.raises(Overloaded, match="no connection"):
        for _ in range(10):
            await client.publish("t", bytes(300))


async def test_a_call_without_a_connection_waits_for_one(gateway: FakeGateway, clients: Clients) -> None:
    client = await clients.connect()
    await client.register("f", lambda: 1)
    await gateway.stop()
    await gateway.until(lambda: "disconnected" in clients.names())
    call = asyncio.ensure_future(client.call("f"))
    await asyncio.sleep(0)
    await gateway.start()
    assert await call == 1


async def test_a_call_that_waits_for_a_connection_keeps_the_arguments_it_was_made_with(
    gateway: FakeGateway, clients: Clients
) -> None:
    client = await clients.connect()
    await client.register("echo", lambda value: value)
    await gateway.stop()
    await gateway.until(lambda: "disconnected" in clients.names())
    arguments = [1]
    call = client.start_call("echo", arguments)
    arguments.append(2)
    await gateway.start()
    assert await call == [1]


async def test_a_call_that_never_gets_a_connection_ends_at_its_deadline(gateway: FakeGateway, clients: Clients) -> None:
    client = await clients.connect()
    await gateway.stop()
    await gateway.until(lambda: "disconnected" in clients.names())
    with pytest.raises(DeadlineExceeded, match="not sent"):
        await client.call("f", timeout_s=0.01)


async def test_a_call_that_waits_for_a_connection_can_be_cancelled(gateway: FakeGateway, clients: Clients) -> None:
    client = await clients.connect()
    await gateway.stop()
    await gateway.until(lambda: "disconnected" in clients.names())
    call = client.start_call("f")
    assert call.cancel()
    assert client.statistics().open_calls == 0


async def test_handlers_of_a_lost_session_are_cancelled(gateway: FakeGateway, clients: Clients) -> None:
    client = await clients.connect()
    started, cancelled = asyncio.Event(), asyncio.Event()

    @client.rpc
    async def wait() -> None:
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    call = client.start_call("wait")
    await started.wait()
    gateway.cut()
    await cancelled.wait()
    with pytest.raises(ConnectionLost):
        await call


async def test_a_gateway_that_drains_is_left_when_the_last_call_has_ended(gateway: FakeGateway, clients: Clients) -> None:
    client = await clients.connect()
    gate = asyncio.Event()
    await client.register("wait", gate.wait)
    call = client.start_call("wait")
    await gateway.until(lambda: bool(gateway.of(headers.Call)))
    gateway.sessions[0].send(headers.Reconnect(1, "stopping"))
    await client.flush()
    assert gateway.connections == 1
    gate.set()
    assert await call is True
    await gateway.until(lambda: clients.names().count("connected") == 2)
    assert gateway.connections == 2


@pytest.mark.parametrize("junk", [b"\xff" * 64, encode_frame(headers.Bye()), b"\x05\x00\x00\x00\x01\x00\xc1\x00\x00"])
async def test_junk_from_the_gateway_ends_the_connection_and_the_client_comes_back(
    gateway: FakeGateway, clients: Clients, junk: bytes
) -> None:
    await clients.connect()
    gateway.sessions[0].transport.write(junk)
    await gateway.until(lambda: clients.names().count("connected") == 2)


async def test_a_broken_run_ends_the_connection_and_nothing_of_it_is_delivered(gateway: FakeGateway, clients: Clients) -> None:
    client = await clients.connect()
    got: list[Message] = []
    await client.subscribe("t", got.append)
    gateway.sessions[0].send(headers.Publish("t"), encode_run([b"whole"]) + b"\x09\x00\x00\x00x")
    await gateway.until(lambda: clients.names().count("connected") == 2)
    assert got == []


async def test_a_state_callback_must_not_wait() -> None:
    async def callback(_state: object) -> None:
        """Never run."""

    class Telling:
        async def __call__(self, _state: object) -> None:
            """Never run either."""

    for one in (callback, Telling()):
        with pytest.raises(InvalidRequest, match="on_state"):
            connect("unix:/x", on_state=one)


async def test_a_state_callback_that_raises_does_no_harm(gateway: FakeGateway) -> None:
    def callback(_state: object) -> None:
        raise ValueError("mine")

    async with connect(gateway.address, on_state=callback) as client:
        await client.flush()


async def test_nothing_is_left_running_when_a_client_is_closed(gateway: FakeGateway) -> None:
    before = asyncio.all_tasks()

    async def callback(_message: Message) -> None:
        await asyncio.Event().wait()

    async with connect(gateway.address) as client:
        await client.subscribe("t", callback)
        await client.register("wait", asyncio.Event().wait)
        call = client.start_call("wait")
        await client.publish("t", 1)
        await client.flush()
    with pytest.raises(ConnectionLost):
        await call
    assert asyncio.all_tasks() == before
    gc.collect()


async def test_a_chaos_of_cuts_and_cancels_ends_every_call_once(gateway: FakeGateway, clients: Clients) -> None:
    client: Client = await clients.connect()

    @client.rpc
    async def work(n: int) -> int:
        for _ in range(n % 4):
            await asyncio.sleep(0)
        return n

    results: list[object] = []

    async def caller(n: int) -> None:
        try:
            results.append(await client.call("work", n))
        except (ConnectionLost, NoProvider, asyncio.CancelledError) as error:
            results.append(type(error))

    tasks = [asyncio.ensure_future(caller(n)) for n in range(200)]
    for n, task in enumerate(tasks):
        if n % 7 == 0:
            task.cancel()
        if n % 40 == 20:
            gateway.cut()
        await asyncio.sleep(0)
    await asyncio.gather(*tasks, return_exceptions=True)
    await gateway.until(lambda: client.state.name == "connected")
    await client.flush()
    assert client.statistics().open_calls == client.statistics().running_calls == 0
    assert await client.call("work", 1) == 1


async def test_an_acknowledgement_to_nobody_is_ignored(gateway: FakeGateway, clients: Clients) -> None:
    client = await clients.connect()
    gateway.sessions[0].send(Ack(77, "gateway"))
    await client.flush()


async def test_a_client_that_is_refused_for_good_later_says_why_to_every_later_use(
    gateway: FakeGateway, clients: Clients
) -> None:
    client = await clients.connect()
    gateway.answers[Hello] = lambda _session, _header: [encode_frame(headers.Error(0, "unauthorized", "a valid token is needed"))]
    gateway.cut()
    await gateway.until(lambda: clients.names()[-1] == "closed")
    with pytest.raises(ConnectionLost, match="the client is closed: a valid token is needed"):
        await client.publish("t", 1)
