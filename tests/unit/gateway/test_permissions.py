"""What a session may do by its scopes, frame by frame."""

from __future__ import annotations

import pytest

from majula.auth import grants_of
from majula.gateway.accounts import Identity
from majula.wire.headers import MSGPACK, Ack, Call, Error, Header, Publish, Receipt, Register, Request, Result, Send, Subscribe
from tests.unit.gateway.world import Client, Node


def client(*scopes: str, node: Node | None = None, client_id: str = "c") -> Client:
    return (node or Node()).client(client_id, identity=Identity("tok-1", grants_of(scopes)))


def missing(found: Client, header: Header, body: bytes = b"") -> str:
    """The scope that the gateway names when it refuses this frame; empty: it does not."""
    found.send(header, body)
    for answer in found.headers():
        if isinstance(answer, Error) and answer.code == "permission_denied":
            return str(answer.detail["scope"])
        if isinstance(answer, Result) and answer.fault is not None and answer.fault.code == "permission_denied":
            return answer.fault.message.removeprefix("the token does not grant ").removeprefix("the token denies this: ")
    return ""


RUN = b"\x01\x00\x00\x00m"


@pytest.mark.parametrize(
    ("header", "scope"),
    [
        (Publish("a.b"), "publish:a.b"),
        (Publish("a.b", request=7), "publish:a.b"),
        (Subscribe(1, "a.b"), "subscribe:a.b"),
        (Subscribe(1, "a.*", True), "subscribe:a.*"),
        (Register(1, "add"), "register:add"),
        (Call(1, "add"), "call:add"),
        (Call(1, "add", provider="init"), "call:add"),
    ],
)  # fmt: skip
def test_frame_without_its_scope_is_refused_by_name_and_with_it_served(header: Header, scope: str) -> None:
    body = RUN if isinstance(header, Publish) else b""
    assert missing(client("observe:>"), header, body) == scope
    assert missing(client(scope), header, body) == ""
    assert missing(client("*:*", f"-{scope}"), header, body) == f"-{scope}"


@pytest.mark.parametrize("operation", ["rpc.services", "node.info"])
def test_question_needs_the_scope_that_its_operation_declares(operation: str) -> None:
    assert missing(client("publish:>"), Request(1, operation, MSGPACK)).startswith("observe:")
    assert missing(client("observe:*"), Request(1, operation, MSGPACK)) == ""


def test_publication_with_a_known_header_is_refused_to_who_may_not() -> None:
    node = Node()
    reader = node.client("r")
    reader.send(Subscribe(0, "t"))
    for _ in range(3):
        node.client().publish("t", b"known")
    stranger = client("publish:u", node=node)
    for _ in range(3):
        assert missing(stranger, Publish("t"), RUN) == "publish:t"
    assert reader.messages() == [b"known"] * 3


def test_publication_that_was_allowed_once_is_delivered_again_and_again() -> None:
    node = Node()
    reader, writer = node.client("r"), client("publish:t", node=node)
    reader.send(Subscribe(0, "t"))
    for _ in range(5):
        writer.publish("t", b"m")
    assert reader.messages() == [b"m"] * 5 and writer.frames() == []


def test_refused_publication_in_the_middle_of_a_chunk_stops_nothing_else() -> None:
    node = Node()
    reader, writer = node.client("r"), client("publish:t", node=node)
    reader.send(Subscribe(0, ">", True))
    for topic in ("t", "u", "t", "u", "t"):
        writer.publish(topic, b"m")
    assert reader.messages() == [b"m"] * 3
    assert [header.code for header in writer.headers() if isinstance(header, Error)] == ["permission_denied"] * 2


def test_remembered_headers_are_bounded_and_still_right() -> None:
    found = client("publish:a.>")
    for number in range(3_000):
        found.publish(f"a.{number}", b"m")
    assert found.session.allowed is not None and len(found.session.allowed) <= 1_024
    assert found.frames() == [] and missing(found, Publish("b"), RUN) == "publish:b"


@pytest.mark.parametrize("pattern", [">", "*", "a.>", "*.b"])
def test_a15_pattern_beyond_the_scope_is_refused(pattern: str) -> None:
    assert missing(client("subscribe:a.b"), Subscribe(1, pattern, True)) == f"subscribe:{pattern}"


