"""Who of a queue group gets the next message."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from majula.topics.interest import Group
from majula.topics.queue_groups import TURNS_LIMIT, QueueGroups

ONE, TWO, THREE = "gateway:1", "gateway:2", "gateway:3"


def everybody(role: str) -> bool:
    return True


def test_members_take_turns() -> None:
    groups: QueueGroups[str] = QueueGroups(ONE)
    assert [groups.pick_member("q", ("a", "b", "c")) for _ in range(6)] == ["a", "b", "c", "a", "b", "c"]


def test_least_loaded_member_is_taken() -> None:
    groups: QueueGroups[str] = QueueGroups(ONE)
    load = {"a": 5, "b": 0, "c": 9}
    assert {groups.pick_member("q", ("a", "b", "c"), load.__getitem__) for _ in range(5)} == {"b"}


def test_equally_loaded_members_take_turns() -> None:
    groups: QueueGroups[str] = QueueGroups(ONE)
    assert Counter(groups.pick_member("q", ("a", "b", "c"), lambda _: 7) for _ in range(9)) == {"a": 3, "b": 3, "c": 3}


def test_group_without_members_has_nobody() -> None:
    groups: QueueGroups[str] = QueueGroups(ONE)
    assert groups.pick_member("q", ()) is None
    assert groups.pick_gateway(Group[str]("q", (), ()), everybody) is None


def test_group_that_is_here_alone_is_served_here() -> None:
    groups: QueueGroups[str] = QueueGroups(ONE)
    assert groups.pick_gateway(Group("q", ("a",), ()), everybody) == ONE


@given(st.integers(0, 4), st.integers(1, 4), st.integers(1, 4))
def test_gateways_are_picked_exactly_as_often_as_they_have_members(here: int, two: int, three: int) -> None:
    groups: QueueGroups[int] = QueueGroups(ONE)
    group = Group("q", tuple(range(here)), ((TWO, two), (THREE, three)))
    total = here + two + three
    picked = Counter(groups.pick_gateway(group, everybody) for _ in range(3 * total))
    assert picked == {gateway: 3 * n for gateway, n in ((ONE, here), (TWO, two), (THREE, three)) if n}


def test_picks_alternate_instead_of_coming_in_blocks() -> None:
    groups: QueueGroups[str] = QueueGroups(ONE)
    group = Group("q", ("a", "b"), ((TWO, 1),))
    assert [groups.pick_gateway(group, everybody) for _ in range(3)] == [ONE, TWO, ONE]


def test_gateway_that_is_away_is_left_out() -> None:
    groups: QueueGroups[str] = QueueGroups(ONE)
    group = Group[str]("q", (), ((TWO, 3), (THREE, 1)))
    assert {groups.pick_gateway(group, lambda role: role != TWO) for _ in range(4)} == {THREE}
    assert groups.pick_gateway(group, lambda role: False) is None


def test_turns_of_many_groups_are_bounded_and_picking_goes_on() -> None:
    groups: QueueGroups[str] = QueueGroups(ONE)
    for n in range(2 * TURNS_LIMIT):
        assert groups.pick_member(f"q{n}", ("a", "b")) == "a"
