"""What only the HTTP transport does: streams that are taken up again, posts that are refused for a while."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from majula.api.http.sessions import HttpSession
from majula.api.sdk import Client, State, connect
from majula.api.sdk.http import refusal_of
from majula.errors import ConnectionLost, LimitReached, Overloaded, TooLarge
from majula.testing import free_ports
from tests.edges import Served, serve_http


@pytest.fixture
async def served() -> AsyncIterator[Served]:
    async with serve_http() as one:
        yield one


def session_of(served: Served, client: Client) -> HttpSession:
    session = served.gateway.switch.session_of(client.client_id)
    assert session is not None
    assert isinstance(session.connection, HttpSession)
    return session.connection


async def test_a_stream_that_breaks_is_taken_up_again_and_nothing_is_lost_or_doubled(served: Served) -> None:
    told: list[str] = []
    async with connect(f"http://127.0.0.1:{served.port}", on_state=lambda state: told.append(state.name)) as client:
        subscription = await client.subscribe("t")
        got: list[int] = []
        for number in range(60):
            await client.publish("t", number)
            if number % 20 == 10:
                session = session_of(served, client)
                session.leave_stream(session.open_stream())  # the client's own stream ends
            got.append((await subscription.receive(timeout_s=20)).payload)
    assert got == list(range(60))
    assert told == ["connecting", "connected", "closed"]


async def test_where_nothing_listens_that_is_told() -> None:
    (port,) = free_ports(1)
    with pytest.raises(ConnectionLost, match="Cannot connect") as lost:
        await connect(f"http://127.0.0.1:{port}", timeout_s=0.1)
    assert "no gateway" not in str(lost.value)


async def test_the_client_id_is_taken_over_after_the_session_was_lost(served: Served) -> None:
    told: list[str] = []
    again = asyncio.Event()

    def tell(state: State) -> None:
        told.append(state.name)
        if told.count("connected") == 2:
            again.set()

    async with connect(f"http://127.0.0.1:{served.port}", client_id="me", on_state=tell) as client:
        session_of(served, client).close()
        await again.wait()
        assert client.client_id == "me"
        assert await client.call("echo", {"a": 1}, provider="init") == {"echo": {"a": 1}}


async def test_what_is_too_large_as_json_is_refused_here_and_the_session_goes_on(served: Served) -> None:
    async with connect(f"http://127.0.0.1:{served.port}") as client:
        with pytest.raises(TooLarge, match="JSON"):
            await client.publish("t", bytes(1_000_000), ack=True)
        assert await client.call("echo", {"a": 1}, provider="init") == {"echo": {"a": 1}}


def test_a_refusal_says_when_to_come_again() -> None:
    limited = refusal_of(429, b'{"error":"slowly","code":"limit_reached","detail":{"retry_after_s":0.25}}', "1")
    assert isinstance(limited, LimitReached)
    assert limited.detail["retry_after_s"] == 0.25
    busy = refusal_of(503, b'{"error":"busy","code":"overloaded","detail":{}}', "2")
    assert isinstance(busy, Overloaded)
    assert busy.detail["retry_after_s"] == 2.0


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b"\xff"])
def test_an_answer_of_somebody_else_is_a_lost_connection(body: bytes) -> None:
    assert isinstance(refusal_of(502, body, ""), ConnectionLost)
