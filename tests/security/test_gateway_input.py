"""A13, A14, A17, A18: bombs, broken WebSockets, too much of everything, control characters."""

from __future__ import annotations

import asyncio
import json
import time
import zlib
from typing import Any

import psutil
import pytest

from majula.gateway.settings import GatewayLimits
from majula.wire import headers
from majula.wire.frames import decode_header, encode_frame
from tests.edges import RawWebSocket, Served, body_of, client_frame, exchange, request, serve_http, status_of

JSON = "Content-Type: application/json"
BOMBS = {
    "depth": b'{"topic":"t","msg":' + b"[" * 200_000 + b"]" * 200_000 + b"}",
    "digits": b'{"topic":"t","msg":' + b"9" * 5000 + b"}",
    "nan": b'{"topic":"t","msg":NaN}',
    "infinity": b'{"topic":"t","msg":-Infinity}',
    "a key twice": b'{"topic":"t","topic":"u","msg":1}',
    "a key twice inside": b'{"topic":"t","msg":{"a":1,"\\u0061":2}}',
    "half a surrogate pair": b'{"topic":"t","msg":"\\ud800"}',
    "not utf-8": b'{"topic":"t","msg":"\xff"}',
    "a number too large": b'{"topic":"t","msg":18446744073709551616}',
}


def resident_mib() -> float:
    return float(psutil.Process().memory_info().rss) / (1 << 20)


async def alive(served: Served) -> bool:
    """Another client is served as if nothing had happened."""
    return status_of(await exchange(served.port, request("GET", "/majula/health"))) == 200


# --- A13


async def test_a13_a_gzip_bomb_does_not_unfold(served: Served) -> None:
    packer = zlib.compressobj(9, wbits=31)
    zeros = bytes(1 << 20)
    bomb = b"".join([packer.compress(zeros) for _ in range(200)] + [packer.flush()])
    before = resident_mib()
    found = await exchange(served.port, request("POST", "/majula/pub", JSON, "Content-Encoding: gzip", body=bomb))
    assert status_of(found) == 413 and resident_mib() - before < 20
    assert await alive(served)


@pytest.mark.parametrize("bomb", BOMBS)
async def test_a13_json_that_programs_disagree_about_is_400(served: Served, bomb: str) -> None:
    before = resident_mib()
    found = await exchange(served.port, request("POST", "/majula/pub", JSON, body=BOMBS[bomb]))
    assert status_of(found) == 400 and body_of(found)["code"] == "invalid_request"
    assert resident_mib() - before < 20


@pytest.mark.parametrize("bomb", BOMBS)
async def test_a13_the_same_in_a_websocket_is_an_error_and_its_sender_lives(served: Served, bomb: str) -> None:
    client = await RawWebSocket.open(served.port, "/majula/ws/a")
    text = BOMBS[bomb].replace(b'"msg"', b'"args"').replace(b'{"topic"', b'{"method":"PUBLISH","topic"', 1)
    client.send(1, text)
    if bomb == "not utf-8":
        assert await client.close_code() == 1007
        return
    answer = await client.receive_json()
    assert (answer["method"], answer["code"]) == ("ERROR", "invalid_request")
    client.send_json({"method": "HEARTBEAT", "id": 1})
    assert await client.receive_json() == {"method": "ACK", "id": 1}


async def test_a13_a_deflate_bomb_needs_an_extension_that_is_never_agreed(served: Served) -> None:
    client = await RawWebSocket.open(served.port, headers=("Sec-WebSocket-Extensions: permessage-deflate",))
    assert client.status == 101 and b"xtensions" not in client.head
    packer = zlib.compressobj(9, wbits=-15)
    client.send(1, packer.compress(bytes(1 << 24)) + packer.flush(zlib.Z_SYNC_FLUSH), rsv=4)
    assert await client.close_code() == 1002


async def test_a13_a_body_over_the_limit_is_413_before_it_comes(served: Served) -> None:
    found = await exchange(served.port, request("POST", "/majula/pub", JSON, "Content-Length: 200000000"))
    assert status_of(found) == 413 and body_of(found)["detail"]["limit_bytes"]


async def test_a13_msgpack_that_announces_what_never_comes_is_refused(served: Served) -> None:
    for bomb in (b"\xdd\xff\xff\xff\xff", b"\xc6\xff\xff\xff\xff", b"\x91" * 60_000, b"\xdf\xff\xff\xff\xff"):
        client = await RawWebSocket.open(served.port, protocols="majula.v1.msgpack")
        client.send(2, encode_frame(headers.Hello(1)))
        await client.receive()
        client.send(2, (len(bomb) + 2).to_bytes(4, "little") + len(bomb).to_bytes(2, "little") + bomb)
        assert await client.close_code() == 1002
    assert await alive(served)


