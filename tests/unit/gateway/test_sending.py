"""Private messages of clients that leave the flow to their gateway: to whom they come, and what their senders are told."""

from __future__ import annotations

from typing import Any, Literal

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from majula.auth import grants_of
from majula.errors import PermissionDenied
from majula.flow import Receiver
from majula.gateway.accounts import Identity
from majula.gateway.settings import GatewayLimits
from majula.wire.frames import encode_run, split_run
from majula.wire.headers import JSON, MSGPACK, Error, Receipt, Reply, Request, Send, Slow
from tests.unit.gateway.world import Client, Node


def ask(asker: Client, operation: str, /, **fields: Any) -> None:
    asker.send(Request(1, operation, JSON), msgspec.json.encode(fields))


def send(client: Client, to: str, message: object = 1, **fields: Any) -> None:
    ask(client, "messages.send", client=to, message=message, **fields)


def answer(client: Client) -> dict[str, Any]:
    (found,) = [msgspec.json.decode(body) for header, body in client.frames() if isinstance(header, Reply)]
    assert isinstance(found, dict)
    return found


def state(client: Client) -> str:
    return str(answer(client)["state"])


def error(client: Client) -> str:
    (found,) = [header.code for header in client.headers() if isinstance(header, Error)]
    return found


def messages(client: Client) -> list[Any]:
    """What came to a client that runs no flows."""
    found: list[Any] = []
    for header, body in client.frames():
        if isinstance(header, Send):
            found += [msgspec.json.decode(one) for one in split_run(body)]
    return found


@pytest.fixture(params=[1, 2], ids=["one_gateway", "two_gateways"])
def node(request: pytest.FixtureRequest) -> Node:
    return Node(gateways=request.param)


def seed(node: Node, name: str, gateway: int = 1, *, reads: bool = True) -> Client:
    return node.client(name, gateway, reads=reads, speaks_flows=False)


def receive(client: Client) -> list[bytes]:
    """As an SDK does it: take what came and give receipts."""
    receiver = Receiver()
    found: list[bytes] = []
    for header, body in client.frames():
        if isinstance(header, Send):
            for arrived in receiver.receive(header, split_run(body), client.node.now):
                found += arrived.messages
    for receipt in receiver.receipts():
        client.send(receipt)
    return found


# --- verdicts


def test_message_to_a_client_without_flows_is_written(node: Node) -> None:
    ann, bob = seed(node, "ann"), seed(node, "bob", node.gateways)
    send(ann, "bob", {"a": 1})
    assert messages(bob) == [{"a": 1}]
    assert state(ann) == "written"


def test_message_to_an_sdk_is_delivered(node: Node) -> None:
    ann, bob = seed(node, "ann"), node.client("bob", node.gateways)
    send(ann, "bob", "x")
    assert receive(bob) == [b'"x"']
    assert state(ann) == "delivered"


def test_receiver_learns_who_sent_it_and_where_receipts_go(node: Node) -> None:
    ann, bob = seed(node, "ann"), node.client("bob", node.gateways)
    send(ann, "bob")
    header, _ = bob.only()
    assert isinstance(header, Send)
    assert (header.source, header.source_node, header.via) == ("ann", "n1", "gateway:1")


def test_message_of_an_sdk_to_a_client_without_flows_is_written(node: Node) -> None:
    ann, bob = node.client("ann"), seed(node, "bob", node.gateways)
    ann.send(Send("bob", "", 77, 1, 1, 5_000, JSON), encode_run([b"1", b"2"]))
    assert messages(bob) == [1, 2]
    assert ann.headers() == [Receipt("ann", "n1", 77, 2, (), "written", "", "bob", "n1")]


def test_nobody_of_that_id_is_told_before_the_wait_is_over() -> None:
    node = Node()
    ann = seed(node, "ann")
    send(ann, "carl")
    node.advance(1.9)
    assert state(ann) == "no_route"


