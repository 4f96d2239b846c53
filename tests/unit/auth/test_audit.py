"""Lines of the audit."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from majula.auth import make_token
from majula.auth.audit import DETAIL_BYTES, encode_lines, last_number, make_entry, newest, whole_bytes

NOW = 1_700_000_000.125
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


def entry(number: int, **detail: Any) -> bytes:
    return encode_lines([make_entry(number, NOW, "uid:1", "tokens.create", detail)])


def test_entry_says_when_who_and_what() -> None:
    found = make_entry(7, NOW, "tok-a", "clients.disconnect", {"client": "ann"})
    assert (found.number, found.at, found.who, found.what) == (7, "2023-11-14T22:13:20.125Z", "tok-a", "clients.disconnect")
    assert found.detail == {"client": "ann"}


def test_token_in_an_entry_is_hidden_wherever_it_stands() -> None:
    token = make_token(bytes(32)).reveal()
    line = encode_lines([make_entry(1, NOW, token, token, {token: [{"a": f"x {token}"}]})])
    assert token.encode() not in line
    assert line.count(b"mjl_***") == 4


@given(detail=st.dictionaries(st.text(), VALUES, max_size=4))
def test_any_detail_is_one_line_that_reads_back(detail: dict[str, Any]) -> None:
    line = encode_lines([make_entry(1, NOW, "uid:1", "a.b", detail)])
    assert line.count(b"\n") == 1
    assert len(line) < DETAIL_BYTES + 512
    assert [found.number for found in newest(line, before=0, limit=10)] == [1]


@pytest.mark.parametrize("text", ["\n", "\r", "\x1b[2J", "\ud800", "\u2028"])
def test_text_of_a_stranger_cannot_end_a_line(text: str) -> None:
    data = encode_lines([make_entry(1, NOW, text, text, {text: text})])
    assert len(data.splitlines()) == 1


def test_detail_that_is_too_large_is_left_out() -> None:
    found = make_entry(1, NOW, "uid:1", "a.b", {"x": "y" * 5_000})
    assert found.detail == {"too_large": 5_008}


def test_newest_entries_come_first_up_to_the_limit() -> None:
    data = b"".join(entry(number) for number in range(1, 6))
    assert [found.number for found in newest(data, before=0, limit=2)] == [5, 4]
    assert [found.number for found in newest(data, before=4, limit=9)] == [3, 2, 1]
    assert newest(data, before=1, limit=9) == []


def test_line_that_cannot_be_read_is_left_out() -> None:
    data = entry(1) + b"garbage\n" + b"\xff\n" + b"{}\n" + entry(2)
    assert [found.number for found in newest(data, before=0, limit=9)] == [2, 1]
    assert last_number(data + b"garbage\n") == 2


def test_torn_line_is_not_whole() -> None:
    data = entry(1)
    assert whole_bytes(data + entry(2)[:-1]) == len(data)
    assert whole_bytes(data) == len(data)
    assert whole_bytes(b"torn") == 0


@given(data=st.binary(max_size=300))
def test_no_garbage_in_a_file_is_an_exception(data: bytes) -> None:
    assert newest(data, before=0, limit=10) == []
    assert last_number(data) == 0
    assert 0 <= whole_bytes(data) <= len(data)
