"""Publications: who gets them, in which form, and what is refused."""

from __future__ import annotations

import msgspec
import pytest

from majula.gateway.settings import GatewayLimits
from majula.topics.retained import RetainedValue
from majula.wire.frames import FrameReader, encode_frame, encode_run, pack_frame, split_run
from majula.wire.headers import RETAIN, RETAINED, Ack, Error, Hello, Ping, Pong, Publish, Slow, Subscribe, Unsubscribe

from .world import Client, Node


def subscriber(node: Node, topic: str, client_id: str = "", gateway: int = 1, **options: object) -> Client:
    client = node.client(client_id, gateway)
    client.send(Subscribe(0, topic, **options))  # type: ignore[arg-type]  # options are fields of Subscribe
    return client


@pytest.mark.parametrize("gateway", [1, 2])
class TestOnEitherGateway:
    """The publisher is attached to gateway 1, the subscriber to 1 or 2."""

    def test_a_subscriber_gets_the_frame_byte_for_byte(self, gateway: int) -> None:
        node = Node(2)
        wants = subscriber(node, "a.b", gateway=gateway)
        frame = encode_frame(Publish("a.b", 1, 0, 0, "", {"k": "v"}), encode_run([b"one", b"two"]))
        node.client().send_bytes(frame)
        assert wants.raw == [frame]

    def test_messages_of_one_publisher_come_in_order(self, gateway: int) -> None:
        node = Node(2)
        wants = subscriber(node, "a", gateway=gateway)
        publisher = node.client()
        for number in range(50):
            publisher.publish("a", b"%d" % number)
        assert wants.messages() == [b"%d" % number for number in range(50)]

    def test_a_session_gets_a_message_once_however_many_of_its_subscriptions_match(self, gateway: int) -> None:
        node = Node(2)
        wants = subscriber(node, "a.b", gateway=gateway)
        wants.send(Subscribe(0, "a.*", True))
        wants.send(Subscribe(0, ">", True))
        node.client().publish("a.b", b"x")
        assert wants.messages() == [b"x"]

    def test_a_pattern_matches_and_a_literal_topic_with_the_same_text_does_not(self, gateway: int) -> None:
        node = Node(2)
        pattern = subscriber(node, "a.*", gateway=gateway, pattern=True)
        literal = subscriber(node, "a.*", gateway=gateway)
        node.client().publish("a.b", b"x")
        assert (pattern.messages(), literal.messages()) == ([b"x"], [])

    def test_after_unsubscribe_nothing_comes(self, gateway: int) -> None:
        node = Node(2)
        wants = subscriber(node, "a", gateway=gateway)
        wants.send(Unsubscribe(0, "a"))
        node.client().publish("a", b"x")
        assert wants.frames() == []

    def test_a_subscription_that_is_made_while_messages_flow_is_in_force_for_the_next(self, gateway: int) -> None:
        node = Node(2)
        publisher = node.client()
        publisher.publish("a", b"before")
        wants = subscriber(node, "a", gateway=gateway)
        publisher.publish("a", b"after")
        assert wants.messages() == [b"after"]

    def test_each_message_goes_to_one_member_of_a_queue_group(self, gateway: int) -> None:
        node = Node(2)
        members = [subscriber(node, "a", gateway=gateway, queue="g") for _ in range(3)]
        publisher = node.client()
        for number in range(30):
            publisher.publish("a", b"%d" % number)
        got = [member.messages() for member in members]
        assert sorted(int(message) for messages in got for message in messages) == list(range(30))
        assert [len(messages) for messages in got] == [10, 10, 10]

    def test_a_run_is_shared_out_among_the_members_of_a_queue_group(self, gateway: int) -> None:
        node = Node(2)
        members = [subscriber(node, "a", gateway=gateway, queue="g") for _ in range(3)]
        node.client().publish("a", *(b"%d" % number for number in range(30)))
        got = [member.messages() for member in members]
        assert sorted(int(message) for messages in got for message in messages) == list(range(30))
        assert [len(messages) for messages in got] == [10, 10, 10]

    def test_a_delivery_to_a_queue_group_names_the_group(self, gateway: int) -> None:
        node = Node(2)
        member = subscriber(node, "a", gateway=gateway, queue="g")
        node.client().publish("a", b"x")
        header, _ = member.only()
        assert header == Publish("a", queue="g")

    def test_subscribers_beside_a_queue_group_get_every_message(self, gateway: int) -> None:
        node = Node(2)
        subscriber(node, "a", gateway=gateway, queue="g")
        plain = subscriber(node, "a", gateway=gateway)
        node.client().publish("a", b"1", b"2")
        assert plain.messages() == [b"1", b"2"]

    def test_the_number_of_an_acknowledged_publish_is_not_passed_on(self, gateway: int) -> None:
        node = Node(2)
        wants = subscriber(node, "a", gateway=gateway)
        node.client().publish("a", b"x", request=7)
        header, _ = wants.only()
        assert header == Publish("a")


