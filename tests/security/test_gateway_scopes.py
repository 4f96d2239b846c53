"""A15 on every surface: what a token does not grant is refused whichever way it is asked for, and nothing of it has happened."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from majula.gateway.switch import Switch
from majula.operations import Operation, all_operations
from majula.wire.frames import encode_frame, encode_run
from majula.wire.headers import (
    JSON,
    RETAIN,
    Ack,
    Call,
    Error,
    Hello,
    Publish,
    Receipt,
    Register,
    Reply,
    Request,
    Result,
    Send,
    Subscribe,
    Welcome,
)
from tests.edges import RawWebSocket, body_of, exchange, request, status_of
from tests.native_peer import Peer
from tests.security.guarded import JSON as JSON_HEADER
from tests.security.guarded import Guarded, bearer, serve_guarded

ASKED = [operation for operation in all_operations() if operation.frame is Request and operation.scope]
OPEN_TO_ANYBODY = {"sessions.open", "sessions.close", "sessions.events", "sessions.packages", "calls.fetch", "calls.cancel"}
"""Their rights are those of the session or call itself: its secret, or a name that cannot be guessed; see A16."""


@pytest.fixture
async def guarded(tmp_path: Path) -> AsyncIterator[Guarded]:
    async with serve_guarded(tmp_path) as found:
        yield found


def least(operation: Operation) -> dict[str, Any]:
    """The shortest request of an operation."""
    found: dict[str, Any] = {}
    for field in msgspec.structs.fields(operation.request):
        if field.required:
            found[field.encode_name] = ["publish:a"] if field.name == "scopes" else "info" if field.name == "level" else "a"
    if operation.one_of:
        found[operation.one_of[0]] = {}
    return found


def scope_of(operation: Operation) -> str:
    typed = msgspec.convert(least(operation), operation.request)
    return f"{operation.scope}:{operation.scope_object(typed) or '*'}"


def asks_nobody(switch: Switch) -> bool:
    return not switch.questions.take() and not switch.statistics()["private_messages_total"]


def test_a15_every_operation_but_these_has_a_scope() -> None:
    assert {operation.name for operation in all_operations() if not operation.scope} == OPEN_TO_ANYBODY


@pytest.mark.parametrize("operation", ASKED, ids=lambda operation: operation.name)
async def test_a15_operation_without_its_scope_is_asked_of_nobody_by_a_native_client(
    guarded: Guarded, operation: Operation
) -> None:
    peer = await guarded.peer()
    await peer.hello("c", token=guarded.token("*:*", f"-{operation.scope}:*"))
    peer.send(Request(5, operation.name), msgspec.msgpack.encode(least(operation)))
    header, _ = await peer.read()
    assert isinstance(header, Error) and (header.request, header.code) == (5, "permission_denied")
    assert header.detail["scope"] == f"-{operation.scope}:*" and asks_nobody(guarded.gateway.switch)


@pytest.mark.parametrize("operation", ASKED, ids=lambda operation: operation.name)
async def test_a15_operation_without_its_scope_is_asked_of_nobody_by_json(guarded: Guarded, operation: Operation) -> None:
    token = guarded.token("publish:open")
    client = await RawWebSocket.open(guarded.port, protocols="majula.v1.json", headers=(bearer(token),))
    client.send_json({"method": "REQUEST", "operation": operation.name, "args": least(operation), "id": 3})
    answer = await client.receive_json()
    assert (answer["method"], answer["id"], answer["code"]) == ("ERROR", 3, "permission_denied")
    assert answer["detail"]["scope"] == scope_of(operation) and asks_nobody(guarded.gateway.switch)
    client.close()


@pytest.mark.parametrize("operation", ASKED, ids=lambda operation: operation.name)
async def test_a15_operation_without_its_scope_is_asked_of_nobody_by_http(guarded: Guarded, operation: Operation) -> None:
    fields = least(operation)
    path = "/majula/v1" + operation.path.format_map({name: str(value) for name, value in fields.items()})
    body = {name: value for name, value in fields.items() if f"{{{name}}}" not in operation.path}
    sent = msgspec.json.encode(body) if body else b""
    more = (JSON_HEADER,) if sent else ()
    token = guarded.token("publish:open", "observe:nothing", "admin:nothing")
    found = await exchange(guarded.port, request(operation.method, path, bearer(token), *more, body=sent))
    assert status_of(found) == 403, found
    assert body_of(found)["detail"]["scope"] == scope_of(operation) and asks_nobody(guarded.gateway.switch)


async def test_a15_operation_without_its_scope_is_asked_of_nobody_by_frames_in_a_websocket(guarded: Guarded) -> None:
    client = await RawWebSocket.open(
        guarded.port, protocols="majula.v1.msgpack", headers=(bearer(guarded.token("publish:open")),)
    )
    client.send(2, encode_frame(Hello(1, "c")))
    await client.receive()
    for number, operation in enumerate(ASKED, start=1):
        client.send(2, encode_frame(Request(number, operation.name, JSON), msgspec.json.encode(least(operation))))
        _, answer = await client.receive()
        assert b"permission_denied" in answer and b"does not grant" in answer
    assert asks_nobody(guarded.gateway.switch)
    client.close()


async def test_a15_http_session_is_refused_what_its_token_does_not_grant(guarded: Guarded) -> None:
    token = guarded.token("publish:open")
    opened = await exchange(guarded.port, request("POST", "/majula/v1/sessions", bearer(token), JSON_HEADER, body=b"{}"))
    session = body_of(opened)
    own = (bearer(token), f"Majula-Session: {session['secret']}")
    asked = [
        {"method": "SUBSCRIBE", "topic": "$SYS.>", "pattern": True, "id": 1},
        {"method": "PUBLISH", "topic": "secret", "args": {}, "id": 2},
        {"method": "REGISTER_RPC", "fun": "login", "id": 3},
        {"method": "SEND", "args": {"target_node": "", "target_client": "bob", "content": "x"}, "id": 4},
        {"method": "BROADCAST", "args": {"content": "x"}, "id": 5},
        {"method": "REQUEST", "operation": "tokens.list", "id": 6},
    ]
    path = f"/majula/v1/sessions/{session['session']}"
    body = msgspec.json.encode({"packages": asked})
    assert status_of(await exchange(guarded.port, request("POST", f"{path}/packages", *own, JSON_HEADER, body=body))) == 202
    reader, writer = await asyncio.open_connection("127.0.0.1", guarded.port)
    writer.write(request("GET", f"{path}/events", *own))
    text = ""
    async with asyncio.timeout(10):
        while text.count("permission_denied") < len(asked):
            text += (await reader.readline()).decode()
    assert asks_nobody(guarded.gateway.switch)
    writer.close()


# --- the node's own topics


@pytest.mark.parametrize(
    "header",
    [
        Subscribe(1, "$SYS.child.died"),
        Subscribe(1, "$SYS"),
        Subscribe(1, "$SYS.>", True),
        Subscribe(1, "$SYS.*.died", True),
        Subscribe(1, "$SYS.child.died", True),
        Subscribe(1, "$SYS.child.died", False, "group"),
        Subscribe(1, "$SYS.>", True, "group", True),
        Subscribe(1, "$SYS.child.died", False, "", True, True),
    ],
)  # fmt: skip
async def test_a15_topics_of_the_node_are_not_read_without_observe(guarded: Guarded, header: Subscribe) -> None:
    peer = await guarded.peer()
    await peer.hello("c", token=guarded.token("publish:*", "subscribe:*", "subscribe:>", "subscribe:$SYS.>"))
    peer.send(header)
    refusal, _ = await peer.read()
    assert isinstance(refusal, Error) and refusal.code == "permission_denied"
    assert not next(iter(guarded.gateway.switch.sessions.values())).subscriptions


@pytest.mark.parametrize("pattern", [">", "*.child.died", "*.>", "*.*.*"])
async def test_a15_pattern_of_programs_never_matches_topics_of_the_node(guarded: Guarded, pattern: str) -> None:
    peer = await guarded.peer()
    await peer.hello("c", token=guarded.token("subscribe:*", "observe:nothing"))
    peer.send(Subscribe(1, pattern, True, "", True))
    assert isinstance((await peer.read())[0], Ack)
    guarded.gateway.switch.publish_own("$SYS.child.died", b"{}", 0.0)
    guarded.gateway.wake()
    peer.send(Subscribe(2, "end"))
    assert isinstance((await peer.read())[0], Ack)  # nothing stood before it


@pytest.mark.parametrize("topic", ["$SYS", "$SYS.child.died", "$SYS.", "$SYS..x"])
@pytest.mark.parametrize("flags", [0, RETAIN])
async def test_a15_nobody_publishes_for_the_node_whatever_he_may_do(guarded: Guarded, topic: str, flags: int) -> None:
    peer = await guarded.peer()
    await peer.hello("c", token=guarded.token("*:*"))
    peer.send(Publish(topic, JSON, flags, 1), encode_run([b"{}"]))
    refusal, _ = await peer.read()
    assert isinstance(refusal, Error) and refusal.code == "permission_denied"
    for again in (Publish(topic, JSON, flags), Publish(topic, JSON, flags, queue="g")):  # as a known header, and with a queue
        peer.send(again, encode_run([b"{}"]))
        assert isinstance((await peer.read())[0], Error)
    assert not guarded.gateway.switch.requests.retained.get(topic)


async def test_a15_header_that_was_allowed_to_one_client_is_not_to_another(guarded: Guarded) -> None:
    """Headers of PUBLISH are known by their bytes, to the whole gateway."""
    allowed, other, watcher = [await guarded.peer() for _ in range(3)]
    await allowed.hello("allowed", token=guarded.token("publish:t", token_id="tok-a"))
    await other.hello("other", token=guarded.token("publish:u", token_id="tok-b"))
    await watcher.hello("watcher", token=guarded.token("subscribe:t", token_id="tok-c"))
    await watcher.subscribe("t")
    for _ in range(2):
        allowed.send(Publish("t"), encode_run([b"right"]))
        assert (await watcher.read())[1] == encode_run([b"right"])
    other.send(Publish("t"), encode_run([b"wrong"]))
    assert isinstance((await other.read())[0], Error)
    allowed.send(Publish("t"), encode_run([b"end"]))
    assert (await watcher.read())[1] == encode_run([b"end"])


# --- whose name a frame carries


async def connected(guarded: Guarded, *names: str) -> list[Peer]:
    peers = []
    for name in names:
        peers.append(await guarded.peer())
        await peers[-1].hello(name, token=guarded.token("*:*", token_id=f"tok-{name}"))
    return peers


async def test_a15_forged_source_node_and_gateway_of_a_message_are_overwritten(guarded: Guarded) -> None:
    ann, bob = await connected(guarded, "ann", "bob")
    forged = Send("bob", "", 7, 1, 1, 60_000, JSON, "admin", "other-node", "gateway:99")
    ann.send(forged, encode_run([b"1"]))
    header, _ = await bob.read()
    assert isinstance(header, Send) and (header.source, header.source_node, header.via) == ("ann", "n1", "")


@pytest.mark.parametrize("via", ["", "gateway:1", "gateway:99"])
@pytest.mark.parametrize("code", ["", "forbidden"])
async def test_a15_receipt_for_the_flow_of_others_tells_who_gave_it(guarded: Guarded, via: str, code: str) -> None:
    ann, eve = await connected(guarded, "ann", "eve")
    eve.send(Receipt("ann", "", 7, 1, (), "delivered", code, "bob", "n1", via))
    eve.send(Receipt("ann", "", 7, 1, (), "delivered", code, "bob", "n1"))
    header, _ = await ann.read()
    assert isinstance(header, Receipt) and (header.source, header.source_node) == ("eve", "n1")


async def test_a15_receipt_of_another_settles_no_message_that_the_gateway_sends(guarded: Guarded) -> None:
    """The flow of a plain HTTP request is the gateway's; its number stands in what the receiver gets, and may be known."""
    bob, eve = await connected(guarded, "bob", "eve")
    token = guarded.token("send:bob", token_id="tok-h")
    sent = msgspec.json.encode({"client": "bob", "message": 1, "wait_s": 0.3})
    asking = asyncio.create_task(
        exchange(guarded.port, request("POST", "/majula/v1/messages", bearer(token), JSON_HEADER, body=sent))
    )
    header, _ = await bob.read()
    assert isinstance(header, Send) and header.via == guarded.gateway.switch.role
    for claimed in ("bob", "eve", ""):
        eve.send(Receipt(header.source, header.source_node, header.flow, 1, (), "delivered", "", claimed, "n1", header.via))
    assert body_of(await asking)["state"] == "pending"


