"""Private messages as packages: of clients that leave the flow to the gateway, and of those that run it."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from majula.wire.frames import PREFIX_BYTES, FrameReader, decode_header, encode_run, split_run
from majula.wire.headers import JSON, MSGPACK, RAW, AnyHeader, Receipt, Reply, Request, Send
from majula.wire.package import client_named
from majula.wire.packages import Packages


def seed() -> Packages:
    return Packages(batches=False, client_id="c1", node_id="n1")


def v1(*, speaks_flows: bool = False) -> Packages:
    return Packages(batches=True, client_id="c1", node_id="n1", speaks_flows=speaks_flows)


def take(packages: Packages, package: dict[str, Any]) -> tuple[AnyHeader, bytes]:
    """The one frame that a package means."""
    taken = packages.receive(msgspec.json.encode(package))
    assert not taken.answers, taken.answers
    chunk, spans = FrameReader(limit_bytes=1 << 20).feed(taken.frames[0])
    ((start, body, end),) = spans
    return decode_header(chunk[start + PREFIX_BYTES : body]), chunk[body:end]


def refusal(packages: Packages, package: dict[str, Any]) -> dict[str, Any]:
    (answer,) = packages.receive(msgspec.json.encode(package)).answers
    return msgspec.json.decode(answer, type=dict[str, Any])


def render(packages: Packages, header: AnyHeader, body: bytes = b"") -> list[dict[str, Any]]:
    return [msgspec.json.decode(package, type=dict[str, Any]) for package in packages.render(header, body)]


def test_seed_send_asks_the_gateway_to_deliver() -> None:
    args = {"target_node": "n1", "target_client": "bob", "content": '{"payload":1}'}
    header, body = take(seed(), {"method": "SEND", "args": args})
    assert header == Request(1, "messages.send", JSON)
    asked = msgspec.json.decode(body)
    assert asked == {"client": "bob", "node": "n1", "message": '{"payload":1}', "ttl_s": 60.0, "wait_s": 0.0}


def test_content_of_send_stays_the_text_that_came() -> None:
    text = b'{"method":"SEND","args":{"target_node":"","target_client":"bob","content":{"n":1e2,"f":1.00}}}'
    (frame,) = seed().receive(text).frames
    assert b'"message":{"n":1e2,"f":1.00}' in frame


def test_send_with_an_id_waits_for_the_verdict() -> None:
    _, body = take(seed(), {"method": "SEND", "id": 9, "args": {"target_client": "bob", "content": 1}})
    assert msgspec.json.decode(body)["wait_s"] == 2.0


def test_send_with_an_empty_target_client_is_for_all_of_the_node() -> None:
    header, body = take(seed(), {"method": "SEND", "args": {"target_node": "n1", "target_client": "", "content": 1}})
    assert isinstance(header, Request)
    assert header.operation == "messages.broadcast"
    assert msgspec.json.decode(body)["node"] == "n1"


def test_send_without_a_target_client_is_refused() -> None:
    error = refusal(seed(), {"method": "SEND", "args": {"target_node": "n1", "content": 1}})
    assert (error["refused"], error["code"]) == ("SEND", "invalid_request")


def test_broadcast_asks_the_gateway() -> None:
    header, body = take(v1(), {"method": "BROADCAST", "id": "b", "args": {"content": [1]}})
    assert isinstance(header, Request)
    assert header.operation == "messages.broadcast"
    assert msgspec.json.decode(body)["message"] == [1]


def test_verdict_is_an_ack_with_a_result() -> None:
    packages = seed()
    take(packages, {"method": "SEND", "id": 9, "args": {"target_client": "bob", "content": 1}})
    (ack,) = render(packages, Reply(1, JSON), b'{"message_id":"a-1","state":"written"}')
    assert ack == {"method": "ACK", "id": 9, "result": {"message_id": "a-1", "state": "written"}}


def test_verdict_of_a_send_without_an_id_is_not_told() -> None:
    packages = seed()
    take(packages, {"method": "SEND", "args": {"target_client": "bob", "content": 1}})
    assert render(packages, Reply(1, JSON), b"{}") == []


def test_private_message_of_a_seed_client_says_who_sent_it() -> None:
    header = Send("c1", "n1", 31, 1, 1, 1000, JSON, source="ann", source_node="n2")
    (package,) = render(seed(), header, encode_run([b'"{\\"payload\\":1}"']))
    assert package == {
        "method": "PRIVATE_MESSAGE",
        "args": {"source_node": "n2", "source_client": "ann", "message_id": "1f-1", "message": '{"payload":1}'},
    }


def test_each_message_of_a_run_is_a_package_of_its_own() -> None:
    header = Send("c1", "n1", 31, 5, 1, 1000, MSGPACK, source="ann", source_node="n1")
    found = render(v1(), header, encode_run([msgspec.msgpack.encode(n) for n in (1, 2)]))
    assert [(package["args"]["message_id"], package["args"]["message"]) for package in found] == [("1f-5", 1), ("1f-6", 2)]


def test_bytes_come_as_base64() -> None:
    header = Send("c1", "n1", 31, 1, 1, 1000, RAW, source="ann", source_node="n1")
    (package,) = render(seed(), header, encode_run([b"\xff"]))
    assert package["args"]["message"] == {"base64": "/w=="}


def test_control_characters_of_a_source_are_escaped() -> None:
    header = Send("c1", "n1", 31, 1, 1, 1000, JSON, source="a\x1b\r\nb", source_node="n1")
    (text,) = seed().render(header, encode_run([b"1"]))
    assert not set(text) & {0x1B, 0x0D, 0x0A}


def test_receipt_of_a_client_without_flows_is_refused() -> None:
    error = refusal(v1(), {"method": "RECEIPT", "flow": 7, "args": {"target_client": "ann", "up_to": 1}})
    assert error["code"] == "invalid_request"


def test_client_says_at_its_registration_that_it_runs_flows() -> None:
    text = msgspec.json.encode({"method": "REGISTER_CLIENT", "args": {"client_id": "c1", "flows": True}})
    assert client_named(text) == ("c1", "", True)


def test_send_of_a_client_with_flows_is_its_own_frame() -> None:
    package = {"method": "SEND", "flow": 7, "sequence": 3, "oldest": 2, "ttl_ms": 500, "headers": {"a": "b"}}
    header, body = take(v1(speaks_flows=True), package | {"args": {"target_client": "bob", "content": [1]}})
    assert header == Send("bob", "", 7, 3, 2, 500, JSON, headers={"a": "b"})
    assert split_run(body) == [b"[1]"]


def test_send_without_content_says_only_what_is_oldest() -> None:
    package = {"method": "SEND", "flow": 7, "sequence": 3, "oldest": 3, "args": {"target_client": "bob"}}
    assert take(v1(speaks_flows=True), package)[1] == b""


def test_private_message_of_a_client_with_flows_carries_them() -> None:
    header = Send("c1", "n1", 7, 3, 2, 500, JSON, source="ann", source_node="n1", via="gateway:2", headers={"a": "b"})
    (package,) = render(v1(speaks_flows=True), header, encode_run([b"[1]"]))
    args = package.pop("args")
    assert package == {
        "method": "PRIVATE_MESSAGE",
        "flow": 7,
        "sequence": 3,
        "oldest": 2,
        "ttl_ms": 500,
        "via": "gateway:2",
        "headers": {"a": "b"},
    }
    assert args == {"source_node": "n1", "source_client": "ann", "message_id": "7-3", "message": [1]}


def test_run_that_holds_nothing_is_told_to_a_client_with_flows_only() -> None:
    header = Send("c1", "n1", 7, 3, 3, 500, JSON, source="ann", source_node="n1")
    assert render(v1(), header) == []
    (package,) = render(v1(speaks_flows=True), header)
    assert (package["sequence"], package["oldest"], "message" in package["args"]) == (3, 3, False)


@pytest.mark.parametrize("received", [(), (4, 6)])
def test_receipt_goes_both_ways(received: tuple[int, ...]) -> None:
    packages = v1(speaks_flows=True)
    args = {"target_client": "ann", "target_node": "n1", "up_to": 2, "received": received, "via": "gateway:2"}
    header, _ = take(packages, {"method": "RECEIPT", "flow": 7, "args": args})
    assert header == Receipt("ann", "n1", 7, 2, received, via="gateway:2")
    (package,) = render(packages, Receipt("c1", "n1", 7, 2, received, "", "no_route", "bob", "n1"))
    assert (package["flow"], package["args"]["source_client"], package["args"]["code"]) == (7, "bob", "no_route")
    assert tuple(package["args"].get("received", ())) == received
