"""How much a client may send, and for how long it is not read when it has sent more."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from majula.auth.book import TokenEntry
from majula.errors import LimitReached
from majula.gateway.accounts import Identity
from majula.gateway.rates import Bucket, Rates
from majula.gateway.settings import GatewayLimits
from majula.wire.frames import encode_frame, encode_run
from majula.wire.headers import Ping, Publish, Receipt, Send, Subscribe, Unsubscribe
from tests.unit.gateway.world import Node


@given(st.lists(st.tuples(st.floats(0, 5), st.integers(1, 50)), max_size=60))
def test_who_waits_as_told_sends_no_more_than_the_rate_and_one_burst(sends: list[tuple[float, int]]) -> None:
    bucket, now, sent = Bucket(10, 20), 0.0, 0
    for pause_s, amount in sends:
        now += pause_s
        now += bucket.wait_for_debt_s(now)
        # What was sent before is paid; only the newest may be owed.
        assert sent <= 20 + 10 * now + 1e-6
        bucket.take(amount, now)
        sent += amount


def test_bucket_that_was_left_alone_holds_one_burst_and_no_more() -> None:
    bucket = Bucket(10, 5)
    bucket.take(5, 1_000.0)
    assert bucket.wait_for_debt_s(1_000.0) == 0 and bucket.wait_s(1_000.0) == pytest.approx(0.1)
    bucket.take(5, 1_000.0)
    assert bucket.wait_for_debt_s(1_000.0) == pytest.approx(0.5)


def test_messages_of_a_run_count_one_by_one() -> None:
    node = Node(limits=GatewayLimits(messages_per_s=100))
    client = node.client("c")
    client.publish("t", *[b"m"] * 100)
    assert client.session.ready_at <= node.now
    client.publish("t", *[b"m"] * 50)
    assert client.session.ready_at == pytest.approx(node.now + 0.5)


def test_known_headers_count_like_new_ones() -> None:
    node = Node(limits=GatewayLimits(messages_per_s=10))
    client = node.client("c")
    for _ in range(30):
        client.publish("t", b"m")
    assert client.session.ready_at == pytest.approx(node.now + 2.0)


def test_bytes_count_with_their_headers() -> None:
    node = Node(limits=GatewayLimits(bytes_per_s=1_000))
    client = node.client("c")
    frame = encode_frame(Publish("t"), encode_run([bytes(3_000)]))
    client.send_bytes(frame)
    assert client.session.ready_at == pytest.approx(node.now + len(frame) / 1_000 - 1)


def test_what_has_come_is_served_before_its_sender_waits() -> None:
    node = Node(limits=GatewayLimits(messages_per_s=1))
    reader, client = node.client("r"), node.client("c")
    reader.send(Subscribe(0, "t"))
    client.publish("t", *[b"m"] * 10)
    assert len(reader.messages()) == 10


def test_receiver_is_not_slowed_for_acknowledging_much() -> None:
    node = Node(limits=GatewayLimits(controls_per_s=1))
    client = node.client("c")
    for up_to in range(1, 11):
        client.send(Receipt("nobody", "n1", 7, up_to))
    assert client.session.ready_at <= node.now


def test_receipts_count_as_messages_where_these_are_limited() -> None:
    node = Node(limits=GatewayLimits(messages_per_s=10))
    client = node.client("c")
    for up_to in range(1, 31):
        client.send(Receipt("nobody", "n1", 7, up_to))
    assert client.session.ready_at == pytest.approx(node.now + 2.0)
    assert client.session.received_messages == 0


def test_control_frames_have_a_rate_of_their_own() -> None:
    node = Node(limits=GatewayLimits(controls_per_s=10))
    client = node.client("c")
    for _ in range(10):  # 20 at once: two seconds' worth
        client.send(Subscribe(0, "a.*", True))
        client.send(Unsubscribe(0, "a.*", True))
    assert client.session.ready_at <= node.now
    client.send(Ping(1))
    assert client.session.ready_at == pytest.approx(node.now + 0.1)


def test_publications_are_no_control_frames() -> None:
    node = Node(limits=GatewayLimits(controls_per_s=1))
    client = node.client("c")
    for number in range(100):
        client.publish(f"t{number}", b"m")
    assert client.session.ready_at <= node.now


def test_what_is_refused_counts_as_a_control_frame() -> None:
    node = Node(limits=GatewayLimits(controls_per_s=10))
    client = node.client("c")
    for _ in range(30):
        client.publish("$SYS.forged", b"m")
    assert client.session.ready_at == pytest.approx(node.now + 1.0)


def test_one_client_that_is_too_fast_leaves_the_others_their_rate() -> None:
    node = Node(limits=GatewayLimits(messages_per_s=10))
    fast, other = node.client("f"), node.client("o")
    fast.publish("t", *[b"m"] * 100)
    other.publish("t", b"m")
    assert fast.session.ready_at > node.now and other.session.ready_at <= node.now


def test_gateway_has_a_rate_for_all_of_its_clients() -> None:
    node = Node(limits=GatewayLimits(gateway_messages_per_s=10))
    for name in "abc":
        node.client(name).publish("t", *[b"m"] * 5)
    late = node.client("d")
    late.publish("t", b"m")
    assert late.session.ready_at == pytest.approx(node.now + 0.6)


def token(name: str, messages_per_s: float) -> Identity:
    entry = TokenEntry(name, ("*:*",), ("*",), messages_per_s=messages_per_s)
    return Identity(entry.id, entry.grants, entry, "10.0.0.1")


def test_sessions_of_one_token_share_its_rate() -> None:
    node = Node()
    one, two = node.client("a", identity=token("tok-1", 10)), node.client("b", identity=token("tok-1", 10))
    other = node.client("c", identity=token("tok-2", 10))
    one.publish("t", *[b"m"] * 10)
    two.publish("t", *[b"m"] * 5)
    other.publish("t", *[b"m"] * 5)
    assert two.session.ready_at == pytest.approx(node.now + 0.5) and other.session.ready_at <= node.now


def test_plain_request_is_refused_while_its_client_has_nothing_left() -> None:
    node = Node(limits=GatewayLimits(messages_per_s=2))
    asker = Identity(address="10.0.0.1")
    for _ in range(2):
        node.client("h", identity=asker, is_claimed=False).publish("t", b"m")
    with pytest.raises(LimitReached) as refusal:
        node.client("h", identity=asker, is_claimed=False)
    assert refusal.value.detail["limit"] == "messages_per_s" and refusal.value.detail["retry_after_s"] == pytest.approx(0.5)
    node.client("h", identity=Identity(address="10.0.0.2"), is_claimed=False)
    node.now += 0.5
    node.client("h", identity=asker, is_claimed=False)


def test_refused_plain_request_leaves_no_session() -> None:
    node = Node(limits=GatewayLimits(messages_per_s=1))
    asker = Identity(address="10.0.0.1")
    first = node.client("h", identity=asker, is_claimed=False)
    first.publish("t", b"m")
    first.leave()
    with pytest.raises(LimitReached):
        node.client("h", identity=asker, is_claimed=False)
    assert not node.switches[0].sessions


def test_addresses_that_have_been_seen_are_bounded() -> None:
    rates = Rates(GatewayLimits(messages_per_s=1))
    for number in range(40_000):
        rates.meter(key=str(number))
    assert rates.statistics()["rate_buckets"] == 16_384


def test_private_messages_of_a_run_count_one_by_one() -> None:
    node = Node(limits=GatewayLimits(messages_per_s=100))
    node.client("r")
    sender = node.client("s")
    sender.send(Send("r", "n1", 1, 1, 1, 1_000), encode_run([b"m"] * 150))
    assert sender.session.ready_at == pytest.approx(node.now + 0.5)


def test_new_limits_hold_for_clients_that_are_there() -> None:
    node = Node()
    client = node.client("c")
    client.publish("t", *[b"m"] * 100)
    assert client.session.ready_at <= node.now
    node.switches[0].renew(GatewayLimits(messages_per_s=10))
    client.publish("t", *[b"m"] * 30)
    assert client.session.ready_at == pytest.approx(node.now + 2.0)