def test_client_that_comes_a_moment_later_still_gets_it() -> None:
    node = Node()
    ann = seed(node, "ann")
    send(ann, "bob")
    node.advance(0.4)
    bob = seed(node, "bob")
    node.advance(1.5)
    assert messages(bob) == [1]
    assert state(ann) == "written"


def test_receiver_that_does_not_read_leaves_it_pending_then_gets_it(node: Node) -> None:
    ann, bob = seed(node, "ann"), seed(node, "bob", node.gateways, reads=False)
    send(ann, "bob")
    node.advance(2.0)
    assert state(ann) == "pending"
    assert messages(bob) == [1]


def test_what_was_not_taken_from_the_outbox_is_not_called_written() -> None:
    node = Node()
    ann, bob = seed(node, "ann"), seed(node, "bob", reads=False)
    send(ann, "bob")
    bob.leave()
    node.advance(2.0)
    assert state(ann) in ("no_route", "pending")


def test_message_whose_time_is_over_has_expired() -> None:
    node = Node()
    ann = seed(node, "ann")
    seed(node, "bob", reads=False)
    send(ann, "bob", ttl_s=0.5)
    node.advance(1.0)
    assert state(ann) == "expired"


def test_who_does_not_wait_is_answered_at_once() -> None:
    node = Node()
    ann, bob = seed(node, "ann"), seed(node, "bob", reads=False)
    send(ann, "bob", wait_s=0)
    found = answer(ann)
    assert found["state"] == "pending"
    (header,) = bob.headers()
    assert isinstance(header, Send)
    assert found["message_id"] == f"{header.flow:x}-1"


def test_messages_of_one_client_to_another_are_one_flow_in_order(node: Node) -> None:
    ann, bob = seed(node, "ann"), seed(node, "bob", node.gateways)
    for number in range(5):
        send(ann, "bob", number)
    flows = [header for header in bob.headers() if isinstance(header, Send)]
    assert len({header.flow for header in flows}) == 1
    assert [header.sequence for header in flows] == [1, 2, 3, 4, 5]


def test_message_that_comes_twice_is_given_once() -> None:
    node = Node()
    ann, bob = node.client("ann"), seed(node, "bob")
    for _ in range(2):
        ann.send(Send("bob", "", 77, 1, 1, 5_000, JSON), encode_run([b"1"]))
    assert messages(bob) == [1]
    assert [header.up_to for header in ann.headers() if isinstance(header, Receipt)] == [1, 1]


def test_message_that_is_repeated_to_a_client_that_does_not_read_makes_nothing_grow() -> None:
    node = Node()
    ann = node.client("ann")
    bob = seed(node, "bob", reads=False)
    for _ in range(500):
        ann.send(Send("bob", "", 77, 1, 1, 5_000, JSON), encode_run([b"1"]))
    assert node.switches[0].statistics()["private_receipts_owed"] == 1
    assert messages(bob) == [1]
    node.settle()
    assert [header.up_to for header in ann.headers() if isinstance(header, Receipt)] == [1]


def test_receipts_for_a_client_that_does_not_read_are_bounded_by_number_of_flows() -> None:
    node = Node()
    ann = node.client("ann")
    seed(node, "bob", reads=False)
    for flow in range(1, 2_000):  # below the oldest that its sender still wants: nothing that could be given
        ann.send(Send("bob", "", flow, 1, 5, 5_000, JSON), encode_run([b"1"]))
    ann.send(Send("bob", "", 1, 5, 5, 5_000, JSON), encode_run([b"1"]))
    for flow in range(1, 2_000):
        ann.send(Send("bob", "", flow, 1, 5, 5_000, JSON), encode_run([b"1"]))
    assert int(node.switches[0].statistics()["private_receipts_owed"]) <= 1_024


def test_messages_that_come_in_the_wrong_order_are_put_in_order() -> None:
    node = Node()
    ann, bob = node.client("ann"), seed(node, "bob")
    for sequence in (2, 3, 1):
        ann.send(Send("bob", "", 77, sequence, 1, 5_000, JSON), encode_run([b"%d" % sequence]))
    assert messages(bob) == [1, 2, 3]


