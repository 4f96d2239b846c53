"""Who knocks where nobody serves is turned away at once."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator

import pytest

from majula.runner.turnaway import TurnAway


class Door:
    def __init__(self, listening: socket.socket) -> None:
        self.listening = listening
        self.turn_away = TurnAway(asyncio.get_running_loop(), {"http": listening})

    async def knock(self) -> bytes:
        reader, writer = await asyncio.open_connection(*self.listening.getsockname())
        try:
            return await reader.read()
        finally:
            writer.close()


@pytest.fixture
async def door() -> AsyncIterator[Door]:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.setblocking(False)
        door = Door(listening)
        yield door
        door.turn_away.end_all()


async def test_connection_is_closed_at_once(door: Door) -> None:
    door.turn_away.begin(["http"])
    assert await door.knock() == b""


async def test_beginning_twice_is_as_once(door: Door) -> None:
    door.turn_away.begin(["http"])
    door.turn_away.begin(["http"])
    assert await door.knock() == b""


async def test_connection_waits_for_its_server_after_the_end(door: Door) -> None:
    door.turn_away.begin(["http"])
    door.turn_away.end(["http", "other"])
    knocking = asyncio.create_task(door.knock())
    connection, _address = await asyncio.get_running_loop().sock_accept(door.listening)
    with connection:
        connection.send(b"served")
    assert await knocking == b"served"
