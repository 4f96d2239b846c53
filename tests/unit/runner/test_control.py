"""The control socket answers one JSON object a line, and nothing that it is sent harms it."""

from __future__ import annotations

import asyncio
import json
import stat
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from majula.runner.control import NAME, ControlSocket


class Desk:
    """A control socket with a fake node behind it."""

    def __init__(self, run_dir: Path) -> None:
        self.run_dir = run_dir
        self.stops: list[bool] = []
        self.socket = ControlSocket(run_dir, status=self._status, stop=self.stops.append)

    async def _status(self) -> dict[str, object]:
        return {"node_id": "n1"}

    async def say(self, line: bytes) -> Any:
        reader, writer = await asyncio.open_unix_connection(str(self.run_dir / NAME))
        writer.write(line + b"\n")
        answer = await reader.readline()
        writer.close()
        return json.loads(answer) if answer else None


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    desk = Desk(tmp_path)
    await desk.socket.start()
    yield desk
    await desk.socket.close()


async def test_status_is_answered(desk: Desk) -> None:
    assert await desk.say(b'{"command": "status"}') == {"ok": True, "status": {"node_id": "n1"}}


async def test_stop_drains(desk: Desk) -> None:
    assert await desk.say(b'{"command": "stop"}') == {"ok": True}
    assert desk.stops == [False]


async def test_stop_now_does_not(desk: Desk) -> None:
    await desk.say(b'{"command": "stop", "now": true}')
    assert desk.stops == [True]


@pytest.mark.parametrize("line", [b"", b"{", b"[]", b'{"command": "format"}', b"[" * 4_000, b"\xff\xfe", b"1e999"])
async def test_anything_else_is_refused_and_the_next_one_is_served(desk: Desk, line: bytes) -> None:
    assert (await desk.say(line))["code"] == "invalid_request"
    assert (await desk.say(b'{"command": "status"}'))["ok"]


async def test_line_that_is_too_long_ends_its_connection(desk: Desk) -> None:
    assert await desk.say(b"x" * 10_000) is None
    assert (await desk.say(b'{"command": "status"}'))["ok"]


async def test_socket_is_for_its_owner_alone(desk: Desk) -> None:
    assert stat.S_IMODE((desk.run_dir / NAME).stat().st_mode) == 0o600


async def test_connection_beyond_the_bound_is_closed(desk: Desk) -> None:
    streams = [await asyncio.open_unix_connection(str(desk.run_dir / NAME)) for _ in range(17)]
    assert await streams[-1][0].read() == b""
    for _reader, writer in streams:
        writer.close()


async def test_closed_socket_leaves_no_file(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    await desk.socket.start()
    await desk.socket.close()
    assert not (tmp_path / NAME).exists()
