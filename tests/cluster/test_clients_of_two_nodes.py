"""Two nodes of one user on one machine: they never meet, and a client without an address is asked to choose."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

import majula
from majula.errors import Conflict, NoProvider
from tests.cluster.node_clients import Clients
from tests.cluster.node_rig import NodeRig

pytestmark = pytest.mark.slow


@pytest.fixture
async def two(tmp_path: Path) -> AsyncIterator[tuple[Clients, Clients]]:
    root = tmp_path / "majula"
    root.mkdir()
    async with AsyncExitStack() as stack:
        found: list[Clients] = []
        for name in ("one", "two"):
            node = NodeRig(tmp_path / name, module="majula.runner", node_id=name)
            text = node.config.read_text().replace(str(node.run_dir), str(root / name))
            node.config.write_text(text)
            node.run_dir = root / name
            found.append(Clients(await stack.enter_async_context(node), stack))
        yield found[0], found[1]


async def test_messages_and_functions_stay_at_their_node(two: tuple[Clients, Clients]) -> None:
    here, there = await two[0].connect(client_id="same"), await two[1].connect(client_id="same")
    assert (here.node_id, there.node_id) == ("one", "two")
    got = [await client.subscribe("t", retained=True, sync=True) for client in (here, there)]
    await here.publish("t", "here", retain=True, ack=True)
    await there.publish("t", "there", retain=True, ack=True)
    async with asyncio.timeout(20):
        assert [(await anext(subscription)).payload for subscription in got] == ["here", "there"]
    await here.register("only_here", lambda: 1, sync=True)
    with pytest.raises(NoProvider):
        await there.call("only_here")


async def test_a_client_without_an_address_is_told_both(two: tuple[Clients, Clients], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(two[0].node.run_dir.parents[1]))
    monkeypatch.delenv("MAJULA_ADDRESS", raising=False)
    with pytest.raises(Conflict) as caught:
        majula.connect()
    assert all(clients.address() in str(caught.value) for clients in two)


async def test_the_other_is_found_when_one_was_killed(two: tuple[Clients, Clients], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(two[0].node.run_dir.parents[1]))
    monkeypatch.delenv("MAJULA_ADDRESS", raising=False)
    two[0].node.process.kill()
    await two[0].node.ended()
    async with majula.connect() as client:
        assert client.node_id == "two"


async def test_the_kill_of_one_leaves_the_other_alone(two: tuple[Clients, Clients]) -> None:
    client = await two[1].connect()
    before = {role: found["pid"] for role, found in (await two[1].node.roles()).items()}
    two[0].node.process.kill()
    await two[0].node.ended()
    assert await client.call("add", {"a": 1, "b": 2}, provider="init") == {"sum": 3}
    assert {role: found["pid"] for role, found in (await two[1].node.roles()).items()} == before