def test_msgpack_message_stays_msgpack() -> None:
    node = Node()
    ann, bob = seed(node, "ann"), seed(node, "bob")
    ann.send(Request(1, "messages.send", MSGPACK), msgspec.msgpack.encode({"client": "bob", "message": [1]}))
    header, body = bob.only()
    assert isinstance(header, Send)
    assert (header.encoding, split_run(body)) == (MSGPACK, [msgspec.msgpack.encode([1])])


def test_headers_travel_with_the_message() -> None:
    node = Node()
    ann, bob = seed(node, "ann"), seed(node, "bob")
    send(ann, "bob", headers={"a": "b"})
    header, _ = bob.only()
    assert isinstance(header, Send)
    assert header.headers == {"a": "b"}


# --- refusals and bounds


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"client": ""}, "invalid_request"),
        ({"client": "a\x1bb"}, "invalid_request"),
        ({"client": "a\r\nb"}, "invalid_request"),
        ({"client": "x" * 129}, "invalid_request"),
        ({"client": "bob", "node": "n2"}, "no_such_node"),
        ({"client": "bob", "ttl_s": 0}, "invalid_request"),
        ({"client": "bob", "ttl_s": 3_601}, "invalid_request"),
        ({"client": "bob", "wait_s": -1}, "invalid_request"),
        ({"client": "bob", "wait_s": 61}, "invalid_request"),
        ({"client": "bob", "headers": {"a": "x" * 20_000}}, "too_large"),
    ],
)
def test_request_that_cannot_be_carried_out_is_refused(fields: dict[str, Any], code: str) -> None:
    node = Node()
    ann = seed(node, "ann")
    ask(ann, "messages.send", **fields)
    assert error(ann) == code


def test_message_over_the_limit_is_refused() -> None:
    node = Node(limits=GatewayLimits(message_bytes=1_000))
    ann, bob = seed(node, "ann"), seed(node, "bob")
    send(ann, "bob", "x" * 999)
    assert error(ann) == "too_large"
    assert bob.frames() == []


def test_receiver_without_room_gets_the_rest_when_it_reads() -> None:
    node = Node(limits=GatewayLimits(queue_bytes=2_000))
    ann, bob = seed(node, "ann"), seed(node, "bob", reads=False)
    for number in range(8):
        send(ann, "bob", f"{number}" * 600, wait_s=0)
    found: list[Any] = []
    for _ in range(40):
        found += messages(bob)
        node.advance(0.5)
    assert [text[0] for text in found] == list("01234567")


def test_one_client_cannot_take_all_the_room_of_the_senders() -> None:
    node = Node()
    ann = seed(node, "ann")
    eve = seed(node, "eve")
    big = "x" * 1_000_000
    codes: list[str] = []
    for number in range(24):
        send(eve, f"away-{number}", big, wait_s=0)
        codes += [header.code for header in eve.headers() if isinstance(header, Error)]
    assert "overloaded" in codes
    bob = seed(node, "bob")
    send(ann, "bob")
    assert messages(bob) == [1]


def test_headers_take_room_of_the_senders_as_messages_do() -> None:
    node = Node()
    eve = seed(node, "eve")
    codes = []
    for number in range(1_100):
        send(eve, f"nobody-{number}", headers={"h": "x" * 16_000}, wait_s=0)
        codes += [header.code for header in eve.headers() if isinstance(header, Error)]
    assert set(codes) == {"overloaded"}
    assert int(node.switches[0].statistics()["private_waiting_bytes"]) <= 17 << 20


def test_answers_that_were_given_leave_no_deadlines_behind() -> None:
    node = Node()
    ann, eve, bob = seed(node, "ann"), seed(node, "eve"), seed(node, "bob")
    seed(node, "carl", reads=False)
    send(eve, "carl", wait_s=1)  # its deadline comes first, so those behind it are not looked at
    for _ in range(500):
        send(ann, "bob", wait_s=60)
    assert len(messages(bob)) == 500
    found = node.switches[0].statistics()
    assert found["private_waits"] == 1
    assert int(found["private_wait_timers"]) < 100


