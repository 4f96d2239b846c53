"""A run of messages is taken apart, whatever their sizes; a broken one is never half taken."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from majula.api.sdk.message import Message, split_run
from majula.errors import InvalidRequest, MajulaError
from majula.wire.frames import encode_run
from majula.wire.headers import JSON, MSGPACK, RAW


@given(st.lists(st.binary(max_size=20), max_size=30), st.binary(max_size=5))
def test_a_run_comes_apart_into_its_messages(messages: list[bytes], before: bytes) -> None:
    chunk = before + encode_run(messages)
    assert split_run(chunk, len(before), len(chunk)) == messages


@given(st.integers(min_value=0, max_value=300), st.integers(min_value=1, max_value=200))
def test_a_run_of_equal_messages_comes_apart(size: int, count: int) -> None:
    messages = [bytes([n % 251]) * size for n in range(count)]
    chunk = encode_run(messages) + b"tail"
    assert split_run(chunk, 0, len(chunk) - 4) == messages


@given(st.binary(max_size=60))
def test_junk_is_taken_apart_whole_or_not_at_all(junk: bytes) -> None:
    try:
        messages = split_run(junk, 0, len(junk))
    except MajulaError:
        return
    assert encode_run(messages) == junk


def test_bytes_stay_bytes() -> None:
    assert Message(b"\x01", "t", RAW).payload == b"\x01"


def test_values_are_decoded_when_they_are_looked_at() -> None:
    assert Message(msgspec.msgpack.encode({"a": [1]}), "t", MSGPACK).payload == {"a": [1]}
    assert Message(b'{"a":[1]}', "t", JSON).payload == {"a": [1]}


def test_a_payload_that_is_not_what_it_says_fails_at_access() -> None:
    message = Message(b"{", "t", JSON)
    with pytest.raises(InvalidRequest):
        _ = message.payload
