"""Payloads as types: of subscriptions, of handlers, of results; and as JSON."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

import msgspec
import pytest

from majula.api.sdk import Message
from majula.api.sdk.shape import Shape, decode_payload, encoder
from majula.errors import ConnectionLost, DeadlineExceeded, InvalidRequest, RemoteError
from majula.wire.headers import JSON, MSGPACK, RAW, Publish
from tests.unit.sdk.conftest import Clients
from tests.unit.sdk.gateway import FakeGateway


class Line(msgspec.Struct):
    item: str
    price: float


class Order(msgspec.Struct):
    number: int
    lines: list[Line]
    at: datetime | None = None


@dataclass
class Receipt:
    number: int
    total: float


ORDER = Order(7, [Line("bolt", 0.5), Line("nut", 0.25)], datetime(2026, 11, 24, 12, 0, tzinfo=UTC))


async def add(order: Order) -> Receipt:
    return Receipt(order.number, sum(line.price for line in order.lines))


# --- subscriptions


@pytest.mark.parametrize("codec", ["msgpack", "json"])
async def test_a_typed_subscription_gets_values_of_its_type(clients: Clients, codec: str) -> None:
    client = await clients.connect(codec=codec)
    subscription = await client.subscribe("orders", type=Order)
    await client.publish("orders", ORDER)
    assert (await subscription.receive()).payload == ORDER


async def test_a_message_that_does_not_fit_goes_to_the_error_callback_and_nothing_else_happens(clients: Clients) -> None:
    client = await clients.connect()
    got: list[Message] = []
    unfit: list[tuple[Message, Exception]] = []
    subscription = await client.subscribe("orders", got.append, type=Order, on_error=lambda *what: unfit.append(what))
    await client.publish("orders", {"number": 1, "lines": [{"item": "bolt", "price": "dear"}]})
    await client.publish("orders", b"\xff\xff")
    await client.publish("orders", ORDER)
    await client.flush()
    assert [message.payload for message in got] == [ORDER]
    assert [type(error) for _, error in unfit] == [InvalidRequest, InvalidRequest]
    assert "$.lines[0].price" in str(unfit[0][1])
    assert unfit[1][0].data == b"\xff\xff"
    assert subscription.failures == 2


async def test_what_a_callback_raises_goes_to_the_error_callback(clients: Clients) -> None:
    client = await clients.connect()
    failed: list[Exception] = []

    def divide(message: Message) -> float:
        return 1 / float(message.payload)

    await client.subscribe("t", divide, on_error=lambda _message, error: failed.append(error))
    await client.publish("t", 0)
    await client.publish("t", 1)
    await client.flush()
    assert [type(error) for error in failed] == [ZeroDivisionError]


async def test_an_error_callback_that_raises_ends_nothing(clients: Clients) -> None:
    client = await clients.connect()

    def fail(_message: Message, error: Exception) -> None:
        raise error

    subscription = await client.subscribe("t", type=int, on_error=fail)
    await client.publish("t", "no number")
    await client.publish("t", 5)
    assert (await subscription.receive()).payload == 5


async def test_bytes_fit_the_type_bytes_alone(clients: Clients) -> None:
    client = await clients.connect()
    subscription = await client.subscribe("t", type=bytes)
    await client.publish("t", b"as they are")
    assert (await subscription.receive()).payload == b"as they are"
    with pytest.raises(InvalidRequest):
        Shape(int).read(RAW, b"5")


async def test_what_is_no_type_is_refused_before_anything_is_sent(gateway: FakeGateway, clients: Clients) -> None:
    client = await clients.connect()
    with pytest.raises(InvalidRequest):
        await client.subscribe("t", type=5)
    with pytest.raises(InvalidRequest):
        await client.subscribe("t", on_error=add)  # type: ignore[arg-type]  # it is async
    assert client.statistics().wishes == 0


# --- functions


async def test_a_typed_handler_gets_and_gives_values_of_its_types(clients: Clients) -> None:
    client = await clients.connect()
    await client.register("add", add)
    receipt = await client.call("add", ORDER, type=Receipt)
    assert receipt == Receipt(7, 0.75)
    assert await client.call("add", {"order": ORDER}) == {"number": 7, "total": 0.75}


async def test_arguments_that_do_not_fit_are_the_callers_error_with_the_place(clients: Clients) -> None:
    client = await clients.connect()
    await client.register("add", add)
    with pytest.raises(InvalidRequest, match=r"\$\.lines\[1\]\.price"):
        await client.call("add", {"number": 1, "lines": [{"item": "a", "price": 1}, {"item": "b", "price": None}]})
    assert await client.call("add", ORDER, type=Receipt) == Receipt(7, 0.75)


async def test_a_result_that_does_not_fit_is_the_providers_error_with_the_place(clients: Clients) -> None:
    client = await clients.connect()
    await client.register("add", lambda order: {"number": 7, "total": "much"})
    with pytest.raises(RemoteError, match=r"\$\.total") as raised:
        await client.call("add", ORDER, type=Receipt)
    assert raised.value.type == "ValidationError"


# --- one message at a time


async def test_a_message_can_be_waited_for_with_a_limit(clients: Clients) -> None:
    client = await clients.connect()
    subscription = await client.subscribe("t")
    with pytest.raises(DeadlineExceeded):
        await subscription.receive(timeout_s=0.01)
    await client.publish("t", 1)
    assert (await subscription.receive(timeout_s=5)).payload == 1
    await subscription.unsubscribe()
    with pytest.raises(ConnectionLost):
        await subscription.receive()


# --- codecs


async def test_a_client_may_send_json(gateway: FakeGateway, clients: Clients) -> None:
    client = await clients.connect(codec="json")
    await client.publish("t", {"a": 1})
    await client.publish("t", b"raw")
    await client.publish("t", {"a": 1}, ack=True)
    assert [header.encoding for header in gateway.of(Publish) if isinstance(header, Publish)] == [JSON, RAW, JSON]
    await client.register("twice", lambda value: value * 2)
    assert await client.call("twice", 4) == 8


def test_a_codec_that_is_none_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="codec"):
        encoder("yaml")  # type: ignore[arg-type]  # what is tested


@pytest.mark.parametrize("codec", ["msgpack", "json"])
def test_a_value_that_no_codec_knows_is_refused(codec: str) -> None:
    with pytest.raises(InvalidRequest, match="cannot be sent"):
        encoder(codec)(object())  # type: ignore[arg-type]  # given by the parameter


def test_a_value_is_read_whatever_it_was_encoded_with() -> None:
    assert [Shape(list[int]).read(MSGPACK, b"\x91\x01"), Shape(list[int]).read(JSON, b"[1]")] == [[1], [1]]


@pytest.mark.parametrize(("text", "value"), [(b'{"base64":"Mg=="}', b"2"), (b'{"base64":"?"}', {"base64": "?"}), (b"5", 5)])
def test_bytes_that_crossed_json_are_bytes_again(text: bytes, value: object) -> None:
    assert decode_payload(JSON, text) == value
    assert Message(text, "t", JSON).payload == value
