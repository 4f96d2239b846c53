"""Messages become runs: what is gathered, what closes a run, what is refused at the mark."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from majula.api.sdk.outbox import QUEUED, REFUSED, RUN_BYTES, URGED, Outbox
from majula.errors import InvalidRequest, TooLarge
from majula.wire.frames import FrameReader, decode_header, encode_frame, split_run
from majula.wire.headers import MSGPACK, RAW, RETAIN, Cancel, Header, Publish
from majula.wire.values import decode_value


class Owner:
    """Whoever owns the outbox: counts what it is told, and writes when it is urged if `writes`."""

    def __init__(self, *, limit_bytes: int = 1 << 20, writes: bool = True) -> None:
        self.wakes = self.urges = 0
        self.written = b""
        self._writes = writes
        self.outbox = Outbox(limit_bytes=limit_bytes, wake=self._wake, urge=self._urge)

    def _wake(self) -> None:
        self.wakes += 1

    def _urge(self) -> None:
        self.urges += 1
        if self._writes:
            self.written += self.outbox.take()

    def frames(self) -> list[tuple[Header, bytes]]:
        data = self.written + self.outbox.take()
        chunk, spans = FrameReader(limit_bytes=64 << 20).feed(data)
        return [(decode_header(chunk[start + 6 : body]), chunk[body:end]) for start, body, end in spans]


def test_messages_for_one_topic_share_a_frame() -> None:
    owner = Owner()
    for payload in (b"one", b"", b"three"):
        owner.outbox.add("t", payload)
    assert [(header, split_run(body)) for header, body in owner.frames()] == [(Publish("t"), [b"one", b"", b"three"])]


def test_another_topic_closes_the_run_so_that_order_is_kept() -> None:
    owner = Owner()
    for topic, payload in (("a", b"1"), ("b", b"2"), ("a", b"3")):
        owner.outbox.add(topic, payload)
    assert [(header, split_run(body)) for header, body in owner.frames()] == [
        (Publish("a"), [b"1"]),
        (Publish("b"), [b"2"]),
        (Publish("a"), [b"3"]),
    ]


def test_another_encoding_flag_or_header_closes_the_run() -> None:
    owner = Owner()
    owner.outbox.add("t", b"raw")
    owner.outbox.add("t", {"a": 1})
    owner.outbox.add("t", b"kept", True)
    owner.outbox.add("t", b"with", False, {"k": "v"})
    assert [header for header, _ in owner.frames()] == [
        Publish("t", RAW),
        Publish("t", MSGPACK),
        Publish("t", RAW, RETAIN),
        Publish("t", RAW, 0, headers={"k": "v"}),
    ]


def test_a_frame_put_in_stands_behind_what_was_published_before() -> None:
    owner = Owner()
    owner.outbox.add("t", b"1")
    owner.outbox.put(encode_frame(Cancel(7)))
    owner.outbox.add("t", b"2")
    assert [header for header, _ in owner.frames()] == [Publish("t"), Cancel(7), Publish("t")]


def test_its_owner_is_woken_once_until_it_takes() -> None:
    owner = Owner()
    for _ in range(3):
        owner.outbox.add("t", b"x")
    owner.outbox.put(encode_frame(Cancel(1)))
    assert owner.wakes == 1
    owner.outbox.take()
    owner.outbox.add("t", b"x")
    assert owner.wakes == 2


def test_a_full_run_urges_its_owner() -> None:
    owner = Owner()
    verdicts = [owner.outbox.add("t", b"x" * 1_020) for _ in range(65)]
    assert verdicts == [QUEUED] * 64 + [URGED]
    assert owner.urges == 1


def test_a_message_larger_than_a_run_goes_at_once() -> None:
    owner = Owner()
    assert owner.outbox.add("t", b"x" * RUN_BYTES) == URGED
    assert len(owner.written) > RUN_BYTES


def test_at_the_mark_a_message_is_refused_and_nothing_is_lost() -> None:
    owner = Owner(limit_bytes=10_000, writes=False)
    verdicts = [owner.outbox.add("t", b"x" * 996) for _ in range(12)]
    assert verdicts == [QUEUED] * 10 + [REFUSED] * 2
    assert [len(split_run(body)) for _, body in owner.frames()] == [10]


def test_an_answer_may_use_the_reserve_beyond_the_mark() -> None:
    owner = Owner(limit_bytes=1_000, writes=False)
    owner.outbox.add("t", b"x" * 990)
    frame = encode_frame(Cancel(1), b"y" * 500)
    assert not owner.outbox.put(frame)
    assert owner.outbox.put(frame, reserve=True)
    assert not owner.outbox.put(frame, reserve=True)


def test_a_lost_session_forgets_its_frames_and_keeps_what_was_published() -> None:
    owner = Owner()
    owner.outbox.add("t", b"1")
    owner.outbox.put(encode_frame(Cancel(7)))
    owner.outbox.add("t", b"2")
    owner.outbox.end_session()
    assert [split_run(body) for _, body in owner.frames()] == [[b"1"], [b"2"]]


def test_a_closed_outbox_refuses_everything() -> None:
    owner = Owner()
    owner.outbox.add("t", b"1")
    owner.outbox.close()
    assert owner.outbox.add("t", b"2") == REFUSED
    assert owner.frames() == []


@pytest.mark.parametrize("topic", ["", "x" * 257, "\ud800", 7, None])
def test_a_topic_that_cannot_be_sent_is_the_publishers_error(topic: object) -> None:
    with pytest.raises(InvalidRequest):
        Owner().outbox.add(topic, b"")  # type: ignore[arg-type]  # what a program without a type checker may do


def test_headers_that_are_not_strings_are_the_publishers_error() -> None:
    with pytest.raises(InvalidRequest):
        Owner().outbox.add("t", b"", False, {"a": 1})  # type: ignore[dict-item]  # as above


def test_a_payload_that_msgpack_cannot_carry_is_the_publishers_error() -> None:
    with pytest.raises(InvalidRequest):
        Owner().outbox.add("t", object())


def test_a_message_over_the_gateways_limit_is_refused_here() -> None:
    owner = Owner()
    owner.outbox.message_bytes = 100
    with pytest.raises(TooLarge, match="101 bytes"):
        owner.outbox.add("t", b"x" * 101)


def test_a_message_that_never_fits_the_buffer_is_too_large_not_refused() -> None:
    with pytest.raises(TooLarge):
        Owner(limit_bytes=100).outbox.add("t", b"x" * 101)


def test_a_run_is_never_over_what_the_gateway_takes_as_one_message() -> None:
    owner = Owner()
    owner.outbox.message_bytes = 1_000
    for _ in range(50):
        owner.outbox.add("t", b"x" * 100)
    assert all(len(body) <= 1_004 for _, body in owner.frames())


_payloads = st.one_of(st.binary(max_size=80), st.integers(min_value=-5, max_value=5), st.none())
_messages = st.tuples(st.sampled_from(["a", "b", "c.d"]), _payloads, st.booleans())


@given(st.lists(st.one_of(_messages, st.sampled_from(["take", "put"])), max_size=60))
def test_whatever_is_added_comes_out_once_and_in_order(steps: list[Any]) -> None:
    owner = Owner()
    expected: list[object] = []
    for step in steps:
        if step == "take":
            owner.written += owner.outbox.take()
        elif step == "put":
            expected.append("cancel")
            owner.outbox.put(encode_frame(Cancel(1)))
        else:
            topic, payload, retain = step
            expected.append((topic, payload, retain))
            owner.outbox.add(topic, payload, retain)
    found: list[object] = []
    for header, body in owner.frames():
        if isinstance(header, Publish):
            retain = bool(header.flags & RETAIN)
            found += [(header.topic, decode_value(header.encoding, message), retain) for message in split_run(body)]
        else:
            found += ["cancel"]
    assert found == expected
    assert owner.outbox.waiting_bytes == 0


@given(st.lists(st.binary(max_size=400), max_size=80))
def test_what_waits_is_never_over_the_limit(payloads: list[bytes]) -> None:
    owner = Owner(limit_bytes=2_000, writes=False)
    for payload in payloads:
        owner.outbox.add("t", payload)
    assert len(owner.outbox.take()) <= 2_000 + 64  # 64: the frame's own header, once a run
