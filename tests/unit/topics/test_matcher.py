"""From a topic to everybody whose subscription matches it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from majula.topics.matcher import Matcher
from majula.topics.subjects import has_wildcard, matches

LEVEL = st.sampled_from(["a", "b", "$SYS", ""])
TOPIC = st.lists(LEVEL, min_size=1, max_size=4).map(".".join)
PATTERN = st.tuples(st.lists(st.sampled_from(["a", "b", "*", "$SYS", ""]), min_size=1, max_size=3), st.booleans()).map(
    lambda parts: ".".join(parts[0]) + (".>" if parts[1] else "")
)
PAIR = st.one_of(st.tuples(TOPIC, st.just(False), st.integers(0, 3)), st.tuples(PATTERN, st.just(True), st.integers(0, 3)))
STEP = st.tuples(st.booleans(), PAIR, TOPIC)


def wants(subject: str, pattern: bool, topic: str) -> bool:
    return matches(subject, topic) if pattern else subject == topic


@pytest.mark.slow
@given(st.lists(STEP, max_size=40))
def test_matcher_agrees_with_the_definition_after_any_changes(steps: list[tuple[bool, tuple[str, bool, int], str]]) -> None:
    matcher: Matcher[int] = Matcher(cache_limit=3)
    pairs: set[tuple[str, bool, int]] = set()
    for is_added, (subject, pattern, value), topic in steps:
        pair = (subject, pattern and has_wildcard(subject), value)
        if is_added:
            assert matcher.add(subject, pattern, value) == (pair not in pairs)
            pairs.add(pair)
        else:
            assert matcher.remove(subject, pattern, value) == (pair in pairs)
            pairs.discard(pair)
        for _ in range(2):  # the second is from the cache
            assert sorted(matcher.match(topic)) == sorted({v for s, p, v in pairs if wants(s, p, topic)})
    assert len(matcher) == len(pairs)


@pytest.mark.slow
@given(st.lists(PAIR, max_size=20))
def test_matcher_is_empty_when_everything_was_removed(pairs: list[tuple[str, bool, int]]) -> None:
    matcher: Matcher[int] = Matcher()
    for subject, pattern, value in pairs:
        matcher.add(subject, pattern, value)
    for subject, pattern, value in pairs:
        matcher.remove(subject, pattern, value)
    assert len(matcher) == 0
    assert matcher.statistics()["topics"] == matcher.statistics()["patterns"] == 0
    assert matcher.match("a.b") == ()


def test_value_that_wants_a_topic_twice_is_given_once() -> None:
    matcher: Matcher[str] = Matcher()
    matcher.add("a.b", False, "ann")
    matcher.add("a.*", True, "ann")
    assert matcher.match("a.b") == ("ann",)


def test_cache_of_results_is_bounded() -> None:
    matcher: Matcher[str] = Matcher(cache_limit=10)
    matcher.add(">", True, "all")
    for n in range(100):
        assert matcher.match(f"t.{n}") == ("all",)
    assert matcher.statistics()["cached"] == 10


def test_literal_subscription_to_wildcard_characters_is_no_pattern() -> None:
    matcher: Matcher[str] = Matcher()
    matcher.add("a.*", False, "ann")
    assert matcher.match("a.*") == ("ann",)
    assert matcher.match("a.b") == ()


def test_topic_of_many_levels_with_many_wildcards_costs_no_more_than_there_are_patterns() -> None:
    matcher: Matcher[int] = Matcher()
    for n in range(60):
        matcher.add(".".join("*" if n & (1 << bit) else "a" for bit in range(6)) + ".>", True, n)
    assert len(matcher.match("a." * 120 + "a")) == 60
