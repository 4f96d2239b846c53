"""JSON packages to frames and back."""

from __future__ import annotations

import base64
import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from majula.wire import headers
from majula.wire.frames import PREFIX_BYTES, decode_header, encode_run, split_run
from majula.wire.headers import JSON, MSGPACK, RAW, RETAIN, RETAINED, AnyHeader, Encoding, Fault
from majula.wire.package import NOT_BUILT, client_named
from majula.wire.packages import Packages


def packages(*, batches: bool = False) -> Packages:
    return Packages(batches=batches, client_id="c1", secret="s3", node_id="n1")


def taken(translation: Packages, package: object) -> tuple[list[tuple[AnyHeader, bytes]], list[Any]]:
    """(headers and bodies for the gateway, answers)."""
    text = package if isinstance(package, bytes) else json.dumps(package).encode()
    result = translation.receive(text)
    frames = []
    for frame in result.frames:
        body_at = PREFIX_BYTES + int.from_bytes(frame[4:6], "little")
        frames.append((decode_header(frame[PREFIX_BYTES:body_at]), frame[body_at:]))
    return frames, [json.loads(answer) for answer in result.answers]


def sent(translation: Packages, package: object) -> tuple[Any, bytes]:
    (frame,), answers = taken(translation, package)
    assert answers == []
    return frame


def refused(translation: Packages, package: object) -> Any:
    frames, (answer,) = taken(translation, package)
    assert frames == []
    return answer


def rendered(translation: Packages, header: AnyHeader, body: bytes = b"") -> list[Any]:
    return [json.loads(text) for text in translation.render(header, body)]


# --- publish and deliver


def test_publish_becomes_a_run_of_one_json_message() -> None:
    header, body = sent(packages(), {"method": "PUBLISH", "topic": "a.b", "args": {"n": 1}})
    assert header == headers.Publish("a.b", JSON) and json.loads(split_run(body)[0]) == {"n": 1}


def test_publish_without_args_is_an_empty_object() -> None:
    assert split_run(sent(packages(), {"method": "PUBLISH", "topic": "t"})[1]) == [b"{}"]


def test_publish_with_retain_and_headers() -> None:
    header, _ = sent(packages(), {"method": "PUBLISH", "topic": "t", "args": {}, "retain": True, "headers": {"k": "v"}})
    assert header == headers.Publish("t", JSON, RETAIN, 0, "", {"k": "v"})


def test_publish_with_an_id_is_acknowledged_under_it() -> None:
    translation = packages()
    header, _ = sent(translation, {"method": "PUBLISH", "topic": "t", "args": {}, "id": "p-1"})
    answer = rendered(translation, headers.Ack(header.request, "accepted"))
    assert answer == [{"method": "ACK", "id": "p-1", "guarantee": "accepted"}]


def test_a_delivery_is_one_package_a_message() -> None:
    body = encode_run([b'{"n":1}', b'{"n":2}'])
    answer = rendered(packages(), headers.Publish("a.b", JSON), body)
    assert answer == [{"method": "SUB_RESULT", "topic": "a.b", "args": {"n": n}} for n in (1, 2)]


def test_the_inner_circle_gets_args_as_an_object_always() -> None:
    body = encode_run([b"5", b' {"n":1}', b"[1]"])
    args = [answer["args"] for answer in rendered(packages(), headers.Publish("t", JSON), body)]
    assert args == [{"message": 5}, {"n": 1}, {"message": [1]}]


def test_batching_clients_get_args_as_they_were_published() -> None:
    assert rendered(packages(batches=True), headers.Publish("t", JSON), encode_run([b"5"]))[0]["args"] == 5


def test_empty_args_are_left_out() -> None:
    assert rendered(packages(), headers.Publish("t", JSON), encode_run([b"{}"])) == [{"method": "SUB_RESULT", "topic": "t"}]


def test_a_msgpack_payload_is_delivered_as_json() -> None:
    body = encode_run([msgspec.msgpack.encode({"k": [1, None, "ü"]})])
    assert rendered(packages(), headers.Publish("t", MSGPACK), body)[0]["args"] == {"k": [1, None, "ü"]}