# --- A14


@pytest.mark.parametrize(
    ("attack", "code"),
    [
        (b"\x81\x05hello", 1002),
        (client_frame(1, b"a", rsv=1), 1002),
        (client_frame(1, b"a", rsv=2), 1002),
        (client_frame(3, b"a"), 1002),
        (client_frame(11, b""), 1002),
        (client_frame(9, b"x" * 126), 1002),
        (client_frame(9, b"", fin=False), 1002),
        (client_frame(0, b"a"), 1002),
        (client_frame(1, b"\xc3\x28"), 1007),
        (client_frame(8, b"\x03\xed"), 1002),
        (b"\x81\xff" + b"\x7f" + b"\xff" * 7, 1009),
        (b"\x81\xff" + b"\xff" * 8, 1009),
        (client_frame(1, b"", fin=False) + client_frame(0, b"", fin=False) * 1_000_000, 1008),
        (client_frame(9, b"") * 10_000, 1008),
        (client_frame(10, b"") * 10_000, 1008),
    ],
    ids=[
        "unmasked",
        "rsv 1",
        "rsv 2",
        "opcode 3",
        "opcode 11",
        "long ping",
        "fragmented ping",
        "continuation of nothing",
        "not utf-8",
        "forbidden close code",
        "huge",
        "negative",
        "a million empty fragments",
        "ten thousand pings",
        "ten thousand pongs",
    ],
)
async def test_a14_a_broken_websocket_is_closed_with_its_code(served: Served, attack: bytes, code: int) -> None:
    spent = time.process_time()
    client = await RawWebSocket.open(served.port, "/majula/ws/a")
    client.send_json({"method": "HEARTBEAT", "id": 1})
    await client.receive_json()
    client.writer.write(attack)
    assert await client.close_code() in {code, 0}  # 0: the attacker wrote on into a closed connection and was reset
    async with asyncio.timeout(10):
        while served.gateway.switch.sessions:
            await asyncio.sleep(0)
    assert await alive(served)
    assert time.process_time() - spent < 5.0  # a guard against work that grows with what is sent


async def test_a14_a_message_over_the_limit_is_1009(served: Served) -> None:
    client = await RawWebSocket.open(served.port, "/majula/ws/a")
    client.send(1, b'{"method":"PUBLISH","topic":"t","args":{"pad":"' + b"x" * (2 << 20) + b'"}}', mask=b"\0\0\0\0")
    assert await client.close_code() in {1009, 0}
    assert await alive(served)


async def test_a14_a_message_that_is_begun_and_not_continued_ends(served: Served) -> None:
    client = await RawWebSocket.open(served.port, "/majula/ws/a")
    client.send_json({"method": "HEARTBEAT", "id": 1})
    await client.receive_json()
    client.writer.write(client_frame(1, b"x" * 100)[:50])
    (connection,) = served.edge.websockets
    async with asyncio.timeout(10):
        while not connection._reader.is_within_message:
            await asyncio.sleep(0)
    connection.sweep(served.gateway.loop.time() + 11)
    assert await client.close_code() == 1002


# --- A17


async def flooded(client: RawWebSocket, packages: list[dict[str, Any]]) -> list[str]:
    """The codes of the errors that come of these packages, sent in batches."""
    codes: list[str] = []
    for at in range(0, len(packages), 1000):
        batch = {"method": "BATCH", "packages": packages[at : at + 1000]}
        client.send(1, json.dumps(batch).encode(), mask=b"\0\0\0\0")
        await client.writer.drain()
        client.send_json({"method": "SUBSCRIBE", "topic": "end", "id": f"end-{at}"})  # or its refusal, behind all others
        is_over = False
        while not is_over:
            answer = await client.receive_json()
            for one in answer.get("packages", [answer]):
                is_over = is_over or one.get("id") == f"end-{at}"
                failed = one["error"]["code"] if isinstance(one.get("error"), dict) else one.get("code")
                codes += [failed] if failed and one.get("id") != f"end-{at}" else []
    return codes