def test_caller_that_leaves_waits_for_nothing_but_its_message_comes() -> None:
    node = Node()
    ann, bob = seed(node, "ann"), seed(node, "bob", reads=False)
    send(ann, "bob")
    assert ann.switch.messages.under_way() == 1
    ann.leave()
    assert ann.switch.messages.under_way() == 0
    assert messages(bob) == [1]


def test_gateway_that_drains_waits_for_those_who_wait_for_a_verdict() -> None:
    node = Node()
    ann = seed(node, "ann")
    send(ann, "nobody")
    assert not ann.switch.is_idle()
    node.advance(2.0)
    assert ann.switch.is_idle()


# --- broadcast


def test_broadcast_reaches_all_but_its_sender(node: Node) -> None:
    ann = seed(node, "ann")
    others = [seed(node, "bob", node.gateways), node.client("carl", node.gateways), seed(node, "dora")]
    ask(ann, "messages.broadcast", message="all")
    assert messages(others[0]) == ["all"] == messages(others[2])
    assert receive(others[1]) == [b'"all"']
    found = answer(ann)
    assert (found["delivered"], found["written"], found["of"]) == (1, 2, 3)


def test_broadcast_to_nobody_is_answered_at_once() -> None:
    ann = seed(Node(), "ann")
    ask(ann, "messages.broadcast", message=1)
    assert answer(ann)["of"] == 0


def test_broadcast_answers_with_what_it_knows_when_the_wait_is_over() -> None:
    node = Node()
    ann, _ = seed(node, "ann"), seed(node, "bob")
    seed(node, "carl", reads=False)
    ask(ann, "messages.broadcast", message=1)
    node.advance(2.0)
    found = answer(ann)
    assert (found["written"], found["of"]) == (1, 2)


def test_broadcast_to_more_than_go_at_a_time_reaches_all() -> None:
    node = Node()
    ann = seed(node, "ann")
    others = [seed(node, f"c{number}") for number in range(600)]
    ask(ann, "messages.broadcast", message=1)
    assert answer(ann)["written"] == 600
    assert all(messages(other) == [1] for other in others)


def test_large_broadcast_stands_in_few_outboxes_at_once() -> None:
    node = Node()
    ann = seed(node, "ann")
    others = [seed(node, f"c{number}", reads=False) for number in range(100)]
    ask(ann, "messages.broadcast", message="x" * 1_000_000, wait_s=0)
    assert sum(other.session.outbox.bytes for other in others) < 10_000_000


def test_broadcast_to_another_node_is_refused() -> None:
    ann = seed(Node(), "ann")
    ask(ann, "messages.broadcast", message=1, node="n2")
    assert error(ann) == "no_such_node"


# --- streams that read beside a client


def reader(node: Node, client_id: str, gateway: int = 1, *, reads: bool = True) -> Client:
    """An event stream."""
    switch = node.switches[gateway - 1]
    client = Client(node, switch, reads=reads)
    client.session = switch.open(client, client_id=client_id, secret="", surface="sse", is_claimed=False, now=node.now)
    switch.messages.inboxes.read(client_id, client.session)
    return client


def test_stream_reads_beside_the_client_of_that_id(node: Node) -> None:
    ann, bob = seed(node, "ann"), node.client("bob", node.gateways)
    streams = [reader(node, "bob"), reader(node, "bob", node.gateways)]
    send(ann, "bob")
    assert receive(bob) == [b"1"]
    assert [messages(stream) for stream in streams] == [[1], [1]]
    assert state(ann) == "delivered"


def test_stream_receives_for_an_id_that_nobody_has(node: Node) -> None:
    ann, stream = seed(node, "ann"), reader(node, "bob", node.gateways)
    send(ann, "bob")
    assert messages(stream) == [1]
    assert state(ann) == "written"


