"""One end: what a sender gives out, repeats, gives up, and tells."""

from __future__ import annotations

import contextlib
from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from majula.errors import InvalidRequest, Overloaded
from majula.flow import FlowLimits, message_id
from majula.flow.outflow import FIRST_BURST, TIMEOUT_FIRST_S
from tests.unit.flow.ends import fire, receipt, sender, sequences, told


def test_first_message_of_a_flow_has_number_one_and_the_flow_a_number_that_json_can_carry() -> None:
    ann = sender()
    flow, sequence = ann.send("bob", b"x", 0.0)
    assert sequence == 1
    assert 0 < flow < 2**53
    assert message_id(flow, sequence) == f"{flow:x}-1"


def test_messages_of_one_turn_are_one_frame() -> None:
    ann = sender()
    for number in range(500):
        ann.send("bob", b"%d" % number, 0.0)
    (frame,) = ann.frames(0.0)
    assert sequences([frame]) == list(range(1, 501))
    assert not ann.waits()


def test_each_target_has_a_flow_of_its_own() -> None:
    ann = sender()
    assert ann.send("bob", b"", 0.0)[0] != ann.send("cid", b"", 0.0)[0]
    assert sorted(header.target for header, _ in ann.frames(0.0)) == ["bob", "cid"]


def test_another_encoding_or_other_headers_begin_a_frame() -> None:
    ann = sender()
    ann.send("bob", b"", 0.0)
    ann.send("bob", b"", 0.0, encoding=1)
    ann.send("bob", b"", 0.0, encoding=1, headers={"a": "b"})
    assert [header.sequence for header, _ in ann.frames(0.0)] == [1, 2, 3]


def test_frame_ends_at_the_size_that_the_way_takes() -> None:
    ann = sender()
    ann.run_bytes = 100
    for _ in range(3):
        ann.send("bob", b"x" * 60, 0.0)
    ann.send("bob", b"x" * 1_000, 0.0)
    assert [len(body) for _, body in ann.frames(0.0)] == [64, 64, 64, 1_004]


def test_only_as_much_is_given_out_as_there_is_room_for() -> None:
    ann = sender()
    for _ in range(10):
        ann.send("bob", b"x" * 96, 0.0)
    assert sequences(ann.frames(0.0, room_bytes=300)) == [1, 2, 3]
    assert ann.waits()
    assert sequences(ann.frames(0.0)) == list(range(4, 11))


def test_headers_count_as_much_as_what_they_come_with() -> None:
    ann = sender(limits=FlowLimits(bytes=1_000))
    ann.send("bob", b"", 0.0, ticket=1, headers={"trace": "x" * 900})
    with pytest.raises(Overloaded):
        ann.send("bob", b"", 0.0, headers={"trace": "x" * 900})
    (frame,) = ann.frames(0.0)
    ann.receive(receipt(frame, 1), 0.1)
    assert told(ann) == {1: "delivered"}
    assert ann.statistics()["waiting_bytes"] == 0


def test_receipt_tells_delivered_for_all_that_it_covers() -> None:
    ann = sender()
    for number in range(1, 4):
        ann.send("bob", b"", 0.0, ticket=number)
    (frame,) = ann.frames(0.0)
    ann.receive(receipt(frame, 2), 0.1)
    assert told(ann) == {1: "delivered", 2: "delivered"}


def test_receipt_of_a_gateway_tells_written() -> None:
    ann = sender()
    ann.send("bob", b"", 0.0, ticket=1)
    (frame,) = ann.frames(0.0)
    ann.receive(receipt(frame, 1, state="written"), 0.1)
    assert told(ann) == {1: "written"}


def test_receipt_from_somebody_else_or_of_another_flow_changes_nothing() -> None:
    ann = sender()
    ann.send("bob", b"", 0.0, ticket=1)
    ((header, _),) = ann.frames(0.0)
    ann.receive(type(receipt(header, 1))("ann", "", header.flow, 1, source="mallory"), 0.1)
    ann.receive(type(receipt(header, 1))("ann", "", header.flow + 1, 1, source="bob"), 0.1)
    assert told(ann) == {}


