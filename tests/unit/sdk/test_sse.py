"""Event streams as they come in."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from majula.api.sdk.sse import EventReader
from majula.errors import ProtocolError

STREAM = b': open\n\nid: 1\ndata: {"a":1}\n\n: ping\n\nid: 2\ndata: {"b":2}\n\nevent: slow\ndata: {"c":3}\n\n'


@given(st.lists(st.integers(0, len(STREAM)), max_size=12))
def test_events_are_the_same_however_the_stream_is_cut(cuts: list[int]) -> None:
    reader = EventReader(limit_bytes=1_000)
    found: list[bytes] = []
    edges = [0, *sorted(cuts), len(STREAM)]
    for begin, end in pairwise(edges):
        found += reader.feed(STREAM[begin:end])
    assert found == [b'{"a":1}', b'{"b":2}', b'{"c":3}']
    assert reader.last_id == "2"


def test_an_incomplete_event_counts_for_nothing_when_the_stream_breaks() -> None:
    reader = EventReader(limit_bytes=1_000)
    assert reader.feed(b"id: 7\ndata: x\n\nid: 8\ndata: y") == [b"x"]
    reader.forget()
    assert reader.last_id == "7"
    assert reader.feed(b"id: 8\ndata: y\n\n") == [b"y"]


def test_an_endless_event_is_refused() -> None:
    reader = EventReader(limit_bytes=100)
    with pytest.raises(ProtocolError):
        reader.feed(b"data: " + b"x" * 200)


def test_an_event_of_several_lines_is_one_text() -> None:
    assert EventReader(limit_bytes=100).feed(b"data: a\ndata: b\n\n") == [b"a\nb"]