@pytest.mark.parametrize("encoding", [RAW, MSGPACK])
def test_a_payload_without_a_json_form_is_delivered_in_base64(encoding: Encoding) -> None:
    assert rendered(packages(), headers.Publish("t", encoding), encode_run([b"\xc1\xff"]))[0]["args"] == {"base64": "wf8="}


def test_a_retained_value_and_a_queue_delivery_are_marked() -> None:
    header = headers.Publish("t", JSON, RETAINED, 0, "workers", {"k": "v"})
    (answer,) = rendered(packages(), header, encode_run([b'{"n":1}']))
    assert (answer["retained"], answer["queue"], answer["headers"]) == (True, "workers", {"k": "v"})


@given(st.text(min_size=1, max_size=30).filter(lambda topic: topic.isprintable()))
def test_any_topic_comes_back_as_it_was(topic: str) -> None:
    translation = packages()
    header, body = sent(translation, {"method": "PUBLISH", "topic": topic, "args": {"n": 1}})
    assert rendered(translation, header, body)[0]["topic"] == topic


# --- batches


def test_publications_to_one_topic_in_a_batch_become_one_run() -> None:
    inner = [{"method": "PUBLISH", "topic": "t", "args": {"n": n}} for n in range(3)]
    header, body = sent(packages(batches=True), {"method": "BATCH", "packages": inner})
    assert header.topic == "t" and [json.loads(one)["n"] for one in split_run(body)] == [0, 1, 2]


def test_a_run_is_closed_before_it_is_larger_than_a_message_may_be() -> None:
    inner = [{"method": "PUBLISH", "topic": "t", "args": "x" * 30_000} for _ in range(5)]
    frames, _ = taken(packages(batches=True), {"method": "BATCH", "packages": inner})
    assert [len(split_run(body)) for _, body in frames] == [2, 2, 1]


def test_a_batch_keeps_the_order_of_its_packages() -> None:
    inner = [
        {"method": "PUBLISH", "topic": "t", "args": {}},
        {"method": "PUBLISH", "topic": "u", "args": {}},
        {"method": "SUBSCRIBE", "topic": "s"},
        {"method": "PUBLISH", "topic": "u", "args": {}},
    ]
    frames, _ = taken(packages(batches=True), {"method": "BATCH", "packages": inner})
    assert [header.topic for header, _ in frames] == ["t", "u", "s", "u"]  # type: ignore[union-attr] # all of these have one


def test_what_is_wrong_in_a_batch_does_not_stop_the_rest() -> None:
    inner = [{"method": "NOPE", "id": 1}, {"method": "PUBLISH", "topic": 5}, {"method": "PUBLISH", "topic": "t", "args": {}}]
    frames, answers = taken(packages(batches=True), {"method": "BATCH", "packages": inner})
    assert len(frames) == 1 and [answer["code"] for answer in answers] == ["invalid_request"] * 2


@pytest.mark.parametrize(
    "text",
    [
        b'{"method":"BATCH","packages":[],"packages":[{"method":"QUIT"}]}',
        b'{"method":"BATCH","packages":[{"method":"PUBLISH","topic":"t","args":{"a":1,"a":2}}]}',
        b'{"method":"BATCH","method":"QUIT","packages":[]}',
        b'{"method":"BATCH","p\\u0061ckages":[],"packages":[]}',
    ],
)
def test_a_key_that_stands_twice_in_a_batch_is_refused(text: bytes) -> None:
    assert "twice" in refused(packages(batches=True), text)["error"]


def test_a_batch_in_a_batch_is_refused() -> None:
    inner = [{"method": "BATCH", "packages": []}]
    assert refused(packages(batches=True), {"method": "BATCH", "packages": inner})["refused"] == "BATCH"


def test_packages_are_joined_for_those_who_asked_for_batches() -> None:
    (text,) = packages(batches=True).join([b'{"method":"A"}', b'{"method":"B"}'])
    assert json.loads(text) == {"method": "BATCH", "packages": [{"method": "A"}, {"method": "B"}]}


def test_the_inner_circle_gets_one_package_a_text() -> None:
    assert packages().join([b"{}", b"{}"]) == [b"{}", b"{}"]


# --- subscribe, register


