"""The client against a gateway on a Unix socket: what a program sees."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from majula.api.sdk import Client, Message, connect
from majula.errors import (
    Conflict,
    ConnectionLost,
    DeadlineExceeded,
    InvalidRequest,
    LimitReached,
    NoProvider,
    Overloaded,
    PermissionDenied,
    RemoteError,
    TooLarge,
)
from majula.wire import headers
from majula.wire.frames import encode_frame
from majula.wire.headers import Cancel, Error, Fault, Hello, Result, Subscribe
from tests.unit.sdk.conftest import Clients
from tests.unit.sdk.gateway import FakeGateway


async def received(subscription: object, count: int) -> list[object]:
    found: list[object] = []
    async for message in subscription:  # type: ignore[attr-defined]  # a Subscription; typed loosely to keep the tests short
        found.append(message.payload)
        if len(found) == count:
            break
    return found


async def connected(address: str) -> Client:
    return await connect(address)


# --- connecting


async def test_a_client_is_awaited_or_entered(gateway: FakeGateway) -> None:
    async with connect(gateway.address, client_id="me") as entered:
        assert (entered.client_id, entered.node_id, entered.gateway) == ("me", "n1", "gateway:1")
    awaited = await connect(gateway.address)
    await awaited.close()
    assert awaited.state.name == "closed"


async def test_nobody_at_the_address_is_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(ConnectionLost, match=r"none\.sock"):
        await connect(f"unix:{tmp_path}/none.sock", timeout_s=0.05)


async def test_a_gateway_that_comes_up_a_little_later_is_reached(tmp_path: Path) -> None:
    fake = FakeGateway(tmp_path / "late.sock")
    connecting = asyncio.ensure_future(connected(fake.address))
    await asyncio.sleep(0)
    await fake.start()
    client = await connecting
    await client.close()
    await fake.stop()


async def test_another_address_is_tried_when_the_first_is_dead(gateway: FakeGateway, tmp_path: Path) -> None:
    async with connect([f"unix:{tmp_path}/none.sock", gateway.address]) as client:
        assert client.node_id == "n1"


async def test_a_taken_id_is_told_at_once(gateway: FakeGateway) -> None:
    gateway.answers[Hello] = lambda _session, _header: [encode_frame(Error(0, "conflict", "the id is taken"))]
    with pytest.raises(Conflict):
        await connect(gateway.address, client_id="me")


async def test_a_cancelled_attempt_leaves_nothing_behind(gateway: FakeGateway) -> None:
    gateway.mute = True
    attempt = asyncio.ensure_future(connected(gateway.address))
    await gateway.until(lambda: len(gateway.heard) == 1)
    attempt.cancel()
    with pytest.raises(asyncio.CancelledError):
        await attempt
    await gateway.until(lambda: not gateway.sessions)


async def test_a_client_that_was_never_connected_says_so() -> None:
    client = connect("unix:/nowhere")
    with pytest.raises(ConnectionLost, match="not connected"):
        await client.call("f")


async def test_a_closed_client_refuses_everything(clients: Clients) -> None:
    client = await clients.connect()
    await client.close()
    await client.close()
    with pytest.raises(ConnectionLost):
        await client.publish("t", b"x")
    with pytest.raises(ConnectionLost):
        client.publish_nowait("t", b"x")
    with pytest.raises(ConnectionLost):
        await client.call("f")
    with pytest.raises(ConnectionLost):
        await client.subscribe("t")
    with pytest.raises(ConnectionLost):
        await client.flush()


async def test_what_was_published_is_written_before_the_end(gateway: FakeGateway, clients: Clients) -> None:
    client = await clients.connect()
    for n in range(100):
        client.publish_nowait("t", b"%d" % n)
    await client.close()
    await gateway.until(lambda: not gateway.sessions)
    assert gateway.of(headers.Publish)
    assert isinstance(gateway.heard[-1], headers.Bye)


# --- topics


async def test_a_publisher_that_is_subscribed_hears_itself_in_order(clients: Clients) -> None:
    client = await clients.connect()
    got: list[Message] = []
    await client.subscribe("a.*", got.append)
    for n in range(1_000):
        await client.publish("a.b", b"%d" % n)
    await client.publish("a.c", {"value": 1})
    await client.flush()
    assert [message.data for message in got[:-1]] == [b"%d" % n for n in range(1_000)]
    assert got[-1].payload == {"value": 1}
    assert got[-1].topic == "a.c"


async def test_one_publication_reaches_every_matching_subscription_of_a_client_once(clients: Clients) -> None:
    client = await clients.connect()
    first, second, third = [], [], []  # type: ignore[var-annotated]
    await client.subscribe("a.b", first.append)
    await client.subscribe("a.b", second.append)
    await client.subscribe("a.>", third.append)
    await client.publish("a.b", b"x")
    await client.flush()
    assert [len(first), len(second), len(third)] == [1, 1, 1]


async def test_two_subscriptions_to_the_same_are_one_to_the_gateway(gateway: FakeGateway, clients: Clients) -> None:
    client = await clients.connect()
    one, two = await client.subscribe("t"), await client.subscribe("t")
    assert len(gateway.of(Subscribe)) == 1
    await one.unsubscribe()
    assert not gateway.of(headers.Unsubscribe)
    await two.unsubscribe()
    assert len(gateway.of(headers.Unsubscribe)) == 1


async def test_messages_are_iterated_over(clients: Clients) -> None:
    client = await clients.connect()
    async with await client.subscribe("t") as subscription:
        for n in range(3):
            await client.publish("t", n)
        assert await received(subscription, 3) == [0, 1, 2]


async def test_an_iterator_ends_with_its_subscription_after_what_had_come(clients: Clients) -> None:
    client = await clients.connect()
    subscription = await client.subscribe("t")
    await client.publish("t", 1)
    await client.flush()
    await subscription.unsubscribe()
    assert [message.payload async for message in subscription] == [1]


async def test_an_iterator_that_waits_ends_when_the_client_closes(clients: Clients) -> None:
    client = await clients.connect()
    subscription = await client.subscribe("t")
    waiting = asyncio.ensure_future(anext(subscription, "end"))
    await asyncio.sleep(0)
    await client.close()
    assert await waiting == "end"


async def test_a_cancelled_wait_loses_no_message(clients: Clients) -> None:
    client = await clients.connect()
    subscription = await client.subscribe("t")
    waiting = asyncio.ensure_future(anext(subscription))
    await asyncio.sleep(0)
    waiting.cancel()
    await client.publish("t", 1)
    await client.flush()
    assert (await anext(subscription)).payload == 1


async def test_an_async_callback_gets_one_message_after_the_other(clients: Clients) -> None:
    client = await clients.connect()
    running, seen, done = 0, [], asyncio.Event()

    async def callback(message: Message) -> None:
        nonlocal running
        running += 1
        assert running == 1
        await asyncio.sleep(0)
        running -= 1
        seen.append(message.payload)
        if len(seen) == 20:
            done.set()

    await client.subscribe("t", callback)
    for n in range(20):
        await client.publish("t", n)
    await done.wait()
    assert seen == list(range(20))


async def test_a_callback_that_raises_is_counted_and_the_next_message_comes(clients: Clients) -> None:
    client = await clients.connect()
    seen: list[object] = []

    def callback(message: Message) -> None:
        seen.append(message.payload)
        raise ValueError("mine")

    subscription = await client.subscribe("t", callback)
    await client.publish("t", 1)
    await client.publish("t", 2)
    await client.flush()
    assert seen == [1, 2]
    assert subscription.failures == 2


async def test_an_async_callback_may_end_its_own_subscription(clients: Clients) -> None:
    client = await clients.connect()
    seen: list[object] = []
    ended = asyncio.Event()

    async def callback(message: Message) -> None:
        seen.append(message.payload)
        await subscription.unsubscribe()
        ended.set()

    subscription = await client.subscribe("t", callback)
    for n in range(3):
        client.publish_nowait("t", n)
    await ended.wait()
    await client.flush()
    assert seen == [0]


async def test_an_iterator_that_is_too_slow_loses_the_newest_and_is_told(clients: Clients) -> None:
    client = await clients.connect()
    subscription = await client.subscribe("t", max_queued=10)
    for n in range(25):
        client.publish_nowait("t", n)
    await client.flush()
    assert (subscription.queued, subscription.dropped, subscription.received) == (10, 15, 25)
    slow = next(state for state in clients.told if state.name == "slow")
    assert (slow.topic, slow.dropped) == ("t", 15)
    assert await received(subscription, 10) == list(range(10))


async def test_messages_that_the_gateway_dropped_are_told(gateway: FakeGateway, clients: Clients) -> None:
    client = await clients.connect()
    gateway.sessions[0].send(headers.Slow(7, 700))
    await gateway.until(lambda: "slow" in clients.names())
    assert client.statistics().dropped_messages == 7
    assert client.state.name == "connected"


async def test_a_queue_group_shares_among_its_members(clients: Clients) -> None:
    client = await clients.connect()
    first, second = [], []  # type: ignore[var-annotated]
    await client.subscribe("t", first.append, queue="q")
    await client.subscribe("t", second.append, queue="q")
    for n in range(10):
        await client.publish("t", n)
        await client.flush()
    assert len(first) == len(second) == 5


async def test_a_refused_subscription_is_an_error_and_leaves_nothing(gateway: FakeGateway, clients: Clients) -> None:
    gateway.answers[Subscribe] = lambda _session, header: [
        encode_frame(Error(header.request, "permission_denied", "no"))  # type: ignore[attr-defined]  # it is a Subscribe
    ]
    client = await clients.connect()
    with pytest.raises(PermissionDenied):
        await client.subscribe("t")
    assert client.statistics().wishes == 0


async def test_a_subscription_that_is_not_acknowledged_is_taken_back(gateway: FakeGateway, clients: Clients) -> None:
    client = await clients.connect()
    gateway.mute = True
    with pytest.raises(DeadlineExceeded):
        await client.subscribe("t", timeout_s=0.01)
    assert client.statistics().wishes == 0


async def test_a_cancelled_subscription_is_taken_back(gateway: FakeGateway, clients: Clients) -> None:
    client = await clients.connect()
    gateway.mute = True
    attempt = asyncio.ensure_future(client.subscribe("t"))
    await gateway.until(lambda: bool(gateway.of(Subscribe)))
    attempt.cancel()
    with pytest.raises(asyncio.CancelledError):
        await attempt
    await gateway.until(lambda: bool(gateway.of(headers.Unsubscribe)))


async def test_an_acknowledged_publication_waits_for_the_gateway(gateway: FakeGateway, clients: Clients) -> None:
    client = await clients.connect()
    await client.publish("t", b"x", ack=True)
    (header,) = gateway.of(headers.Publish)
    assert isinstance(header, headers.Publish)
    assert header.request


async def test_a_publisher_waits_while_the_gateway_does_not_read(gateway: FakeGateway, clients: Clients) -> None:
    client = await clients.connect(buffer_bytes=1 << 20)
    gateway.sessions[0].transport.pause_reading()

    async def flood() -> int:
        sent = 0
        while sent < 40:
            await client.publish("t", bytes(500_000))
            sent += 1
        return sent

    flooding = asyncio.ensure_future(flood())
    while client.statistics().waiting_bytes < 500_000:  # the kernel's buffers fill a turn at a time
        await asyncio.sleep(0)
    with pytest.raises(Overloaded):
        for _ in range(3):
            client.publish_nowait("t", bytes(500_000))
    assert not flooding.done()
    gateway.sessions[0].transport.resume_reading()
    assert await flooding == 40


async def test_a_message_over_the_gateways_limit_is_refused_here(gateway: FakeGateway, clients: Clients) -> None:
    gateway.limits = {"message_bytes": 100}
    client = await clients.connect()
    with pytest.raises(TooLarge):
        await client.publish("t", bytes(101))
    with pytest.raises(TooLarge):
        await client.call("f", bytes(101))


async def test_unsubscribing_while_the_connection_breaks_is_no_error(gateway: FakeGateway, clients: Clients) -> None:
    client = await clients.connect()
    subscription = await client.subscribe("t")
    gateway.mute = True
    ending = asyncio.ensure_future(subscription.unsubscribe())
    await gateway.until(lambda: bool(gateway.of(headers.Unsubscribe)))
    gateway.cut()
    await ending


# --- functions


async def test_a_typed_function_is_called_by_name(clients: Clients) -> None:
    client = await clients.connect()

    @client.rpc
    async def add(a: int, b: int = 2) -> int:
        return a + b

    @client.rpc(name="greet", note="Says hello.", idempotent=True)
    def hello(name: str) -> str:
        return f"hello {name}"

    assert await client.call("add", {"a": 1}) == 3
    assert await client.call("greet", "you") == "hello you"
    assert await add(1) == 3


async def test_what_is_offered_is_described(gateway: FakeGateway, clients: Clients) -> None:
    client = await clients.connect()
    await client.register("f", lambda value: value, note="n", idempotent=True)
    assert gateway.of(headers.Register) == [headers.Register(1, "f", (headers.Parameter("value"),), (), "n", True)]


async def test_functions_may_be_offered_before_connecting(gateway: FakeGateway) -> None:
    client = connect(gateway.address)

    @client.rpc
    def ready() -> bool:
        return True

    async with client:
        assert await client.call("ready") is True


async def test_a_handlers_error_reaches_the_caller_with_its_type_and_message(clients: Clients) -> None:
    client = await clients.connect()

    @client.rpc
    def sync() -> None:
        raise KeyError("k")

    @client.rpc
    async def later() -> None:
        await asyncio.sleep(0)
        raise ValueError("v")

    for function, kind in (("sync", "KeyError"), ("later", "ValueError")):
        with pytest.raises(RemoteError) as caught:
            await client.call(function)
        assert caught.value.type == kind


async def test_an_error_whose_text_cannot_be_made_is_an_answer_too(clients: Clients) -> None:
    class Odd(Exception):
        def __str__(self) -> str:
            raise RuntimeError("no text")

    client = await clients.connect()

    @client.rpc
    def odd() -> None:
        raise Odd

    with pytest.raises(RemoteError) as caught:
        await client.call("odd")
    assert caught.value.type == "Odd"


@pytest.mark.parametrize("result", [object(), {1: object()}, "\ud800"], ids=["object", "inside", "text"])
async def test_a_result_that_cannot_be_sent_is_an_error_to_the_caller(clients: Clients, result: object) -> None:
    client = await clients.connect()
    await client.register("odd", lambda: result)
    with pytest.raises(RemoteError):
        await client.call("odd")


async def test_a_result_that_holds_itself_is_an_error_to_the_caller(clients: Clients) -> None:
    client = await clients.connect()
    endless: list[object] = []
    endless.append(endless)
    await client.register("odd", lambda: endless)
    with pytest.raises(RemoteError):
        await client.call("odd")


async def test_a_result_over_the_limit_is_an_error_to_the_caller(gateway: FakeGateway, clients: Clients) -> None:
    gateway.limits = {"message_bytes": 1_000}
    client = await clients.connect()
    await client.register("large", lambda: bytes(1_001))
    with pytest.raises(RemoteError, match="1001 bytes"):
        await client.call("large")


async def test_arguments_that_do_not_fit_are_the_callers_error(clients: Clients) -> None:
    client = await clients.connect()
    await client.register("f", lambda a, b: a, note="")
    with pytest.raises(InvalidRequest, match="a, b"):
        await client.call("f", {"a": 1})


async def test_nobody_who_offers_it_is_known_at_once(clients: Clients) -> None:
    client = await clients.connect()
    with pytest.raises(NoProvider):
        await client.call("nothing")


async def test_a_function_that_was_taken_back_is_gone(clients: Clients) -> None:
    client = await clients.connect()
    await client.register("f", lambda: 1)
    await client.unregister("f")
    await client.unregister("f")
    with pytest.raises(NoProvider):
        await client.call("f")


async def test_many_calls_run_at_one_time(clients: Clients) -> None:
    client = await clients.connect()
    gate, waiting = asyncio.Event(), 0

    @client.rpc
    async def wait(n: int) -> int:
        nonlocal waiting
        waiting += 1
        if waiting == 100:
            gate.set()
        await gate.wait()
        return n

    assert await asyncio.gather(*(client.call("wait", n) for n in range(100))) == list(range(100))


async def test_more_calls_than_a_provider_runs_are_refused(clients: Clients) -> None:
    client = await clients.connect(concurrency=2)
    gate = asyncio.Event()
    await client.register("wait", gate.wait)
    calls = [client.start_call("wait") for _ in range(3)]
    with pytest.raises(Overloaded) as caught:
        await calls[2]
    assert caught.value.retry_after_s > 0
    gate.set()
    assert await asyncio.gather(*calls[:2]) == [True, True]


async def test_a_cancelled_call_cancels_its_handler(gateway: FakeGateway, clients: Clients) -> None:
    client = await clients.connect()
    started, cancelled = asyncio.Event(), asyncio.Event()

    @client.rpc
    async def wait() -> None:
        started.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.set()
            raise

    call = client.start_call("wait")
    await started.wait()
    assert call.cancel()
    await cancelled.wait()
    await client.flush()
    assert len(gateway.of(Cancel)) == 1
    assert client.statistics().running_calls == client.statistics().open_calls == 0
    await client.register("next", lambda: "served")
    assert await client.call("next") == "served"


async def test_a_cancelled_task_gives_its_call_up(gateway: FakeGateway, clients: Clients) -> None:
    client = await clients.connect()
    started = asyncio.Event()

    @client.rpc
    async def wait() -> None:
        started.set()
        await asyncio.Event().wait()

    for task in (
        asyncio.ensure_future(client.call("wait")),
        asyncio.ensure_future(asyncio.wait_for(client.start_call("wait"), 5)),
    ):
        await started.wait()
        started.clear()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    await client.flush()
    assert len(gateway.of(Cancel)) == 2


async def test_a_worker_survives_a_cancelled_handler(clients: Clients) -> None:
    client = await clients.connect()
    started = asyncio.Event()

    @client.rpc
    async def wait(forever: bool) -> str:
        started.set()
        while forever:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                break  # a handler that swallows its cancellation
        return "done"

    for _ in range(3):
        call = client.start_call("wait", True)
        await started.wait()
        started.clear()
        call.cancel()
        await client.flush()
    assert await client.call("wait", False) == "done"


async def test_a_handler_that_is_cancelled_by_somebody_else_is_an_error_to_the_caller(clients: Clients) -> None:
    client = await clients.connect()

    @client.rpc
    async def odd() -> None:
        raise asyncio.CancelledError

    with pytest.raises(RemoteError) as caught:
        await client.call("odd")
    assert caught.value.type == "CancelledError"


@pytest.mark.slow  # the backstop waits half a second for the gateway's own word
async def test_a_call_is_answered_at_its_deadline_even_by_a_dead_gateway(gateway: FakeGateway, clients: Clients) -> None:
    client = await clients.connect()
    gateway.mute = True
    with pytest.raises(DeadlineExceeded):
        await client.call("f", timeout_s=0.01)
    assert client.statistics().open_calls == 0


@pytest.mark.parametrize("timeout_s", [0, -1, 3_601, float("nan")])
async def test_a_timeout_is_more_than_nothing_and_at_most_an_hour(clients: Clients, timeout_s: float) -> None:
    client = await clients.connect()
    with pytest.raises(InvalidRequest, match="timeout_s"):
        await client.call("f", timeout_s=timeout_s)


async def test_open_calls_are_bounded_by_the_gateways_limit(gateway: FakeGateway, clients: Clients) -> None:
    gateway.limits = {"pending_calls": 2}
    client = await clients.connect()
    gateway.mute = True
    calls = [client.start_call("f") for _ in range(2)]
    with pytest.raises(LimitReached):
        client.start_call("f")
    for call in calls:
        call.cancel()


async def test_a_late_answer_and_one_to_nobody_are_ignored(gateway: FakeGateway, clients: Clients) -> None:
    client = await clients.connect()
    gateway.sessions[0].send(Result(99), b"\xc0")
    gateway.sessions[0].send(Result(98, 1, Fault("remote_error", "x")))
    await client.flush()
    assert client.state.name == "connected"


async def test_services_are_asked_of_the_gateway(gateway: FakeGateway, clients: Clients) -> None:
    client = await clients.connect()
    assert await client.services(provider="p", function="f") == ()
    (request,) = gateway.of(headers.Request)
    assert isinstance(request, headers.Request)
    assert request.operation == "rpc.services"