async def test_a15_answer_to_the_call_of_others_is_not_taken(guarded: Guarded) -> None:
    provider, caller, eve = await connected(guarded, "provider", "caller", "eve")
    provider.send(Register(1, "f"))
    await provider.read()
    caller.send(Call(1, "f"))
    call, _ = await provider.read()
    assert isinstance(call, Call)
    for number in range(call.call + 3):
        eve.send(Result(number, JSON), b'"forged"')
    eve.send(Subscribe(1, "t"))
    while not isinstance((await eve.read())[0], Ack):
        pass
    provider.send(Result(call.call, JSON), b'"true"')
    result, body = await caller.read()
    assert isinstance(result, Result) and body == b'"true"'


@pytest.mark.parametrize("header", [Welcome(1, "n", "c", "s", "g"), Ack(1), Reply(1), Error(1, "x", "y"), Hello(1, "admin")])
async def test_a15_frames_that_only_a_gateway_sends_end_the_session(guarded: Guarded, header: Any) -> None:
    (ann,) = await connected(guarded, "ann")
    ann.send(header)
    refusal, _ = await ann.read()
    assert isinstance(refusal, Error) and refusal.code == "protocol_error"
    await ann.closed()


@pytest.mark.parametrize("path", ["/majula/send/ann?target_node=&target_client=bob&msg=x", "/majula/pub/ann?topic=t&msg=x"])
async def test_a15_label_of_a_plain_request_is_no_id_that_somebody_else_has(guarded: Guarded, path: str) -> None:
    ann = await guarded.peer()
    mine, other = guarded.token("*:*", token_id="tok-a"), guarded.token("*:*", token_id="tok-b")
    await ann.hello("ann", token=mine)
    refused = await exchange(guarded.port, request("GET", path, bearer(other)))
    assert status_of(refused) == 409 and body_of(refused)["code"] == "conflict"
    assert status_of(await exchange(guarded.port, request("GET", path, bearer(mine)))) == 200


