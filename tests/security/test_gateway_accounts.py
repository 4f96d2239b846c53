"""A01, A04, A10, A15, A16, A18, A21: a gateway that asks for tokens, as a stranger and as a client with few rights meet it."""

from __future__ import annotations

import asyncio
import json
import logging
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin
from urllib.parse import urlencode

import msgspec
import pytest

from majula.api.http.planned import INNER, OUTER
from majula.auth import make_token
from majula.auth.book import LEEWAY_S
from majula.operations import Operation, all_operations
from majula.wire.headers import Ack, Call, Error, Hello, Register, Result, Subscribe
from tests.edges import RawWebSocket, body_of, exchange, request, status_of
from tests.native_peer import Peer
from tests.security.guarded import JSON, Guarded, bearer, serve_guarded

WRONG = make_token(bytes([9]) * 32).reveal()
WALL = 1_700_000_000.0
"""What a gateway of these tests takes for the time."""


@pytest.fixture
async def guarded(tmp_path: Path) -> AsyncIterator[Guarded]:
    async with serve_guarded(tmp_path) as found:
        yield found


def every_path() -> list[tuple[str, str]]:
    """Method and path of everything that a gateway serves or knows of, but its health."""
    found = [("GET", "/majula/info"), ("GET", "/metrics"), ("GET", "/majula/openapi.json"), ("GET", "/nope"), ("GET", "/")]
    found += [(method, f"/majula{path}") for path in INNER for method in ("GET", "POST")]
    found += [("GET", f"/majula/v1/{path}") for path in OUTER]
    for operation in all_operations():
        if operation.inner_path:
            found += [("GET", f"/majula{operation.inner_path}/me"), ("POST", f"/majula{operation.inner_path}")]
        if operation.path:
            found.append((operation.method, "/majula/v1" + operation.path.replace("{", "").replace("}", "")))
    return found


# --- A01


@pytest.mark.parametrize(("method", "path"), every_path())
async def test_a01_without_a_token_every_path_answers_401(guarded: Guarded, method: str, path: str) -> None:
    found = await exchange(guarded.port, request(method, path))
    assert status_of(found) == 401 and body_of(found)["code"] == "unauthorized"
    assert b'WWW-Authenticate: Bearer realm="majula"' in found
    assert not guarded.gateway.switch.sessions


async def test_a01_health_says_live_and_ready_to_anyone_and_roles_to_who_may_see_them(guarded: Guarded) -> None:
    shown = ((), (bearer(WRONG),), (bearer(guarded.token("publish:a")),), (bearer(guarded.token("observe:status")),))
    answers = [body_of(await exchange(guarded.port, request("GET", "/majula/health", *headers))) for headers in shown]
    assert answers[:3] == [{"live": True, "ready": True}] * 3 and "roles" in answers[3]


@pytest.mark.parametrize("path", ["/majula/ws", "/majula/ws/me"])
@pytest.mark.parametrize("protocols", ["", "majula.v1.json", f"majula.v1.json, majula.bearer.{WRONG}"])
async def test_a01_websocket_without_a_right_token_is_refused_before_its_upgrade(
    guarded: Guarded, path: str, protocols: str
) -> None:
    client = await RawWebSocket.open(guarded.port, path, protocols=protocols)
    assert client.status == 401 and b"Sec-WebSocket-Accept" not in client.head
    assert not guarded.http.websockets


@pytest.mark.parametrize("token", ["", WRONG])
async def test_a01_native_client_without_a_right_token_hears_why_and_is_closed(guarded: Guarded, token: str) -> None:
    peer = await guarded.peer()
    peer.send(Hello(1, "c", "", token))
    header, _ = await peer.read()
    assert isinstance(header, Error) and (header.code, header.method) == ("unauthorized", "HELLO")
    await peer.closed()


async def test_a01_user_of_the_node_needs_no_token_on_the_unix_socket(guarded: Guarded) -> None:
    peer = Peer(*await asyncio.open_unix_connection(guarded.path))
    await peer.hello("me")
    (session,) = guarded.gateway.switch.sessions.values()
    assert session.who.startswith("uid:") and session.grants is None
    peer.writer.close()