def test_all_streams_of_an_id_get_each_message_once(node: Node) -> None:
    ann = seed(node, "ann")
    streams = [reader(node, "bob", gateway) for gateway in (1, 1, node.gateways)]
    send(ann, "bob")
    assert [messages(stream) for stream in streams] == [[1], [1], [1]]
    assert state(ann) == "written"


def test_broadcast_reaches_streams(node: Node) -> None:
    ann, stream = seed(node, "ann"), reader(node, "bob", node.gateways)
    ask(ann, "messages.broadcast", message=1)
    assert messages(stream) == [1]
    assert answer(ann)["of"] == 1


def test_stream_that_has_ended_receives_no_more() -> None:
    node = Node()
    ann, stream = seed(node, "ann"), reader(node, "bob")
    stream.leave()
    send(ann, "bob")
    node.advance(2.0)
    assert state(ann) == "no_route"


def test_stream_that_does_not_read_holds_nobody_up() -> None:
    node = Node()
    ann, bob = seed(node, "ann"), seed(node, "bob")
    reader(node, "bob", reads=False)
    send(ann, "bob")
    assert messages(bob) == [1]
    assert state(ann) == "written"


def test_stream_without_room_is_told_what_it_has_lost_and_goes_on() -> None:
    node = Node(limits=GatewayLimits(queue_bytes=1_000))
    ann, bob = node.client("ann"), node.client("bob")
    stream = reader(node, "bob", reads=False)
    for sequence in range(1, 6):
        ann.send(Send("bob", "", 77, sequence, 1, 5_000, JSON), encode_run([b'"%b"' % (b"x" * 600)]))
    assert len(bob.frames()) == 5
    found = stream.frames()
    ann.send(Send("bob", "", 77, 6, 1, 5_000, JSON), encode_run([b'"last"']))
    assert [header.dropped_messages for header, _ in found if isinstance(header, Slow)] == [4]
    assert len([header for header, _ in found if isinstance(header, Send)]) == 1
    assert messages(stream) == ["last"]


# --- scopes


def limited(node: Node, *scopes: str, client_id: str = "ann", speaks_flows: bool = False) -> Client:
    return node.client(client_id, speaks_flows=speaks_flows, identity=Identity("t1", grants_of(scopes)))


@pytest.mark.parametrize(("scopes", "code"), [(("send:bob",), ""), (("send:carl",), "permission_denied")])
def test_message_needs_the_scope_of_its_receiver(scopes: tuple[str, ...], code: str) -> None:
    node = Node()
    bob, ann = seed(node, "bob"), limited(node, *scopes)
    send(ann, "bob")
    assert [header.code for header in ann.headers() if isinstance(header, Error)] == ([code] if code else [])
    assert len(messages(bob)) == (not code)


def test_flow_without_the_scope_ends_and_the_missing_scope_is_named() -> None:
    node = Node()
    bob, ann = seed(node, "bob"), limited(node, "send:carl", speaks_flows=True)
    ann.send(Send("bob", "", 77, 1, 1, 5_000, JSON), encode_run([b"1"]))
    found = ann.headers()
    assert [header.code for header in found if isinstance(header, Receipt)] == ["permission_denied"]
    assert [header.detail["scope"] for header in found if isinstance(header, Error)] == ["send:bob"]
    assert messages(bob) == []


def test_broadcast_needs_the_scope_for_everybody() -> None:
    node = Node()
    ann = limited(node, "send:bob")
    ask(ann, "messages.broadcast", message=1)
    assert error(ann) == "permission_denied"