def test_subscribe_carries_what_the_outer_circle_adds() -> None:
    package = {"method": "SUBSCRIBE", "topic": "a.*", "pattern": True, "queue": "q", "retained": True, "sync": True}
    header, _ = sent(packages(), package)
    assert header == headers.Subscribe(1, "a.*", True, "q", True, True)


def test_without_an_id_nothing_is_acknowledged() -> None:
    translation = packages()
    header, _ = sent(translation, {"method": "SUBSCRIBE", "topic": "t"})
    assert rendered(translation, headers.Ack(header.request, "gateway")) == []


def test_a_refusal_names_the_method_even_without_an_id() -> None:
    translation = packages()
    header, _ = sent(translation, {"method": "SUBSCRIBE", "topic": ""})
    (answer,) = rendered(translation, headers.Error(header.request, "invalid_request", "no topic", {"limit": 1}))
    assert answer == {
        "method": "ERROR",
        "refused": "SUBSCRIBE",
        "error": "no topic",
        "code": "invalid_request",
        "detail": {"limit": 1},
    }


def test_register_carries_its_metadata() -> None:
    args = {"parameters": [{"name": "a", "type": "int", "note": "n"}], "results": [{"name": "r"}], "note": "adds"}
    header, _ = sent(packages(), {"method": "REGISTER_RPC", "fun": "f", "args": args})
    expected = headers.Register(1, "f", (headers.Parameter("a", "int", "n"),), (headers.Parameter("r"),), "adds")
    assert header == expected


# --- calls


def call(**more: object) -> dict[str, object]:
    return {"method": "RPC", "fun": "f", "args": {"a": 1, "_target_node": "n2", "_provider": "p"}, **more}


def test_a_call_loses_its_addressing_before_the_provider_sees_it() -> None:
    header, body = sent(packages(), call(invokeid=7))
    assert (header.function, header.node, header.provider, json.loads(body)) == ("f", "n2", "p", {"a": 1})


def test_a_result_comes_back_under_the_callers_own_number() -> None:
    translation = packages()
    header, _ = sent(translation, call(invokeid=2**64 - 1))
    (text,) = translation.render(headers.Result(header.call, JSON), b'{"sum":3}')
    assert b'"invokeid":18446744073709551615,' in text
    assert json.loads(text)["result"] == {"sum": 3} and json.loads(text)["ok"] is True


def test_a_call_without_a_number_is_answered_without_one() -> None:
    translation = packages()
    header, _ = sent(translation, call())
    assert rendered(translation, headers.Result(header.call, JSON), b"1") == [
        {"method": "RPC_RESULT", "fun": "f", "result": 1, "ok": True}
    ]


def test_equal_numbers_of_two_open_calls_do_no_harm() -> None:
    translation = packages()
    first, _ = sent(translation, call(invokeid=1))
    second, _ = sent(translation, call(invokeid=1))
    assert first.call != second.call


def test_a_null_result_is_left_out() -> None:
    translation = packages()
    header, _ = sent(translation, call(invokeid=1))
    assert "result" not in rendered(translation, headers.Result(header.call, JSON), b"null")[0]


def test_a_fault_stands_in_the_result_where_the_inner_circle_looks() -> None:
    translation = packages()
    header, _ = sent(translation, call(invokeid=1))
    fault = Fault("overloaded", "try later", "", 2.5)
    (answer,) = rendered(translation, headers.Result(header.call, JSON, fault))
    assert answer["result"] == {"error": "try later"} and answer["ok"] is False
    assert answer["error"] == {"code": "overloaded", "type": "", "message": "try later", "retry_after_s": 2.5}


@pytest.mark.parametrize("missing", ["_target_node", "_provider"])
def test_a_call_of_the_inner_circle_names_node_and_provider(missing: str) -> None:
    args = {"_target_node": "", "_provider": ""}
    del args[missing]
    answer = refused(packages(), {"method": "RPC", "fun": "f", "invokeid": 4, "args": args})
    assert answer["method"] == "RPC_RESULT" and missing in answer["result"]["error"] and answer["invokeid"] == 4


def test_a_batching_client_may_leave_them_out() -> None:
    header, body = sent(packages(batches=True), {"method": "RPC", "fun": "f", "args": [1]})
    assert (header.node, header.provider, body) == ("", "", b"[1]")