def test_receipt_of_what_was_never_sent_settles_no_more_than_what_was() -> None:
    ann = sender()
    ann.send("bob", b"", 0.0, ticket=1)
    (frame,) = ann.frames(0.0)
    ann.send("bob", b"", 0.0, ticket=2)
    ann.receive(receipt(frame, 10**18), 0.1)
    assert told(ann) == {1: "delivered"}


def test_message_without_a_receipt_is_repeated_with_growing_pauses() -> None:
    ann = sender()
    ann.send("bob", b"", 0.0, ttl_s=30.0)
    times = []
    ann.frames(0.0)
    while (at := ann.next_deadline()) < 29.0:
        ann.timer(at)
        if ann.frames(at):
            times.append(at)
    pauses = [later - earlier for earlier, later in zip([0.0, *times], times, strict=False)]
    assert TIMEOUT_FIRST_S <= pauses[0] <= TIMEOUT_FIRST_S * 1.25
    assert pauses[1] > pauses[0] * 1.5
    assert max(pauses) <= 2.5


def test_repeating_begins_with_few_and_goes_on_with_receipts() -> None:
    ann = sender()
    for _ in range(500):
        ann.send("bob", b"", 0.0)
    (frame,) = ann.frames(0.0)
    at = ann.next_deadline()
    ann.timer(at)
    assert sequences(ann.frames(at)) == list(range(1, FIRST_BURST + 1))
    ann.receive(receipt(frame, FIRST_BURST), at + 0.01)
    assert sequences(ann.frames(at + 0.01)) == list(range(FIRST_BURST + 1, FIRST_BURST * 3 + 1))


def test_what_the_receiver_holds_behind_a_gap_is_not_repeated() -> None:
    ann = sender()
    for _ in range(5):
        ann.send("bob", b"", 0.0)
    (frame,) = ann.frames(0.0)
    at = ann.next_deadline()
    ann.timer(at)
    ann.receive(receipt(frame, 1, 3, 4), at)
    assert sequences(ann.frames(at)) == [2, 5]


def test_after_a_timeout_what_was_held_is_repeated_too() -> None:
    """The receiver may have begun anew, and hold nothing."""
    ann = sender()
    for _ in range(3):
        ann.send("bob", b"", 0.0)
    (frame,) = ann.frames(0.0)
    ann.receive(receipt(frame, 0, 2, 3), 0.01)
    at = ann.next_deadline()
    ann.timer(at)
    assert sequences(ann.frames(at)) == [1, 2, 3]


def test_new_connection_repeats_at_once_all_that_has_no_receipt() -> None:
    ann = sender()
    for _ in range(3):
        ann.send("bob", b"", 0.0)
    (frame,) = ann.frames(0.0)
    ann.receive(receipt(frame, 1), 0.01)
    ann.suspend()
    ann.send("bob", b"", 0.02)
    assert ann.frames(0.02) == []
    ann.resume(0.03)
    assert sequences(ann.frames(0.03)) == [2, 3, 4]


def test_message_expires_at_its_time_also_without_a_connection() -> None:
    ann = sender()
    ann.suspend()
    ann.send("bob", b"", 0.0, ttl_s=3.0, ticket=1)
    assert ann.next_deadline() == 3.0
    ann.timer(3.0)
    assert told(ann) == {1: "expired"}
    assert ann.next_deadline() == inf


def test_message_that_expires_before_an_older_one_is_left_out_and_the_receiver_is_told() -> None:
    ann = sender()
    ann.send("bob", b"", 0.0, ttl_s=60.0, ticket="old")
    ann.send("bob", b"", 0.0, ttl_s=1.0, ticket="short")
    ann.send("bob", b"", 0.0, ttl_s=60.0, ticket="young")
    frame = ann.frames(0.0)[0]
    fire(ann, 1.0)
    assert told(ann) == {"short": "expired"}
    ann.receive(receipt(frame, 1), 1.1)
    assert [header.oldest for header, _ in ann.frames(1.1)] == [3]


def test_given_up_messages_are_told_by_a_frame_without_messages_where_the_rest_has_gone_out() -> None:
    ann = sender()
    ann.send("bob", b"", 0.0, ttl_s=0.1)
    ann.send("bob", b"", 0.0)
    ann.frames(0.0)
    fire(ann, 0.1)
    ((header, body),) = ann.frames(0.1)
    assert (header.sequence, header.oldest, body) == (3, 2, b"")


