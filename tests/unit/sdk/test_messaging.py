"""Private messages between clients of a gateway that loses its connections."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import msgspec
import pytest

from majula.api.sdk import PrivateMessage
from majula.api.sdk.private import MAX_QUEUED
from majula.errors import ConnectionLost, Expired, InvalidRequest, NoRoute, NoSuchNode, Overloaded, PermissionDenied, TooLarge
from majula.wire import headers
from majula.wire.frames import encode_frame
from majula.wire.headers import Header, Receipt, Request, Send
from tests.unit.sdk.conftest import Clients
from tests.unit.sdk.gateway import FakeGateway, FakeSession


def refuse(code: str) -> Any:
    """An answer to SEND: a receipt with that code."""

    def answer(session: FakeSession, header: Header) -> list[bytes]:
        sent = cast(Send, header)
        receipt = Receipt(session.client_id, "n1", sent.flow, sent.sequence, code=code, source=sent.target)
        return [encode_frame(receipt)]

    return answer


async def test_message_is_delivered_with_its_source_and_value(clients: Clients) -> None:
    ann, bob = await clients.connect(client_id="ann"), await clients.connect(client_id="bob")
    got: list[PrivateMessage] = []
    bob.on_message(got.append)
    assert await ann.send("bob", {"x": 1}, headers={"kind": "test"}) == "delivered"
    (message,) = got
    assert (message.source, message.source_node, message.payload, message.headers) == ("ann", "n1", {"x": 1}, {"kind": "test"})
    assert message.message_id == f"{message.flow:x}-1"


async def test_messages_come_in_order_and_as_few_frames(clients: Clients, gateway: FakeGateway) -> None:
    ann, bob = await clients.connect(client_id="ann"), await clients.connect(client_id="bob")
    got: list[bytes] = []
    bob.on_message(lambda message: got.append(message.payload))
    futures = [ann.send_nowait("bob", b"%d" % number) for number in range(500)]
    assert set(await asyncio.gather(*futures)) == {"delivered"}
    assert got == [b"%d" % number for number in range(500)]
    assert len(gateway.of(Send)) == 1
    assert len(gateway.of(Receipt)) == 1


async def test_messages_that_came_before_the_callback_are_handed_over_first(clients: Clients) -> None:
    ann, bob = await clients.connect(client_id="ann"), await clients.connect(client_id="bob")
    await ann.send("bob", 1)
    got: list[int] = []
    bob.on_message(lambda message: got.append(message.payload))
    await ann.send("bob", 2)
    assert got == [1, 2]


async def test_async_callback_handles_one_message_after_the_other(clients: Clients) -> None:
    ann, bob = await clients.connect(client_id="ann"), await clients.connect(client_id="bob")
    got: list[int] = []
    done = asyncio.Event()

    async def handle(message: PrivateMessage) -> None:
        await asyncio.sleep(0)
        got.append(message.payload)
        if len(got) == 50:
            done.set()

    bob.on_message(handle)
    for number in range(50):
        ann.send_nowait("bob", number)
    await done.wait()
    assert got == list(range(50))


async def test_exception_of_a_callback_does_not_end_the_messages(clients: Clients) -> None:
    ann, bob = await clients.connect(client_id="ann"), await clients.connect(client_id="bob")
    got: list[int] = []

    def handle(message: PrivateMessage) -> None:
        got.append(message.payload)
        raise ValueError("a bug of the program")

    bob.on_message(handle)
    assert [await ann.send("bob", number) for number in range(2)] == ["delivered"] * 2
    assert got == [0, 1]


async def test_iterator_gives_what_waits_and_ends_with_the_client(clients: Clients) -> None:
    ann, bob = await clients.connect(client_id="ann"), await clients.connect(client_id="bob")
    for number in range(3):
        await ann.send("bob", number)
    got: list[int] = []
    async for message in bob.messages():
        got.append(message.payload)
        if len(got) == 3:
            await bob.close()
    assert got == [0, 1, 2]


async def test_iterating_beside_a_callback_is_refused(clients: Clients) -> None:
    bob = await clients.connect(client_id="bob")
    bob.on_message(lambda message: None)
    with pytest.raises(InvalidRequest):
        await anext(bob.messages())


async def test_receiver_that_takes_nothing_stops_acknowledging_and_loses_nothing(clients: Clients) -> None:
    ann, bob = await clients.connect(client_id="ann"), await clients.connect(client_id="bob")
    total = MAX_QUEUED + 2_000
    sending = asyncio.gather(*(ann.send("bob", number) for number in range(total)))
    sent = [message.payload async for message in take(bob, total)]
    assert sent == list(range(total))
    assert set(await sending) == {"delivered"}


async def take(client: Any, number: int) -> Any:
    """So many messages, beginning when the queue has been full for a while."""
    while client.statistics().private_queued < MAX_QUEUED:
        await asyncio.sleep(0)
    async for message in client.messages():
        yield message
        number -= 1
        if not number:
            return


async def test_connection_that_breaks_loses_and_doubles_nothing(clients: Clients, gateway: FakeGateway) -> None:
    ann, bob = await clients.connect(client_id="ann"), await clients.connect(client_id="bob")
    got: list[int] = []
    bob.on_message(lambda message: got.append(message.payload))
    futures = []
    for number in range(600):
        futures.append(ann.send_nowait("bob", number))
        if number % 200 == 100:
            await asyncio.sleep(0)
            gateway.cut()
    assert set(await asyncio.gather(*futures)) == {"delivered"}
    assert got == list(range(600))


async def test_message_that_was_delivered_is_not_delivered_again_when_its_receipt_was_lost(
    clients: Clients, gateway: FakeGateway
) -> None:
    ann, bob = await clients.connect(client_id="ann"), await clients.connect(client_id="bob")
    got: list[int] = []
    bob.on_message(lambda message: got.append(message.payload))
    gateway.answers[Receipt] = lambda _session, _header: []
    future = ann.send_nowait("bob", 1)
    await gateway.until(lambda: bool(gateway.of(Receipt)))
    del gateway.answers[Receipt]
    gateway.cut()
    assert await future == "delivered"
    assert got == [1]


async def test_message_sent_without_a_connection_is_sent_when_there_is_one(clients: Clients, gateway: FakeGateway) -> None:
    ann, bob = await clients.connect(client_id="ann"), await clients.connect(client_id="bob")
    await gateway.stop()
    await gateway.until(lambda: clients.names().count("disconnected") >= 2)
    future = ann.send_nowait("bob", 1)
    await gateway.start()
    assert await future == "delivered"
    assert [message.payload async for message in take_now(bob, 1)] == [1]


async def take_now(client: Any, number: int) -> Any:
    async for message in client.messages():
        yield message
        number -= 1
        if not number:
            return


async def test_message_to_nobody_raises_no_route(clients: Clients) -> None:
    ann = await clients.connect(client_id="ann")
    with pytest.raises(NoRoute) as raised:
        await ann.send("nobody", 1, ttl_s=0.1)
    assert raised.value.detail == {"client": "nobody"}


async def test_message_that_nobody_acknowledges_expires(clients: Clients, gateway: FakeGateway) -> None:
    ann = await clients.connect(client_id="ann")
    gateway.answers[Send] = lambda _session, _header: []
    with pytest.raises(Expired):
        await ann.send("bob", 1, ttl_s=0.05)


async def test_message_expires_also_while_there_is_no_connection(clients: Clients, gateway: FakeGateway) -> None:
    ann = await clients.connect(client_id="ann")
    await gateway.stop()
    await gateway.until(lambda: "disconnected" in clients.names())
    with pytest.raises(Expired):
        await ann.send("bob", 1, ttl_s=0.05)


async def test_send_says_pending_after_the_time_that_it_may_wait(clients: Clients, gateway: FakeGateway) -> None:
    ann = await clients.connect(client_id="ann")
    gateway.answers[Send] = lambda _session, _header: []
    assert await ann.send("bob", 1, wait_s=0.01) == "pending"


async def test_refusal_raises_its_error(clients: Clients, gateway: FakeGateway) -> None:
    ann = await clients.connect(client_id="ann")
    gateway.answers[Send] = refuse("permission_denied")
    with pytest.raises(PermissionDenied):
        await ann.send("bob", 1)


async def test_unknown_node_raises_no_such_node(clients: Clients, gateway: FakeGateway) -> None:
    ann = await clients.connect(client_id="ann")
    gateway.answers[Send] = refuse("no_such_node")
    with pytest.raises(NoSuchNode):
        await ann.send("bob", 1, node="n7", ttl_s=0.1)


async def test_full_buffer_refuses_at_once_and_makes_send_wait(clients: Clients, gateway: FakeGateway) -> None:
    ann = await clients.connect(client_id="ann")
    gateway.answers[Send] = lambda _session, _header: []
    for _ in range(1_024):
        ann.send_nowait("bob", b"")
    with pytest.raises(Overloaded):
        ann.send_nowait("bob", b"")
    with pytest.raises(Overloaded):
        await ann.send("bob", b"", ttl_s=0.05)


async def test_messages_that_wait_for_room_keep_their_order_and_are_not_overtaken(clients: Clients) -> None:
    ann, bob, cid = [await clients.connect(client_id=name) for name in ("ann", "bob", "cid")]
    got: list[int] = []
    cid.on_message(lambda message: None)
    tasks = []
    for number in range(1_500):
        tasks.append(asyncio.create_task(ann.send("bob", number)))
        tasks.append(asyncio.create_task(ann.send("cid", number)))
    await asyncio.sleep(0)
    with pytest.raises(Overloaded):
        ann.send_nowait("bob", -1)
    bob.on_message(lambda message: got.append(message.payload))
    assert set(await asyncio.gather(*tasks)) == {"delivered"}
    assert got == list(range(1_500))


async def test_cancelled_send_that_waits_for_room_is_not_sent(clients: Clients, gateway: FakeGateway) -> None:
    ann, bob = await clients.connect(client_id="ann"), await clients.connect(client_id="bob")
    got: list[int] = []
    bob.on_message(lambda message: got.append(message.payload))
    tasks = [asyncio.create_task(ann.send("bob", number)) for number in range(1_030)]
    await asyncio.sleep(0)
    tasks[1_025].cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert got == [number for number in range(1_030) if number != 1_025]


async def test_closing_the_client_ends_what_waits(clients: Clients, gateway: FakeGateway) -> None:
    ann = await clients.connect(client_id="ann")
    gateway.answers[Send] = lambda _session, _header: []
    future = ann.send_nowait("bob", 1)
    waiting = asyncio.create_task(ann.send("bob", 2))
    await asyncio.sleep(0)
    await ann.close()
    assert await future == "unknown"
    with pytest.raises(ConnectionLost):
        await waiting
    with pytest.raises(ConnectionLost):
        ann.send_nowait("bob", 3)


async def test_what_cannot_be_sent_is_refused_at_once(clients: Clients) -> None:
    ann = await clients.connect(client_id="ann")
    with pytest.raises(InvalidRequest):
        ann.send_nowait("", 1)
    with pytest.raises(InvalidRequest):
        ann.send_nowait("bob", object())
    with pytest.raises(InvalidRequest):
        ann.send_nowait("bob", 1, ttl_s=0)
    with pytest.raises(InvalidRequest):
        ann.send_nowait("bob", 1, headers={"a": 1})  # type: ignore[dict-item]  # that is the point
    with pytest.raises(TooLarge):
        ann.send_nowait("bob", b"x" * (1 << 21))
    with pytest.raises(TooLarge):
        ann.send_nowait("bob", 1, headers={"a": "x" * 10_000})


async def test_broadcast_asks_the_gateway_and_tells_how_many_have_it(clients: Clients, gateway: FakeGateway) -> None:
    ann = await clients.connect(client_id="ann")
    answer = {"message_id": "m", "delivered": 2, "written": 1, "of": 4}
    gateway.answers[Request] = lambda _session, header: [
        encode_frame(headers.Reply(cast(Request, header).request), msgspec.msgpack.encode(answer))
    ]
    counted = await ann.broadcast({"x": 1})
    assert (counted.delivered, counted.written, counted.of) == (2, 1, 4)
    assert [cast(Request, header).operation for header in gateway.of(Request)] == ["messages.broadcast"]


async def test_presence_is_a_subscription_to_the_events_of_the_node(clients: Clients, gateway: FakeGateway) -> None:
    ann = await clients.connect(client_id="ann")
    subscription = await ann.presence()
    assert (subscription.topic, subscription.pattern) == ("$SYS.client.*", True)
