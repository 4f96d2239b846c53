"""One table to many holders."""

from __future__ import annotations

import itertools
from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from majula.messages.base import Message
from majula.messages.tables import Ask, Confirmed, Delta, Snapshot
from majula.tables.effects import Effect, InForce, Send, Unconfirmed
from majula.tables.holder import TableHolder
from majula.tables.publisher import COALESCE_S, Limits, TablePublisher


def parts(effects: list[Effect], to: str | None = None) -> list[Message]:
    return [effect.message for effect in effects if isinstance(effect, Send) and to in (None, effect.to)]


def begin(publisher: TablePublisher, *holders: str) -> None:
    """Holders that are level."""
    for holder in holders:
        for message in parts(publisher.receive(holder, Ask("t", 0, 0), 0.0)):
            assert isinstance(message, Snapshot)
            publisher.receive(holder, Confirmed("t", message.epoch, message.version, message.version), 0.0)


def confirm(publisher: TablePublisher, holder: str, version: int, *, in_force: int | None = None) -> list[Effect]:
    in_force = version if in_force is None else in_force
    return publisher.receive(holder, Confirmed("t", publisher.epoch, version, in_force), 0.0)


def test_who_asks_with_nothing_gets_the_whole_table() -> None:
    publisher = TablePublisher("t", epoch=5)
    publisher.put("a", b"1", 0.0)
    publisher.put("b", b"2", 0.0)
    assert parts(publisher.receive("h", Ask("t", 0, 0), 0.0)) == [Snapshot("t", 5, 0, 2, True, 2, {"a": b"1", "b": b"2"})]


def test_who_asks_an_empty_table_gets_it() -> None:
    assert parts(TablePublisher("t", epoch=5).receive("h", Ask("t", 0, 0), 0.0)) == [Snapshot("t", 5, 0, 0, True, 0, {})]


def test_who_asks_from_a_known_version_gets_what_it_lacks() -> None:
    publisher = TablePublisher("t", epoch=5)
    for key in "abc":
        publisher.put(key, b"1", 0.0)
    publisher.remove("a", 0.0)
    assert parts(publisher.receive("h", Ask("t", 5, 2), 0.0)) == [Delta("t", 5, 2, 4, True, {"c": b"1"}, ["a"])]


def test_who_asks_from_before_a_forgotten_removal_gets_the_whole_table() -> None:
    publisher = TablePublisher("t", epoch=5, limits=Limits(tombstones=0))
    publisher.put("a", b"1", 0.0)
    publisher.put("b", b"1", 0.0)
    publisher.remove("a", 0.0)
    assert parts(publisher.receive("h", Ask("t", 5, 2), 0.0)) == [Snapshot("t", 5, 0, 3, True, 3, {"b": b"1"})]


def test_changes_within_five_milliseconds_are_one_delta() -> None:
    publisher = TablePublisher("t", epoch=5)
    begin(publisher, "h")
    publisher.put("a", b"1", 1.0)
    publisher.put("b", b"1", 1.004)
    assert publisher.next_deadline() == 1.0 + COALESCE_S
    assert parts(publisher.timer(1.0 + COALESCE_S)) == [Delta("t", 5, 0, 2, True, {"a": b"1", "b": b"1"})]


def test_change_that_changes_nothing_is_not_sent() -> None:
    publisher = TablePublisher("t", epoch=5)
    publisher.put("a", b"1", 0.0)
    begin(publisher, "h")
    publisher.timer(1.0)
    publisher.put("a", b"1", 1.0)
    assert not publisher.remove("z", 1.0)
    assert publisher.next_deadline() == inf


def test_large_table_comes_in_parts_and_no_more_than_the_window_ahead() -> None:
    publisher = TablePublisher("t", epoch=5, limits=Limits(part_bytes=10, window_bytes=25))
    for n in range(10):
        publisher.put(str(n), b"123456789", 0.0)
    first = parts(publisher.receive("h", Ask("t", 0, 0), 0.0))
    assert [(m.base, m.version) for m in first if isinstance(m, Snapshot) and not m.is_last] == [(0, 1), (1, 2), (2, 3)]
    assert [m.version for m in parts(confirm(publisher, "h", 1)) if isinstance(m, Snapshot)] == [4]


def test_key_that_changes_while_parts_are_sent_comes_in_a_later_part() -> None:
    publisher = TablePublisher("t", epoch=5, limits=Limits(part_entries=1, window_bytes=2))
    for key in "abc":
        publisher.put(key, b"1", 0.0)
    publisher.receive("h", Ask("t", 0, 0), 0.0)
    publisher.put("a", b"2", 0.0)
    publisher.remove("b", 0.0)
    seen: list[Message] = []
    for version in (1, 3, 4, 5):
        seen += parts(confirm(publisher, "h", version))
    assert [(m.entries, m.removed, m.is_last) for m in seen if isinstance(m, Snapshot)] == [
        ({"c": b"1"}, [], False),
        ({"a": b"2"}, [], False),
        ({}, ["b"], True),
    ]


