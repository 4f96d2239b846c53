"""Topics and functions mean the same whether both sides are at one gateway of the node or at two."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

import majula
from majula.errors import ConnectionLost, DeadlineExceeded, InvalidRequest, NoProvider, Overloaded, ProviderLost, RemoteError
from tests.cluster.node_clients import GUARD_S, Clients, running_node

pytestmark = pytest.mark.slow


class Sides:
    """Clients of the near gateway ask and publish, those of the far one answer and subscribe."""

    def __init__(self, clients: Clients, far: int) -> None:
        self._clients, self._far = clients, far

    async def near(self, **options: Any) -> majula.Client:
        return await self._clients.connect(0, **options)

    async def far(self, **options: Any) -> majula.Client:
        return await self._clients.connect(self._far, **options)


@pytest.fixture(params=[0, 1], ids=["same gateway", "different gateways"])
async def sides(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Sides]:
    async with running_node(tmp_path / "node") as clients:
        yield Sides(clients, request.param)


async def take(subscription: majula.Subscription, count: int) -> list[majula.Message]:
    async with asyncio.timeout(GUARD_S):
        return [await anext(subscription) for _ in range(count)]


class Waiting:
    """A function that does not return until it is let go, and says what became of it."""

    def __init__(self) -> None:
        self.started, self.cancelled, self.let_go = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def __call__(self) -> str:
        self.started.set()
        try:
            await self.let_go.wait()
        except asyncio.CancelledError:
            self.cancelled.set()
            raise
        return "done"


# --- topics


async def test_a_message_comes_with_its_topic_value_and_headers(sides: Sides) -> None:
    publisher, reader = await sides.near(), await sides.far()
    subscription = await reader.subscribe("plain", sync=True)
    await publisher.publish("plain", {"a": [1, None]}, headers={"k": "v"})
    (message,) = await take(subscription, 1)
    assert (message.topic, message.payload, message.headers, message.retained) == ("plain", {"a": [1, None]}, {"k": "v"}, False)


async def test_wildcards_choose_by_level(sides: Sides) -> None:
    publisher, reader = await sides.near(), await sides.far()
    one, rest = await reader.subscribe("a.*.c", sync=True), await reader.subscribe("a.>", sync=True)
    for topic in ("b.x.c", "a.x.c.d", "a.x.c", "a"):
        await publisher.publish(topic, topic)
    await publisher.publish("a.end.c", "end")
    assert [message.topic for message in await take(one, 2)] == ["a.x.c", "a.end.c"]
    assert [message.topic for message in await take(rest, 3)] == ["a.x.c.d", "a.x.c", "a.end.c"]


async def test_each_publisher_keeps_its_order(sides: Sides) -> None:
    publishers, reader = [await sides.near() for _ in range(3)], await sides.far()
    subscription = await reader.subscribe("order.*", sync=True)

    async def publish(number: int) -> None:
        for n in range(300):
            await publishers[number].publish(f"order.{number}", [number, n])
            if n % 7 == 0:
                await asyncio.sleep(0)

    await asyncio.gather(*(publish(number) for number in range(3)))
    got = [message.payload for message in await take(subscription, 900)]
    for number in range(3):
        assert [n for who, n in got if who == number] == list(range(300))


async def test_one_member_of_a_queue_group_gets_a_message_and_plain_subscribers_all(sides: Sides) -> None:
    publisher, plain = await sides.near(), await sides.far()
    got: list[int] = []
    for _ in range(3):
        member = await sides.far()
        await member.subscribe("work", lambda message: got.append(message.payload), queue="q", sync=True)
    subscription = await plain.subscribe("work", sync=True)
    done = await plain.subscribe("work.done", sync=True)
    for n in range(200):
        await publisher.publish("work", n)
    await publisher.publish("work.done")
    assert [message.payload for message in await take(subscription, 200)] == list(range(200))
    await take(done, 1)
    async with asyncio.timeout(GUARD_S):
        while len(got) < 200:  # filled by callbacks of this same loop
            await asyncio.sleep(0.001)
    assert sorted(got) == list(range(200))


async def test_nothing_comes_after_the_end_of_a_subscription(sides: Sides) -> None:
    publisher, reader = await sides.near(), await sides.far()
    got: list[int] = []
    ended = await reader.subscribe("t", lambda message: got.append(message.payload), sync=True)
    await publisher.publish("t", 1)
    other = await reader.subscribe("u", sync=True)
    await publisher.publish("u")
    await take(other, 1)
    await ended.unsubscribe()
    await publisher.publish("t", 2)
    await publisher.publish("u")
    await take(other, 1)
    assert got == [1]


async def test_a_retained_value_comes_late_until_it_is_removed(sides: Sides) -> None:
    publisher, reader = await sides.near(), await sides.far()
    await publisher.publish("kept.a", 1, retain=True, ack=True)
    await publisher.publish("kept.b", 2, retain=True, ack=True)
    await publisher.publish("kept.a", b"", retain=True, ack=True)
    subscription = await reader.subscribe("kept.*", retained=True, sync=True)
    await publisher.publish("kept.live", 3)
    got = await take(subscription, 2)
    assert [(message.topic, message.payload, message.retained) for message in got] == [
        ("kept.b", 2, True),
        ("kept.live", 3, False),
    ]


# --- functions


async def test_a_named_provider_answers(sides: Sides) -> None:
    caller = await sides.near()
    for name in ("one", "two"):
        provider = await sides.far(client_id=name)
        await provider.register("who", lambda name=name: name, sync=True)
    assert [await caller.call("who", provider=name) for name in ("one", "two", "one")] == ["one", "two", "one"]
    with pytest.raises(NoProvider):
        await caller.call("who", provider="three")


async def test_a_busy_provider_gets_less(sides: Sides) -> None:
    caller, busy, idle = await sides.near(), await sides.far(), await sides.far()
    wait = Waiting()
    await busy.register("work", wait, sync=True)
    stuck = caller.start_call("work", timeout_s=GUARD_S)
    async with asyncio.timeout(GUARD_S):
        await wait.started.wait()
    await idle.register("work", lambda: "idle", sync=True)
    assert [await caller.call("work") for _ in range(20)] == ["idle"] * 20
    wait.let_go.set()
    assert await stuck == "done"


async def test_a_deadline_ends_the_call_and_its_handler(sides: Sides) -> None:
    caller, provider, wait = await sides.near(), await sides.far(), Waiting()
    await provider.register("wait", wait, sync=True)
    with pytest.raises(DeadlineExceeded):
        await caller.call("wait", timeout_s=0.2)
    async with asyncio.timeout(GUARD_S):
        await wait.cancelled.wait()


async def test_an_error_keeps_its_type_and_message(sides: Sides) -> None:
    caller, provider = await sides.near(), await sides.far()

    def fail() -> None:
        raise KeyError("the third drawer")

    await provider.register("fail", fail, sync=True)
    with pytest.raises(RemoteError) as caught:
        await caller.call("fail")
    assert (caught.value.type, caught.value.message) == ("KeyError", "'the third drawer'")


async def test_arguments_that_do_not_fit_are_the_callers_error(sides: Sides) -> None:
    caller, provider = await sides.near(), await sides.far()

    def half(value: int) -> float:
        return value / 2

    await provider.register("half", half, sync=True)
    with pytest.raises(InvalidRequest):
        await caller.call("half", {"volume": 1})
    assert await caller.call("half", {"value": 1}) == 0.5


async def test_a_cancelled_call_is_cancelled_at_its_provider(sides: Sides) -> None:
    caller, provider, wait = await sides.near(), await sides.far(), Waiting()
    await provider.register("wait", wait, sync=True)
    call = caller.start_call("wait")
    async with asyncio.timeout(GUARD_S):
        await wait.started.wait()
        call.cancel()
        await wait.cancelled.wait()


async def test_a_caller_that_goes_away_is_a_cancelled_call(sides: Sides) -> None:
    caller, provider, wait = await sides.near(), await sides.far(), Waiting()
    await provider.register("wait", wait, sync=True)
    call = caller.start_call("wait")
    async with asyncio.timeout(GUARD_S):
        await wait.started.wait()
        await caller.close()
        await wait.cancelled.wait()
    with pytest.raises(ConnectionLost):
        await call


async def test_a_provider_that_goes_away_ends_its_calls_and_is_not_asked_again(sides: Sides) -> None:
    caller, provider, wait = await sides.near(), await sides.far(), Waiting()
    await provider.register("wait", wait, sync=True)
    call = caller.start_call("wait")
    async with asyncio.timeout(GUARD_S):
        await wait.started.wait()
        await provider.close()
        with pytest.raises(ProviderLost):
            await call
    with pytest.raises(NoProvider):
        await caller.call("wait")


async def test_a_function_that_is_taken_back_has_no_provider(sides: Sides) -> None:
    caller, provider = await sides.near(), await sides.far()
    await provider.register("gone", lambda: 1, sync=True)
    assert await caller.call("gone") == 1
    await provider.unregister("gone")
    async with asyncio.timeout(GUARD_S):
        while await caller.services(function="gone"):  # the other gateway hears of it a moment later
            pass
    with pytest.raises(NoProvider):
        await caller.call("gone")


async def test_a_provider_at_its_limit_says_so_with_a_time(sides: Sides) -> None:
    caller, provider, wait = await sides.near(), await sides.far(concurrency=1), Waiting()
    await provider.register("wait", wait, sync=True)
    first = caller.start_call("wait", timeout_s=GUARD_S)
    async with asyncio.timeout(GUARD_S):
        await wait.started.wait()
    with pytest.raises(Overloaded) as caught:
        await caller.call("wait")
    assert caught.value.retry_after_s > 0
    wait.let_go.set()
    assert await first == "done"