def test_timeout_idempotence_and_headers_travel_with_the_call() -> None:
    header, _ = sent(packages(), call(timeout_ms=50, idempotent=True, headers={"t": "1"}))
    assert (header.timeout_ms, header.idempotent, header.headers) == (50, True, {"t": "1"})


@pytest.mark.parametrize("number", ["2.0", '"3"', "true", "18446744073709551616", "[1]"])
def test_an_invokeid_that_is_no_whole_number_of_64_bits_is_refused(number: str) -> None:
    text = b'{"method":"RPC","fun":"f","invokeid":%b,"args":{"_target_node":"","_provider":""}}' % number.encode()
    assert refused(packages(), text)["code"] == "invalid_request"


def test_cancel_gives_up_the_call_of_that_number() -> None:
    translation = packages()
    header, _ = sent(translation, call(invokeid=9))
    assert sent(translation, {"method": "CANCEL", "invokeid": 9})[0] == headers.Cancel(header.call)
    assert rendered(translation, headers.Result(header.call, JSON), b"1") == []


# --- as a provider


def test_a_provider_gets_the_gateways_number_and_answers_under_it() -> None:
    translation = packages()
    (package,) = rendered(translation, headers.Call(77, "f", JSON, 1000, "c1", "n1", False, "caller"), b'{"a":1}')
    assert package == {"method": "RPC_CALL_FROM_REMOTE", "fun": "f", "args": {"a": 1}, "invokeid": 77}
    header, body = sent(translation, {"method": "RETURN_RESULT", "fun": "f", "invokeid": 77, "result": {"r": 1}})
    assert header == headers.Result(77, JSON) and json.loads(body) == {"r": 1}


def test_a_second_or_stray_result_is_ignored() -> None:
    assert taken(packages(), {"method": "RETURN_RESULT", "fun": "f", "invokeid": 5, "result": 1}) == ([], [])


def test_a_provider_that_failed_says_so_with_type_and_message() -> None:
    translation = packages()
    rendered(translation, headers.Call(3, "f", JSON), b"{}")
    failure = {"type": "KeyError", "message": "no such key"}
    header, body = sent(translation, {"method": "RETURN_RESULT", "invokeid": 3, "ok": False, "error": failure})
    assert header.fault == Fault("remote_error", "no such key", "KeyError") and body == b""


def test_an_error_in_the_result_alone_is_a_result() -> None:
    translation = packages()
    rendered(translation, headers.Call(3, "f", JSON), b"{}")
    header, body = sent(translation, {"method": "RETURN_RESULT", "invokeid": 3, "result": {"error": "bad"}})
    assert header.fault is None and json.loads(body) == {"error": "bad"}


def test_a_provider_hears_of_a_cancelled_call() -> None:
    translation = packages()
    rendered(translation, headers.Call(3, "f", JSON), b"{}")
    assert rendered(translation, headers.Cancel(3)) == [{"method": "CANCEL", "invokeid": 3}]


# --- the session


def test_the_own_name_again_has_no_effect() -> None:
    assert taken(packages(), {"method": "REGISTER_CLIENT", "args": {"client_id": "c1"}}) == ([], [])


def test_another_name_is_refused() -> None:
    assert refused(packages(), {"method": "REGISTER_CLIENT", "args": {"client_id": "c2"}})["code"] == "conflict"


def test_who_asks_learns_the_secret_of_the_session() -> None:
    answer = refused(packages(), {"method": "REGISTER_CLIENT", "args": {"client_id": "c1"}, "id": 1})
    assert answer == {"method": "ACK", "id": 1, "result": {"client_id": "c1", "secret": "s3", "node_id": "n1"}}


def test_a_name_is_found_in_the_first_package_of_a_batch() -> None:
    first = b'{"method":"REGISTER_CLIENT","args":{"client_id":"c9","secret":"x"}}'
    assert client_named(first) == ("c9", "x", False) == client_named(b'{"method":"BATCH","packages":[%b]}' % first)


@pytest.mark.parametrize("text", [b"", b"[", b'{"method":"QUIT"}', b'{"method":"REGISTER_CLIENT","args":5}'])
def test_other_packages_name_nobody(text: bytes) -> None:
    assert client_named(text) is None


def test_quit_ends_the_session() -> None:
    result = packages().receive(b'{"method":"QUIT"}')
    assert result.quit and len(result.frames) == 1