async def test_right_token_is_served_on_every_surface(guarded: Guarded) -> None:
    token = guarded.token("*:*")
    assert status_of(await exchange(guarded.port, request("GET", "/majula/v1/services", bearer(token)))) == 200
    browser = await RawWebSocket.open(guarded.port, protocols=f"majula.v1.json, majula.bearer.{token}")
    assert browser.status == 101 and b"majula.bearer" not in browser.head and token.encode() not in browser.head
    assert (await RawWebSocket.open(guarded.port, headers=(bearer(token),))).status == 101
    await (await guarded.peer()).hello("native", token=token)


async def test_two_tokens_in_one_request_are_refused(guarded: Guarded) -> None:
    token = guarded.token("*:*")
    twice = await exchange(guarded.port, request("GET", "/majula/v1/services", bearer(token), bearer(WRONG)))
    assert status_of(twice) == 400
    both = f"majula.v1.json, majula.bearer.{WRONG}"
    assert (await RawWebSocket.open(guarded.port, protocols=both, headers=(bearer(token),))).status == 400


@pytest.mark.parametrize("value", ["Basic bWU6bWU=", "Bearer", "bearer ", "mjl_x", "Bearer " + WRONG[:-1], "Bearer " + WRONG * 9])
async def test_what_is_no_bearer_token_is_none(guarded: Guarded, value: str) -> None:
    found = await exchange(guarded.port, request("GET", "/majula/v1/services", f"Authorization: {value}"))
    assert status_of(found) == 401


async def test_gateway_that_does_not_know_the_tokens_yet_says_when_to_come_again(tmp_path: Path) -> None:
    async with serve_guarded(tmp_path, knows_tokens=False) as guarded:
        found = await exchange(guarded.port, request("GET", "/majula/v1/services", bearer(WRONG)))
        assert status_of(found) == 503 and b"Retry-After: 1" in found


# --- A04


async def test_a04_wrong_tokens_get_one_constant_body_and_after_ten_429(guarded: Guarded) -> None:
    right = guarded.token("*:*")
    asked = request("GET", "/majula/v1/services", bearer(WRONG))
    found = [await exchange(guarded.port, asked) for _ in range(20)]
    assert [status_of(answer) for answer in found] == [401] * 10 + [429] * 10
    assert len({answer.partition(b"\r\n\r\n")[2] for answer in found[:10]}) == 1
    assert all(b"Retry-After: " in answer for answer in found[10:])
    missing = await exchange(guarded.port, request("GET", "/majula/v1/services"))
    assert missing.partition(b"\r\n\r\n")[2] == found[0].partition(b"\r\n\r\n")[2]
    assert status_of(await exchange(guarded.port, request("GET", "/majula/v1/services", bearer(right)))) == 200


async def test_a04_the_limit_is_one_for_all_surfaces_of_an_address_and_none_for_another(guarded: Guarded) -> None:
    for _ in range(10):
        await RawWebSocket.open(guarded.port, headers=(bearer(WRONG),))
    peer = await guarded.peer()
    peer.send(Hello(1, "c", "", WRONG))
    header, _ = await peer.read()
    assert isinstance(header, Error) and header.code == "limit_reached"
    other = await guarded.peer(source="127.0.0.2")
    other.send(Hello(1, "c", "", WRONG))
    header, _ = await other.read()
    assert isinstance(header, Error) and header.code == "unauthorized"
    await (await guarded.peer(source="127.0.0.2")).hello("c", token=guarded.token("*:*"))


# --- A10


