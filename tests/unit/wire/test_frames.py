"""How frames lie in bytes."""

from __future__ import annotations

import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from majula.errors import InvalidRequest, ProtocolError, TooLarge
from majula.wire.frames import FrameReader, count_run, cut_run, encode_frame, encode_run, last_of_run, split_run
from majula.wire.headers import Ping, Publish

_messages = st.one_of(
    st.lists(st.binary(max_size=40), max_size=30),
    st.integers(0, 30).flatmap(lambda size: st.lists(st.binary(min_size=size, max_size=size), max_size=30)),
)


@given(_messages)
def test_a_run_is_split_into_what_it_was_made_of(messages: list[bytes]) -> None:
    assert split_run(encode_run(messages)) == messages
    assert count_run(encode_run(messages)) == len(messages)


@given(_messages)
def test_a_run_is_counted_where_it_lies(messages: list[bytes]) -> None:
    run = encode_run(messages)
    assert count_run(b"before" + run + b"behind", 6, 6 + len(run)) == len(messages)


@given(st.binary(max_size=120))
def test_splitting_and_counting_agree_on_what_is_a_run(data: bytes) -> None:
    try:
        messages = split_run(data)
    except ProtocolError:
        with pytest.raises(ProtocolError):
            count_run(data)
    else:
        assert count_run(data) == len(messages)
        assert encode_run(messages) == data


@given(_messages, st.integers(0, 200), st.integers(0, 255))
def test_a_run_with_one_wrong_byte_is_never_read_beyond_its_end(messages: list[bytes], at: int, byte: int) -> None:
    run = bytearray(encode_run(messages))
    if run:
        run[at % len(run)] = byte
    try:
        found = split_run(bytes(run))
    except ProtocolError:
        return
    assert encode_run(found) == run


@given(_messages, st.integers(1, 8))
def test_a_run_is_cut_into_even_parts_in_order(messages: list[bytes], parts: int) -> None:
    cut = [split_run(part) for part in cut_run(encode_run(messages), parts)]
    assert [message for part in cut for message in part] == messages
    assert len(cut) == min(parts, len(messages))
    assert not cut or max(map(len, cut)) - min(map(len, cut)) <= 1


def test_the_last_message_of_a_run_is_its_last() -> None:
    assert last_of_run(encode_run([b"a", b"bc"])) == b"bc"
    assert last_of_run(b"") == b""


@given(st.lists(st.binary(max_size=50), max_size=12), st.lists(st.integers(1, 40), min_size=1, max_size=40))
def test_frames_are_found_however_the_stream_is_cut(bodies: list[bytes], cuts: list[int]) -> None:
    stream = b"".join(encode_frame(Publish("t"), body) for body in bodies)
    reader = FrameReader(limit_bytes=1_000)
    found: list[bytes] = []
    at = turn = 0
    while at < len(stream):
        size = cuts[turn % len(cuts)]
        chunk, spans = reader.feed(stream[at : at + size])
        found += [chunk[body:end] for _, body, end in spans]
        at, turn = at + size, turn + 1
    assert found == bodies
    assert reader.held_bytes == 0


def test_a_frame_over_the_limit_is_refused_by_its_announcement() -> None:
    with pytest.raises(TooLarge):
        FrameReader(limit_bytes=100).feed(b"\x65\x00\x00\x00\x02\x00")


def test_a_frame_at_the_limit_is_taken() -> None:
    frame = encode_frame(Ping(1), b"x" * 95)
    assert len(FrameReader(limit_bytes=100).feed(frame)[1]) == 1


@pytest.mark.parametrize("lengths", [b"\x04\x00\x00\x00\x03\x00", b"\x02\x00\x00\x00\x00\x00", b"\x01\x00\x00\x00\x00\x00"])
def test_lengths_that_contradict_each_other_are_refused(lengths: bytes) -> None:
    with pytest.raises(ProtocolError):
        FrameReader(limit_bytes=100).feed(lengths + b"\x91\x0f")


def test_a_frame_that_comes_in_tiny_pieces_costs_no_more_than_it_holds() -> None:
    frame = encode_frame(Publish("t"), encode_run([b"x" * 50_000]))
    reader = FrameReader(limit_bytes=1 << 20)
    last = len(frame) - 2
    tracemalloc.start()
    try:
        for at in range(0, last, 2):
            reader.feed(frame[at : min(at + 2, last)])
        held_bytes = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    chunk, ((start, _, end),) = reader.feed(frame[last:])
    assert chunk[start:end] == frame
    assert held_bytes < 3 * len(frame)


def test_a_number_beyond_64_bits_is_no_header() -> None:
    with pytest.raises(InvalidRequest, match="64 bits"):
        encode_frame(Ping(1 << 70))
