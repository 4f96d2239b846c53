"""The entries of a table in the order of their last change."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from majula.tables.log import ChangeLog

STEP = st.tuples(st.sampled_from("abcdef"), st.one_of(st.none(), st.binary(max_size=2)))


def apply(log: ChangeLog, key: str, value: bytes | None) -> bool:
    return log.remove(key) if value is None else log.put(key, value)


@given(st.lists(STEP, max_size=60), st.integers(0, 60))
def test_holder_at_any_version_becomes_equal_by_what_came_after(steps: list[tuple[str, bytes | None]], at: int) -> None:
    log = ChangeLog()
    held: dict[str, bytes] = {}
    version = 0
    for number, (key, value) in enumerate(steps):
        if number == at:
            held, version = dict(log.items()), log.version
        apply(log, key, value)
    for _, key, value in log.after(version):
        if value is None:
            held.pop(key, None)
        else:
            held[key] = value
    assert held == dict(log.items())


@given(st.lists(STEP, max_size=60))
def test_each_key_comes_once_with_its_newest_value_oldest_change_first(steps: list[tuple[str, bytes | None]]) -> None:
    log = ChangeLog()
    for key, value in steps:
        apply(log, key, value)
    changes = list(log.after(0))
    assert [version for version, _, _ in changes] == sorted({version for version, _, _ in changes})
    assert len({key for _, key, _ in changes}) == len(changes)
    assert {key: value for _, key, value in changes if value is not None} == dict(log.items())


@given(st.lists(STEP, max_size=60))
def test_version_grows_with_every_change_and_with_nothing_else(steps: list[tuple[str, bytes | None]]) -> None:
    log = ChangeLog()
    for key, value in steps:
        before = log.version
        is_changed = apply(log, key, value)
        assert log.version == before + is_changed


def test_value_that_is_there_already_is_no_change() -> None:
    log = ChangeLog()
    assert log.put("a", b"1")
    assert not log.put("a", b"1")
    assert log.version == 1


def test_removals_that_were_forgotten_raise_the_floor() -> None:
    log = ChangeLog(tombstones=1)
    for key in "abc":
        log.put(key, b"1")
    log.remove("a")
    assert log.floor == 0
    log.remove("b")
    assert log.floor == 4, "who is behind the removal of a cannot learn of it any more"


def test_key_that_comes_back_is_no_removal_any_more() -> None:
    log = ChangeLog()
    log.put("a", b"1")
    log.remove("a")
    log.put("a", b"2")
    assert list(log.after(0)) == [(3, "a", b"2")]


def test_many_changes_of_one_key_do_not_pile_up() -> None:
    log = ChangeLog()
    for n in range(10_000):
        log.put("a", b"%d" % n)
    assert log.statistics()["changes"] < 200


def test_size_is_that_of_keys_and_values() -> None:
    log = ChangeLog()
    log.put("ab", b"123")
    log.put("c", b"1")
    log.put("ab", b"1")
    log.remove("c")
    assert log.size_bytes == 3


def test_copy_goes_on_from_a_later_version_and_never_from_an_earlier() -> None:
    log = ChangeLog()
    log.put("a", b"1")
    log.skip_to(9)
    log.put("b", b"1")
    assert [version for version, _, _ in log.after(0)] == [1, 10]
    with pytest.raises(ValueError, match="behind"):
        log.skip_to(3)