@pytest.mark.parametrize("form", ["?token={}", "?access_token={}", "?topic=t&msg={}", "?x=%6Djl_{}"])
async def test_a10_right_token_in_a_url_opens_nothing_and_is_not_logged(
    guarded: Guarded, form: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    token = guarded.token("*:*")
    url = "/majula/pub" + form.format(token.removeprefix("mjl_") if "%6D" in form else token)
    for headers in ((), (bearer(token),)):
        found = await exchange(guarded.port, request("GET", url, *headers))
        assert status_of(found) == 400 and token[4:].encode() not in found
    assert token[4:] not in caplog.text


@pytest.mark.parametrize(
    "form", ["/majula/v1/tokens/{}", "/majula/pub/{}?topic=t&msg=x", "/majula/ws/{}", "/{}", "/majula/v1/tokens/%6Djl_{}"]
)
async def test_a10_token_in_a_path_opens_nothing_and_is_neither_answered_nor_logged(
    guarded: Guarded, form: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    token = guarded.token("*:*")
    url = form.format(token.removeprefix("mjl_") if "%6D" in form else token)
    found = await exchange(guarded.port, request("GET", url, bearer(token)))
    assert status_of(found) == 400 and token[4:].encode() not in found
    assert token[4:] not in caplog.text


# --- A15


@pytest.mark.parametrize(
    ("method", "path", "body", "scope"),
    [
        ("POST", "/majula/v1/topics/secret/messages", b'{"message":1}', "publish:secret"),
        ("GET", "/majula/v1/topics/secret/messages", b"", "subscribe:secret"),
        ("GET", "/majula/v1/topics/%3E/messages?pattern=true", b"", "subscribe:>"),
        ("GET", "/majula/v1/topics/$SYS.%3E/messages?pattern=true", b"", "observe:events"),
        ("GET", "/majula/pub?topic=secret&msg=x", b"", "publish:secret"),
        ("GET", "/majula/sub?topic=secret", b"", "subscribe:secret"),
        ("POST", "/majula/v1/calls", b'{"function":"add"}', "call:add"),
        ("GET", "/majula/rpc?fun=add&target_node=&provider=init", b"", "call:add"),
        ("GET", "/majula/h/victim", b"", "observe:messages.victim"),
        ("GET", "/majula/send?target_node=&target_client=victim&msg=x", b"", "send:victim"),
        ("GET", "/majula/send?target_node=&target_client=&msg=x", b"", "send:*"),
        ("GET", "/majula/list_rpc?target_node=&provider=p", b"", "observe:p"),
        ("GET", "/metrics", b"", "observe:metrics"),
        ("GET", "/majula/v1/tokens", b"", "admin:tokens"),
        ("POST", "/majula/v1/tokens", b'{"scopes":["*:*"]}', "admin:tokens"),
        ("GET", "/majula/v1/audit", b"", "admin:audit"),
        ("GET", "/majula/v1/status", b"", "observe:status"),
    ],
)  # fmt: skip
async def test_a15_request_beyond_the_scopes_is_403_and_names_the_missing_one(
    guarded: Guarded, method: str, path: str, body: bytes, scope: str
) -> None:
    token = guarded.token("publish:open", "subscribe:open")
    more = (JSON,) if body else ()
    found = await exchange(guarded.port, request(method, path, bearer(token), *more, body=body))
    assert status_of(found) == 403
    assert body_of(found)["code"] == "permission_denied" and body_of(found)["detail"]["scope"] == scope


def declared() -> list[Operation]:
    """Every operation that needs a scope and has a path below `/majula/v1`."""
    return [operation for operation in all_operations() if operation.scope and operation.path]


@pytest.mark.parametrize("operation", declared(), ids=lambda operation: operation.name)
async def test_a15_every_declared_operation_is_refused_without_its_scope(guarded: Guarded, operation: Operation) -> None:
    path = re.sub(r"\{\w+\}", "x", operation.path)
    needed = {
        field.encode_name: _some(field.type)
        for field in msgspec.structs.fields(operation.request)
        if field.required and f"{{{field.encode_name}}}" not in operation.path
    }
    query = "?" + urlencode(needed) if needed and operation.method in ("GET", "DELETE") else ""
    body = json.dumps(needed).encode() if needed and not query else b""
    token = guarded.token("tunnel:*")  # of no declared operation
    found = await exchange(
        guarded.port, request(operation.method, f"/majula/v1{path}{query}", bearer(token), *((JSON,) if body else ()), body=body)
    )
    assert status_of(found) == 403, found
    scope = body_of(found)["detail"]["scope"]
    assert scope.partition(":")[0] == operation.scope
    if operation.scope_field.startswith("=") and "{" not in operation.scope_field:
        assert scope == f"{operation.scope}:{operation.scope_field[1:]}"


def _some(wanted: Any) -> Any:
    """A value of a type, of those that operations require."""
    if get_origin(wanted) is Annotated:
        return _some(get_args(wanted)[0])
    if get_origin(wanted) is Literal:
        return get_args(wanted)[0]
    if wanted is Any:
        return 1
    return ["publish:x"] if get_origin(wanted) is tuple else "x"


async def test_a15_websocket_client_beyond_its_scopes_hears_the_missing_one(guarded: Guarded) -> None:
    token = guarded.token("publish:open", "subscribe:open")
    client = await RawWebSocket.open(guarded.port, protocols="majula.v1.json", headers=(bearer(token),))
    refused: list[tuple[dict[str, object], str]] = [
        ({"method": "SUBSCRIBE", "topic": ">", "pattern": True}, "subscribe:>"),
        ({"method": "SUBSCRIBE", "topic": "$SYS.>", "pattern": True}, "observe:events"),
        ({"method": "PUBLISH", "topic": "$SYS.x", "args": {}}, "publish:$SYS.>"),
        ({"method": "PUBLISH", "topic": "secret", "args": {}}, "publish:secret"),
        ({"method": "REGISTER_RPC", "fun": "login", "args": {}}, "register:login"),
    ]
    for number, (package, scope) in enumerate(refused, start=1):
        client.send_json(package | {"id": number})
        answer = await client.receive_json()
        if isinstance(answer, list):
            (answer,) = answer
        assert (answer["method"], answer["id"], answer["code"]) == ("ERROR", number, "permission_denied")
        assert answer["detail"]["scope"] == scope
    assert not list(guarded.gateway.switch.calls.services.list(""))


async def test_a15_forged_source_of_a_call_is_overwritten(guarded: Guarded) -> None:
    provider, caller = await guarded.peer(), await guarded.peer()
    await provider.hello("provider", token=guarded.token("register:f", token_id="tok-p"))
    await caller.hello("caller", token=guarded.token("call:f", token_id="tok-c"))
    provider.send(Register(1, "f"))
    assert isinstance((await provider.read())[0], Ack)
    caller.send(Call(1, "f", source="admin"))
    call, _ = await provider.read()
    assert isinstance(call, Call) and call.source == "caller"


async def test_a15_label_of_a_plain_request_is_bound_to_the_token_too(guarded: Guarded) -> None:
    token = guarded.token("*:*", clients=("press.*",))
    path = "/majula/pub/{}?topic=t&msg=x"
    assert status_of(await exchange(guarded.port, request("GET", path.format("press.1"), bearer(token)))) == 200
    refused = await exchange(guarded.port, request("GET", path.format("admin"), bearer(token)))
    assert status_of(refused) == 403 and body_of(refused)["detail"]["client_id"] == "admin"


# --- A16


async def test_a16_client_id_belongs_to_the_token_that_claimed_it(guarded: Guarded) -> None:
    mine, other = guarded.token("*:*", token_id="tok-a"), guarded.token("*:*", token_id="tok-b")
    first = await guarded.peer()
    secret = (await first.hello("lathe", token=mine)).secret
    for token, shown in ((mine, ""), (other, ""), (other, secret)):
        peer = await guarded.peer()
        peer.send(Hello(1, "lathe", shown, token))
        header, _ = await peer.read()
        assert isinstance(header, Error) and header.code == "conflict"
    again = await guarded.peer()
    await again.hello("lathe", secret, mine)
    header, _ = await first.read()
    assert isinstance(header, Error) and header.code == "conflict"
    await first.closed()


async def test_a16_seed_socket_of_another_token_is_no_newest_that_wins(guarded: Guarded) -> None:
    mine, other = guarded.token("*:*", token_id="tok-a"), guarded.token("*:*", token_id="tok-b")
    owner = await RawWebSocket.open(guarded.port, "/majula/ws/lathe", headers=(bearer(mine),))
    thief = await RawWebSocket.open(guarded.port, "/majula/ws/lathe", headers=(bearer(other),))
    assert await thief.close_code() == 4409
    owner.close()


@pytest.mark.parametrize("client_id", ["admin", "press.1.2", "init"])
async def test_a16_token_for_some_clients_opens_no_other(guarded: Guarded, client_id: str) -> None:
    peer = await guarded.peer()
    peer.send(Hello(1, client_id, "", guarded.token("*:*", clients=("press.*",))))
    header, _ = await peer.read()
    assert isinstance(header, Error) and header.code in ("permission_denied", "invalid_request")


async def test_token_for_one_client_gives_its_name(guarded: Guarded) -> None:
    assert (await (await guarded.peer()).hello(token=guarded.token("*:*", clients=("press",)))).client_id == "press"


# --- A18


@pytest.mark.parametrize("name", ["a\r\nX-Evil: 1", "\x1b[2Jx", "a\nb", "\x9b31m"])
async def test_a18_control_characters_in_a_name_reach_no_answer_raw(guarded: Guarded, name: str) -> None:
    peer = await guarded.peer()
    peer.send(Hello(1, name, "", guarded.token("*:*", clients=("press",))))
    header, _ = await peer.read()
    assert isinstance(header, Error) and header.message.isprintable()
    assert not guarded.gateway.switch.sessions


@pytest.mark.parametrize("value", [b"Bearer a\r\n b", b"Bearer \x1b[2J", b"Bearer \x00"])
async def test_a18_control_characters_in_the_header_of_a_token_are_refused(guarded: Guarded, value: bytes) -> None:
    sent = b"GET /majula/v1/services HTTP/1.1\r\nHost: localhost\r\nAuthorization: " + value + b"\r\nConnection: close\r\n\r\n"
    found = await exchange(guarded.port, sent)
    assert status_of(found) in (400, 401) and b"\x1b" not in found and b"\x00" not in found


# --- A21


async def test_a21_revoked_token_closes_its_websocket_with_4401(guarded: Guarded) -> None:
    token = guarded.token("*:*")
    client = await RawWebSocket.open(guarded.port, "/majula/ws/c", headers=(bearer(token),))
    client.send_json({"method": "SUBSCRIBE", "topic": "t", "id": 1})
    await client.receive_json()
    guarded.revoke(token)
    assert await client.close_code() == 4401
    assert not guarded.gateway.switch.sessions


async def test_a21_revoked_token_closes_its_native_session_and_opens_no_other(guarded: Guarded) -> None:
    token, other = guarded.token("*:*", token_id="tok-a"), guarded.token("*:*", token_id="tok-b")
    peer, neighbour = await guarded.peer(), await guarded.peer()
    await peer.hello("c", token=token)
    await neighbour.hello("d", token=other)
    guarded.revoke(token)
    header, _ = await peer.read()
    assert isinstance(header, Error) and header.code == "unauthorized" and header.detail["reason"] == "token_ended"
    await peer.closed()
    again = await guarded.peer()
    again.send(Hello(1, "c", "", token))
    header, _ = await again.read()
    assert isinstance(header, Error) and header.code == "unauthorized"
    await neighbour.subscribe("t")


async def test_a21_revoked_token_ends_an_event_stream(guarded: Guarded) -> None:
    token = guarded.token("subscribe:t")
    reader, writer = await asyncio.open_connection("127.0.0.1", guarded.port)
    writer.write(request("GET", "/majula/v1/topics/t/messages", bearer(token)))
    await reader.readuntil(b": subscribed\n\n")
    guarded.revoke(token)
    async with asyncio.timeout(10):
        rest = await reader.read()
    assert b'"code":"unauthorized"' in rest
    writer.close()


async def test_a21_call_under_way_ends_with_the_token_of_its_provider(guarded: Guarded) -> None:
    token = guarded.token("register:f")
    provider, caller = await guarded.peer(), await guarded.peer()
    await provider.hello("provider", token=token)
    await caller.hello("caller", token=guarded.token("call:f", token_id="tok-c"))
    provider.send(Register(1, "f"))
    await provider.read()
    caller.send(Call(1, "f"))
    await provider.read()
    guarded.revoke(token)
    result, _ = await caller.read()
    assert isinstance(result, Result) and result.fault is not None and result.fault.code == "provider_lost"


async def test_a21_token_whose_time_is_over_is_looked_for_and_its_sessions_end(guarded: Guarded) -> None:
    token = guarded.token("*:*", expires_at=WALL - LEEWAY_S + 0.001)
    peer = await guarded.peer()
    await peer.hello("c", token=token)
    guarded.token("*:*", expires_at=WALL - LEEWAY_S)  # the same token's entry, whose time is over now
    switch = guarded.gateway.switch
    switch.withdraw(switch.accounts.over(), guarded.gateway.loop.time())
    guarded.gateway.wake()
    header, _ = await peer.read()
    assert isinstance(header, Error) and header.code == "unauthorized"


async def test_subscription_under_a_deny_is_refused_whole(guarded: Guarded) -> None:
    peer = await guarded.peer()
    await peer.hello("c", token=guarded.token("subscribe:>", "-subscribe:pay.>"))
    peer.send(Subscribe(1, ">", True))
    header, _ = await peer.read()
    assert isinstance(header, Error) and header.detail["scope"] == "-subscribe:pay.>"
