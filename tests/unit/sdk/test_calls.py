"""Open calls and their frames."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from majula.api.sdk.calls import BACKSTOP_S, CallFrames, OpenCalls, error_of_fault, result_frame
from majula.errors import InvalidRequest, LimitReached, NoProvider, Overloaded, RemoteError
from majula.wire.frames import FrameReader, decode_header
from majula.wire.headers import Call, Encoding, Fault, Header, Result


def opened(frame: bytes) -> tuple[Header, bytes]:
    chunk, ((start, body, end),) = FrameReader(limit_bytes=1 << 20).feed(frame)
    return decode_header(chunk[start + 6 : body]), chunk[body:end]


def call_frame(number: int = 1, body: bytes = b"", *, function: str = "f", provider: str = "") -> bytes:
    return CallFrames().frame(number, body, (function, 1, 10_000, provider, "", False))


_headers = st.builds(
    Call,
    call=st.integers(min_value=1, max_value=0xFFFFFFFF),
    function=st.text(alphabet="abcé", min_size=1, max_size=20),
    encoding=st.sampled_from([0, 1, 2]),
    timeout_ms=st.integers(min_value=1, max_value=3_600_000),
    provider=st.text(alphabet="xyz", max_size=20),
    node=st.text(alphabet="xyz", max_size=20),
    idempotent=st.booleans(),
)


@given(_headers, st.binary(max_size=40))
def test_a_frame_of_kept_parts_says_the_same_as_an_encoded_one(header: Call, body: bytes) -> None:
    frames = CallFrames()
    for number in (header.call, 1, 0xFFFFFFFF):  # the second and third time from what was kept
        fields = (header.function, header.encoding, header.timeout_ms, header.provider, header.node, header.idempotent)
        frame = frames.frame(number, body, fields)
        assert opened(frame) == (msgspec.structs.replace(header, call=number), body)


def test_headers_of_a_call_travel() -> None:
    frame = CallFrames().frame(3, b"", ("f", 1, 5, "", "", False), {"k": "v"})
    assert opened(frame)[0] == Call(3, "f", 1, 5, headers={"k": "v"})


@given(st.integers(min_value=1, max_value=1 << 40), st.sampled_from([0, 1, 2]), st.binary(max_size=40))
def test_a_result_frame_says_the_same_as_an_encoded_one(number: int, encoding: Encoding, body: bytes) -> None:
    assert opened(result_frame(number, encoding, body)) == (Result(number, encoding), body)


@pytest.mark.parametrize("name", ["", "x" * 129, "a\nb", "\x00", "\ud800", 5])
def test_a_name_that_cannot_be_sent_is_the_callers_error(name: object) -> None:
    with pytest.raises(InvalidRequest):
        call_frame(function=name)  # type: ignore[arg-type]  # what a program without a type checker may do


def test_an_empty_provider_lets_the_gateway_choose() -> None:
    assert isinstance(opened(call_frame(provider=""))[0], Call)


def test_a_call_ends_once() -> None:
    calls: OpenCalls[str] = OpenCalls()
    number = calls.open("a", 1.0)
    assert calls.close(number) == "a"
    assert calls.close(number) is None


def test_open_calls_are_bounded() -> None:
    calls: OpenCalls[int] = OpenCalls(limit=2)
    calls.open(1, 1.0)
    calls.open(2, 1.0)
    with pytest.raises(LimitReached):
        calls.open(3, 1.0)


def test_a_call_expires_a_little_after_its_deadline() -> None:
    calls: OpenCalls[str] = OpenCalls()
    calls.open("a", 10.0)
    calls.open("b", 20.0)
    assert calls.expired(10.0) == []
    assert calls.expired(10.0 + BACKSTOP_S) == ["a"]
    assert len(calls) == 1


def test_a_lost_session_ends_all_calls() -> None:
    calls: OpenCalls[str] = OpenCalls()
    calls.open("a", 1.0)
    calls.open("b", 1.0)
    assert calls.lost() == ["a", "b"]
    assert len(calls) == 0


@given(st.lists(st.tuples(st.sampled_from(["open", "close", "expire", "lose"]), st.integers(0, 30)), max_size=80))
def test_every_call_ends_exactly_once_in_any_order_of_events(steps: list[tuple[str, int]]) -> None:
    calls: OpenCalls[int] = OpenCalls(limit=8)
    ended: list[int] = []
    started = 0
    now = 0.0
    for step, value in steps:
        now += 0.5
        match step:
            case "open":
                if len(calls) < 8:
                    assert calls.open(started, now + value / 5) == started + 1
                    started += 1
            case "close":
                waiter = calls.close(value)
                ended += [] if waiter is None else [waiter]
            case "expire":
                ended += calls.expired(now)
            case _:
                ended += calls.lost()
    ended += calls.lost()
    assert sorted(ended) == list(range(started))


def test_only_what_the_handler_raised_is_a_remote_error() -> None:
    remote = error_of_fault(Fault("remote_error", "no", "ValueError"))
    assert isinstance(remote, RemoteError)
    assert (remote.type, remote.message) == ("ValueError", "no")
    assert isinstance(error_of_fault(Fault("no_provider", "nobody")), NoProvider)


def test_an_overloaded_provider_says_when_to_try_again() -> None:
    error = error_of_fault(Fault("overloaded", "full", "", 0.25))
    assert isinstance(error, Overloaded)
    assert error.retry_after_s == 0.25
