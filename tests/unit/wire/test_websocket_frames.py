"""WebSocket frames, the server's side."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from majula.wire import websocket
from majula.wire.websocket import (
    CONTROL_BURST,
    MAX_FRAGMENTS,
    Binary,
    CloseCode,
    Closed,
    Event,
    Opcode,
    Pinged,
    Ponged,
    Text,
    Violation,
    WebSocketReader,
)
from tests.edges import client_frame


def read(*chunks: bytes, limit: int = 1000) -> list[Event]:
    reader = WebSocketReader(message_bytes=limit, now=0.0)
    return [event for chunk in chunks for event in reader.feed(chunk, 0.0)]


def code(events: Iterable[Event]) -> int:
    (violation,) = [event for event in events if isinstance(event, Violation)]
    return violation.code


@given(st.lists(st.tuples(st.sampled_from([1, 2]), st.text(max_size=300)), max_size=5), st.data())
def test_messages_come_out_whole_however_the_bytes_are_cut(messages: list[tuple[int, str]], data: st.DataObject) -> None:
    stream = b""
    for opcode, text in messages:
        payload = text.encode()
        at = data.draw(st.integers(0, len(payload)))
        if data.draw(st.booleans()):
            stream += client_frame(opcode, payload[:at], fin=False, mask=data.draw(st.binary(min_size=4, max_size=4)))
            stream += client_frame(0, payload[at:])
        else:
            stream += client_frame(opcode, payload)
    chunks, rest = [], stream
    while rest:
        size = data.draw(st.integers(1, len(rest)))
        chunks.append(rest[:size])
        rest = rest[size:]
    expected = [Text(text.encode()) if opcode == 1 else Binary(text.encode()) for opcode, text in messages]
    assert read(*chunks, limit=2000) == expected


@given(st.lists(st.binary(max_size=40), max_size=8))
def test_any_bytes_give_events_and_at_most_one_end(chunks: list[bytes]) -> None:
    events = read(*chunks)
    assert not any(isinstance(event, Violation | Closed) for event in events[:-1])


def test_control_frames_come_between_the_fragments_of_a_message() -> None:
    events = read(client_frame(1, b"a", fin=False), client_frame(9, b"p"), client_frame(10, b"q"), client_frame(0, b"b"))
    assert events == [Pinged(b"p"), Ponged(b"q"), Text(b"ab")]


def test_a_close_has_its_code_and_reason() -> None:
    assert read(client_frame(8, b"\x03\xe8bye")) == [Closed(1000, "bye")]


def test_a_close_without_a_code_is_1005() -> None:
    assert read(client_frame(8, b"")) == [Closed(1005)]


@pytest.mark.parametrize("payload", [b"\x03", b"\x03\xed", b"\x00\x00", b"\x07\xd0"])
def test_close_codes_that_may_not_be_sent_are_violations(payload: bytes) -> None:
    assert code(read(client_frame(8, payload))) == CloseCode.PROTOCOL_ERROR


def test_an_unmasked_frame_is_a_violation() -> None:
    assert code(read(b"\x81\x01a")) == CloseCode.PROTOCOL_ERROR


@pytest.mark.parametrize("rsv", [1, 2, 4])
def test_reserved_bits_are_violations(rsv: int) -> None:
    assert code(read(client_frame(1, b"a", rsv=rsv))) == CloseCode.PROTOCOL_ERROR


@pytest.mark.parametrize("opcode", [3, 7, 11, 15])
def test_unknown_opcodes_are_violations(opcode: int) -> None:
    assert code(read(client_frame(opcode, b""))) == CloseCode.PROTOCOL_ERROR


def test_a_fragmented_ping_is_a_violation() -> None:
    assert code(read(client_frame(9, b"", fin=False))) == CloseCode.PROTOCOL_ERROR


def test_a_ping_over_125_bytes_is_a_violation() -> None:
    assert code(read(client_frame(9, b"x" * 126))) == CloseCode.PROTOCOL_ERROR


def test_a_continuation_of_nothing_is_a_violation() -> None:
    assert code(read(client_frame(0, b"a"))) == CloseCode.PROTOCOL_ERROR


def test_a_message_inside_another_is_a_violation() -> None:
    assert code(read(client_frame(1, b"a", fin=False), client_frame(1, b"b"))) == CloseCode.PROTOCOL_ERROR


def test_text_that_is_not_utf8_is_a_violation() -> None:
    assert code(read(client_frame(1, b"\xff"))) == CloseCode.NOT_UTF8


def test_a_message_over_the_limit_is_refused_at_its_head() -> None:
    assert code(read(client_frame(2, b"x" * 1001)[:8])) == CloseCode.TOO_BIG


def test_a_length_of_all_ones_is_refused_at_its_head() -> None:
    assert code(read(b"\x82\xff" + b"\xff" * 8)) == CloseCode.TOO_BIG


def test_fragments_over_the_limit_together_are_refused() -> None:
    frames = [client_frame(2, b"x" * 600, fin=False), client_frame(0, b"x" * 600, fin=False)]
    assert code(read(*frames)) == CloseCode.TOO_BIG


def test_more_fragments_than_any_library_sends_are_refused() -> None:
    stream = client_frame(2, b"x", fin=False) + client_frame(0, b"x", fin=False) * MAX_FRAGMENTS
    assert code(read(stream, limit=1 << 20)) == CloseCode.POLICY


def test_empty_fragments_without_end_are_refused() -> None:
    stream = client_frame(2, b"", fin=False) + client_frame(0, b"", fin=False) * (CONTROL_BURST + 1)
    assert code(read(stream)) == CloseCode.POLICY


def test_pings_without_end_are_refused() -> None:
    events = read(client_frame(9, b"") * 10_000)
    assert len(events) == CONTROL_BURST + 1 and code(events) == CloseCode.POLICY


def test_pings_at_a_human_rate_are_answered_for_ever() -> None:
    reader = WebSocketReader(message_bytes=10, now=0.0)
    events = [event for second in range(1000) for event in reader.feed(client_frame(9, b"") * 10, float(second))]
    assert events == [Pinged(b"")] * 10_000


def test_after_a_violation_nothing_more_is_read() -> None:
    reader = WebSocketReader(message_bytes=10, now=0.0)
    reader.feed(b"\x81\x01a", 0.0)
    assert reader.feed(client_frame(1, b"a"), 0.0) == []


def test_a_message_that_comes_a_byte_at_a_time_is_held_in_few_pieces() -> None:
    reader = WebSocketReader(message_bytes=1 << 20, now=0.0)
    frame = client_frame(2, b"x" * 5000)
    for at in range(len(frame) - 1):
        assert reader.feed(frame[at : at + 1], 0.0) == []
        assert len(reader._parts) <= 512
    assert reader.feed(frame[-1:], 0.0) == [Binary(b"x" * 5000)]


@pytest.mark.parametrize("size", [0, 125, 126, 65_535, 65_536])
def test_heads_are_as_long_as_their_length_needs(size: int) -> None:
    head = websocket.encode_head(Opcode.BINARY, size)
    assert len(head) == (2 if size < 126 else 4 if size < 65_536 else 10)


def test_the_reason_of_a_close_is_cut_between_characters() -> None:
    frame = websocket.encode_close(1000, "ä" * 100)
    assert frame[4:].decode() == "ä" * 61


@pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 255, 256, 65_535, 65_536])
def test_a_text_is_the_same_frame_on_the_short_way(size: int) -> None:
    assert websocket.encode_text(b"x" * size) == websocket.encode(Opcode.TEXT, b"x" * size)


@pytest.mark.parametrize("size", [0, 1, 3, 125, 126, 127, 129, 65_535, 65_536])
@pytest.mark.parametrize("opcode", [1, 2])
def test_a_message_of_any_size_is_read_on_the_short_way_and_the_long(size: int, opcode: int) -> None:
    payload = bytes(number % 97 + 30 for number in range(size))
    frame = client_frame(opcode, payload)
    expected = [Text(payload) if opcode == 1 else Binary(payload)]
    assert read(frame, limit=1 << 20) == expected == read(frame[:3], frame[3:], limit=1 << 20)


def test_a_frame_that_says_64_bits_of_length_for_little_is_read_as_it_says() -> None:
    payload = b"y" * 127
    frame = b"\x82\xff" + (127).to_bytes(8, "big") + b"\0\0\0\0" + payload
    assert read(frame) == [Binary(payload)]