@pytest.mark.slow
@pytest.mark.parametrize(
    ("package", "limit"),
    [({"method": "SUBSCRIBE", "topic": "t{}"}, 10_000), ({"method": "REGISTER_RPC", "fun": "f{}"}, 1_000)],
    ids=["subscriptions", "registrations"],
)
async def test_a17_a_hundred_thousand_of_one_client_stop_at_the_limit(
    served: Served, package: dict[str, str], limit: int
) -> None:
    client = await RawWebSocket.open(served.port, protocols="majula.v1.json")
    texts = json.dumps(package)
    wishes = [json.loads(texts.replace("{}", str(number))) for number in range(limit + 2000)]
    await flooded(client, wishes)
    before = resident_mib()
    more = [json.loads(texts.replace("{}", f"-{number}")) for number in range(30_000)]
    codes = await flooded(client, more)
    assert set(codes) == {"limit_reached"} and resident_mib() - before < 20
    assert await alive(served)


async def test_a17_open_calls_of_one_client_stop_at_the_limit() -> None:
    async with serve_http(GatewayLimits(pending_calls=50)) as served:
        providers = [await RawWebSocket.open(served.port, f"/majula/ws/p{number}") for number in range(2)]
        for provider in providers:
            provider.send_json({"method": "REGISTER_RPC", "fun": "never", "id": 1})
            await provider.receive_json()
        client = await RawWebSocket.open(served.port, protocols="majula.v1.json")
        calls = [{"method": "RPC", "fun": "never", "invokeid": number, "args": {}} for number in range(60)]
        assert await flooded(client, calls) == ["limit_reached"] * 10


# --- A18

NASTY = ["a\r\nX-Evil: 1", "a\x1b[31mred", "a\x00b", "a\x7fb", "a\u2028b\u202e"]


@pytest.mark.parametrize("text", NASTY)
async def test_a18_control_characters_in_a_topic_are_refused_or_escaped(served: Served, text: str) -> None:
    body = json.dumps({"topic": text, "msg": "m"}).encode()
    found = await exchange(served.port, request("POST", "/majula/pub", JSON, body=body))
    head, _, rest = found.partition(b"\r\n\r\n")
    assert status_of(found) in {200, 400} and b"X-Evil" not in head
    assert not set(rest) & set(b"\r\n\x1b\x00\x7f")


@pytest.mark.parametrize("client", ["a%0d%0aX-Evil:%201", "a%1b%5b31m", "a%00b", "a%7f"])
async def test_a18_control_characters_in_a_client_id_are_refused(served: Served, client: str) -> None:
    found = await exchange(served.port, request("GET", f"/majula/pub/{client}?topic=t&msg=m"))
    assert status_of(found) == 400 and b"X-Evil" not in found.partition(b"\r\n\r\n")[0]


@pytest.mark.parametrize("function", NASTY)
async def test_a18_control_characters_in_a_function_are_refused_or_escaped(served: Served, function: str) -> None:
    body = json.dumps({"fun": function, "target_node": "", "provider": "", "args": {}}).encode()
    found = await exchange(served.port, request("POST", "/majula/rpc", JSON, body=body))
    assert status_of(found) in {200, 400} and not set(found.partition(b"\r\n\r\n")[2]) & set(b"\r\n\x1b\x00\x7f")


async def test_a18_a_line_end_in_a_message_does_not_end_its_event(served: Served) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
    writer.write(request("GET", "/majula/sub?topic=t"))
    await reader.readuntil(b": subscribed\n\n")
    body = b'{"topic":"t",\r\n"args":{"a":\n"x\\ndata: evil"}}'
    await exchange(served.port, request("POST", "/majula/pub", JSON, body=body))
    publisher = await RawWebSocket.open(served.port, "/majula/ws/p")
    publisher.send(1, b'{"method":"PUBLISH","topic":"t","args":{"a":\n\n"data: evil"}}')
    async with asyncio.timeout(10):
        for expected in ("x\ndata: evil", "data: evil"):
            event = (await reader.readuntil(b"\n\n")).split(b"data: ", 1)[1].removesuffix(b"\n\n").removesuffix(b"\r\n")
            assert json.loads(event)["args"] == {"a": expected}
    writer.close()


async def test_a18_the_header_of_a_welcome_is_still_a_header(served: Served) -> None:
    client = await RawWebSocket.open(served.port, protocols="majula.v1.msgpack")
    client.send(2, encode_frame(headers.Hello(1, "", "", "", "agent\r\nX-Evil: 1")))
    _, payload = await client.receive()
    assert isinstance(decode_header(payload[6 : 6 + int.from_bytes(payload[4:6], "little")]), headers.Welcome)
