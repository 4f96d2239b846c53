"""The outbox: bounded, control before data, and what was not written comes back."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from majula.actorsystem.outbox import CHUNK_BYTES, Outbox


def write_all(outbox: Outbox, at_once: int = 10**9) -> bytes:
    """Write everything, in portions of at most so many bytes."""
    out = b""
    while chunk := outbox.next_chunk():
        part = bytes(chunk[:at_once])
        out += part
        outbox.wrote(len(part))
    return out


@given(st.lists(st.binary(min_size=1, max_size=50), max_size=30), st.integers(1, 100))
def test_frames_of_one_lane_are_written_in_order_whatever_the_kernel_takes_at_once(frames: list[bytes], at_once: int) -> None:
    outbox = Outbox()
    for frame in frames:
        assert outbox.offer_control(frame)
    assert write_all(outbox, at_once) == b"".join(frames)
    assert outbox.pending_bytes == 0


def test_control_is_written_before_data_that_was_queued_earlier() -> None:
    outbox = Outbox()
    outbox.offer_data(b"data")
    outbox.offer_control(b"control")
    assert write_all(outbox) == b"controldata"


def test_a_data_frame_whose_writing_has_begun_is_finished_first() -> None:
    outbox = Outbox()
    outbox.offer_data(b"data")
    outbox.wrote(len(outbox.next_chunk()[:2]))
    outbox.offer_control(b"control")
    assert write_all(outbox) == b"tacontrol"


def test_a_lane_at_its_mark_refuses_and_queues_nothing() -> None:
    outbox = Outbox(control_high=10)
    assert outbox.offer_control(b"0123456789")
    assert not outbox.offer_control(b"x")
    assert outbox.pending_bytes == 10


def test_a_frame_longer_than_the_mark_passes_when_the_lane_is_below_it() -> None:
    outbox = Outbox(data_high=10)
    assert outbox.offer_data(bytes(1000))


def test_full_data_does_not_refuse_control() -> None:
    outbox = Outbox(data_high=10)
    outbox.offer_data(bytes(10))
    assert not outbox.offer_data(b"x")
    assert outbox.offer_control(b"x")


def test_writable_again_is_said_once_after_a_refusal_when_half_is_written() -> None:
    outbox = Outbox(control_high=2 * CHUNK_BYTES)
    frame = bytes(CHUNK_BYTES // 2)
    while outbox.offer_control(frame):
        pass
    assert not outbox.writable_again()
    for _ in range(2):
        outbox.wrote(len(outbox.next_chunk()))
    assert outbox.writable_again()
    assert not outbox.writable_again()


def test_without_a_refusal_nobody_is_told_of_room() -> None:
    outbox = Outbox()
    outbox.offer_control(b"x")
    write_all(outbox)
    assert not outbox.writable_again()


@given(
    st.lists(st.binary(min_size=1, max_size=20), max_size=20), st.lists(st.binary(min_size=1, max_size=20)), st.integers(0, 300)
)
def test_every_frame_is_either_written_whole_or_comes_back(control: list[bytes], data: list[bytes], written: int) -> None:
    outbox = Outbox()
    for frame in control:
        outbox.offer_control(frame)
    for frame in data:
        outbox.offer_data(frame)
    while written and (chunk := outbox.next_chunk()):
        count = min(written, len(chunk))
        outbox.wrote(count)
        written -= count
    unsent = outbox.unsent()
    sent = [*control, *data]
    assert sent[len(sent) - len(unsent) :] == unsent
    assert outbox.pending_bytes == 0 and outbox.unsent() == []


def test_frames_that_are_out_are_named_only_where_somebody_waits_for_one() -> None:
    outbox = Outbox()
    outbox.offer_control(b"a")
    assert outbox.wrote(len(outbox.next_chunk())) == ()
    outbox.watch = True
    outbox.offer_control(b"b")
    outbox.offer_control(b"c")
    assert list(outbox.wrote(len(outbox.next_chunk()))) == [b"b", b"c"]
