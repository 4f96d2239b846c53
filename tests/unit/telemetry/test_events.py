"""Events: one name everywhere, bounded, and the rare ones are kept."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from majula.messages.supervision import Happening
from majula.messages.telemetry import Event
from majula.telemetry import reference
from majula.telemetry.events import EVENTS, matches
from majula.telemetry.flight import EventRing
from majula.telemetry.operations import EventsRequest

ROOT = Path(__file__).parents[3]


def event(name: str = "client.connected", **fields: int | float | str) -> Event:
    return Event(name=name, role="router", pid=7, at=1.5, fields=fields)


def test_every_lifecycle_event_of_a_supervisor_is_declared() -> None:
    assert set(get_args(Happening)) <= EVENTS.keys()


def test_every_event_that_the_code_tells_is_declared() -> None:
    """`self.event("a.b", ...)` of an actor, `self._say("a.b", ...)` of the runner."""
    said = set()
    for folder in ("actors", "majula/runner"):
        for path in (ROOT / folder).glob("*.py"):
            said |= set(re.findall(r'(?:\.event|\._say)\(\s*"([^"]+)"', path.read_text()))
    assert said and said <= EVENTS.keys()


def test_events_stand_in_the_order_of_their_names() -> None:
    assert list(EVENTS) == sorted(EVENTS)


def test_document_of_events_is_the_declared_one() -> None:
    assert (ROOT / "docs/reference/events.md").read_text() == reference.events()


@pytest.mark.parametrize(
    ("name", "wanted", "is_wanted"),
    [
        ("client.slow", "", True),
        ("client.slow", ">", True),
        ("client.slow", "client.slow", True),
        ("client.slow", "client.*", True),
        ("client.slow", "*.slow", True),
        ("client.slow", "client.>", True),
        ("client.slow", "client", False),
        ("client.slow", "child.*", False),
        ("client.slow", "client.slow.more", False),
        ("client.slow", "client.slow.>", False),
    ],
)
def test_events_are_asked_for_by_name_or_pattern(name: str, wanted: str, is_wanted: bool) -> None:
    assert matches(name, wanted) is is_wanted


def test_clients_that_come_and_go_push_no_death_out() -> None:
    ring = EventRing(first=1, each=4)
    ring.add(event("child.died", offender="router"))
    for _ in range(100):
        ring.add(event())
    assert [line.name for line in ring.lines()] == ["child.died"] + ["client.connected"] * 4


@given(st.lists(st.tuples(st.sampled_from([f"thing.n{n}" for n in range(200)]), st.integers(0, 200)), max_size=300))
def test_ring_is_bounded_in_names_number_and_bytes(told: list[tuple[str, int]]) -> None:
    ring = EventRing(first=1, each=8, limit_bytes=2_000)
    for name, size in told:
        ring.add(event(name, text="x" * size))
    lines = ring.lines()
    assert [line.number for line in lines] == sorted({line.number for line in lines})
    assert sum(len(str(line.fields)) for line in lines) <= 4_000
    assert ring.refused == sum(1 for at, (name, _) in enumerate(told) if name not in set(_first_names(told[: at + 1])))


def _first_names(told: list[tuple[str, int]]) -> list[str]:
    return list(dict.fromkeys(name for name, _ in told))[:128]


def test_events_after_a_number_are_the_next_ones() -> None:
    ring = EventRing(first=10)
    for number in range(5):
        ring.add(event(number=number))
    assert [line.number for line in ring.answer(EventsRequest(after=11, limit=2)).events] == [12, 13]


def test_without_a_number_the_newest_are_listed_oldest_of_them_first() -> None:
    ring = EventRing(first=10)
    for number in range(5):
        ring.add(event(number=number))
    assert [line.number for line in ring.answer(EventsRequest(limit=2)).events] == [13, 14]
