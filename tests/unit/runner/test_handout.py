"""A child asks for its listening sockets by name, and gets copies of them."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from majula.actorsystem.sockets import NAME, HandoutRefused, take_sockets
from majula.runner.handout import Handout


@pytest.fixture
async def held(tmp_path: Path) -> AsyncIterator[tuple[Handout, socket.socket, str]]:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        handout = Handout(tmp_path, {"http": listening})
        yield handout, listening, str(tmp_path)
        handout.close()


async def test_child_gets_the_socket_that_it_names(held: tuple[Handout, socket.socket, str]) -> None:
    _handout, listening, run_dir = held
    taken = await take_sockets(run_dir, ["http"])
    assert taken["http"].getsockname() == listening.getsockname()
    assert not taken["http"].getblocking()
    taken["http"].close()


async def test_socket_can_be_taken_again_after_its_first_taker_closed_it(held: tuple[Handout, socket.socket, str]) -> None:
    _handout, listening, run_dir = held
    for _ in range(3):
        taken = await take_sockets(run_dir, ["http"])
        taken["http"].close()
    socket.create_connection(listening.getsockname()).close()


async def test_unknown_name_is_refused_and_named(held: tuple[Handout, socket.socket, str]) -> None:
    with pytest.raises(HandoutRefused, match="no such socket: nonsense"):
        await take_sockets(held[2], ["http", "nonsense"])


async def test_no_names_need_no_main_process(tmp_path: Path) -> None:
    assert await take_sockets(str(tmp_path), []) == {}


async def test_missing_main_process_is_an_error_at_once(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        await take_sockets(str(tmp_path), ["http"])


@pytest.mark.parametrize("junk", [b"\xff" * 100, b"\x90", b"", b"\x91\xc0", b"\x91\xa1\xff", b"\x91" * 3000])
async def test_junk_ends_its_own_connection_only(held: tuple[Handout, socket.socket, str], junk: bytes) -> None:
    handout, _listening, run_dir = held
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as stranger:
        stranger.connect(f"{run_dir}/{NAME}")
        stranger.send(junk)
        stranger.shutdown(socket.SHUT_WR)
        while not handout.refused:
            await asyncio.sleep(0)
    (await take_sockets(run_dir, ["http"]))["http"].close()


async def test_more_connections_than_it_may_hold_are_closed(held: tuple[Handout, socket.socket, str]) -> None:
    handout, _listening, run_dir = held
    strangers = []
    for _ in range(40):
        stranger = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        stranger.connect(f"{run_dir}/{NAME}")
        strangers.append(stranger)
        await asyncio.sleep(0)
    while handout.refused < 8:
        await asyncio.sleep(0)
    for stranger in strangers:
        stranger.close()