def test_refused_part_is_sent_again_when_the_holder_takes_messages() -> None:
    publisher = TablePublisher("t", epoch=5)
    begin(publisher, "h")
    publisher.put("a", b"1", 1.0)
    (refused,) = parts(publisher.timer(1.005))
    publisher.refused("h", refused, 1.005)
    publisher.put("b", b"1", 1.1)
    assert parts(publisher.timer(1.2)) == []
    assert parts(publisher.writable("h", 1.3)) == [Delta("t", 5, 0, 2, True, {"a": b"1", "b": b"1"})]


def test_refused_part_is_sent_again_by_the_timer_too() -> None:
    publisher = TablePublisher("t", epoch=5)
    begin(publisher, "h")
    publisher.put("a", b"1", 1.0)
    (refused,) = parts(publisher.timer(1.005))
    publisher.refused("h", refused, 1.005)
    assert parts(publisher.timer(publisher.next_deadline())) == [refused]


def test_holder_that_does_not_confirm_is_asked_at_growing_intervals() -> None:
    publisher = TablePublisher("t", epoch=5)
    begin(publisher, "h")
    publisher.put("a", b"1", 0.0)
    publisher.timer(0.005)
    asked_at = []
    for _ in range(5):
        asked_at.append(publisher.next_deadline())
        assert parts(publisher.timer(asked_at[-1])) == [Delta("t", 5, 1, 1, True, {})]
    gaps = [later - earlier for earlier, later in itertools.pairwise(asked_at)]
    assert gaps == pytest.approx([2.0, 4.0, 8.0, 8.0])


def test_confirmed_holder_leaves_no_timer() -> None:
    publisher = TablePublisher("t", epoch=5)
    begin(publisher, "h")
    publisher.put("a", b"1", 0.0)
    publisher.timer(0.005)
    confirm(publisher, "h", 1)
    assert publisher.next_deadline() == inf


# --- in force


def test_token_is_in_force_when_every_holder_has_confirmed() -> None:
    publisher = TablePublisher("t", epoch=5)
    begin(publisher, "g", "h")
    publisher.put("a", b"1", 0.0)
    assert len(parts(publisher.confirm(7, 0.0))) == 2, "it is sent at once"
    assert confirm(publisher, "g", 1) == []
    assert confirm(publisher, "h", 1) == [InForce(7)]


def test_token_is_in_force_at_once_where_nothing_has_changed() -> None:
    publisher = TablePublisher("t", epoch=5)
    begin(publisher, "h")
    assert publisher.confirm(7, 0.0) == [InForce(7)]


def test_received_is_not_in_force() -> None:
    publisher = TablePublisher("t", epoch=5)
    begin(publisher, "h")
    publisher.put("a", b"1", 0.0)
    publisher.confirm(7, 0.0)
    assert confirm(publisher, "h", 1, in_force=0) == []
    assert confirm(publisher, "h", 1, in_force=1) == [InForce(7)]


def test_holder_that_goes_away_is_waited_for_no_longer() -> None:
    publisher = TablePublisher("t", epoch=5)
    begin(publisher, "g", "h")
    publisher.put("a", b"1", 0.0)
    publisher.confirm(7, 0.0)
    confirm(publisher, "g", 1)
    assert publisher.gone("h", 0.0) == [InForce(7)]


def test_holder_that_is_expected_is_waited_for_though_it_has_not_asked() -> None:
    publisher = TablePublisher("t", epoch=5)
    begin(publisher, "g")
    publisher.expect("h")
    publisher.put("a", b"1", 0.0)
    publisher.confirm(7, 0.0)
    assert confirm(publisher, "g", 1) == []
    publisher.receive("h", Ask("t", 0, 0), 0.0)
    assert confirm(publisher, "h", 1) == [InForce(7)]


def test_table_that_needs_a_holder_is_in_force_nowhere_without_one() -> None:
    publisher = TablePublisher("t", epoch=5, needs_holder=True)
    assert publisher.confirm(7, 0.0, timeout_s=2.0) == []
    assert publisher.next_deadline() == 2.0
    assert publisher.timer(2.0) == [Unconfirmed(7, "timeout")]
    assert publisher.next_deadline() == inf


def test_slice_is_confirmed_anew_each_time() -> None:
    """The holder's earlier word may be older than a gateway that has come since."""
    publisher = TablePublisher("t", epoch=5, needs_holder=True)
    begin(publisher, "h")
    assert parts(publisher.confirm(7, 0.0)) == [Delta("t", 5, 0, 1, True, {}, is_urgent=True)]
    assert confirm(publisher, "h", 1) == [InForce(7)]


def test_closed_table_is_in_force_nowhere_and_sent_to_nobody() -> None:
    publisher = TablePublisher("t", epoch=5, is_open=False)
    publisher.put("a", b"1", 0.0)
    assert publisher.receive("h", Ask("t", 0, 0), 0.0) == []
    assert publisher.confirm(7, 0.0) == []
    assert parts(publisher.open(0.0)) == [Snapshot("t", 5, 0, 1, True, 1, {"a": b"1"}, is_urgent=True)]
    assert confirm(publisher, "h", 1) == [InForce(7)]