def test_members_of_a_queue_group_on_two_gateways_share_by_their_number() -> None:
    node = Node(2)
    members = [subscriber(node, "a", gateway=gateway, queue="g") for gateway in (1, 1, 2)]
    publisher = node.client()
    for number in range(30):
        publisher.publish("a", b"%d" % number)
    assert [len(member.messages()) for member in members] == [10, 10, 10]


def test_groups_of_one_name_are_one_group_whatever_their_subjects() -> None:
    node = Node()
    one = subscriber(node, "a.*", pattern=True, queue="g")
    two = subscriber(node, "a.b", queue="g")
    publisher = node.client()
    for _ in range(4):
        publisher.publish("a.b", b"x")
    assert (len(one.messages()), len(two.messages())) == (2, 2)


def test_a_publisher_that_is_subscribed_hears_itself() -> None:
    node = Node()
    client = subscriber(node, "a")
    client.publish("a", b"x")
    assert client.messages() == [b"x"]


def test_subscribing_twice_delivers_once() -> None:
    node = Node()
    client = subscriber(node, "a")
    client.send(Subscribe(0, "a"))
    client.publish("a", b"x")
    assert client.messages() == [b"x"]


@pytest.mark.parametrize("flags", [0, RETAIN])
def test_a_publish_without_a_message_is_refused(flags: int) -> None:
    node = Node()
    wants = subscriber(node, "a")
    client = node.client()
    for _ in range(2):
        client.publish("a", flags=flags)
        (answer,) = client.headers()
        assert isinstance(answer, Error)
        assert answer.code == "invalid_request"
    assert wants.frames() == []


def test_a_header_that_is_not_in_its_shortest_form_is_understood() -> None:
    node = Node()
    wants = subscriber(node, "a")
    header, body = b"\xdc\x00\x02\x03\xa1a", encode_run([b"x"])
    node.client().send_bytes((2 + len(header) + len(body)).to_bytes(4, "little") + b"\x06\x00" + header + body)
    assert wants.messages() == [b"x"]


def test_all_subscribers_share_one_bytes_object() -> None:
    node = Node()
    one, two = subscriber(node, "a"), subscriber(node, "a")
    node.client().publish("a", b"x" * 1_000)
    assert one.raw[0] is two.raw[0]


def test_subscribe_is_acknowledged_as_in_force_at_this_gateway() -> None:
    client = Node().client()
    client.send(Subscribe(5, "a"))
    assert client.only() == (Ack(5, "gateway"), b"")


def test_subscribe_with_sync_is_acknowledged_when_it_is_in_force_everywhere() -> None:
    node = Node(2)
    node.holds_confirmations = True
    client = node.client()
    client.send(Subscribe(5, "a", sync=True))
    assert client.frames() == []
    node.holds_confirmations = False
    node.settle()
    node.settle()
    assert client.headers() == [Ack(5, "everywhere")]


