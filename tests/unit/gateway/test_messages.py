"""Private messages between clients that run their flows themselves: from one to the other, and the receipts back."""

from __future__ import annotations

import msgspec
import pytest

from majula.gateway.settings import GatewayLimits
from majula.wire.frames import encode_frame, encode_run, pack_frame
from majula.wire.headers import Error, Receipt, Send
from tests.unit.gateway.world import Client, Node

FLOW = 77


def send(target: str, *messages: bytes, sequence: int = 1, source: str = "", node: str = "") -> tuple[Send, bytes]:
    return Send(target, node, FLOW, sequence, 1, 5_000, source=source), encode_run(list(messages))


@pytest.fixture(params=[1, 2], ids=["one_gateway", "two_gateways"])
def pair(request: pytest.FixtureRequest) -> tuple[Client, Client]:
    node = Node(gateways=request.param)
    return node.client("ann"), node.client("bob", gateway=request.param)


def test_message_reaches_its_receiver_with_its_source(pair: tuple[Client, Client]) -> None:
    ann, bob = pair
    ann.send(*send("bob", b"hello", b"again"))
    header, body = bob.only()
    assert header == Send("bob", "n1", FLOW, 1, 1, 5_000, source="ann", source_node="n1")
    assert body == encode_run([b"hello", b"again"])


def test_forged_source_is_overwritten(pair: tuple[Client, Client]) -> None:
    ann, bob = pair
    header, body = send("bob", b"x", source="eve")
    ann.send(Send(header.target, "n1", FLOW, 1, 1, 5_000, 0, "eve", "n9", "gateway:2"), body)
    got, _ = bob.only()
    assert isinstance(got, Send)
    assert (got.source, got.source_node, got.via) == ("ann", "n1", "")


def test_true_header_goes_on_byte_for_byte(pair: tuple[Client, Client]) -> None:
    ann, bob = pair
    frame = encode_frame(Send("bob", "n1", FLOW, 1, 1, 5_000, source="ann", source_node="n1"), encode_run([b"x"]))
    ann.send_bytes(frame)
    assert bob.raw == [frame]


def test_receipt_finds_back_with_its_true_source(pair: tuple[Client, Client]) -> None:
    ann, bob = pair
    bob.send(Receipt("ann", "n1", FLOW, 3, (5,), source="eve", source_node="n9"))
    assert ann.headers() == [Receipt("ann", "n1", FLOW, 3, (5,), source="bob", source_node="n1")]


def test_receipt_that_says_the_truth_goes_on_as_it_is(pair: tuple[Client, Client]) -> None:
    ann, bob = pair
    # A field that nobody knows is left out where a header is written anew.
    body = msgspec.msgpack.encode([21, "ann", "n1", FLOW, 3, [], "delivered", "", "bob", "n1", "", "a word of tomorrow"])
    frame = pack_frame(body)
    bob.send_bytes(frame)
    assert ann.raw == [frame]


def test_nobody_of_that_id_is_told_for_the_whole_run(pair: tuple[Client, Client]) -> None:
    ann, _ = pair
    ann.send(*send("carl", b"1", b"2", sequence=4))
    (receipt,) = ann.headers()
    assert receipt == Receipt("ann", "n1", FLOW, 5, (), "", "no_route", "carl", "n1")


def test_run_that_holds_nothing_needs_no_receiver(pair: tuple[Client, Client]) -> None:
    ann, _ = pair
    ann.send(*send("carl"))
    assert ann.headers() == []


def test_other_nodes_cannot_be_reached(pair: tuple[Client, Client]) -> None:
    ann, _ = pair
    ann.send(*send("bob", b"1", node="n2"))
    (receipt,) = ann.headers()
    assert isinstance(receipt, Receipt)
    assert (receipt.code, receipt.source_node) == ("no_such_node", "n2")


def test_receiver_whose_queue_is_full_is_told_as_overloaded() -> None:
    node = Node(limits=GatewayLimits(queue_bytes=1_000))
    ann, bob = node.client("ann"), node.client("bob", reads=False)
    ann.send(*send("bob", b"x" * 900))
    ann.send(*send("bob", b"x" * 900, sequence=2))
    (receipt,) = ann.headers()
    assert isinstance(receipt, Receipt)
    assert (receipt.up_to, receipt.code) == (2, "overloaded")
    assert len(bob.frames()) == 1


def test_message_over_the_limit_is_given_up_by_its_code() -> None:
    node = Node(limits=GatewayLimits(message_bytes=1_000))
    ann, bob = node.client("ann"), node.client("bob")
    ann.send(*send("bob", b"x" * 1_001))
    (receipt,) = ann.headers()
    assert isinstance(receipt, Receipt)
    assert (receipt.up_to, receipt.code) == (1, "too_large")
    assert bob.frames() == []


@pytest.mark.parametrize(
    "header",
    [
        Send("bob", "", 0, 1, 1, 1),
        Send("bob", "", 1 << 53, 1, 1, 1),
        Send("bob", "", 1, 0, 1, 1),
        Send("bob", "", 1, 1, 0, 1),
        Send("bob", "", 1, 1, 1, 0),
        Send("bob", "", 1, 1, 1, 3_600_001),
        Send("", "", 1, 1, 1, 1),
        Send("a\x1b[2J", "", 1, 1, 1, 1),
        Send("a\r\nb", "", 1, 1, 1, 1),
    ],
)
def test_header_that_means_nothing_is_refused(header: Send) -> None:
    ann = Node().client("ann")
    ann.send(header, encode_run([b"x"]))
    (error,) = ann.headers()
    assert isinstance(error, Error)
    assert (error.method, error.code) == ("SEND", "invalid_request")


def test_run_whose_lengths_do_not_add_up_ends_its_sender_alone() -> None:
    node = Node()
    ann, bob = node.client("ann"), node.client("bob")
    ann.send(Send("bob", "", 1, 1, 1, 1), b"\x09\x00\x00\x00x")
    assert ann.was_ended
    assert not bob.was_ended
    assert bob.frames() == []


def test_receipt_for_somebody_who_has_gone_is_counted_and_lost(pair: tuple[Client, Client]) -> None:
    ann, bob = pair
    ann.leave()
    bob.send(Receipt("ann", "n1", FLOW, 3))
    assert bob.frames() == []
    assert bob.switch.statistics()["private_lost_receipts_total"] == 1


def test_gateway_whose_table_is_old_answers_for_the_client_that_has_left(pair: tuple[Client, Client]) -> None:
    ann, bob = pair
    if ann.switch is bob.switch:
        pytest.skip("one gateway knows")
    ann.node.places["bob"] = bob.switch.role
    bob.leave()
    ann.node.places["bob"] = bob.switch.role
    ann.send(*send("bob", b"x"))
    (receipt,) = ann.headers()
    assert isinstance(receipt, Receipt)
    assert receipt.code == "no_route"