def test_part_that_is_not_the_last_puts_nothing_in_force() -> None:
    """A key that was changed when the token was given may have moved behind the part."""
    publisher = TablePublisher("t", epoch=5, limits=Limits(part_entries=1, window_bytes=1))
    holder = TableHolder("t")
    begin(publisher, "h")
    for message in parts(publisher.receive("h", Ask("t", 0, 0), 0.0)):
        assert isinstance(message, Snapshot)
        holder.receive(message, 0.0)
    publisher.put("a", b"1", 0.0)
    publisher.put("b", b"1", 0.0)
    sent = parts(publisher.confirm(7, 0.0))
    publisher.put("b", b"2", 0.0)
    settled: list[Effect] = []
    while sent:
        message = sent.pop(0)
        assert isinstance(message, Snapshot | Delta)
        for answer in holder.receive(message, 0.0)[1]:
            assert isinstance(answer, Ask | Confirmed)
            effects = publisher.receive("h", answer, 0.0)
            settled += [effect for effect in effects if isinstance(effect, InForce)]
            sent += parts(effects)
            assert not settled or "b" in holder.entries
    assert settled == [InForce(7)]


def test_too_many_tokens_are_refused() -> None:
    publisher = TablePublisher("t", epoch=5, needs_holder=True, limits=Limits(tokens=1))
    publisher.confirm(1, 0.0)
    assert publisher.confirm(2, 0.0) == [Unconfirmed(2, "too_many")]


def test_tokens_time_out_each_at_its_own_time() -> None:
    publisher = TablePublisher("t", epoch=5, needs_holder=True)
    publisher.confirm(1, 0.0, timeout_s=3.0)
    publisher.confirm(2, 0.0, timeout_s=1.0)
    assert publisher.timer(1.0) == [Unconfirmed(2, "timeout")]
    assert publisher.timer(3.0) == [Unconfirmed(1, "timeout")]


def test_word_of_another_epoch_or_of_a_stranger_has_no_effect() -> None:
    publisher = TablePublisher("t", epoch=5)
    begin(publisher, "h")
    publisher.put("a", b"1", 0.0)
    publisher.confirm(7, 0.0)
    assert publisher.receive("h", Confirmed("t", 4, 1, 1), 0.0) == []
    assert publisher.receive("stranger", Confirmed("t", 5, 1, 1), 0.0) == []


def test_question_that_was_overtaken_by_its_answer_does_not_bring_the_holder_back() -> None:
    publisher = TablePublisher("t", epoch=5, limits=Limits(part_entries=1, window_bytes=1))
    begin(publisher, "h")
    for key in "abc":
        publisher.put(key, b"1", 0.0)
    publisher.timer(0.005)
    confirm(publisher, "h", 1)
    publisher.receive("h", Ask("t", 5, 0), 0.0)  # asked before it had 1 and 2
    assert [m.version for m in parts(confirm(publisher, "h", 2)) if isinstance(m, Delta)] == [3]


def test_confirmation_of_what_was_never_sent_has_no_effect() -> None:
    publisher = TablePublisher("t", epoch=5)
    begin(publisher, "h")
    publisher.put("a", b"1", 0.0)
    assert confirm(publisher, "h", 99) == []
    assert publisher.level() == 0


@given(st.lists(st.tuples(st.sampled_from("abc"), st.one_of(st.none(), st.binary(max_size=1)), st.booleans()), max_size=30))
def test_holder_that_loses_any_deltas_becomes_equal(steps: list[tuple[str, bytes | None, bool]]) -> None:
    publisher = TablePublisher("t", epoch=5, limits=Limits(part_entries=2, window_bytes=4, tombstones=2))
    holder = TableHolder("t")
    now = 0.0
    to_publisher = holder.publisher_here(now)

    def exchange(effects: list[Effect], is_lost: bool) -> None:
        queue = [] if is_lost else parts(effects)
        while queue or to_publisher:
            while to_publisher:
                answer = to_publisher.pop(0)
                assert isinstance(answer, Ask | Confirmed)
                queue += parts(publisher.receive("h", answer, now))
            if queue:
                message = queue.pop(0)
                assert isinstance(message, Snapshot | Delta)
                to_publisher.extend(holder.receive(message, now)[1])

    exchange([], False)
    for key, value, is_lost in steps:
        now += 0.01
        (publisher.remove(key, now) if value is None else publisher.put(key, value, now))
        exchange(publisher.timer(now + COALESCE_S), is_lost)
    for _ in range(12):
        now = max(now, min(publisher.next_deadline(), holder.next_deadline(), now + 8.0))
        to_publisher.extend(holder.timer(now))
        exchange(publisher.timer(now), False)
    assert dict(holder.entries) == dict(publisher.items())
    assert (publisher.next_deadline(), holder.next_deadline()) == (inf, inf)