def test_a_heartbeat_is_not_answered_unless_it_asks() -> None:
    assert taken(packages(), {"method": "HEARTBEAT", "args": {"client_id": "c1", "time_stamp": 1}}) == ([], [])


def test_any_declared_operation_is_asked_for_by_request() -> None:
    (frame,), answers = taken(packages(), {"method": "REQUEST", "operation": "tokens.list", "args": {"limit": 2}, "id": 7})
    assert frame == (headers.Request(1, "tokens.list", headers.JSON), b'{"limit": 2}') and answers == []


def test_the_answer_of_a_request_comes_as_reply() -> None:
    of = packages()
    taken(of, {"method": "REQUEST", "operation": "tokens.list", "id": 7})
    body = msgspec.msgpack.encode({"tokens": [], "of": 1 << 60})
    assert rendered(of, headers.Reply(1, headers.MSGPACK), body) == [
        {"method": "REPLY", "id": 7, "result": {"tokens": [], "of": 1 << 60}}
    ]


def test_a_request_that_has_no_answer_is_acknowledged() -> None:
    of = packages()
    taken(of, {"method": "REQUEST", "operation": "log.level", "args": {}, "id": "a"})
    assert rendered(of, headers.Ack(1)) == [{"method": "ACK", "id": "a"}]


@pytest.mark.parametrize("package", [{}, {"operation": "tokens.list", "args": []}])
def test_a_request_names_an_operation_and_its_arguments_are_an_object(package: dict[str, Any]) -> None:
    answer = refused(packages(), {"method": "REQUEST", "id": 1, **package})
    assert (answer["code"], answer["refused"]) == ("invalid_request", "REQUEST")


@pytest.mark.parametrize("id", [b"1e999", b"9" * 100, b'{"a":1}', b'"%b"' % (b"x" * 300)])
def test_an_id_that_no_client_can_read_is_not_returned(id: bytes) -> None:
    for text in (
        b'{"method":"PUBLISH","id":%b}',
        b'{"method":"BATCH","id":%b}',
        b'{"method":"BATCH","packages":[{"method":"BATCH","id":%b}]}',
    ):
        _, (answer,) = taken(packages(batches=True), text % id)
        assert answer["method"] == "ERROR" and "id" not in answer


def test_slow_and_reconnect_are_told() -> None:
    assert rendered(packages(), headers.Slow(5, 600)) == [{"method": "SLOW", "dropped_messages": 5, "dropped_bytes": 600}]
    assert rendered(packages(), headers.Reconnect(100, "drain")) == [{"method": "RECONNECT", "after_ms": 100, "reason": "drain"}]


# --- bad input


@pytest.mark.parametrize("method", sorted(NOT_BUILT))
def test_what_is_not_built_says_so(method: str) -> None:
    answer = refused(packages(), {"method": method, "id": 1})
    assert (answer["method"], answer["code"], answer["id"], answer["refused"]) == ("ERROR", "not_built", 1, method)


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"null",
        b"[]",
        b"{}",
        b'{"method":1}',
        b'{"method":"PUBLISH","topic":[]}',
        b'{"method":"PUBLISH","topic":"t","args":{"a":NaN}}',
        b'{"method":"PUBLISH","topic":"t","args":{"a":1,"a":2}}',
        b'{"method":"PUBLISH","topic":"t","args":' + b"[" * 100_000,
        b'{"method":"PUBLISH","topic":"t","args":{"a":"\\ud800"}}',
        b'{"method":"PUBLISH","topic":"t","args":{"a":"\xff"}}',
        b'{"method":"PUBLISH","topic":"t","args":' + b"9" * 5000 + b"}",
        b'{"method":"REGISTER_RPC","fun":"f","args":{"parameters":5}}',
        b'{"method":"SUBSCRIBE","topic":"t","id":{"a":1}}',
        b'{"method":"SUBSCRIBE","topic":"t","id":"' + b"x" * 300 + b'"}',
        b'{"method":"CANCEL"}',
    ],
)
def test_what_cannot_be_read_is_answered_by_an_error(text: bytes) -> None:
    assert refused(packages(), text)["code"] in {"invalid_request"}


