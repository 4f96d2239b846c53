"""Frames: what is written in pieces of any size is read as it was written."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from majula.actorsystem import frames
from majula.actorsystem.frames import FrameError, FrameReader, encode, parse

Frame = tuple[int, int, int, bytes]

_frames = st.tuples(st.integers(0, 255), st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1), st.binary(max_size=300))


def read_all(stream: bytes, piece_bytes: list[int]) -> list[Frame]:
    """Feed a stream in pieces of these sizes, the last size again and again."""
    reader = FrameReader(memoryview(bytearray(frames.SCRATCH_BYTES)))
    found: list[Frame] = []
    at = 0
    while at < len(stream):
        room = reader.buffer()
        wanted = piece_bytes.pop(0) if len(piece_bytes) > 1 else piece_bytes[0]
        piece = stream[at : at + min(wanted, len(room))]
        room[: len(piece)] = piece
        found += [(kind, target, source, bytes(payload)) for kind, target, source, payload in reader.frames(len(piece))]
        at += len(piece)
    return found


@given(st.lists(_frames, max_size=20), st.lists(st.integers(1, 200), min_size=1, max_size=20))
def test_frames_come_out_as_they_went_in_however_the_stream_is_cut(sent: list[Frame], pieces: list[int]) -> None:
    assert read_all(b"".join(encode(*frame) for frame in sent), pieces) == sent


@pytest.mark.parametrize("size", [65_000, 70_000, 262_144, 300_000, 3_000_000])
def test_a_frame_larger_than_the_scratch_buffer_comes_whole_and_so_do_its_neighbours(size: int) -> None:
    sent = [(1, 0, 0, b"before"), (2, 3, 4, bytes(range(256)) * (size // 256)), (1, 0, 0, b"after")]
    assert read_all(b"".join(encode(*frame) for frame in sent), [100_000]) == sent


def test_a_length_beyond_the_limit_is_refused_before_anything_is_allocated() -> None:
    with pytest.raises(FrameError, match="limit"):
        read_all(b"\xff\xff\xff\xff" + bytes(20), [24])


def test_a_length_shorter_than_the_header_is_refused() -> None:
    with pytest.raises(FrameError, match="shorter"):
        read_all(b"\x01\x00\x00\x00" + bytes(20), [24])


@given(st.binary(max_size=2000), st.lists(st.integers(1, 100), min_size=1, max_size=5))
def test_garbage_is_read_as_frames_or_refused_and_nothing_else(stream: bytes, pieces: list[int]) -> None:
    try:
        read_all(stream, pieces)
    except FrameError:
        return


@given(_frames)
def test_a_frame_that_comes_back_unsent_can_be_taken_apart(frame: Frame) -> None:
    assert parse(encode(*frame)) == frame


def test_a_reader_with_a_smaller_limit_refuses_what_is_beyond_it() -> None:
    reader = FrameReader(memoryview(bytearray(frames.SCRATCH_BYTES)), limit_bytes=100)
    begun = encode(frames.HELLO, 0, 0, bytes(200))[:50]
    reader.buffer()[: len(begun)] = begun
    with pytest.raises(FrameError, match="limit is 100"):
        list(reader.frames(len(begun)))