def test_a15_pattern_that_meets_a_denied_topic_is_refused_by_the_deny() -> None:
    found = client("subscribe:a.>", "-subscribe:a.secret.>")
    assert missing(found, Subscribe(1, "a.>", True)) == "-subscribe:a.secret.>"
    assert missing(found, Subscribe(2, "a.open.>", True)) == ""


def test_a15_literal_topic_that_looks_like_a_pattern_is_no_pattern() -> None:
    node = Node()
    found = client("subscribe:*", "publish:>", node=node)
    found.send(Subscribe(1, ">"))
    node.client("other").publish("t", b"m")
    assert found.headers() == [Ack(1, "gateway")]


@pytest.mark.parametrize("scopes", [("*:*",), ("publish:>", "publish:*"), ("publish:$SYS.>",)])
def test_a15_nobody_publishes_for_the_node(scopes: tuple[str, ...]) -> None:
    assert missing(client(*scopes), Publish("$SYS.client.connected", request=1), RUN) == "publish:$SYS.>"


def test_a15_events_of_the_node_need_observe() -> None:
    events = Subscribe(1, "$SYS.>", True)
    assert missing(client("subscribe:*", "subscribe:>"), events) == "observe:events"
    assert missing(client("observe:events"), events) == ""
    assert missing(client("observe:*", "-observe:$SYS.client.>"), events) == "-observe:$SYS.client.>"


def test_a15_everything_does_not_hold_the_events_of_the_node() -> None:
    node = Node()
    found = client("subscribe:*", node=node)
    found.send(Subscribe(1, ">", True))
    assert found.headers() == [Ack(1, "gateway")]
    assert node.switches[0].routes.interests.route("$SYS.client.connected").sessions == ()


def test_a15_function_of_another_name_is_not_registered() -> None:
    node = Node()
    found = client("register:mine", node=node)
    assert missing(found, Register(1, "others")) == "register:others"
    assert found.session.functions == {}


def test_call_that_was_planned_needs_no_other_look_and_others_do() -> None:
    node = Node()
    provider, caller = node.client("p"), client("call:add", node=node)
    provider.send(Register(0, "add"))
    provider.send(Register(0, "sub"))
    for number in range(1, 4):
        assert missing(caller, Call(number, "add")) == ""
    assert len([header for header in provider.headers() if isinstance(header, Call)]) == 3
    assert missing(caller, Call(9, "sub")) == "call:sub" and provider.frames() == []


def test_result_and_cancel_need_no_scope() -> None:
    node = Node()
    provider, caller = client("register:add", node=node, client_id="p"), node.client("q")
    provider.send(Register(0, "add"))
    caller.send(Call(1, "add"))
    call = next(header for header in provider.headers() if isinstance(header, Call))
    provider.send(Result(call.call))
    assert caller.headers() == [Result(1)]


def test_private_message_without_its_scope_does_not_reach_its_target() -> None:
    node = Node()
    target, sender = node.client("target"), client("send:others", node=node)
    target.session.speaks_flows = sender.session.speaks_flows = True
    sender.send(Send("target", "n1", 1, 1, 1, 1_000), RUN)
    assert not [header for header in target.headers() if isinstance(header, Send)]
    receipt, error = sender.headers()  # one for its flow, one for people
    assert isinstance(receipt, Receipt) and receipt.code == "permission_denied"
    assert isinstance(error, Error) and error.detail["scope"] == "send:target"
    allowed = client("send:target", node=node, client_id="d")
    allowed.send(Send("target", "n1", 1, 1, 1, 1_000), RUN)
    assert [header for header in target.headers() if isinstance(header, Send)]


def test_ended_token_ends_its_sessions_and_no_others() -> None:
    node = Node()
    found, other, anybody = client("*:*", node=node), node.client("o", identity=Identity("tok-2")), node.client("a")
    node.switches[0].withdraw(["tok-1"], node.now)
    node.settle()
    assert found.was_ended and found.end_error is not None and found.end_error.code == "unauthorized"
    assert not other.was_ended and not anybody.was_ended
