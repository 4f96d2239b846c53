"""Lines of the log: one line whatever is in them, and never too many."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from majula.telemetry.lines import Format, LineCap, is_event_name, render, visible

HARMLESS = set(range(0x20, 0x7F))


def line(format: Format, reason: str, **fields: Any) -> bytes:
    return render(
        format,
        stamp="1970-01-01T00:00:01.500Z",
        event="child.died",
        level="error",
        node="n1",
        role="router",
        pid=7,
        reason=reason,
        fields=fields,
    )


@given(st.text(), st.text())
def test_json_line_is_plain_ascii_and_says_what_was_said(reason: str, value: str) -> None:
    found = line("json", reason, value=value)
    assert set(found) <= HARMLESS
    assert (json.loads(found)["reason"], json.loads(found)["value"]) == (reason, value)


@given(st.text(), st.text())
def test_console_line_has_no_control_character(reason: str, value: str) -> None:
    assert line("console", reason, value=value).decode().isprintable()


def test_field_of_a_peer_replaces_nothing_of_the_line() -> None:
    found = json.loads(line("json", "", role="forged", node="forged", extra=1))
    assert (found["role"], found["node"], found["extra"]) == ("router", "n1", 1)


def test_escapes_and_marks_of_direction_become_visible() -> None:
    assert visible("a\x1b[2J\r\nb\u202ec\x9b") == "a\\x1b[2J\\r\\nb\\u202ec\\x9b"


def test_name_of_an_event_is_lower_case_with_dots() -> None:
    assert [is_event_name(text) for text in ("client.slow", "log", "Two words.here", "a.b\n", "x." * 9 + "x")] == [
        True,
        False,
        False,
        False,
        False,
    ]


@given(st.lists(st.tuples(st.floats(0, 0.2), st.integers(0, 400)), max_size=400))
def test_no_second_holds_more_than_a_hundred_lines(arrivals: list[tuple[float, int]]) -> None:
    now, cap, written = 0.0, LineCap(0.0), []
    for wait_s, key in arrivals:
        now += wait_s
        if cap.admits(str(key), now):
            written.append(now)
        if cap.summary(now) is not None:
            written.append(now)
    for at in written:
        assert sum(1 for other in written if at <= other < at + 1.0) <= 101  # a line at either end of the second


@given(st.lists(st.tuples(st.floats(0, 1.0), st.integers(0, 3)), max_size=200))
def test_every_line_is_written_or_counted_in_a_summary(arrivals: list[tuple[float, int]]) -> None:
    now, cap, written, counted = 0.0, LineCap(0.0), 0, 0
    for wait_s, key in arrivals:
        now += wait_s
        written += cap.admits(str(key), now)
        counted += int((cap.summary(now) or {"lines": 0})["lines"])
    counted += int((cap.summary(now + 60.0) or {"lines": 0})["lines"])
    assert written + counted == len(arrivals)
