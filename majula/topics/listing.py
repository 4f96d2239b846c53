"""The list of topics for people: what is subscribed to, and what has a retained value.

A node may have a million of them, and looking through all takes a second in which the topic manager would do nothing else. So it
is done in portions; what changes meanwhile may be listed as it was or as it is.
"""

from __future__ import annotations

from heapq import merge
from itertools import islice

from majula.errors import InvalidRequest
from majula.topics.interest import InterestMerge
from majula.topics.operations import TopicLine, TopicsAnswer, TopicsRequest
from majula.topics.retained import RetainedOrder
from majula.topics.subjects import check_pattern, from_key, matches, subject_key

LISTED = 1_024
"""Lines of one answer."""

OFFSET_LIMIT = 100_000
"""Beyond it nobody reads on; a pattern finds what is looked for."""

_PORTION = 10_000
"""Looked at in 10 ms."""


class TopicListing:
    """One list being made.

    Args:
        interest, retained: what there is.
        asked: what is wanted.
    Raises:
        InvalidRequest: a pattern that is none, an offset too far.
    """

    def __init__(self, interest: InterestMerge, retained: RetainedOrder, asked: TopicsRequest) -> None:
        if asked.pattern:
            check_pattern(asked.pattern)
        if not 0 <= asked.offset <= OFFSET_LIMIT:
            raise InvalidRequest(f"offset is 0 to {OFFSET_LIMIT}; narrow the list by a pattern", limit=OFFSET_LIMIT)
        self._interest = interest
        self._retained = retained
        self._pattern = asked.pattern
        self._offset = asked.offset
        self._limit = max(0, min(asked.limit, LISTED))
        keys = interest.subjects()
        self._keys = iter(
            [*keys, *(key for topic in retained.topics() if (key := subject_key(topic, pattern=False)) not in keys)]
        )
        self._found: list[list[tuple[str, str]]] = []  # (subject, key), sorted by portions
        self._of = 0

    def step(self) -> TopicsAnswer | None:
        """Look at the next portion; the list, when all has been looked at."""
        portion = list(islice(self._keys, _PORTION))
        if portion:
            found = [(key[1:], key) for key in portion if not self._pattern or matches(self._pattern, key[1:])]
            found.sort()
            self._of += len(found)
            self._found.append(found[: self._offset + self._limit])
            if len(portion) == _PORTION:
                return None
        wanted = islice(merge(*self._found), self._offset, self._offset + self._limit)
        return TopicsAnswer(tuple(self._line(key) for _, key in wanted), self._of)

    def _line(self, key: str) -> TopicLine:
        subject, is_pattern = from_key(key)
        gateways, queues = self._interest.wanted(key)
        retained_bytes = 0 if is_pattern else self._retained.size_of(subject)
        return TopicLine(subject, is_pattern, gateways, queues, retained_bytes)