def test_sync_that_is_not_confirmed_in_time_is_an_error_and_the_subscription_stays() -> None:
    node = Node(2)
    node.holds_confirmations = True
    client = node.client()
    client.send(Subscribe(5, "a", sync=True))
    switch, token = node.confirmations.pop()
    switch.requests.unconfirmed(token, "timeout", node.now)
    node.settle()
    header, _ = client.only()
    assert isinstance(header, Error)
    assert (header.request, header.code) == (5, "unavailable")
    client.publish("a", b"x")
    assert client.messages() == [b"x"]


def test_publish_is_acknowledged_where_that_is_asked_for() -> None:
    client = Node().client()
    client.publish("a", b"x", request=9)
    assert client.headers() == [Ack(9, "accepted")]


def test_publish_without_a_number_is_not_answered() -> None:
    client = Node().client()
    client.publish("a", b"x")
    assert client.frames() == []


@pytest.mark.parametrize(
    ("header", "code"),
    [
        (Publish("$SYS.x"), "permission_denied"),
        (Publish(""), "invalid_request"),
        (Publish("a\nb"), "invalid_request"),
        (Publish("a" * 257), "invalid_request"),
        (Publish("a", queue="g"), "invalid_request"),
        (Publish("a", flags=RETAINED), "invalid_request"),
        (Subscribe(0, "a.b*", True), "invalid_request"),
        (Subscribe(0, ">.a", True), "invalid_request"),
        (Subscribe(0, ""), "invalid_request"),
        (Subscribe(0, "a", queue="g" * 129), "invalid_request"),
        (Subscribe(0, "a", queue="g\n"), "invalid_request"),
        (Unsubscribe(0, "never"), "not_found"),
    ],
)
def test_what_cannot_be_done_is_refused_and_the_client_stays(header: Publish, code: str) -> None:
    client = Node().client()
    client.send(header, encode_run([b"x"]) if isinstance(header, Publish) else b"")
    (answer,) = client.headers()
    assert isinstance(answer, Error)
    assert (answer.code, answer.method) == (code, type(header).__name__.upper())
    assert client.session.is_open


def test_a_refusal_carries_the_number_of_its_request() -> None:
    client = Node().client()
    client.publish("$SYS.x", b"x", request=4)
    (answer,) = client.headers()
    assert isinstance(answer, Error)
    assert (answer.request, answer.method) == (4, "")


def test_a_pattern_that_begins_with_a_wildcard_does_not_hear_the_node() -> None:
    node = Node()
    wants = subscriber(node, ">", pattern=True)
    assert wants.switch.routes.interests.route("$SYS.x").is_empty()


def test_more_subscriptions_than_the_limit_are_refused() -> None:
    client = Node(limits=GatewayLimits(subscriptions=2)).client()
    for topic in ("a", "b", "c"):
        client.send(Subscribe(1, topic))
    *_, last = client.headers()
    assert isinstance(last, Error)
    assert (last.code, last.detail) == ("limit_reached", {"limit": "subscriptions"})


def test_a_message_over_the_limit_is_refused_and_the_client_stays() -> None:
    node = Node(limits=GatewayLimits(message_bytes=100))
    wants = subscriber(node, "a")
    client = node.client()
    client.publish("a", b"x" * 100)
    client.publish("a", b"x" * 101)
    (answer,) = client.headers()
    assert isinstance(answer, Error)
    assert answer.code == "too_large"
    assert wants.messages() == [b"x" * 100]


@pytest.mark.parametrize("body", [b"x", b"\xff\xff\xff\xff", b"\x02\x00\x00\x00a", b"\x01\x00\x00\x00ab"])
@pytest.mark.parametrize("is_known", [False, True])
def test_a_run_whose_lengths_do_not_add_up_ends_its_connection_only(body: bytes, is_known: bool) -> None:
    node = Node()
    wants = subscriber(node, "a")
    client = node.client()
    if is_known:
        client.publish("a", b"x")
        wants.frames()
    client.send(Publish("a"), body)
    (answer,) = client.headers()
    assert isinstance(answer, Error)
    assert answer.code == "protocol_error"
    assert client.was_ended
    assert wants.frames() == []
    node.client().publish("a", b"y")
    assert wants.messages() == [b"y"]


