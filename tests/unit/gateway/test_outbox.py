"""What waits for one client."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from majula.gateway.outbox import Outbox
from majula.gateway.settings import GatewayLimits
from majula.wire.frames import PREFIX_BYTES, decode_header
from majula.wire.headers import Slow

SMALL = GatewayLimits(message_bytes=100, queue_bytes=1_000, queue_messages=10, queue_age_s=10.0)
ALL = 1 << 30


def slow(frame: bytes) -> Slow:
    header = decode_header(frame[PREFIX_BYTES:])
    assert isinstance(header, Slow)
    return header


def test_frames_come_out_in_the_order_in_which_they_went_in() -> None:
    outbox = Outbox(SMALL, 0.0)
    outbox.offer(b"a", 1, 0.0)
    outbox.push(b"b", 0.0)
    outbox.offer(b"c", 1, 0.0)
    assert outbox.take(ALL, 0.0) == [b"a", b"b", b"c"]


def test_an_empty_outbox_gives_nothing() -> None:
    assert Outbox(SMALL, 0.0).take(ALL, 0.0) == []


def test_a_publication_over_the_limit_of_bytes_is_dropped() -> None:
    outbox = Outbox(SMALL, 0.0)
    assert outbox.offer(b"x" * 900, 1, 0.0)
    assert not outbox.offer(b"y" * 200, 1, 0.0)


def test_a_publication_over_the_limit_of_messages_is_dropped() -> None:
    outbox = Outbox(SMALL, 0.0)
    assert outbox.offer(b"x", 10, 0.0)
    assert not outbox.offer(b"y", 1, 0.0)


def test_an_empty_outbox_takes_one_frame_of_any_size() -> None:
    assert Outbox(SMALL, 0.0).offer(b"x" * 5_000, 50, 0.0)


def test_what_was_dropped_is_told_at_the_place_of_the_gap() -> None:
    outbox = Outbox(SMALL, 0.0)
    outbox.offer(b"x" * 900, 1, 0.0)
    outbox.offer(b"y" * 200, 3, 0.0)
    before, gap = outbox.take(ALL, 0.0)
    assert before == b"x" * 900
    assert slow(gap) == Slow(3, 200)


def test_statistics_show_what_was_dropped_before_the_client_is_told() -> None:
    outbox = Outbox(SMALL, 0.0)
    outbox.offer(b"x" * 900, 1, 0.0)
    outbox.offer(b"y" * 200, 3, 0.0)
    waiting = outbox.statistics()
    outbox.take(ALL, 0.0)
    told = outbox.statistics()
    assert (waiting.dropped_messages, waiting.dropped_bytes) == (told.dropped_messages, told.dropped_bytes) == (3, 200)


def test_after_the_first_drop_nothing_small_slips_in_before_the_gap_is_told() -> None:
    outbox = Outbox(SMALL, 0.0)
    outbox.offer(b"x" * 900, 1, 0.0)
    outbox.offer(b"y" * 200, 1, 0.0)
    assert not outbox.offer(b"z", 1, 0.0)


def test_a_gap_is_told_once() -> None:
    outbox = Outbox(SMALL, 0.0)
    outbox.offer(b"x" * 900, 1, 0.0)
    outbox.offer(b"y" * 200, 1, 0.0)
    outbox.take(ALL, 0.0)
    assert outbox.offer(b"z", 1, 0.0)
    assert outbox.take(ALL, 0.0) == [b"z"]


def test_publications_are_dropped_when_the_oldest_has_waited_for_too_long() -> None:
    outbox = Outbox(SMALL, 0.0)
    for second in range(11):
        assert outbox.offer(b"x", 0, float(second))
    assert not outbox.offer(b"y", 0, 12.0)


def test_age_is_that_of_the_oldest_frame_and_not_of_the_queue() -> None:
    outbox = Outbox(SMALL, 0.0)
    for second in range(40):
        assert outbox.offer(b"x" * 100, 0, float(second))
        if second >= 5:
            outbox.take(1, float(second))


def test_control_frames_have_a_reserve_beyond_the_limit() -> None:
    outbox = Outbox(SMALL, 0.0)
    outbox.offer(b"x" * 1_000, 1, 0.0)
    assert outbox.push(b"y" * 200, 0.0)
    assert not outbox.push(b"z", 0.0)


def test_a_call_is_not_put_where_a_publication_would_not_fit() -> None:
    outbox = Outbox(SMALL, 0.0)
    outbox.offer(b"x" * 900, 1, 0.0)
    assert outbox.fits(100)
    assert not outbox.fits(101)


def test_taking_a_part_leaves_the_rest_in_order() -> None:
    outbox = Outbox(SMALL, 0.0)
    for letter in b"abcdef":
        outbox.offer(bytes([letter]) * 100, 1, 0.0)
    assert [frame[:1] for frame in outbox.take(250, 0.0)] == [b"a", b"b", b"c"]
    assert outbox.bytes == 300
    assert outbox.messages == 3
    assert [frame[:1] for frame in outbox.take(ALL, 0.0)] == [b"d", b"e", b"f"]


def test_silence_is_counted_only_while_something_waits() -> None:
    outbox = Outbox(SMALL, 0.0)
    assert outbox.silent_s(50.0) == 0.0
    outbox.offer(b"x", 1, 50.0)
    assert outbox.silent_s(70.0) == 20.0
    outbox.moved(65.0)
    assert outbox.silent_s(70.0) == 5.0


@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("offer"), st.integers(1, 400), st.integers(0, 4)),
            st.tuples(st.just("push"), st.integers(1, 80), st.just(0)),
            st.tuples(st.just("take"), st.integers(1, 1_500), st.just(0)),
        ),
        max_size=60,
    )
)
def test_every_frame_comes_out_once_in_order_or_is_counted_as_dropped(steps: list[tuple[str, int, int]]) -> None:
    outbox = Outbox(SMALL, 0.0)
    expected: list[bytes] = []
    came: list[bytes] = []
    dropped = told = 0
    for number, (verb, size, messages) in enumerate(steps):
        frame = number.to_bytes(2, "big") + bytes(size)
        if verb == "take":
            came += outbox.take(size, 0.0)
        elif verb == "push":
            if outbox.push(frame, 0.0):
                expected.append(frame)
        elif outbox.offer(frame, messages, 0.0):
            expected.append(frame)
        else:
            dropped += messages
        assert outbox.bytes <= 1_000 + 2 * 100 + 402 + 40
    came += outbox.take(ALL, 0.0)
    came += outbox.take(ALL, 0.0)
    for frame in [frame for frame in came if frame not in expected]:
        told += slow(frame).dropped_messages
    assert [frame for frame in came if frame in expected] == expected
    assert told == dropped
    assert (outbox.bytes, outbox.messages, len(outbox)) == (0, 0, 0)
