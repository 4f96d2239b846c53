"""One copy of a table."""

from __future__ import annotations

import itertools
from math import inf

import pytest

from majula.messages.base import Message
from majula.messages.tables import Ask, Confirmed, Delta, Snapshot
from majula.tables.holder import TableHolder


def level(**entries: bytes) -> TableHolder:
    """A holder at version 3 of epoch 5."""
    holder = TableHolder("t")
    holder.publisher_here(0.0)
    holder.receive(Snapshot("t", 5, 0, 3, True, 4, entries), 0.0)
    return holder


def changed(holder: TableHolder, message: Snapshot | Delta) -> tuple[dict[str, bytes], list[str], bool] | None:
    difference, _ = holder.receive(message, 0.0)
    return None if difference is None else (difference.entries, difference.removed, difference.is_snapshot)


def answers(holder: TableHolder, message: Snapshot | Delta, now: float = 0.0) -> list[Message]:
    return holder.receive(message, now)[1]


def test_publisher_that_appears_is_asked_from_what_is_held() -> None:
    holder = TableHolder("t")
    assert holder.publisher_here(0.0) == [Ask("t", 0, 0)]
    holder = level(a=b"1")
    holder.publisher_gone()
    assert holder.publisher_here(1.0) == [Ask("t", 5, 3)]


def test_question_without_answer_is_asked_again_at_growing_intervals() -> None:
    holder = TableHolder("t")
    holder.publisher_here(0.0)
    asked_at = [0.0]
    for _ in range(6):
        asked_at.append(holder.next_deadline())
        assert holder.timer(asked_at[-1]) == [Ask("t", 0, 0)]
    assert [b - a for a, b in itertools.pairwise(asked_at)] == pytest.approx([0.5, 1.0, 2.0, 4.0, 8.0, 8.0])


def test_copy_that_is_level_arms_no_timer() -> None:
    assert level(a=b"1").next_deadline() == inf


def test_copy_stays_when_its_publisher_is_away_and_is_not_current_then() -> None:
    holder = level(a=b"1")
    assert holder.is_current
    holder.publisher_gone()
    assert not holder.is_current
    assert dict(holder.entries) == {"a": b"1"}
    assert holder.next_deadline() == inf


def test_delta_changes_the_copy_and_is_confirmed() -> None:
    holder = level(a=b"1", b=b"1")
    delta = Delta("t", 5, 3, 5, True, {"c": b"1"}, ["a"])
    assert changed(holder, delta) == ({"c": b"1"}, ["a"], False)
    assert dict(holder.entries) == {"b": b"1", "c": b"1"}
    assert answers(holder, delta) == [Confirmed("t", 5, 5, 5)]


def test_change_that_is_told_is_only_what_differs() -> None:
    assert changed(level(a=b"1"), Delta("t", 5, 3, 5, True, {"a": b"1"}, ["z"])) is None


def test_snapshot_of_another_epoch_tells_the_difference() -> None:
    holder = level(a=b"1", b=b"1", c=b"1")
    assert changed(holder, Snapshot("t", 6, 0, 1, True, 4, {"a": b"1", "b": b"2", "d": b"1"})) == (
        {"b": b"2", "d": b"1"},
        ["c"],
        True,
    )
    assert (holder.epoch, holder.version) == (6, 1)


def test_snapshot_in_parts_is_taken_as_a_whole() -> None:
    holder = level(a=b"1")
    assert changed(holder, Snapshot("t", 6, 0, 2, False, 4, {"x": b"1", "y": b"1"})) is None
    assert dict(holder.entries) == {"a": b"1"}, "the last table is in force until the new one is whole"
    assert changed(holder, Snapshot("t", 6, 2, 4, True, 4, {"z": b"1"}, ["x"])) == ({"y": b"1", "z": b"1"}, ["a"], True)


def test_part_of_a_snapshot_is_received_and_not_in_force() -> None:
    assert answers(level(), Snapshot("t", 6, 0, 2, False, 4, {"x": b"1"})) == [Confirmed("t", 6, 2, -1)]


def test_missing_part_of_a_snapshot_is_a_gap() -> None:
    holder = level(a=b"1")
    answers(holder, Snapshot("t", 6, 0, 2, False, 4, {"x": b"1"}))
    assert answers(holder, Snapshot("t", 6, 3, 4, True, 4, {"z": b"1"})) == [Ask("t", 5, 3)]
    assert dict(holder.entries) == {"a": b"1"}


def test_parts_of_two_snapshots_do_not_fit_together() -> None:
    """What was removed between the two is in neither, and would come back."""
    holder = level(a=b"1")
    answers(holder, Snapshot("t", 5, 0, 4, False, 5, {"gone": b"1"}))
    assert answers(holder, Snapshot("t", 5, 4, 7, True, 6, {"x": b"1"})) == [Ask("t", 5, 3)]
    assert dict(holder.entries) == {"a": b"1"}


def test_lost_delta_is_a_gap_and_one_question_is_enough() -> None:
    holder = level(a=b"1")
    assert answers(holder, Delta("t", 5, 4, 5, True, {"c": b"1"})) == [Ask("t", 5, 3)]
    assert answers(holder, Delta("t", 5, 5, 6, True, {"d": b"1"})) == []
    assert answers(holder, Delta("t", 5, 3, 6, True, {"b": b"1"})) == [Confirmed("t", 5, 6, 6)]
    assert holder.next_deadline() == inf


def test_delta_that_came_before_is_confirmed_and_changes_nothing() -> None:
    holder = level(a=b"1")
    assert holder.receive(Delta("t", 5, 0, 2, True, {"a": b"old"}), 0.0) == (None, [Confirmed("t", 5, 3, 3)])


def test_delta_of_another_epoch_is_a_gap() -> None:
    assert answers(level(a=b"1"), Delta("t", 6, 3, 4, True, {"b": b"1"})) == [Ask("t", 5, 3)]


def test_late_snapshot_does_not_bring_the_copy_back_in_time() -> None:
    holder = level(a=b"1")
    assert changed(holder, Snapshot("t", 5, 0, 2, True, 4, {"old": b"1"})) is None
    assert (holder.version, dict(holder.entries)) == (3, {"a": b"1"})


def test_question_of_the_publisher_is_answered_with_where_we_are() -> None:
    assert answers(level(), Delta("t", 5, 3, 3, True, {})) == [Confirmed("t", 5, 3, 3)]
    assert answers(level(), Delta("t", 5, 7, 7, True, {})) == [Ask("t", 5, 3)]


def test_part_that_is_not_the_last_puts_nothing_in_force() -> None:
    assert answers(level(), Delta("t", 5, 3, 4, False, {"a": b"1"})) == [Confirmed("t", 5, 4, 3)]


def test_relay_puts_in_force_what_it_is_told_to() -> None:
    holder = TableHolder("t", is_relay=True)
    holder.publisher_here(0.0)
    assert answers(holder, Snapshot("t", 5, 0, 3, True, 4, {})) == [Confirmed("t", 5, 3, -1)]
    assert holder.set_in_force(3) == [Confirmed("t", 5, 3, 3)]
    assert holder.set_in_force(3) == []
