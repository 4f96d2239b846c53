"""The other end: what a receiver hands on, keeps, leaves out, and says."""

from __future__ import annotations

import tracemalloc
from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from majula.flow import FlowLimits, Receiver
from majula.flow.limits import MAX_NUMBER
from tests.unit.flow.ends import fire, sent, take


def test_messages_in_order_are_handed_on_at_once() -> None:
    bob = Receiver()
    assert take(bob, [sent(1, b"a", b"b"), sent(3, b"c")]) == [b"a", b"b", b"c"]


def test_one_receipt_covers_all_frames_of_a_turn() -> None:
    bob = Receiver()
    take(bob, [sent(1, b"a"), sent(2, b"b"), sent(3, b"c")])
    (receipt,) = bob.receipts()
    assert (receipt.target, receipt.node, receipt.flow, receipt.up_to, receipt.state) == ("ann", "n1", 7, 3, "delivered")
    assert bob.receipts() == []


def test_duplicates_are_dropped_and_acknowledged_again() -> None:
    bob = Receiver()
    take(bob, [sent(1, b"a", b"b")])
    bob.receipts()
    assert take(bob, [sent(1, b"a", b"b"), sent(2, b"b", b"c")]) == [b"c"]
    assert [receipt.up_to for receipt in bob.receipts()] == [3]


def test_messages_behind_a_gap_wait_and_are_named_in_the_receipt() -> None:
    bob = Receiver()
    assert take(bob, [sent(2, b"b"), sent(4, b"d")]) == []
    (receipt,) = bob.receipts()
    assert (receipt.up_to, receipt.received) == (0, (2, 4))
    assert take(bob, [sent(1, b"a")]) == [b"a", b"b"]
    assert take(bob, [sent(3, b"c")]) == [b"c", b"d"]


def test_what_the_sender_has_given_up_is_left_out() -> None:
    bob = Receiver()
    take(bob, [sent(1, b"a"), sent(3, b"c")])
    assert take(bob, [sent(4, b"d", oldest=3)]) == [b"c", b"d"]


def test_frame_without_messages_tells_what_is_given_up() -> None:
    bob = Receiver()
    take(bob, [sent(2, b"b")])
    assert take(bob, [sent(3, oldest=2)]) == [b"b"]


def test_message_that_waits_is_dropped_when_its_sender_gives_it_up() -> None:
    bob = Receiver()
    take(bob, [sent(2, b"b"), sent(3, b"c")])
    assert take(bob, [sent(4, oldest=3)]) == [b"c"]


def test_receiver_that_began_anew_takes_what_is_still_wanted() -> None:
    bob = Receiver()
    assert take(bob, [sent(41, b"x", oldest=40), sent(40, b"w", oldest=40)]) == [b"w", b"x"]


def test_flows_of_two_sessions_or_two_sources_are_two() -> None:
    bob = Receiver()
    frames = [sent(1, b"a"), sent(1, b"b", flow=8), sent(1, b"c", source="cid")]
    assert take(bob, frames) == [b"a", b"b", b"c"]
    assert len(bob.receipts()) == 3


def test_message_that_waits_longer_than_its_sender_wants_it_is_dropped() -> None:
    bob = Receiver()
    take(bob, [sent(2, b"b", ttl_ms=1_000)], now=5.0)
    assert bob.next_deadline() == 6.0
    bob.timer(6.0)
    assert take(bob, [sent(1, b"a")], now=6.0) == [b"a"]
    assert bob.statistics()["waiting_bytes"] == 0


def test_receiver_without_room_hands_on_nothing_and_acknowledges_nothing_until_there_is_some() -> None:
    bob = Receiver()
    bob.pause()
    assert take(bob, [sent(1, b"a", b"b")]) == []
    assert [receipt.up_to for receipt in bob.receipts()] == [0]
    assert [arrived.messages for arrived in bob.resume(1.0)] == [[b"a", b"b"]]
    assert [receipt.up_to for receipt in bob.receipts()] == [2]


