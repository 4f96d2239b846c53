"""Clients that have nothing but HTTP, on a real node with two gateways."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.cluster.node_rig import NodeRig

pytestmark = pytest.mark.slow


@pytest.fixture
async def node(tmp_path: Path) -> AsyncIterator[NodeRig]:
    async with NodeRig(tmp_path / "node", module="majula.runner", gateways=2) as rig:
        yield rig


@pytest.fixture
async def web() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(30)) as session:
        yield session


def url(node: NodeRig, gateway: int, path: str) -> str:
    return f"http://127.0.0.1:{node.ports[gateway]}/majula/v1{path}"


class Program:
    """One program that uses a session."""

    def __init__(self, web: aiohttp.ClientSession, base: str, opened: dict[str, Any]) -> None:
        self.web = web
        self.path = f"{base}/{opened['session']}"
        self.headers = {"Majula-Session": opened["secret"]}

    @classmethod
    async def open(cls, web: aiohttp.ClientSession, base: str, client: str) -> Program:
        async with web.post(base, json={"client": client}) as response:
            assert response.status == 201, await response.text()
            return cls(web, base, await response.json())

    async def send(self, *packages: dict[str, Any]) -> int:
        async with self.web.post(f"{self.path}/packages", json={"packages": packages}, headers=self.headers) as response:
            return response.status

    def events(self) -> aiohttp.client._RequestContextManager:
        return self.web.get(f"{self.path}/events", headers=self.headers)


async def package(stream: aiohttp.ClientResponse, method: str) -> Any:
    """The next package of that method."""
    async with asyncio.timeout(30):
        while True:
            line = await stream.content.readline()
            assert line, "the stream has ended"
            if line.startswith(b"data: ") and (found := json.loads(line[6:]))["method"] == method:
                return found


async def test_a_session_answers_a_call_that_was_begun_at_the_other_gateway(node: NodeRig, web: aiohttp.ClientSession) -> None:
    provider = await Program.open(web, url(node, 0, "/sessions"), "worker")
    async with provider.events() as stream:
        await provider.send({"method": "REGISTER_RPC", "fun": "double", "sync": True, "id": 1})
        await package(stream, "ACK")
        body = {"function": "double", "arguments": {"x": 4}, "wait": False}
        async with web.post(url(node, 1, "/calls"), json=body) as response:
            call = (await response.json())["call"]
        asked = await package(stream, "RPC_CALL_FROM_REMOTE")
        await provider.send({"method": "RETURN_RESULT", "invokeid": asked["invokeid"], "result": {"y": 8}})
        async with web.get(url(node, 1, f"/calls/{call}?wait_s=30")) as response:
            assert (await response.json())["result"] == {"y": 8}


async def test_a_private_message_reaches_a_session_at_the_other_gateway(node: NodeRig, web: aiohttp.ClientSession) -> None:
    receiver = await Program.open(web, url(node, 0, "/sessions"), "receiver")
    async with receiver.events() as stream:
        async with web.post(
            url(node, 1, "/messages"), json={"client": "receiver", "message": {"n": 1}, "wait_s": 30}
        ) as response:
            assert (response.status, (await response.json())["state"]) == (200, "written")
        assert (await package(stream, "PRIVATE_MESSAGE"))["args"]["message"] == {"n": 1}


async def test_any_operation_is_asked_for_by_a_session(node: NodeRig, web: aiohttp.ClientSession) -> None:
    program = await Program.open(web, url(node, 0, "/sessions"), "asker")
    async with program.events() as stream:
        await program.send({"method": "REQUEST", "operation": "nodes.list", "args": {}, "id": 1})
        assert [one["node"] for one in (await package(stream, "REPLY"))["result"]["nodes"]] == ["n1"]
        await program.send({"method": "REQUEST", "operation": "tokens.show", "args": {"token": "tok-nobody"}, "id": 2})
        assert (await package(stream, "ERROR"))["code"] == "not_found"


async def test_a_session_ends_with_its_gateway_and_its_id_is_free(node: NodeRig, web: aiohttp.ClientSession) -> None:
    program = await Program.open(web, url(node, 0, "/sessions"), "phoenix")
    async with program.events() as stream:
        await stream.content.readuntil(b"\n\n")
        os.kill(await node.pid(f"gateway:{node.ports[0]}"), signal.SIGKILL)
        with pytest.raises(aiohttp.ClientPayloadError):
            while await stream.content.readline():
                pass
    assert await program.send({"method": "HEARTBEAT"}) == 404
    again = await Program.open(web, url(node, 1, "/sessions"), "phoenix")
    assert await again.send({"method": "HEARTBEAT"}) == 202