def test_a_header_that_is_nested_without_end_ends_its_connection_only() -> None:
    client = Node().client()
    header = b"\x95\x0e\x00\xa0\xa0\x81\xa1x" + b"\x91" * 60_000
    client.send_bytes((2 + len(header)).to_bytes(4, "little") + len(header).to_bytes(2, "little") + header)
    assert client.was_ended


def test_who_has_lost_a_message_is_named_once() -> None:
    node = Node(limits=GatewayLimits(queue_messages=1))
    slow = node.client("laggard", reads=False)
    slow.send(Subscribe(0, "a"))
    publisher = node.client()
    for _ in range(3):
        publisher.publish("a", b"x")
    assert node.switches[0].take_slow() == [slow.session]
    publisher.publish("a", b"x")
    assert node.switches[0].take_slow() == []


@pytest.mark.parametrize("header", [b"\x91\xc1", b"\x91\x63", b"\xa0\x03", b"\x92\x03\x05", b"\x92\x03\xa1\xff", b"\x91\x02"])
def test_a_header_that_cannot_be_read_ends_its_connection_only(header: bytes) -> None:
    node = Node()
    client = node.client()
    client.send_bytes((2 + len(header)).to_bytes(4, "little") + len(header).to_bytes(2, "little") + header)
    assert client.was_ended
    assert client.end_error is not None
    assert client.end_error.code == "protocol_error"


def test_frames_behind_the_one_that_ended_the_connection_are_not_served() -> None:
    node = Node()
    wants = subscriber(node, "a")
    client = node.client()
    client.send_bytes(encode_frame(Hello(1)) + encode_frame(Publish("a"), encode_run([b"x"])))
    assert wants.frames() == []


def test_a_slow_subscriber_loses_the_newest_is_told_and_slows_nobody() -> None:
    node = Node(limits=GatewayLimits(queue_messages=3))
    slow = node.client(reads=False)
    slow.send(Subscribe(0, "a"))
    quick = subscriber(node, "a")
    publisher = node.client()
    for number in range(10):
        publisher.publish("a", b"%d" % number)
    assert quick.messages() == [b"%d" % number for number in range(10)]
    frames = slow.frames()
    assert [split_run(body) for header, body in frames if isinstance(header, Publish)] == [[b"0"], [b"1"], [b"2"]]
    last = frames[-1][0]
    assert isinstance(last, Slow)
    assert last.dropped_messages == 7


def test_a_slow_subscriber_is_named() -> None:
    node = Node(limits=GatewayLimits(queue_messages=1))
    slow = node.client("laggard", reads=False)
    slow.send(Subscribe(0, "a"))
    publisher = node.client()
    for _ in range(3):
        publisher.publish("a", b"x")
    assert node.switches[0].statistics()["slow_client_names"] == "laggard"


def test_with_the_policy_disconnect_a_slow_subscriber_is_cut_off() -> None:
    node = Node(limits=GatewayLimits(queue_messages=1, slow_policy="disconnect"))
    slow = node.client(reads=False)
    slow.send(Subscribe(0, "a"))
    publisher = node.client()
    for _ in range(3):
        publisher.publish("a", b"x")
    assert slow.was_ended
    assert slow.end_error is not None
    assert slow.end_error.code == "overloaded"


def test_a_client_whose_answers_pile_up_is_cut_off() -> None:
    node = Node(limits=GatewayLimits(message_bytes=100, queue_bytes=1_000))
    client = node.client(reads=False)
    for number in range(200):
        if client.session.is_open:
            client.send(Ping(number))
    assert client.was_ended


