"""Which subscription a run is for."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from majula.api.sdk.interests import Interests, Route, is_pattern, matches
from majula.wire.headers import RETAINED, Publish


class Want:
    def __init__(self, topic: str, *, queue: str = "", retained: bool = False) -> None:
        self.topic, self.pattern, self.queue, self.wants_retained = topic, is_pattern(topic), queue, retained


def route(interests: Interests[Want], header: Publish) -> Route[Want]:
    return interests.route(repr(header).encode(), header)


@pytest.mark.parametrize(
    ("pattern", "topic", "expected"),
    [
        ("a.*", "a.b", True),
        ("a.*", "a", False),
        ("a.*", "a.b.c", False),
        ("*.b", "a.b", True),
        ("a.>", "a.b", True),
        ("a.>", "a.b.c", True),
        ("a.>", "a", False),
        (">", "a", True),
        (">", "a.b.c", True),
        ("*", "a.b", False),
        ("a.*.c", "a..c", True),
    ],
)
def test_wildcards_match_levels(pattern: str, topic: str, expected: bool) -> None:
    assert matches(pattern.split("."), topic.split(".")) is expected


@pytest.mark.parametrize("topic", ["a.*", "*", ">", "a.>", "*.b"])
def test_a_topic_with_a_wildcard_level_is_a_pattern(topic: str) -> None:
    assert is_pattern(topic)


@pytest.mark.parametrize("topic", ["a", "a.b", "a-b", ""])
def test_a_topic_without_a_wildcard_is_literal(topic: str) -> None:
    assert not is_pattern(topic)


@pytest.mark.parametrize("topic", ["a*b", "a.b>", ">.a", "a*.b", "a.>.b"])
def test_a_wildcard_that_stands_where_none_may_is_left_to_the_gateway_to_refuse(topic: str) -> None:
    assert is_pattern(topic)


def test_everyone_whose_topic_matches_gets_the_run() -> None:
    interests: Interests[Want] = Interests()
    literal, pattern, other = Want("a.b"), Want("a.*"), Want("b")
    for want in (literal, pattern, other):
        interests.add(want)
    assert route(interests, Publish("a.b")).targets() == (literal, pattern)


def test_a_share_of_a_queue_group_goes_to_one_member_in_turn() -> None:
    interests: Interests[Want] = Interests()
    first, second, plain = Want("t", queue="q"), Want("t", queue="q"), Want("t")
    for want in (first, second, plain):
        interests.add(want)
    shares = route(interests, Publish("t", queue="q"))
    assert [shares.targets() for _ in range(3)] == [(first,), (second,), (first,)]


def test_a_plain_run_is_not_for_members_of_a_queue_group() -> None:
    interests: Interests[Want] = Interests()
    interests.add(Want("t", queue="q"))
    assert route(interests, Publish("t")).targets() == ()


def test_a_retained_value_is_for_those_who_asked_for_it() -> None:
    interests: Interests[Want] = Interests()
    asked, other = Want("t", retained=True), Want("t")
    interests.add(asked)
    interests.add(other)
    assert route(interests, Publish("t", flags=RETAINED)).targets() == (asked,)


def test_routes_are_worked_out_anew_when_a_subscription_comes_or_goes() -> None:
    interests: Interests[Want] = Interests()
    interests.add(Want("t"))
    route(interests, Publish("t"))
    late = Want("t")
    interests.add(late)
    assert interests.routes == {}
    route(interests, Publish("t"))
    interests.remove(late)
    assert interests.routes == {}


def test_a_removed_subscription_gets_nothing() -> None:
    interests: Interests[Want] = Interests()
    for want in (Want("a.b"), Want("a.*")):
        interests.add(want)
        interests.remove(want)
        interests.remove(want)
    assert route(interests, Publish("a.b")).targets() == ()
    assert list(interests) == []


def test_kept_routes_are_bounded() -> None:
    interests: Interests[Want] = Interests()
    for n in range(10_000):
        route(interests, Publish(f"t{n}"))
    assert len(interests.routes) <= 4_096


_levels = st.lists(st.sampled_from(["a", "b", ""]), min_size=1, max_size=4)


@given(_levels)
def test_a_topic_matches_itself_and_the_rest(levels: list[str]) -> None:
    assert matches(levels, levels)
    assert matches([">"], levels)
    assert matches(["*"] * len(levels), levels)
