"""Frames as JSON packages and back, against the gateway's own translation."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from majula.api.sdk.packages import JsonPackages, chunk_of
from majula.errors import ProtocolError
from majula.wire import headers
from majula.wire.frames import decode_header, encode_frame, encode_run, split_run
from majula.wire.headers import JSON, MSGPACK, RAW, RETAIN, RETAINED, Fault, Header, Parameter
from majula.wire.packages import Packages

BAD_RESULT = b'{"method":"RPC_RESULT","invokeid":1,"ok":false,"error":{"code":7}}'

Frames = list[tuple[Header, bytes]]


def packages() -> JsonPackages:
    return JsonPackages(gateway="g:1", name="python-1")


def rendered(*frames: bytes, by: JsonPackages | None = None) -> list[Any]:
    """The packages, out of their batches."""
    found: list[Any] = []
    for text in (by or packages()).render(*chunk_of(list(frames))):
        package = json.loads(text)
        found += package["packages"] if package["method"] == "BATCH" else [package]
    return found


def received(*fields: dict[str, Any], by: JsonPackages | None = None) -> Frames:
    text = json.dumps(fields[0] if len(fields) == 1 else {"method": "BATCH", "packages": fields}).encode()
    return opened(*(by or packages()).receive(text))


def opened(chunk: bytes, spans: list[tuple[int, int, int]]) -> Frames:
    return [(decode_header(chunk[start + 6 : body]), chunk[body:end]) for start, body, end in spans]


def through_the_gateway(*frames: bytes) -> Frames:
    """What the gateway makes of what this client sends."""
    gateway = Packages(batches=True, client_id="me")
    found: Frames = []
    for text in packages().render(*chunk_of(list(frames))):
        taken = gateway.receive(text)
        assert taken.answers == []
        found += opened(*chunk_of(taken.frames))
    return found


def from_the_gateway(*frames: bytes) -> Frames:
    """What this client makes of what the gateway sends."""
    gateway = Packages(batches=True, client_id="me")
    texts: list[bytes] = []
    for header, body in opened(*chunk_of(list(frames))):
        texts += gateway.render(header, body)  # type: ignore[arg-type]  # decode_header gives one of its headers
    return [found for text in gateway.join(texts) for found in opened(*packages().receive(text))]


_values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-100, 100), st.text(max_size=5)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=3), inner, max_size=3)),
    max_leaves=5,
)


@given(st.lists(st.tuples(st.sampled_from(["a", "b"]), _values), max_size=10))
def test_what_is_published_reaches_the_gateway_in_order(messages: list[tuple[str, Any]]) -> None:
    frames = [
        encode_frame(headers.Publish(topic, MSGPACK), encode_run([msgspec.msgpack.encode(value)])) for topic, value in messages
    ]
    found = [
        (header.topic, msgspec.json.decode(message))
        for header, body in through_the_gateway(*frames)
        for message in split_run(body)
        if isinstance(header, headers.Publish)
    ]
    assert found == messages


@given(st.lists(st.tuples(st.sampled_from(["a", "b"]), st.binary(max_size=8)), max_size=10))
def test_bytes_come_back_as_bytes(messages: list[tuple[str, bytes]]) -> None:
    frames = [encode_frame(headers.Publish(topic, RAW), encode_run([data])) for topic, data in messages]
    found = [
        (header.topic, message)
        for header, body in from_the_gateway(*frames)
        for message in split_run(body)
        if isinstance(header, headers.Publish) and header.encoding == RAW
    ]
    assert found == messages


@pytest.mark.parametrize(
    "header",
    [
        headers.Subscribe(1, "a.*", True, "q", True, True),
        headers.Unsubscribe(1, "a.*", True, "q"),
        headers.Register(1, "f", (Parameter("a", "int", "n"),), (Parameter("r", "int"),), "note", True, True),
        headers.Unregister(1, "f"),
        headers.Call(1, "f", JSON, 500, "", "", True, "", {"k": "v"}),
        headers.Publish("t", JSON, RETAIN, 1, "", {"k": "v"}),
        headers.Bye(),
    ],
)
def test_every_request_means_the_same_to_the_gateway(header: Header) -> None:
    body = encode_run([b'{"x":1}']) if isinstance(header, headers.Publish) else b'{"x":1}'
    body = body if isinstance(header, headers.Publish | headers.Call) else b""
    assert through_the_gateway(encode_frame(header, body)) == [(header, body)]


@pytest.mark.parametrize("arguments", [{"a": 1}, [1, 2], 5, None, {"_provider": "mine"}])
def test_a_call_of_somebody_names_them_beside_its_arguments(arguments: object) -> None:
    frame = encode_frame(headers.Call(1, "f", MSGPACK, 500, "p", "n1"), msgspec.msgpack.encode(arguments))
    ((header, body),) = through_the_gateway(frame)
    assert header == headers.Call(1, "f", JSON, 500, "p", "n1")
    assert json.loads(body) == arguments


def test_what_json_has_no_word_for_is_answered_here() -> None:
    one = packages()
    call = encode_frame(headers.Call(6, "f", MSGPACK, 500, "p"), msgspec.msgpack.encode({(1, 2): 3}))
    assert one.render(*chunk_of([call])) == []
    ((result, _),) = opened(*chunk_of(one.refused))
    assert isinstance(result, headers.Result)
    assert result.fault is not None
    assert result.fault.code == "invalid_request"


def test_a_question_and_its_answer_pass_as_json() -> None:
    asked = encode_frame(headers.Request(5, "tokens.show"), msgspec.msgpack.encode({"token": "t1"}))
    ((question, arguments),) = through_the_gateway(asked)
    assert isinstance(question, headers.Request)
    assert (question.operation, question.encoding, arguments) == ("tokens.show", JSON, b'{"token":"t1"}')
    one = packages()
    ((reply, body),) = opened(*one.receive(b'{"method":"REPLY","id":5,"result":{"id":"t1"}}'))
    assert reply == headers.Reply(5, JSON)
    assert json.loads(body) == {"id": "t1"}


def test_a_heartbeat_travels_alone_so_that_its_answer_covers_what_was_before() -> None:
    one = packages()
    texts = one.render(*chunk_of([encode_frame(headers.Unregister(1, "f")), encode_frame(headers.Ping(7))]))
    assert [json.loads(text)["method"] for text in texts] == ["UNREGISTER_RPC", "HEARTBEAT"]


def test_a_greeting_without_an_id_takes_a_made_one() -> None:
    (package,) = rendered(encode_frame(headers.Hello(1)))
    assert (package["method"], package["args"]["client_id"]) == ("REGISTER_CLIENT", "python-1")


def test_the_answer_to_the_greeting_is_a_welcome() -> None:
    gateway = Packages(batches=True, client_id="me", secret="s", node_id="n1")
    (text,) = packages().render(*chunk_of([encode_frame(headers.Hello(1, "me"))]))
    (answer,) = gateway.receive(text).answers
    assert opened(*packages().receive(answer)) == [(headers.Welcome(1, "n1", "me", "s", "g:1"), b"")]


@pytest.mark.parametrize(
    ("header", "body"),
    [
        (headers.Publish("t", JSON, RETAINED, 0, "", {"k": "v"}), encode_run([b'{"x":1}'])),
        (headers.Publish("t", JSON, 0, 0, "q"), encode_run([b"1", b"2"])),
        (headers.Call(9, "f", JSON), b'{"x":1}'),
        (headers.Slow(3, 40), b""),
        (headers.Reconnect(50, "stopping"), b""),
        (headers.Error(0, "permission_denied", "no", {"scope": "x"}, "PUBLISH"), b""),
    ],
)
def test_what_the_gateway_sends_means_the_same_here(header: Header, body: bytes) -> None:
    assert from_the_gateway(encode_frame(header, body)) == [(header, body)]


def test_an_answer_finds_back_to_its_call() -> None:
    result = {"method": "RPC_RESULT", "fun": "f", "invokeid": 4, "result": {"a": 1}, "ok": True}
    assert received(result) == [(headers.Result(4, JSON), b'{"a": 1}')]
    nothing = {"method": "RPC_RESULT", "fun": "f", "invokeid": 4, "ok": True}
    assert received(nothing) == [(headers.Result(4, JSON), b"null")]


def test_a_failure_keeps_its_code_type_and_message() -> None:
    error = {"code": "overloaded", "type": "", "message": "full", "retry_after_s": 0.5}
    ((header, _),) = received({"method": "RPC_RESULT", "invokeid": 4, "ok": False, "error": error, "result": {"error": "full"}})
    assert header == headers.Result(4, JSON, Fault("overloaded", "full", "", 0.5))


def test_a_result_names_the_function_that_was_called() -> None:
    one = packages()
    received({"method": "RPC_CALL_FROM_REMOTE", "fun": "f", "invokeid": 8, "args": {"a": 1}}, by=one)
    (package,) = rendered(encode_frame(headers.Result(8, RAW), b"\x00"), by=one)
    assert package == {"method": "RETURN_RESULT", "fun": "f", "invokeid": 8, "result": {"base64": "AA=="}}


def test_a_batch_of_one_topic_becomes_one_run() -> None:
    deliveries = [{"method": "SUB_RESULT", "topic": "t", "args": n} for n in range(3)]
    assert received(*deliveries) == [(headers.Publish("t", JSON), encode_run([b"0", b"1", b"2"]))]


@pytest.mark.parametrize("text", [b"", b"[]", b'{"method":1}', b"\xff", b'{"method":"BATCH","packages":[3]}', BAD_RESULT])
def test_what_is_no_package_ends_the_connection(text: bytes) -> None:
    with pytest.raises(ProtocolError):
        packages().receive(text)


def test_a_method_of_a_newer_gateway_is_ignored() -> None:
    assert received({"method": "SOMETHING_NEW"}) == []


def test_endless_nesting_ends_the_connection() -> None:
    with pytest.raises(ProtocolError):
        packages().receive(b'{"method":"ACK","id":1,"detail":{"a":' + b"[" * 5000)


@pytest.mark.parametrize("number", ["\u00b2", "9" * 5000, "-1", "", "x"])
def test_pong_of_a_number_that_is_none_is_ignored(number: str) -> None:
    chunk, spans = packages().receive(msgspec.json.encode({"method": "ACK", "id": f"ping:{number}"}))
    assert (chunk, spans) == (b"", [])