def test_a_retained_publish_waits_for_the_topic_manager() -> None:
    client = Node().client()
    client.publish("a", b"1", b"2", flags=RETAIN, request=3)
    assert client.frames() == []
    ((number, topic, frame, is_removal),) = client.switch.requests.retaining.to_send()
    assert (topic, is_removal) == ("a", False)
    assert frame == encode_frame(Publish("a", flags=RETAINED), encode_run([b"2"]))
    client.switch.requests.retained_settled(number, "", client.node.now)
    client.node.settle()
    assert client.headers() == [Ack(3, "accepted")]


def test_a_retained_value_that_is_refused_is_an_error_to_its_publisher() -> None:
    client = Node().client()
    client.publish("a", b"1", flags=RETAIN)
    ((number, *_),) = client.switch.requests.retaining.to_send()
    client.switch.requests.retained_settled(number, "limit_reached", client.node.now)
    client.node.settle()
    (answer,) = client.headers()
    assert isinstance(answer, Error)
    assert (answer.code, answer.method) == ("limit_reached", "PUBLISH")


def test_an_empty_retained_publish_removes_the_value() -> None:
    client = Node().client()
    client.publish("a", b"", flags=RETAIN)
    ((_, _, _, is_removal),) = client.switch.requests.retaining.to_send()
    assert is_removal


def kept(topic: str, *, sequence: int = 1, size: int = 1) -> tuple[str, bytes]:
    """An entry of the table of retained values, and so of the frame that a subscriber gets."""
    frame = encode_frame(Publish(topic, flags=RETAINED), encode_run([b"k" * size]))
    return topic, msgspec.msgpack.encode(RetainedValue(1, sequence, frame))


def retain(node: Node, *entries: tuple[str, bytes]) -> None:
    node.switches[0].requests.retained_changed(dict(entries), (), node.now)
    node.settle()


def test_retained_values_that_match_follow_the_acknowledgement() -> None:
    node = Node()
    retain(node, kept("a.x"), kept("a.y"), kept("b"))
    client = node.client()
    client.send(Subscribe(1, "a.*", True, retained=True))
    assert client.headers() == [Ack(1, "gateway"), Publish("a.x", flags=RETAINED), Publish("a.y", flags=RETAINED)]


def test_without_asking_no_retained_value_comes() -> None:
    node = Node()
    retain(node, kept("a"))
    client = node.client()
    client.send(Subscribe(1, "a"))
    assert client.headers() == [Ack(1, "gateway")]


def test_more_retained_values_than_an_outbox_holds_come_all() -> None:
    node = Node(limits=GatewayLimits(queue_bytes=10_000, message_bytes=1_000))
    retain(node, *(kept(f"a.{number}", size=900) for number in range(100)))
    client = node.client(reads=False)
    client.send(Subscribe(0, "a.>", True, retained=True))
    assert client.session.outbox.bytes < 10_000
    assert len([header for header in client.headers() if isinstance(header, Publish)]) == 100


def test_a_value_that_is_retained_just_after_the_subscription_is_not_missed() -> None:
    node = Node()
    client = node.client()
    client.send(Subscribe(0, "a.*", True, retained=True))
    retain(node, kept("a.x"))
    node.advance(6.0)
    retain(node, kept("a.y"))
    assert client.headers() == [Publish("a.x", flags=RETAINED)]


def test_a_subscription_that_has_ended_gets_no_retained_value() -> None:
    node = Node()
    client = node.client()
    client.send(Subscribe(0, "a", retained=True))
    client.send(Unsubscribe(0, "a"))
    retain(node, kept("a"))
    assert client.frames() == []


def test_subscribers_get_a_retained_publish_at_once() -> None:
    node = Node()
    wants = subscriber(node, "a")
    node.client().publish("a", b"1", flags=RETAIN)
    assert wants.messages() == [b"1"]