def test_announcing_tells_every_sender_of_the_last_hour_how_far_it_is() -> None:
    bob = Receiver()
    take(bob, [sent(1, b"a")], now=0.0)
    take(bob, [sent(1, b"a", flow=8)], now=3_000.0)
    bob.receipts()
    bob.announce(3_700.0)
    assert [receipt.flow for receipt in bob.receipts()] == [8]


def test_flow_is_forgotten_after_longer_than_the_largest_ttl() -> None:
    bob = Receiver()
    take(bob, [sent(1, b"a")], now=10.0)
    assert bob.next_deadline() == 10.0 + 3_660.0
    fire(bob, 4_000.0)
    assert bob.statistics()["flows"] == 0
    assert bob.next_deadline() == inf


def test_flow_that_was_not_heard_for_the_longest_gives_its_place_to_a_new_one() -> None:
    bob = Receiver(limits=FlowLimits(flows=2))
    take(bob, [sent(1, b"a", flow=1), sent(1, b"a", flow=2), sent(2, b"b", flow=1), sent(1, b"a", flow=3)])
    assert take(bob, [sent(2, b"b", flow=1)]) == []
    assert bob.statistics()["forgotten_flows"] == 1


def test_no_more_waits_than_the_limits_allow() -> None:
    bob = Receiver(limits=FlowLimits(messages=10, bytes=100, total_bytes=150))
    take(bob, [sent(2, *[b"x" * 6] * 50)])
    take(bob, [sent(2, *[b"x" * 46] * 50, flow=8)])
    assert bob.statistics()["waiting_bytes"] <= 150
    assert bob.statistics()["waiting_messages"] <= 12


def test_headers_of_what_waits_are_counted_too() -> None:
    bob = Receiver(limits=FlowLimits(bytes=10_000))
    header, body = sent(2, *[b""] * 50)
    take(bob, [(structs.replace(header, headers={"a": "x" * 999}), body)])
    assert bob.statistics()["waiting_messages"] < 10


def test_what_is_next_is_taken_also_where_all_room_is_used_up() -> None:
    bob = Receiver(limits=FlowLimits(total_bytes=20))
    take(bob, [sent(2, b"x" * 16)])
    assert take(bob, [sent(1, b"y" * 50)]) == [b"y" * 50, b"x" * 16]


@pytest.mark.parametrize(
    ("flow", "sequence", "oldest"),
    [(0, 1, 1), (-1, 1, 1), (MAX_NUMBER + 1, 1, 1), (1, 0, 1), (1, MAX_NUMBER, 1), (1, 1, 0), (1, 1, MAX_NUMBER + 1)],
)
def test_numbers_that_no_sender_gives_are_ignored(flow: int, sequence: int, oldest: int) -> None:
    bob = Receiver()
    assert take(bob, [sent(sequence, b"a", flow=flow, oldest=oldest)]) == []
    assert bob.receipts() == []


def test_state_of_a_flow_takes_less_than_a_kilobyte() -> None:
    bob = Receiver()
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    for number in range(1, 1_001):
        take(bob, [sent(1, b"", flow=number, source=f"client {number}")])
    bob.receipts()
    each = (tracemalloc.get_traced_memory()[0] - before) / 1_000
    tracemalloc.stop()
    assert each < 1_024


@given(st.data())
def test_any_frames_in_any_order_come_out_once_and_in_order(data: st.DataObject) -> None:
    total = data.draw(st.integers(1, 30))
    runs = st.tuples(st.integers(1, total), st.integers(1, 5))
    frames = []
    for first, length in data.draw(st.lists(runs, max_size=40)):
        last = min(first + length, total + 1)
        frames.append(sent(first, *(b"%d" % number for number in range(first, last))))
    bob = Receiver()
    got = take(bob, frames)
    got += take(bob, [sent(number, b"%d" % number) for number in range(1, total + 1)])
    assert got == [b"%d" % number for number in range(1, total + 1)]
    assert bob.statistics()["waiting_bytes"] == 0