def test_message_to_an_unknown_client_has_no_route_after_five_seconds() -> None:
    ann = sender()
    ann.send("bob", b"", 0.0, ticket=1)
    now = 0.0
    verdicts: dict[object, str] = {}
    while not verdicts:
        for frame in ann.frames(now):
            ann.receive(receipt(frame, 1, code="no_route"), now)
        now = ann.next_deadline()
        ann.timer(now)
        verdicts = told(ann)
    assert (now, verdicts) == (5.0, {1: "no_route"})


def test_message_to_an_unknown_client_has_no_route_at_its_ttl_where_that_is_less() -> None:
    ann = sender()
    ann.send("bob", b"", 0.0, ttl_s=2.0, ticket=1)
    (frame,) = ann.frames(0.0)
    ann.receive(receipt(frame, 1, code="no_route"), 0.01)
    ann.timer(2.0)
    assert told(ann) == {1: "no_route"}


def test_client_that_has_acknowledged_before_is_waited_for_until_the_ttl() -> None:
    ann = sender()
    ann.send("bob", b"", 0.0)
    (frame,) = ann.frames(0.0)
    ann.receive(receipt(frame, 1), 0.01)
    ann.send("bob", b"", 1.0, ttl_s=20.0, ticket=2)
    ann.frames(1.0)
    ann.receive(receipt(frame, 2, code="no_route"), 1.01)
    ann.timer(20.9)
    assert told(ann) == {}
    ann.timer(21.0)
    assert told(ann) == {2: "expired"}


def test_refused_flow_holds_back_new_messages_until_it_is_tried_again() -> None:
    ann = sender()
    ann.send("bob", b"", 0.0)
    (frame,) = ann.frames(0.0)
    ann.receive(receipt(frame, 1, code="overloaded"), 0.01)
    ann.send("bob", b"", 0.02)
    assert ann.frames(0.02) == []
    at = ann.next_deadline()
    ann.timer(at)
    assert sequences(ann.frames(at)) == [1, 2]


def test_word_from_a_receiver_that_was_away_ends_the_waiting() -> None:
    ann = sender()
    ann.send("bob", b"", 0.0)
    (frame,) = ann.frames(0.0)
    ann.receive(receipt(frame, 1, code="no_route"), 0.01)
    ann.receive(receipt(frame, 0), 0.02)
    assert sequences(ann.frames(0.02)) == [1]


def test_receiver_that_is_back_and_waits_for_what_was_given_up_is_told_so() -> None:
    """Found by the simulation, seed 0x131: everything left was held by the receiver, and nobody said anything any more."""
    ann = sender()
    ann.send("bob", b"", 0.0, ttl_s=0.1)
    ann.send("bob", b"", 0.0)
    (frame,) = ann.frames(0.0)
    fire(ann, 0.1)
    ann.frames(0.1)
    ann.receive(receipt(frame, 2, code="no_route"), 0.11)
    ann.receive(receipt(frame, 0, 2), 0.12)
    assert [header.oldest for header, _ in ann.frames(0.12)] == [2]


def test_sender_of_messages_that_have_no_receipt_has_a_timer() -> None:
    ann = sender()
    ann.send("bob", b"", 0.0)
    (frame,) = ann.frames(0.0)
    ann.suspend()
    ann.resume(0.1)
    ann.receive(receipt(frame, 0, 1), 0.1)
    ann.frames(0.1)
    assert ann.next_deadline() < 3.0


def test_refusal_for_good_ends_all_that_had_gone_out_and_nothing_else() -> None:
    ann = sender()
    ann.send("bob", b"", 0.0, ticket=1)
    (frame,) = ann.frames(0.0)
    ann.send("bob", b"", 0.0, ticket=2)
    ann.receive(receipt(frame, 1, code="permission_denied"), 0.01)
    (verdict,) = ann.verdicts()
    assert (verdict.tickets, verdict.state, verdict.code) == ((1,), "refused", "permission_denied")
    ((header, body),) = ann.frames(0.02)
    assert (header.sequence, header.oldest, len(body)) == (2, 2, 4)


