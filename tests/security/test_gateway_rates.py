"""A17 with rates, and a gateway that has more to do than it can: what one client may cost the others."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from majula.gateway.settings import GatewayLimits
from majula.wire.frames import encode_frame, encode_run
from majula.wire.headers import Ack, Error, Hello, Ping, Pong, Publish, Subscribe, Unsubscribe
from tests.edges import RawWebSocket, body_of, exchange, request, serve_http, status_of
from tests.native_peer import Peer
from tests.security.guarded import JSON, bearer, serve_guarded


async def answered(peer: Peer, wanted: type[object], count: int) -> None:
    """So many frames of this type have come."""
    while count:
        header, _ = await peer.read()
        count -= isinstance(header, wanted)


async def test_a17_client_that_toggles_patterns_is_slowed_and_loses_nothing(tmp_path: Path) -> None:
    async with serve_guarded(tmp_path, limits=GatewayLimits(controls_per_s=1_000)) as guarded:
        flood, other = await guarded.peer(), await guarded.peer()
        token = guarded.token("*:*")
        await flood.hello("flood", token=token)
        await other.hello("other", token=token)
        session = guarded.gateway.switch.session_of("flood")
        assert session is not None
        toggle = encode_frame(Subscribe(1, "a.*.>", True)) + encode_frame(Unsubscribe(2, "a.*.>", True))
        flood.writer.write(toggle * 1_100)
        began = guarded.gateway.loop.time()
        await answered(flood, Ack, 2_100)
        assert session.ready_at > began  # it has been told off in between, and is read no further for a while
        other.send(Ping(1))
        assert (await other.read())[0] == Pong(1)
        await answered(flood, Ack, 100)
        flood.send(Ping(7))
        assert (await flood.read())[0] == Pong(7)


async def test_a17_flood_of_pings_is_bounded_by_the_rate_of_control_frames(tmp_path: Path) -> None:
    async with serve_guarded(tmp_path, limits=GatewayLimits(controls_per_s=500)) as guarded:
        flood = await guarded.peer()
        await flood.hello("flood", token=guarded.token("*:*"))
        began = guarded.gateway.loop.time()
        for number in range(12):
            flood.writer.write(encode_frame(Ping(1)) * 100)
            await answered(flood, Pong, 100)
            # By the gateway's own clock: never more than two seconds' worth and what the time since then gives.
            assert (number + 1) * 100 <= 1_000 + 500 * (guarded.gateway.loop.time() - began) + 100


async def test_a17_websocket_client_that_sends_too_much_is_not_read_for_a_while(tmp_path: Path) -> None:
    async with serve_guarded(tmp_path, limits=GatewayLimits(messages_per_s=1_000)) as guarded:
        client = await RawWebSocket.open(guarded.port, "/majula/ws/c", headers=(bearer(guarded.token("*:*")),))
        client.send_json({"method": "SUBSCRIBE", "topic": "t", "id": 1})
        await client.receive_json()
        session = guarded.gateway.switch.session_of("c")
        assert session is not None
        began = guarded.gateway.loop.time()
        for number in range(1_100):
            client.send_json({"method": "PUBLISH", "topic": "t", "args": {"n": number}})
        for number in range(1_100):
            assert (await client.receive_json())["args"] == {"n": number}
        assert session.ready_at > began
        client.close()


async def test_a17_plain_requests_beyond_the_rate_get_429_and_a_time_to_come_again(tmp_path: Path) -> None:
    async with serve_guarded(tmp_path, limits=GatewayLimits(messages_per_s=2)) as guarded:
        asked = request("GET", "/majula/pub?topic=t&msg=x", bearer(guarded.token("publish:t")))
        found = [await exchange(guarded.port, asked) for _ in range(4)]
        assert [status_of(answer) for answer in found] == [200, 200, 429, 429]
        assert b"Retry-After: 1" in found[2] and body_of(found[2])["detail"]["limit"] == "messages_per_s"
        other = request("GET", "/majula/pub?topic=t&msg=x", bearer(guarded.token("publish:t", token_id="tok-2")))
        assert status_of(await exchange(guarded.port, other)) == 200


async def test_a17_rate_of_a_token_holds_for_all_its_sessions(tmp_path: Path) -> None:
    async with serve_guarded(tmp_path) as guarded:
        token = guarded.token("*:*", messages_per_s=10.0)
        one, two = await guarded.peer(), await guarded.peer()
        await one.hello("one", token=token)
        await two.hello("two", token=token)
        now = guarded.gateway.loop.time()
        for peer in (one, two):
            peer.send(Publish("t", request=1), encode_run([b"m"] * 10))
            await answered(peer, Ack, 1)
        first, second = (guarded.gateway.switch.session_of(name) for name in ("one", "two"))
        assert first is not None and second is not None
        assert first.ready_at <= guarded.gateway.loop.time() and second.ready_at > now + 0.5


async def test_a17_http_session_beyond_the_rate_gets_429(tmp_path: Path) -> None:
    async with serve_guarded(tmp_path, limits=GatewayLimits(messages_per_s=5)) as guarded:
        token = bearer(guarded.token("*:*"))
        opened = body_of(await exchange(guarded.port, request("POST", "/majula/v1/sessions", token, JSON, body=b"{}")))
        path = f"/majula/v1/sessions/{opened['session']}/packages"
        own = f"Majula-Session: {opened['secret']}"
        body = b'{"packages":[' + b",".join([b'{"method":"PUBLISH","topic":"t","args":{}}'] * 20) + b"]}"
        found = [await exchange(guarded.port, request("POST", path, token, own, JSON, body=body)) for _ in range(2)]
        assert [status_of(answer) for answer in found] == [202, 429] and b"Retry-After: " in found[1]


async def test_client_that_is_not_read_is_not_taken_for_dead(tmp_path: Path) -> None:
    async with serve_guarded(tmp_path, limits=GatewayLimits(messages_per_s=1)) as guarded:
        peer = await guarded.peer()
        await peer.hello("c", token=guarded.token("*:*"))
        peer.send(Publish("t", request=1), encode_run([b"m"] * 1_000))
        await answered(peer, Ack, 1)
        guarded.native.look(guarded.gateway.loop.time() + 900)
        session = guarded.gateway.switch.session_of("c")
        assert session is not None and session.is_open


# --- more than it can


def overload(switch: Any) -> None:
    for _ in range(4):
        switch.load.measured(lag_s=60.0, memory_bytes=0)


async def test_overloaded_gateway_refuses_requests_and_new_clients_and_goes_on_with_the_others(tmp_path: Path) -> None:
    async with serve_guarded(tmp_path) as guarded:
        token = guarded.token("*:*")
        peer = await guarded.peer()
        await peer.hello("c", token=token)
        overload(guarded.gateway.switch)
        found = await exchange(guarded.port, request("GET", "/majula/v1/services", bearer(token)))
        assert status_of(found) == 503 and b"Retry-After: 2" in found and body_of(found)["detail"]["reason"] == "loop_lag"
        assert (await RawWebSocket.open(guarded.port, headers=(bearer(token),))).status == 503
        late = await guarded.peer()
        late.send(Hello(1, "late", "", token))
        header, _ = await late.read()
        assert isinstance(header, Error) and header.code == "overloaded" and header.detail["retry_after_s"] == 2.0
        await peer.subscribe("t")
        assert guarded.gateway.switch.statistics()["refused_by_load_total"] == 3


async def test_overloaded_gateway_still_says_that_it_lives() -> None:
    async with serve_http() as served:
        overload(served.gateway.switch)
        assert status_of(await exchange(served.port, request("GET", "/majula/health"))) == 200


async def test_stranger_costs_an_overloaded_gateway_no_more_than_a_refusal(tmp_path: Path) -> None:
    async with serve_guarded(tmp_path) as guarded:
        overload(guarded.gateway.switch)
        found = await asyncio.gather(*(exchange(guarded.port, request("GET", "/majula/v1/services")) for _ in range(20)))
        assert {status_of(answer) for answer in found} == {401} and not guarded.gateway.switch.sessions
