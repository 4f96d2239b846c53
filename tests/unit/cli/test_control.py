"""One question to a control socket, with a real one behind it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from majula.api.cli.control import ask
from majula.errors import InvalidRequest, Unavailable
from majula.runner.control import NAME, ControlSocket


async def _status() -> dict[str, object]:
    # Larger than one read of a socket.
    return {"node_id": "n1", "filling": "x" * 500_000}


@pytest.fixture
async def path(tmp_path: Path) -> AsyncIterator[Path]:
    control = ControlSocket(tmp_path, status=_status, stop=lambda now: None)
    await control.start()
    yield tmp_path / NAME
    await control.close()


async def test_answer_comes_whole(path: Path) -> None:
    answer = await asyncio.to_thread(ask, path, {"command": "status"})
    assert len(answer["status"]["filling"]) == 500_000


async def test_refusal_is_raised_under_its_own_code(path: Path) -> None:
    with pytest.raises(InvalidRequest):
        await asyncio.to_thread(ask, path, {"command": "format"})


def test_node_that_is_not_there_is_unavailable(tmp_path: Path) -> None:
    with pytest.raises(Unavailable):
        ask(tmp_path / NAME, {"command": "status"})
