"""A12: clients that connect and do little else. Deadlines are driven by hand: `sweep` is told what time it is."""

from __future__ import annotations

import asyncio

import pytest

from majula.api.http.connection import LINGER_S
from tests.edges import RawWebSocket, Served, exchange, request, status_of


async def connected(served: Served, sent: bytes = b"") -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A connection that has sent this much, which the gateway has read."""
    before = len(served.edge.connections)
    reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
    async with asyncio.timeout(10):
        while len(served.edge.connections) == before:
            await asyncio.sleep(0)
    if sent:
        (connection,) = served.edge.connections
        writer.write(sent)
        async with asyncio.timeout(10):
            while not (connection._reader.owes_head or connection._reader.owes_body or connection.started):
                await asyncio.sleep(0)
    return reader, writer


def sweep(served: Served, later_s: float) -> None:
    now = served.gateway.loop.time() + later_s
    for connection in list(served.edge.connections):
        connection.sweep(now)


async def is_closed(reader: asyncio.StreamReader) -> bool:
    async with asyncio.timeout(10):
        try:
            return await reader.read() == b""
        except ConnectionResetError:
            return True


async def test_a12_a_connection_that_sends_nothing_is_closed_after_the_header_deadline(served: Served) -> None:
    reader, _ = await connected(served)
    sweep(served, 4.9)
    assert len(served.edge.connections) == 1
    sweep(served, 5.6)
    assert await is_closed(reader)


async def test_a12_half_a_header_is_closed_however_it_drips(served: Served) -> None:
    reader, writer = await connected(served, b"GET /majula/health HTTP/1.1\r\n")
    writer.write(b"X: y\r\n")
    await writer.drain()
    sweep(served, 5.6)
    assert await is_closed(reader)


async def test_a12_half_a_body_without_progress_is_closed(served: Served) -> None:
    head = b"POST /majula/pub HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n"
    reader, _ = await connected(served, head + b"{")
    sweep(served, 9.9)
    assert len(served.edge.connections) == 1
    sweep(served, 10.6)
    assert await is_closed(reader)


async def test_a12_half_a_chunked_body_without_progress_is_closed(served: Served) -> None:
    head = b"POST /majula/pub HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
    reader, _ = await connected(served, head + b"5\r\n{")
    sweep(served, 10.6)
    assert await is_closed(reader)


async def test_a12_an_answer_that_is_not_read_is_given_up(served: Served) -> None:
    _, writer = await asyncio.open_connection("127.0.0.1", served.port, limit=1024)
    one = b"GET /majula/v1/services HTTP/1.1\r\nHost: localhost\r\n\r\n"
    async with asyncio.timeout(20):
        while not any(c._transport and c._transport.get_write_buffer_size() for c in served.edge.connections):
            writer.write(one * 50)
            await asyncio.sleep(0)
    sweep(served, 0.0)
    sweep(served, 10.6)
    async with asyncio.timeout(10):
        while served.edge.connections:
            await asyncio.sleep(0)
    writer.close()


async def test_a12_a_refused_client_that_stays_is_cut_off(served: Served) -> None:
    reader, _ = await connected(served)
    (connection,) = served.edge.connections
    connection.data_received(b"nonsense\r\n\r\n")
    assert connection._ends_at is not None
    sweep(served, LINGER_S + 0.1)
    async with asyncio.timeout(10):
        assert status_of(await reader.read()) == 400
        while served.edge.connections:
            await asyncio.sleep(0)


async def test_a12_a_websocket_that_is_opened_and_left_is_cheap(served: Served) -> None:
    clients = [await RawWebSocket.open(served.port, protocols="majula.v1.msgpack") for _ in range(50)]
    now = served.gateway.loop.time() + 5.6
    for connection in list(served.edge.websockets):
        connection.sweep(now)
    assert [await client.close_code() for client in clients] == [1002] * 50


@pytest.mark.slow
async def test_a12_five_hundred_slow_connections_do_not_keep_others_waiting(served: Served) -> None:
    slow = [await asyncio.open_connection("127.0.0.1", served.port) for _ in range(500)]
    for number, (_, writer) in enumerate(slow):
        writer.write((b"GET /majula/health HTTP/1.1\r\nHost: localhost\r\n", b"G", b"", b"POST / HTTP/1.1\r\n")[number % 4])
    waits: list[float] = []
    for _ in range(100):
        begun = served.gateway.loop.time()
        assert status_of(await exchange(served.port, request("GET", "/majula/health"))) == 200
        waits.append(served.gateway.loop.time() - begun)
    assert sorted(waits)[98] < 5.0  # a guard: it is 2 ms when nothing else runs here
    sweep(served, 5.6)
    closed = await asyncio.gather(*(is_closed(reader) for reader, _ in slow))
    assert all(closed) and not any(not connection.started for connection in served.edge.connections)
