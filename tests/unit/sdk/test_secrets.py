"""A token, and the secret of a session, are in no log, no error and no repr of the client."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

import majula
from majula.errors import MajulaError, Unauthorized
from majula.wire.frames import encode_frame
from majula.wire.headers import Error, Hello, Welcome
from tests.edges import Served, serve_http
from tests.unit.sdk.gateway import FakeGateway

CANARY = "mjl_canary" + "c" * 37


@pytest.fixture
async def served() -> AsyncIterator[Served]:
    async with serve_http() as one:
        yield one


def address_of(way: str, port: int) -> str:
    return f"{'http' if way == 'http' else 'ws'}://127.0.0.1:{port}"


@pytest.mark.parametrize("way", ["ws", "json", "http"])
async def test_no_log_line_holds_a_token(served: Served, caplog: pytest.LogCaptureFixture, way: str) -> None:
    caplog.set_level(logging.DEBUG)
    asyncio.get_running_loop().set_debug(True)
    encoding = {"encoding": "json"} if way == "json" else {}
    async with majula.connect(address_of(way, served.port), token=CANARY, **encoding) as client:  # type: ignore[arg-type]  # one of two
        await client.publish("t", 1, ack=True)
        shown = repr(vars(client)) + repr(client.statistics()) + repr(client)
    assert CANARY not in caplog.text + shown


@pytest.mark.parametrize("way", ["ws", "http"])
async def test_no_error_holds_a_token(way: str) -> None:
    refusing = await asyncio.start_server(lambda _reader, writer: writer.close(), "127.0.0.1", 0)
    port = refusing.sockets[0].getsockname()[1]
    with pytest.raises(MajulaError) as raised:
        await majula.connect(address_of(way, port), token=CANARY, timeout_s=0.2)
    refusing.close()
    assert CANARY not in repr(raised.value) + str(raised.value.__cause__) + repr(raised.value.detail)


async def test_a_refusal_does_not_repeat_it(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    gateway = await FakeGateway(tmp_path / "g.sock").start()
    gateway.answers[Hello] = lambda _session, _header: [encode_frame(Error(0, "unauthorized", "a valid token is needed"))]
    with pytest.raises(Unauthorized) as raised:
        await majula.connect(gateway.address, token=CANARY)
    await gateway.stop()
    assert CANARY not in repr(raised.value) + caplog.text


def test_frames_that_hold_a_secret_do_not_show_it() -> None:
    shown = repr(Hello(1, "me", secret=CANARY, token=CANARY)) + repr(Welcome(1, "n1", "me", CANARY, "gateway:1"))
    assert CANARY not in shown
    assert "me" in shown
