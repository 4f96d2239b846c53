"""The last value of each topic that has one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from majula.topics.retained import ENTRY_BYTES, RetainedCopy, RetainedOrder, Retaining
from majula.topics.subjects import matches

TOPIC = st.lists(st.sampled_from(["a", "b", "", "$SYS"]), min_size=1, max_size=3).map(".".join)


def copy_of(*topics: str) -> RetainedCopy:
    order, copy = RetainedOrder(epoch=1), RetainedCopy()
    for topic in topics:
        value = order.put(topic, topic.encode())
        assert value is not None
        copy.apply({topic: value}, ())
    return copy


def found(copy: RetainedCopy, subject: str, *, pattern: bool = True) -> list[str]:
    return [topic for topic in copy.matching(subject, pattern=pattern) if topic is not None]


def test_newest_value_is_the_retained_one() -> None:
    order, copy = RetainedOrder(epoch=1), RetainedCopy()
    for frame in (b"old", b"new"):
        value = order.put("a", frame)
        assert value is not None
        copy.apply({"a": value}, ())
    assert copy.get("a") == b"new"


def test_removed_value_is_gone() -> None:
    copy = copy_of("a", "b")
    copy.apply({}, ["a", "never.there"])
    assert copy.get("a") is None
    assert found(copy, ">") == ["b"]


@pytest.mark.slow
@given(st.lists(TOPIC, max_size=12), st.lists(TOPIC, max_size=6), st.sampled_from(["a", "a.*", "*", ">", "*.b", "a.>", "$SYS.>"]))
def test_matching_agrees_with_the_definition(kept: list[str], gone: list[str], pattern: str) -> None:
    copy = copy_of(*kept)
    copy.apply({}, gone)
    topics = set(kept) - set(gone)
    assert sorted(found(copy, pattern)) == sorted(t for t in topics if matches(pattern, t))
    assert len(copy) == len(topics)


def test_literal_subject_gets_its_own_value_only() -> None:
    assert found(copy_of("a", "a.b"), "a", pattern=False) == ["a"]


def test_the_table_may_change_while_it_is_looked_through() -> None:
    copy = copy_of(*(f"{a}.{b}" for a in range(10) for b in range(10)))
    seen = []
    for topic in copy.matching("*.*", pattern=True):
        if topic is not None:
            seen.append(topic)
            copy.apply({}, [topic])
            copy.apply({f"new.{topic}": b""}, ())
    assert len(set(seen)) == len(seen) == 100


def test_values_beyond_the_limit_of_the_node_are_refused() -> None:
    order = RetainedOrder(epoch=1, limit_bytes=3 * ENTRY_BYTES)
    assert order.put("a", b"x" * 100) is not None
    assert order.put("b", b"x" * 500) is None
    assert order.put("b", b"x" * 100) is not None
    assert order.put("a", b"x" * 50) is not None, "a smaller value in place of a larger one has room"


def test_removing_makes_room() -> None:
    order = RetainedOrder(epoch=1, limit_bytes=2 * ENTRY_BYTES)
    assert order.put("a", b"x" * 100) is not None
    assert order.put("b", b"x" * 100) is None
    order.remove("a")
    assert order.put("b", b"x" * 100) is not None


def test_regained_values_count_against_the_limit() -> None:
    first = RetainedOrder(epoch=1)
    value = first.put("a", b"x" * 100)
    assert value is not None
    second = RetainedOrder(epoch=2, limit_bytes=2 * ENTRY_BYTES)
    second.load({"a": value})
    assert second.size_bytes == first.size_bytes
    assert second.put("b", b"x" * 100) is None


def test_retained_publishes_are_sent_in_order_and_once() -> None:
    retaining = Retaining()
    assert [retaining.add(topic, b"x") for topic in "abc"] == [1, 2, 3]
    assert [topic for _, topic, _, _ in retaining.to_send()] == ["a", "b", "c"]
    assert list(retaining.to_send()) == []


def test_publish_whose_sending_was_refused_comes_again() -> None:
    retaining = Retaining()
    for topic in "abc":
        retaining.add(topic, b"x")
    for _, topic, _, _ in retaining.to_send():
        if topic == "b":
            break
    assert [topic for _, topic, _, _ in retaining.to_send()] == ["b", "c"]


def test_only_a_window_is_sent_before_the_first_is_settled() -> None:
    retaining = Retaining(window=2)
    for topic in "abc":
        retaining.add(topic, b"x")
    assert [topic for _, topic, _, _ in retaining.to_send()] == ["a", "b"]
    assert retaining.settled(1)
    assert [topic for _, topic, _, _ in retaining.to_send()] == ["c"]


def test_only_so_many_bytes_are_sent_before_the_first_is_settled_but_one_always_is() -> None:
    retaining = Retaining(window_bytes=10)
    for topic, size in (("a", 20), ("b", 6), ("c", 6)):
        retaining.add(topic, b"x" * size)
    assert [topic for _, topic, _, _ in retaining.to_send()] == ["a"]
    retaining.settled(1)
    assert [topic for _, topic, _, _ in retaining.to_send()] == ["b"]
    retaining.settled(2)
    assert [topic for _, topic, _, _ in retaining.to_send()] == ["c"]


def test_everything_unsettled_is_sent_to_the_next_topic_manager() -> None:
    retaining = Retaining()
    for topic in "abc":
        retaining.add(topic, b"x")
    list(retaining.to_send())
    retaining.settled(2)
    retaining.restart()
    assert [topic for _, topic, _, _ in retaining.to_send()] == ["a", "c"]


def test_publishes_beyond_the_limits_are_refused() -> None:
    few, small = Retaining(limit=1), Retaining(limit_bytes=3)
    assert [few.add("a", b"x"), few.add("b", b"x")] == [1, None]
    assert [small.add("a", b"xx"), small.add("b", b"xx")] == [1, None]


def test_settling_twice_has_no_effect() -> None:
    retaining = Retaining()
    retaining.add("a", b"x")
    assert retaining.settled(1)
    assert not retaining.settled(1)
    assert len(retaining) == 0
