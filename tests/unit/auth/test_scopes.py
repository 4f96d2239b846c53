"""What a scope may look like, and what it covers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from majula.auth.scopes import VERBS, Scope, covers, overlaps, parse_scope, parse_scopes
from majula.errors import InvalidRequest
from majula.topics.subjects import check_pattern, matches

LEVELS = st.sampled_from(["a", "b", "*", ">", "$SYS"])


def as_levels(pattern: str) -> tuple[str, ...]:
    return tuple(pattern.split("."))


def is_valid(pattern: str) -> bool:
    try:
        check_pattern(pattern)
    except InvalidRequest:
        return False
    return True


PATTERNS = st.lists(LEVELS, min_size=1, max_size=4).map(".".join).filter(is_valid)
TOPICS = st.lists(st.sampled_from(["a", "b", "c", "$SYS"]), min_size=1, max_size=5).map(".".join)


@pytest.mark.parametrize("verb", VERBS)
def test_scope_reads_back_as_it_was_written(verb: str) -> None:
    assert str(parse_scope(f"{verb}:orders.*")) == f"{verb}:orders.*"
    assert str(parse_scope(f"-{verb}:orders.>")) == f"-{verb}:orders.>"


def test_pattern_of_a_scope_may_have_colons() -> None:
    assert parse_scope("call:math:add") == Scope(verb="call", pattern="math:add")


@pytest.mark.parametrize(
    "text", ["", "publish", ":a", "-", "-:a", "publish:", "publish:a.>.b", "publish:a*", "publish:a\n", "fly:a"]
)
def test_what_is_no_scope_is_refused(text: str) -> None:
    with pytest.raises(InvalidRequest):
        parse_scope(text)


def test_misspelt_verb_is_refused_with_the_nearest_one() -> None:
    with pytest.raises(InvalidRequest, match="did you mean `publish`"):
        parse_scope("publsh:a")


def test_token_with_too_many_scopes_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="at most 128"):
        parse_scopes(tuple(f"publish:t{n}" for n in range(129)))


@given(allowed=PATTERNS, topic=TOPICS)
def test_pattern_covers_a_literal_topic_exactly_where_it_matches(allowed: str, topic: str) -> None:
    assert covers(as_levels(allowed), as_levels(topic), pattern=False) == matches(allowed, topic)


@given(allowed=PATTERNS, wanted=PATTERNS, topic=TOPICS)
def test_what_a_covered_pattern_matches_is_matched_by_the_covering_one(allowed: str, wanted: str, topic: str) -> None:
    if covers(as_levels(allowed), as_levels(wanted), pattern=True) and matches(wanted, topic):
        assert matches(allowed, topic)


@given(denied=PATTERNS, wanted=PATTERNS, topic=TOPICS)
def test_patterns_that_match_one_topic_overlap(denied: str, wanted: str, topic: str) -> None:
    if matches(denied, topic) and matches(wanted, topic):
        assert overlaps(as_levels(denied), as_levels(wanted), pattern=True)


@given(pattern=PATTERNS)
def test_pattern_covers_and_overlaps_itself(pattern: str) -> None:
    assert covers(as_levels(pattern), as_levels(pattern), pattern=True)
    assert overlaps(as_levels(pattern), as_levels(pattern), pattern=True)


@given(first=PATTERNS, second=PATTERNS)
def test_overlap_is_mutual(first: str, second: str) -> None:
    one, other = as_levels(first), as_levels(second)
    assert overlaps(one, other, pattern=True) == overlaps(other, one, pattern=True)


@given(text=st.text(max_size=300))
def test_any_text_is_a_scope_that_reads_back_or_is_refused(text: str) -> None:
    try:
        scope = parse_scope(text)
    except InvalidRequest:
        return
    assert str(scope) == text
