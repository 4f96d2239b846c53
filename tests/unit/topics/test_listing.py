"""The list of topics: what is subscribed to and what is retained, in order, in portions."""

from __future__ import annotations

import pytest

from majula.errors import InvalidRequest
from majula.topics.interest import InterestMerge, Interests
from majula.topics.listing import TopicListing
from majula.topics.operations import TopicLine, TopicsAnswer, TopicsRequest
from majula.topics.retained import RetainedOrder


def interest(*wanted: tuple[str, str, str]) -> InterestMerge:
    """Of (gateway, subject, queue group)."""
    merge = InterestMerge()
    gateways: dict[str, Interests[str]] = {}
    for number, (gateway, subject, queue) in enumerate(wanted):
        at = gateways.setdefault(gateway, Interests(gateway))
        entry = at.subscribe(f"session {number}", subject, pattern=True, queue=queue)
        if entry is not None:
            merge.apply(gateway, dict([entry]), [])
    return merge


def listed(merge: InterestMerge, order: RetainedOrder | None = None, asked: TopicsRequest | None = None) -> TopicsAnswer:
    listing = TopicListing(merge, order or RetainedOrder(epoch=1), asked or TopicsRequest())
    while (answer := listing.step()) is None:
        pass
    return answer


def test_topics_stand_in_order_with_their_gateways_and_groups() -> None:
    answer = listed(interest(("g:2", "b", ""), ("g:1", "b", "q"), ("g:1", "a.*", "")))
    assert answer == TopicsAnswer((TopicLine("a.*", True, ("g:1",)), TopicLine("b", False, ("g:1", "g:2"), ("q",))), 2)


def test_retained_topic_is_listed_with_its_size_though_nobody_wants_it() -> None:
    order = RetainedOrder(epoch=1)
    value = order.put("c", b"frame")
    assert value is not None
    assert listed(interest(), order).topics == (TopicLine("c", False, retained_bytes=len(value)),)


def test_topic_that_is_wanted_and_retained_is_one_line() -> None:
    order = RetainedOrder(epoch=1)
    order.put("c", b"frame")
    (line,) = listed(interest(("g:1", "c", "")), order).topics
    assert line.subscribers == ("g:1",)
    assert line.retained_bytes > 0


def test_pattern_narrows_the_list() -> None:
    answer = listed(interest(("g:1", "a.b", ""), ("g:1", "a.b.c", ""), ("g:1", "x", "")), None, TopicsRequest(pattern="a.*"))
    assert [line.topic for line in answer.topics] == ["a.b"]
    assert answer.of == 1


@pytest.mark.parametrize(
    ("offset", "limit", "first", "count"), [(0, 2, "t00000", 2), (24_998, 10, "t24998", 2), (30_000, 5, "", 0)]
)
def test_list_goes_on_where_it_stopped(offset: int, limit: int, first: str, count: int) -> None:
    order = RetainedOrder(epoch=1)
    for number in reversed(range(25_000)):
        order.put(f"t{number:05}", b"")
    answer = listed(interest(), order, TopicsRequest(offset=offset, limit=limit))
    assert (len(answer.topics), answer.of) == (count, 25_000)
    assert not count or answer.topics[0].topic == first


@pytest.mark.parametrize("asked", [TopicsRequest(pattern="a.>.b"), TopicsRequest(offset=-1), TopicsRequest(offset=100_001)])
def test_list_that_cannot_be_made_is_refused(asked: TopicsRequest) -> None:
    with pytest.raises(InvalidRequest):
        TopicListing(interest(), RetainedOrder(epoch=1), asked)
