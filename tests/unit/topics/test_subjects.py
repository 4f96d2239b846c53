"""What a topic and a pattern may look like, and when they match."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from majula.errors import InvalidRequest, MajulaError, PermissionDenied
from majula.topics.subjects import check_pattern, check_publish, check_subject, check_topic, from_key, matches, subject_key


@pytest.mark.parametrize("topic", ["a", "a.b.c", "a..b", ".", "温度.厨房", "with space", "a*b", "*", ">", "x" * 256, "👨‍👩‍👧"])
def test_topic_is_any_utf8_text_without_control_characters(topic: str) -> None:
    assert check_topic(topic) == topic


@pytest.mark.parametrize(
    "topic", ["", "x" * 257, "é" * 129, "a\nb", "a\x00", "a\x7f", "a\x85b", "a\u2028b", "\ud800", "\x1b[31m"]
)
def test_topic_that_is_empty_long_or_has_control_characters_is_refused(topic: str) -> None:
    with pytest.raises(InvalidRequest):
        check_topic(topic)


@pytest.mark.parametrize("topic", ["$SYS.link.down", "$SYS.", "$SYS"])
def test_topics_of_the_node_are_not_for_clients_to_publish(topic: str) -> None:
    with pytest.raises(PermissionDenied):
        check_publish(topic)


@pytest.mark.parametrize("topic", ["$SYSTEM", "a.$SYS.b", "$sys.a"])
def test_topics_that_merely_look_like_the_nodes_are_ordinary(topic: str) -> None:
    assert check_publish(topic) == topic


@pytest.mark.parametrize("pattern", ["*", ">", "a.*", "*.b", "a.>", "*.*.>", "a.b", "$SYS.>"])
def test_wildcards_are_whole_levels(pattern: str) -> None:
    assert check_pattern(pattern) == pattern


@pytest.mark.parametrize("pattern", ["a*", "a.b*.c", ">.a", "a.>.b", "a.>>", "**", "a.*b"])
def test_wildcard_inside_a_level_or_a_rest_before_the_end_is_refused(pattern: str) -> None:
    with pytest.raises(InvalidRequest):
        check_pattern(pattern)


def test_pattern_has_at_most_sixteen_levels_and_a_topic_any_number() -> None:
    assert check_pattern(".".join("*" * 16))
    assert check_pattern(".".join("a" * 128))
    with pytest.raises(InvalidRequest):
        check_pattern(".".join("*" * 17))


def test_without_pattern_wildcards_are_ordinary_characters() -> None:
    assert check_subject("a*.>.b", pattern=False) == "a*.>.b"


@pytest.mark.parametrize(
    ("pattern", "topic"),
    [
        ("a.*", "a.b"),
        ("*.b", "a.b"),
        ("a.>", "a.b"),
        ("a.>", "a.b.c"),
        (">", "a"),
        (">", "a.b"),
        ("*", "a"),
        ("a.*", "a."),
        ("*.*", "."),
    ],
)
def test_pattern_matches(pattern: str, topic: str) -> None:
    assert matches(pattern, topic)


@pytest.mark.parametrize(
    ("pattern", "topic"),
    [("a.*", "a"), ("a.*", "a.b.c"), ("a.>", "a"), ("*", "a.b"), ("b.*", "a.b"), ("a.*.c", "a.b.d"), ("a.b", "a.b.c")],
)
def test_pattern_does_not_match(pattern: str, topic: str) -> None:
    assert not matches(pattern, topic)


@pytest.mark.parametrize("pattern", [">", "*.link", "*.>"])
def test_pattern_that_begins_with_a_wildcard_does_not_see_the_nodes_topics(pattern: str) -> None:
    assert not matches(pattern, "$SYS.link")


@pytest.mark.parametrize("pattern", ["$SYS.>", "$SYS.*"])
def test_pattern_that_names_the_nodes_topics_sees_them(pattern: str) -> None:
    assert matches(pattern, "$SYS.link")


@given(st.text(max_size=300))
def test_no_text_makes_the_checks_raise_anything_but_our_errors(text: str) -> None:
    for check in (check_topic, check_publish, check_pattern):
        try:
            check(text)
        except MajulaError:
            continue


@given(st.text(min_size=1, max_size=20), st.booleans())
def test_key_of_a_subject_gives_the_subject_back(subject: str, pattern: bool) -> None:
    found, is_pattern = from_key(subject_key(subject, pattern=pattern))
    assert found == subject
    assert is_pattern <= pattern


def test_pattern_without_wildcards_has_the_key_of_the_topic() -> None:
    assert subject_key("a.b", pattern=True) == subject_key("a.b", pattern=False)
    assert subject_key("a.*", pattern=True) != subject_key("a.*", pattern=False)