# --- what is sent to others


@pytest.mark.parametrize("path", ["/majula/h/ann", "/majula/v1/clients/ann/messages"])
async def test_a15_messages_of_another_are_not_read_without_observe(guarded: Guarded, path: str) -> None:
    await connected(guarded, "ann")
    token = guarded.token("*:*", "-observe:messages.*", "observe:status", token_id="tok-e")
    found = await exchange(guarded.port, request("GET", path, bearer(token)))
    assert status_of(found) == 403 and "observe:messages" in body_of(found)["detail"]["scope"]
    narrow = await exchange(guarded.port, request("GET", path, bearer(guarded.token("send:*", "observe:messages.bob"))))
    assert body_of(narrow)["detail"]["scope"] == "observe:messages.ann"


async def test_a15_session_and_call_of_another_token_are_not_found(guarded: Guarded) -> None:
    mine, other = guarded.token("*:*", token_id="tok-a"), guarded.token("*:*", token_id="tok-b")
    opened = body_of(await exchange(guarded.port, request("POST", "/majula/v1/sessions", bearer(mine), JSON_HEADER, body=b"{}")))
    path, secret = f"/majula/v1/sessions/{opened['session']}", f"Majula-Session: {opened['secret']}"
    for method, ending, body in (("GET", "/events", b""), ("POST", "/packages", b'{"packages":[]}'), ("DELETE", "", b"")):
        more = (JSON_HEADER,) if body else ()
        found = await exchange(guarded.port, request(method, path + ending, bearer(other), secret, *more, body=body))
        assert status_of(found) == 404
        found = await exchange(guarded.port, request(method, path + ending, bearer(mine), *more, body=body))
        assert status_of(found) == 401
    provider = await guarded.peer()
    await provider.hello("provider", token=mine)
    provider.send(Register(1, "f"))
    await provider.read()
    begun = await exchange(
        guarded.port, request("POST", "/majula/v1/calls", bearer(mine), JSON_HEADER, body=b'{"function":"f","wait":false}')
    )
    call = body_of(begun)["call"]
    for method in ("GET", "DELETE"):
        assert status_of(await exchange(guarded.port, request(method, f"/majula/v1/calls/{call}", bearer(other)))) == 404
    assert status_of(await exchange(guarded.port, request("GET", f"/majula/v1/calls/{call}", bearer(mine)))) == 200
