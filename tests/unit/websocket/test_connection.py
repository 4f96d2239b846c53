"""A WebSocket as its client sees it, in all three dialects."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator

import pytest

from majula.api.websocket.connection import CLOSE_S, PING_S
from majula.gateway.settings import GatewayLimits
from majula.wire import headers
from majula.wire.frames import PREFIX_BYTES, decode_header, encode_frame, encode_run, split_run
from majula.wire.headers import AnyHeader
from tests.edges import RawWebSocket, Served, serve_http

JSON_V1 = "majula.v1.json"
MSGPACK_V1 = "majula.v1.msgpack"


@pytest.fixture
async def served() -> AsyncIterator[Served]:
    async with serve_http() as found:
        yield found


async def seed(served: Served, client: str = "") -> RawWebSocket:
    """A client of the inner circle."""
    return await RawWebSocket.open(served.port, f"/majula/ws/{client}" if client else "/majula/ws")


async def ready(client: RawWebSocket) -> RawWebSocket:
    """All that the client sent before is done."""
    client.send_json({"method": "HEARTBEAT", "id": "ready"})
    while (await client.receive_json()) != {"method": "ACK", "id": "ready"}:
        pass
    return client


async def named(served: Served, client: str, **more: str) -> tuple[RawWebSocket, dict[str, str]]:
    """A client of `majula.v1.json` and what its REGISTER_CLIENT was answered."""
    found = await RawWebSocket.open(served.port, protocols=JSON_V1)
    found.send_json({"method": "REGISTER_CLIENT", "id": 0, "args": {"client_id": client, **more}})
    answer = await found.receive_json()
    return found, answer


async def greeted(served: Served, client_id: str = "") -> tuple[RawWebSocket, AnyHeader]:
    """A client of `majula.v1.msgpack` and its WELCOME."""
    found = await RawWebSocket.open(served.port, protocols=MSGPACK_V1)
    found.send(2, encode_frame(headers.Hello(1, client_id)))
    ((welcome, _),) = await frames(found)
    return found, welcome


async def frames(client: RawWebSocket) -> list[tuple[AnyHeader, bytes]]:
    """The frames in the next binary message."""
    opcode, payload = await client.receive()
    assert opcode == 2
    found, at = [], 0
    while at < len(payload):
        end = at + 4 + int.from_bytes(payload[at : at + 4], "little")
        body_at = at + PREFIX_BYTES + int.from_bytes(payload[at + 4 : at + 6], "little")
        found.append((decode_header(payload[at + PREFIX_BYTES : body_at]), payload[body_at:end]))
        at = end
    return found


# --- the inner circle


async def test_a_publisher_that_is_subscribed_hears_itself_once(served: Served) -> None:
    client = await seed(served, "a")
    client.send_json({"method": "REGISTER_CLIENT", "args": {"client_id": "a"}})
    client.send_json({"method": "SUBSCRIBE", "topic": "t"})
    client.send_json({"method": "SUBSCRIBE", "topic": "t"})
    client.send_json({"method": "PUBLISH", "topic": "t", "args": {"n": 1}})
    client.send_json({"method": "PUBLISH", "topic": "t", "args": {"n": 2}})
    for number in (1, 2):
        assert await client.receive_json() == {"method": "SUB_RESULT", "topic": "t", "args": {"n": number}}


async def test_a_call_goes_to_its_provider_and_back(served: Served) -> None:
    provider, caller = await seed(served, "p"), await seed(served, "c")
    provider.send_json({"method": "REGISTER_RPC", "fun": "double", "args": {"note": "n"}})
    await ready(provider)
    args = {"x": 4, "_target_node": "n1", "_provider": "p"}
    caller.send_json({"method": "RPC", "fun": "double", "invokeid": 2**63 + 1, "args": args})
    call = await provider.receive_json()
    assert (call["method"], call["fun"], call["args"]) == ("RPC_CALL_FROM_REMOTE", "double", {"x": 4})
    assert isinstance(call["invokeid"], int)
    provider.send_json({"method": "RETURN_RESULT", "fun": "double", "invokeid": call["invokeid"], "result": {"y": 8}})
    answer = await caller.receive_json()
    assert answer == {"method": "RPC_RESULT", "fun": "double", "invokeid": 2**63 + 1, "result": {"y": 8}, "ok": True}


async def test_a_call_to_nobody_fails_in_its_result(served: Served) -> None:
    client = await seed(served, "a")
    client.send_json({"method": "RPC", "fun": "nope", "invokeid": 1, "args": {"_target_node": "", "_provider": ""}})
    answer = await client.receive_json()
    assert answer["method"] == "RPC_RESULT" and answer["result"]["error"] and answer["error"]["code"] == "no_provider"


async def test_a_provider_that_leaves_ends_its_calls(served: Served) -> None:
    provider, caller = await seed(served, "p"), await seed(served, "c")
    provider.send_json({"method": "REGISTER_RPC", "fun": "f"})
    await ready(provider)
    caller.send_json({"method": "RPC", "fun": "f", "invokeid": 1, "args": {"_target_node": "", "_provider": "p"}})
    await provider.receive_json()
    provider.close()
    assert (await caller.receive_json())["error"]["code"] == "provider_lost"


async def test_the_newest_socket_of_a_name_wins_and_the_older_is_closed(served: Served) -> None:
    older = await ready(await seed(served, "a"))
    newer = await ready(await seed(served, "a"))
    assert await older.close_code() == 4409
    newer.send_json({"method": "SUBSCRIBE", "topic": "t"})
    newer.send_json({"method": "PUBLISH", "topic": "t", "args": {"n": 1}})
    assert (await newer.receive_json())["args"] == {"n": 1}


async def test_a_path_without_a_name_takes_it_from_the_first_package(served: Served) -> None:
    client = await seed(served)
    client.send_json({"method": "REGISTER_CLIENT", "args": {"client_id": "late"}})
    await ready(client)
    assert served.gateway.switch.session_of("late") is not None


async def test_another_name_than_the_paths_is_refused_and_the_paths_stays(served: Served) -> None:
    client = await seed(served, "a")
    client.send_json({"method": "REGISTER_CLIENT", "args": {"client_id": "b"}})
    answer = await client.receive_json()
    assert (answer["method"], answer["code"], answer["refused"]) == ("ERROR", "conflict", "REGISTER_CLIENT")
    assert served.gateway.switch.session_of("a") is not None


async def test_a_quiet_client_without_a_name_gets_one(served: Served) -> None:
    client = await seed(served)
    now = served.gateway.loop.time()
    for connection in served.edge.websockets:
        connection.sweep(now + 6)
    await ready(client)
    assert len(served.gateway.switch.sessions) == 1


async def test_quit_ends_the_session(served: Served) -> None:
    client = await ready(await seed(served, "a"))
    client.send_json({"method": "QUIT"})
    assert await client.close_code() == 1000
    assert served.gateway.switch.session_of("a") is None


async def test_a_socket_that_just_disappears_leaves_nothing(served: Served) -> None:
    client = await ready(await seed(served, "a"))
    client.writer.transport.abort()
    async with asyncio.timeout(10):
        while served.gateway.switch.sessions or served.edge.websockets:
            await asyncio.sleep(0)


async def test_the_socket_of_an_inner_client_is_watched_by_the_kernel(served: Served) -> None:
    await ready(await seed(served, "a"))
    (connection,) = served.edge.websockets
    assert connection._transport is not None
    sock: socket.socket = connection._transport.get_extra_info("socket")
    assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 40_000
    assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)


async def test_an_inner_client_is_never_pinged(served: Served) -> None:
    client = await ready(await seed(served, "a"))
    now = served.gateway.loop.time()
    for step in range(1, 10):
        for connection in served.edge.websockets:
            connection.sweep(now + step * PING_S)
    await ready(client)


# --- majula.v1.json


async def test_packages_that_are_ready_together_come_as_one_batch(served: Served) -> None:
    client, _ = await named(served, "a")
    inner = [{"method": "SUBSCRIBE", "topic": "t"}] + [{"method": "PUBLISH", "topic": "t", "args": n} for n in range(3)]
    client.send_json({"method": "BATCH", "packages": inner})
    answer = await client.receive_json()
    assert answer["method"] == "BATCH" and [one["args"] for one in answer["packages"]] == [0, 1, 2]


async def test_a_name_that_is_held_is_refused_without_its_secret(served: Served) -> None:
    holder, _ = await named(served, "a")
    refused, answer = await named(served, "a")
    assert (answer["method"], answer["code"]) == ("ERROR", "conflict")
    assert await refused.close_code() == 4409
    await ready(holder)


async def test_the_secret_takes_a_name_over(served: Served) -> None:
    older, first = await named(served, "a")
    _, second = await named(served, "a", secret=first["result"]["secret"])  # type: ignore[index] # an object
    assert second["method"] == "ACK"
    assert await older.close_code() == 4409


async def test_wildcards_need_pattern(served: Served) -> None:
    client, _ = await named(served, "a")
    client.send_json({"method": "SUBSCRIBE", "topic": "a.*", "pattern": True})
    client.send_json({"method": "SUBSCRIBE", "topic": "b.*"})
    for topic in ("a.x", "b.x", "b.*"):
        client.send_json({"method": "PUBLISH", "topic": topic, "args": 1})
    topics: list[str] = []
    while len(topics) < 2:
        answer = await client.receive_json()
        topics += [one["topic"] for one in answer.get("packages", [answer])]
    assert topics == ["a.x", "b.*"]


async def test_a_silent_client_is_pinged_and_then_given_up(served: Served) -> None:
    client, _ = await named(served, "a")
    now = served.gateway.loop.time()
    (connection,) = served.edge.websockets
    connection.sweep(now + PING_S + 1)
    assert await client.receive() == (9, b"")
    connection.sweep(now + 2 * PING_S + 1)
    assert await client.receive() == (9, b"")
    connection.sweep(now + 3 * PING_S + 1)
    assert await client.close_code() == 4503
    assert served.gateway.switch.session_of("a") is None


async def test_a_client_that_answers_is_kept(served: Served) -> None:
    client, _ = await named(served, "a")
    (connection,) = served.edge.websockets
    connection.sweep(served.gateway.loop.time() + PING_S + 1)
    assert await client.receive() == (9, b"")
    client.send(10, b"")
    client.send_json({"method": "HEARTBEAT", "id": 1})
    await client.receive_json()
    assert connection._pings == 0


async def test_binary_messages_are_refused_where_packages_were_agreed(served: Served) -> None:
    client, _ = await named(served, "a")
    client.send(2, b"\0")
    assert await client.close_code() == 4400


# --- majula.v1.msgpack


async def test_hello_is_answered_by_welcome(served: Served) -> None:
    _, welcome = await greeted(served, "a")
    assert isinstance(welcome, headers.Welcome) and (welcome.client_id, welcome.node_id) == ("a", "n1") and welcome.secret


async def test_frames_pass_as_they_are(served: Served) -> None:
    client, _ = await greeted(served)
    run = encode_run([b"\x00raw", b"bytes"])
    client.send(2, encode_frame(headers.Subscribe(1, "t")) + encode_frame(headers.Publish("t"), run))
    found = await frames(client)
    assert found == [(headers.Ack(1, "gateway"), b""), (headers.Publish("t"), run)]


async def test_what_comes_behind_hello_in_its_message_is_served(served: Served) -> None:
    client = await RawWebSocket.open(served.port, protocols=MSGPACK_V1)
    client.send(2, encode_frame(headers.Hello(1)) + encode_frame(headers.Ping(5)))
    await frames(client)
    assert await frames(client) == [(headers.Pong(5), b"")]


async def test_a_frame_may_be_cut_between_messages(served: Served) -> None:
    client, _ = await greeted(served)
    frame = encode_frame(headers.Ping(5))
    client.send(2, frame[:5])
    client.send(2, frame[5:])
    assert await frames(client) == [(headers.Pong(5), b"")]


async def test_json_and_frames_understand_each_other(served: Served) -> None:
    binary, _ = await greeted(served)
    binary.send(2, encode_frame(headers.Subscribe(1, "t")))
    await frames(binary)
    text = await ready(await seed(served, "s"))
    text.send_json({"method": "SUBSCRIBE", "topic": "t"})
    text.send_json({"method": "PUBLISH", "topic": "t", "args": {"n": 1}})
    ((header, body),) = await frames(binary)
    assert header == headers.Publish("t", headers.JSON) and json.loads(split_run(body)[0]) == {"n": 1}


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        (encode_frame(headers.Ping(1)), 1002),
        (b"\xff\xff\xff\xff\x01\x00", 1009),
        (b"\x02\x00\x00\x00\x05\x00", 1002),
        (b"\x05\x00\x00\x00\x03\x00\xc1\xc1\xc1", 1002),
    ],
)
async def test_a_first_frame_that_is_no_hello_ends_the_connection(served: Served, sent: bytes, code: int) -> None:
    client = await RawWebSocket.open(served.port, protocols=MSGPACK_V1)
    client.send(2, sent)
    assert await client.close_code() == code


async def test_without_a_hello_the_connection_ends(served: Served) -> None:
    client = await RawWebSocket.open(served.port, protocols=MSGPACK_V1)
    (connection,) = served.edge.websockets
    connection.sweep(served.gateway.loop.time() + 6)
    assert await client.close_code() == 1002


async def test_text_is_refused_where_frames_were_agreed(served: Served) -> None:
    client, _ = await greeted(served)
    client.send(1, b"{}")
    assert await client.close_code() == 1002


# --- ends


async def test_what_was_sent_while_the_name_was_claimed_is_served_in_order(served: Served) -> None:
    served.gateway.pause_admission = asyncio.Event()
    client = await seed(served, "a")
    client.send_json({"method": "SUBSCRIBE", "topic": "t"})
    for number in range(3):
        client.send_json({"method": "PUBLISH", "topic": "t", "args": {"n": number}})
    await client.writer.drain()
    served.gateway.pause_admission.set()
    assert [(await client.receive_json())["args"]["n"] for _ in range(3)] == [0, 1, 2]


async def test_a_client_that_leaves_while_it_is_admitted_leaves_nothing(served: Served) -> None:
    served.gateway.pause_admission = asyncio.Event()
    client = await seed(served, "a")
    client.writer.transport.abort()
    (connection,) = served.edge.websockets
    connection.abort()
    async with asyncio.timeout(10):
        while served.edge.websockets:
            await asyncio.sleep(0)
    served.gateway.pause_admission.set()
    await asyncio.sleep(0)
    assert not served.gateway.switch.sessions


async def test_a_client_that_does_not_read_is_told_what_it_lost(served: Served) -> None:
    limits = GatewayLimits(queue_bytes=50_000)
    async with serve_http(limits) as small:
        slow = await ready(await seed(small, "slow"))
        slow.send_json({"method": "SUBSCRIBE", "topic": "t"})
        await ready(slow)
        publisher, _ = await greeted(small)
        frame = encode_frame(headers.Publish("t", headers.JSON), encode_run([b'{"pad":"%b"}' % (b"x" * 10_000)]))
        session = small.gateway.switch.session_of("slow")
        assert session is not None
        (connection,) = [one for one in small.edge.websockets if one._session is session]
        async with asyncio.timeout(20):
            while not (session.outbox.is_full and connection._is_paused):
                publisher.send(2, frame * 10)
                await publisher.writer.drain()
                await asyncio.sleep(0)
        assert connection._transport is not None
        assert connection._transport.get_write_buffer_size() < 2_000_000  # the rest was dropped, not hidden in a buffer
        async with asyncio.timeout(20):
            while (package := await slow.receive_json())["method"] == "SUB_RESULT":
                pass
        assert package["method"] == "SLOW" and package["dropped_messages"] > 0


async def test_a_client_that_reads_nothing_for_a_minute_is_cut_off() -> None:
    async with serve_http(GatewayLimits(queue_bytes=50_000)) as small:
        slow = await ready(await seed(small, "slow"))
        slow.send_json({"method": "SUBSCRIBE", "topic": "t"})
        await ready(slow)
        publisher, _ = await greeted(small)
        frame = encode_frame(headers.Publish("t", headers.JSON), encode_run([b'{"pad":"%b"}' % (b"x" * 10_000)]))
        session = small.gateway.switch.session_of("slow")
        assert session is not None
        (connection,) = [one for one in small.edge.websockets if one._session is session]
        async with asyncio.timeout(20):
            while not (session.outbox.is_full and connection._is_paused):
                publisher.send(2, frame * 10)
                await publisher.writer.drain()
                await asyncio.sleep(0)
        now = small.gateway.loop.time()
        connection.sweep(now)
        connection.sweep(now + 61)
        async with asyncio.timeout(10):
            while small.gateway.switch.session_of("slow"):
                await asyncio.sleep(0)


async def test_a_client_that_does_not_take_its_close_is_cut_off(served: Served) -> None:
    await ready(await seed(served, "a"))
    (connection,) = served.edge.websockets
    connection._closing_at = served.gateway.loop.time()
    connection.sweep(served.gateway.loop.time() + CLOSE_S + 1)
    async with asyncio.timeout(10):
        while served.edge.websockets:
            await asyncio.sleep(0)


async def test_a_draining_gateway_says_reconnect_and_then_goes_away(served: Served) -> None:
    client = await ready(await seed(served, "a"))
    served.gateway.switch.drain(served.gateway.loop.time(), after_ms=100)
    served.gateway.wake()
    assert (await client.receive_json())["method"] == "RECONNECT"


async def test_an_answer_to_ping_carries_its_payload(served: Served) -> None:
    client = await ready(await seed(served, "a"))
    client.send(9, b"abc")
    assert await client.receive() == (10, b"abc")


async def test_a_close_is_answered_with_its_code(served: Served) -> None:
    client = await ready(await seed(served, "a"))
    client.send(8, b"\x0f\xa1bye")
    assert await client.close_code() == 4001


async def test_a_fault_of_ours_ends_the_connection_that_met_it_and_no_other(
    served: Served, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    victim, other = await ready(await seed(served, "v")), await ready(await seed(served, "o"))
    (connection,) = [one for one in served.edge.websockets if one._session is served.gateway.switch.session_of("v")]

    def broken(*_: object) -> None:
        raise RuntimeError("secret detail")

    monkeypatch.setattr(connection._dialect, "receive", broken)
    victim.send_json({"method": "HEARTBEAT", "id": 1})
    opcode, payload = await victim.receive()
    assert (opcode, int.from_bytes(payload[:2], "big")) == (8, 1011) and b"secret" not in payload
    (record,) = [one for one in caplog.records if one.message == "websocket.failed"]
    assert record.__dict__["trace_id"].encode() in payload and record.__dict__["client_id"] == "v"
    await ready(other)
    async with asyncio.timeout(10):
        while served.gateway.switch.session_of("v"):
            await asyncio.sleep(0)


async def test_an_admission_that_breaks_ends_its_connection_and_not_the_gateway(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_: object, **__: object) -> None:
        raise RuntimeError("no")

    monkeypatch.setattr(served.gateway, "admit", broken)
    client = await seed(served, "a")
    assert await client.close_code() == 1011
    assert served.gateway.crashes == []


async def test_a_call_that_is_too_large_is_answered_as_a_call(served: Served) -> None:
    client, _ = await named(served, "a")
    client.send_json({"method": "RPC", "fun": "echo", "invokeid": 3, "args": {"pad": "x" * (1 << 20)}})
    answer = await client.receive_json()
    assert (answer["method"], answer["invokeid"], answer["error"]["code"]) == ("RPC_RESULT", 3, "too_large")


async def test_a_batch_larger_than_a_message_is_published_whole(served: Served) -> None:
    client, _ = await named(served, "a")
    inner: list[dict[str, str]] = [{"method": "PUBLISH", "topic": "t", "args": "x" * 100_000} for _ in range(15)]
    inner.insert(0, {"method": "SUBSCRIBE", "topic": "t"})
    client.send(1, json.dumps({"method": "BATCH", "packages": inner}).encode(), mask=b"\0\0\0\0")
    received = 0
    while received < 15:
        answer = await client.receive_json()
        packages = answer.get("packages", [answer])
        assert {one["method"] for one in packages} == {"SUB_RESULT"}, packages
        received += len(packages)