def test_flow_holds_so_many_messages_and_no_more() -> None:
    ann = sender(limits=FlowLimits(messages=3))
    for _ in range(3):
        ann.send("bob", b"", 0.0)
    with pytest.raises(Overloaded) as raised:
        ann.send("bob", b"", 0.0)
    assert raised.value.retry_after_s > 0
    ann.send("cid", b"", 0.0)


def test_flow_holds_so_many_bytes_and_no_more_but_one_message_of_any_size() -> None:
    ann = sender(limits=FlowLimits(bytes=100))
    ann.send("bob", b"x" * 1_000, 0.0)
    with pytest.raises(Overloaded):
        ann.send("bob", b"", 0.0)


def test_all_flows_together_hold_so_many_bytes() -> None:
    ann = sender(limits=FlowLimits(total_bytes=100))
    ann.send("bob", b"x" * 90, 0.0)
    with pytest.raises(Overloaded):
        ann.send("cid", b"x" * 10, 0.0)


def test_flow_with_nothing_under_way_gives_its_place_to_another() -> None:
    ann = sender(limits=FlowLimits(flows=2))
    ann.send("bob", b"", 0.0)
    ((header, _),) = ann.frames(0.0)
    ann.send("cid", b"", 0.0)
    with pytest.raises(Overloaded):
        ann.send("dan", b"", 0.0)
    ann.receive(receipt(header, 1), 0.01)
    ann.send("dan", b"", 0.02)
    assert ann.statistics()["flows"] == 2


@pytest.mark.parametrize("ttl_s", [0.0, -1.0, 3_600.1, inf, float("nan")])
def test_ttl_that_is_none_is_refused(ttl_s: float) -> None:
    with pytest.raises(InvalidRequest):
        sender().send("bob", b"", 0.0, ttl_s=ttl_s)


def test_closing_names_the_tickets_that_get_no_verdict() -> None:
    ann = sender()
    ann.send("bob", b"", 0.0, ticket=1)
    ann.send("bob", b"", 0.0)
    assert ann.close() == [1]
    assert ann.next_deadline() == inf


def test_many_messages_one_after_the_other_leave_no_timers_behind() -> None:
    ann = sender()
    for number in range(2_000):
        ann.send("bob", b"", number * 1.0, ttl_s=3_600.0)
        (frame,) = ann.frames(number * 1.0)
        ann.receive(receipt(frame, number + 1), number + 0.01)
        fire(ann, number + 0.99)
    assert ann.statistics()["timers"] <= 66


@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("send"), st.sampled_from((0.3, 2.0, 60.0))),
            st.tuples(st.just("receipt"), st.integers(-2, 40)),
            st.tuples(st.just("refuse"), st.integers(-2, 40)),
            st.tuples(st.just("wait"), st.floats(0.0, 4.0)),
            st.tuples(st.just("reconnect"), st.just(0)),
        ),
        max_size=60,
    )
)
def test_every_message_has_one_verdict_whatever_receipts_say(steps: list[tuple[str, float]]) -> None:
    ann = sender(limits=FlowLimits(messages=20))
    now, ticket, header = 0.0, 0, None
    verdicts: dict[object, str] = {}
    for what, value in steps:
        match what:
            case "send":
                with contextlib.suppress(Overloaded):
                    ann.send("bob", b"", now, ttl_s=value, ticket=ticket + 1)
                    ticket += 1
            case "receipt" if header is not None:
                ann.receive(receipt(header, int(value), int(value) + 2), now)
            case "refuse" if header is not None:
                ann.receive(receipt(header, int(value), code="no_route"), now)
            case "wait":
                fire(ann, now + value)
                now += value
            case "reconnect":
                ann.suspend()
                ann.resume(now)
        for header, _ in ann.frames(now):
            assert header.oldest <= header.sequence
        found = told(ann)
        assert not found.keys() & verdicts.keys()
        verdicts |= found
    fire(ann, now + 61.0)
    verdicts |= told(ann)
    assert verdicts.keys() == set(range(1, ticket + 1))
    assert ann.statistics()["waiting_bytes"] == 0