def test_an_error_carries_the_id_where_it_could_be_read() -> None:
    assert refused(packages(), b'{"method":"PUBLISH","topic":5,"id":"x"}')["id"] == "x"


@pytest.mark.parametrize("package", [{"method": "SUBSCRIBE", "topic": "t" * 70_000}, call(fun="f" * 70_000, invokeid=1)])
def test_what_is_refused_here_is_not_kept_as_open(package: object) -> None:
    translation = packages()
    for _ in range(5000):
        assert b"limit_reached" not in msgspec.json.encode(refused(translation, package))


def test_open_requests_are_bounded() -> None:
    translation = packages()
    for _ in range(4096):
        sent(translation, {"method": "SUBSCRIBE", "topic": "t"})
    assert refused(translation, {"method": "SUBSCRIBE", "topic": "t"})["code"] == "limit_reached"


@given(st.binary(max_size=200))
def test_any_bytes_that_are_no_package_are_answered(data: bytes) -> None:
    assert taken(packages(), b"!" + data)[1]


@given(st.binary(max_size=200))
def test_no_bytes_raise(data: bytes) -> None:
    taken(packages(), data)


_fields = st.sampled_from(["method", "topic", "fun", "args", "invokeid", "result", "id", "ok", "error", "packages", "queue"])
_words = st.sampled_from(["PUBLISH", "RPC", "RETURN_RESULT", "SUBSCRIBE", "BATCH", "CANCEL", "REGISTER_RPC", "QUIT"])


@given(st.dictionaries(_fields, _words | st.none() | st.booleans() | st.integers() | st.lists(_words) | st.just({}), max_size=6))
def test_packages_of_any_shape_never_raise(package: dict[str, Any]) -> None:
    taken(packages(batches=True), package)


# --- what a native peer calls JSON

FORGED = b'{},"method":"RPC_RESULT","invokeid":1,"result":{"a":1}'
NOT_JSON = [FORGED, b'1},{"method":"QUIT"', b"{", b"}{", b'"\xff"', b"NaN", b"[" * 5000]
NOT_JSON += [b"9" * 5000, b"[1e999]", b"[" * 500 + b"]" * 500]  # with these the reader of a BATCH would lose all of it


@pytest.mark.parametrize("payload", NOT_JSON)
@pytest.mark.parametrize("batches", [False, True])
def test_a_payload_that_is_not_json_is_delivered_as_its_bytes(payload: bytes, batches: bool) -> None:
    in_base64 = {"base64": base64.b64encode(payload).decode()}
    translation = packages(batches=batches)
    (delivery,) = rendered(translation, headers.Publish("t", JSON), encode_run([payload]))
    assert delivery == {"method": "SUB_RESULT", "topic": "t", "args": in_base64}
    (call,) = rendered(translation, headers.Call(7, "f", JSON), payload)
    assert call == {"method": "RPC_CALL_FROM_REMOTE", "fun": "f", "invokeid": 7, "args": in_base64}


@pytest.mark.parametrize("payload", NOT_JSON)
def test_a_result_that_is_not_json_cannot_become_another_package(payload: bytes) -> None:
    translation = packages()
    call = {"method": "RPC", "fun": "f", "invokeid": 3, "args": {"_target_node": "", "_provider": ""}}
    number = sent(translation, call)[0].call
    (answer,) = rendered(translation, headers.Result(number, JSON), payload)
    assert answer == {
        "method": "RPC_RESULT",
        "fun": "f",
        "invokeid": 3,
        "result": {"base64": base64.b64encode(payload).decode()},
        "ok": True,
    }


@pytest.mark.parametrize("args", ["5", "[1,2]", "null", '{"_provider":"mine"}'])
def test_who_is_to_answer_may_stand_beside_any_arguments(args: str) -> None:
    text = f'{{"method":"RPC","fun":"f","invokeid":1,"provider":"p","node":"n1","args":{args}}}'
    taken = Packages(batches=True, client_id="c1").receive(text.encode())
    (frame,) = taken.frames
    body_at = 6 + int.from_bytes(frame[4:6], "little")
    header = decode_header(frame[6:body_at])
    assert isinstance(header, headers.Call)
    assert (header.provider, header.node, frame[body_at:].decode()) == ("p", "n1", args)