def test_ping_is_answered_with_its_number() -> None:
    client = Node().client()
    client.send(Ping(12))
    assert client.headers() == [Pong(12)]


def test_sync_that_is_refused_for_too_many_confirmations_is_not_in_force(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("majula.gateway.requests._CONFIRMATIONS", 1)
    node = Node()
    node.holds_confirmations = True
    client = node.client("c")
    client.send(Subscribe(1, "a", sync=True))
    client.send(Subscribe(2, "b", sync=True))
    (refusal,) = client.headers()
    assert isinstance(refusal, Error)
    assert (refusal.request, refusal.code) == (2, "overloaded")
    client.publish("b", b"x")
    assert client.frames() == []


def test_when_a_client_leaves_its_subscriptions_go_everywhere() -> None:
    node = Node(2)
    subscriber(node, "a", gateway=2).leave()
    assert node.switches[0].routes.interests.route("a").is_empty()


def test_a_gateway_that_dies_is_no_longer_sent_to() -> None:
    node = Node(2)
    subscriber(node, "a", gateway=2)
    node.kill(2)
    node.client().publish("a", b"x")
    assert node.switches[0].statistics()["peers"] == 0


def test_looking_for_retained_values_takes_a_bounded_part_of_a_turn() -> None:
    node = Node()
    retain(node, *(kept(f"a{n}") for n in range(5_000)))
    client, other = node.client(reads=False), node.client()
    frames = b"".join(encode_frame(Subscribe(0, f"*.*.z{n}", True, "", True)) for n in range(20))
    chunk, spans = FrameReader(limit_bytes=1 << 20).feed(frames)
    switch = node.switches[0]
    switch.receive(client.session, chunk, spans, node.now)
    turns = 0
    while switch.has_waiting():
        switch.take_dirty(node.now)
        turns += 1
    assert turns >= 20 * 5_000 / 2_048
    other.send(Subscribe(1, "a7", retained=True))
    assert [type(header) for header in other.headers()] == [Ack, Publish]


def test_retained_values_of_one_client_do_not_hold_up_those_of_another() -> None:
    node = Node()
    retain(node, *(kept(f"a{n}") for n in range(5_000)))
    greedy, modest = node.client(reads=False), node.client(reads=False)
    for client, count, topic in ((greedy, 50, "*.*.z"), (modest, 1, "a7")):
        frames = b"".join(encode_frame(Subscribe(0, f"{topic}{n}" if count > 1 else topic, True, "", True)) for n in range(count))
        chunk, spans = FrameReader(limit_bytes=1 << 20).feed(frames)
        node.switches[0].receive(client.session, chunk, spans, node.now)
    for _ in range(2):
        node.switches[0].take_dirty(node.now)
    assert modest.messages() == [b"k"]


def test_many_announcements_of_retained_values_cost_no_more_than_few() -> None:
    node = Node()
    client = node.client(reads=False)
    for n in range(3_000):
        client.session.outbox.feed(iter([b"%d" % n]), 1)
    # Nested iterators would take this 3,000 steps for each frame, and 100,000 of them the stack.
    assert len(client.session.outbox.take(1 << 30, node.now)) == 3_000


def test_retained_values_beyond_what_may_be_announced_are_told_as_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("majula.gateway.requests._BACKLOG", 10)
    node = Node()
    retain(node, *(kept(f"a{n}") for n in range(50)))
    client = node.client()
    client.send(Subscribe(0, ">", True, retained=True))
    assert client.headers() == [Slow(50)]


def test_a_header_with_much_that_nobody_knows_is_served_and_not_kept() -> None:
    node = Node()
    wants = subscriber(node, "a")
    header = msgspec.msgpack.encode([3, "a", 0, 0, 0, "", None, "x" * 1_000])
    publisher = node.client()
    publisher.send_bytes(pack_frame(header, encode_run([b"one"])))
    assert wants.messages() == [b"one"]
    assert node.switches[0].statistics()["headers"] == 0