@pytest.mark.parametrize(
    ("scopes", "may"), [(("observe:messages.bob",), True), (("observe:clients", "send:*", "subscribe:*"), False)]
)
def test_reading_what_is_sent_to_a_client_needs_its_scope(scopes: tuple[str, ...], may: bool) -> None:
    node = Node()
    switch = node.switches[0]
    stream = Client(node, switch, reads=True)
    identity = Identity("t1", grants_of(scopes))
    stream.session = switch.open(
        stream, client_id="bob", secret="", surface="sse", is_claimed=False, identity=identity, now=node.now
    )
    if may:
        switch.messages.read(stream.session)
    else:
        with pytest.raises(PermissionDenied):
            switch.messages.read(stream.session)


def test_client_that_may_not_send_acknowledges_what_it_has_received() -> None:
    node = Node()
    ann, bob = seed(node, "ann"), limited(node, "subscribe:x", client_id="bob", speaks_flows=True)
    send(ann, "bob")
    assert receive(bob) == [b"1"]
    assert state(ann) == "delivered"


def test_receipt_of_what_was_never_received_is_no_way_round_the_scope() -> None:
    node = Node()
    ann, bob = node.client("ann"), limited(node, "subscribe:x", client_id="bob", speaks_flows=True)
    bob.send(Receipt("ann", "n1", 9, 1, code="a message after all"))
    assert error(bob) == "permission_denied"
    assert ann.frames() == []


def test_receipt_that_names_too_many_is_refused() -> None:
    bob = Node().client("bob")
    bob.send(Receipt("ann", "n1", 9, 1, tuple(range(2, 2_000))))
    assert error(bob) == "invalid_request"


# --- whatever happens


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("send"), st.sampled_from(("ann", "bob")), st.sampled_from(("carl", "dora", "eve"))),
            st.tuples(st.just("read"), st.sampled_from(("carl", "dora", "eve")), st.just("")),
            st.tuples(st.just("wait"), st.sampled_from(("0.1", "1", "7")), st.just("")),
        ),
        max_size=40,
    )
)
def test_each_message_comes_once_in_the_order_of_its_sender(steps: list[tuple[str, str, str]]) -> None:
    """Two senders without flows at two gateways; receivers with and without flows that read now and then, one through a queue of
    six messages."""
    node = Node(gateways=2, limits=GatewayLimits(queue_bytes=1_000))
    senders = {"ann": seed(node, "ann", 1), "bob": seed(node, "bob", 2)}
    plain = {name: seed(node, name, gateway, reads=False) for name, gateway in (("carl", 1), ("dora", 2))}
    eve, receiver = node.client("eve", 2, reads=False), Receiver()
    sent: dict[tuple[str, str], list[int]] = {}
    got: dict[tuple[str, str], list[int]] = {}

    def read(name: str) -> None:
        client = plain.get(name, eve)
        for header, body in client.frames():
            if not isinstance(header, Send):
                continue
            run = split_run(body)
            arrived = [run] if client is not eve else [one.messages for one in receiver.receive(header, run, node.now)]
            for one in arrived:
                got.setdefault((header.source, name), []).extend(msgspec.json.decode(message) for message in one)
        if client is eve:
            for receipt in receiver.receipts():
                eve.send(receipt)
        node.settle()

    for number, (what, first, second) in enumerate(steps):
        if what == "send":
            send(senders[first], second, number, wait_s=0, ttl_s=3_600)
            sent.setdefault((first, second), []).append(number)
        elif what == "read":
            read(first)
        else:
            node.advance(float(first))
    for _ in range(60):
        for name in (*plain, "eve"):
            read(name)
        node.advance(1.0)
    assert got == sent


@pytest.mark.parametrize(("encoding", "nothing"), [(JSON, b"null"), (MSGPACK, b"\xc0")])
def test_broadcast_without_parameters_is_one_of_nothing(encoding: Literal[1, 2], nothing: bytes) -> None:
    node = Node()
    ann, bob = node.client("ann"), seed(node, "bob")
    ann.send(Request(1, "messages.broadcast", encoding))
    assert [split_run(body) for header, body in bob.frames() if isinstance(header, Send)] == [[nothing]]
    assert [type(header) for header in ann.headers()] == [Reply]
