"""Faults again and again while live clients go on. The short runs are in CI; those marked `soak` are the full size:

python -m pytest tests/cluster/test_endurance.py -m soak
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import time
from pathlib import Path

import pytest

from majula.errors import ConnectionLost, Draining, MajulaError, ProviderLost
from tests.cluster.node_clients import GUARD_S, Clients, Load, running_node
from tests.cluster.node_rig import NodeRig

pytestmark = pytest.mark.slow


async def kill(node: NodeRig, role: str) -> None:
    """Kills it and waits until its next life has begun."""
    lines = len(node.events)
    os.kill(await node.pid(role), signal.SIGKILL)
    await node.until_said("child.started", role, after=lines)


@pytest.mark.parametrize(
    ("messages", "pace_s", "kills", "every_s"),
    [
        pytest.param(10_000, 0.001, 2, 3.0, id="short"),
        pytest.param(100_000, 0.0015, 10, 15.0, id="full", marks=[pytest.mark.soak, pytest.mark.timeout(400)]),
    ],
)
async def test_no_paced_message_is_lost_while_the_topic_manager_is_killed(
    tmp_path: Path, messages: int, pace_s: float, kills: int, every_s: float
) -> None:
    async with running_node(tmp_path / "node") as clients, Load(clients, pace_s=pace_s, limit=messages) as load:
        for number in range(1, kills + 1):
            await load.until_published(int(number * every_s / pace_s) - int(every_s / pace_s / 2))
            await kill(clients.node, "topic_manager")
        await load.is_delivered(within_s=400)
        assert load.received == list(range(messages))
        assert (await clients.node.roles())["topic_manager"]["restarts"] == kills


async def test_traffic_goes_on_by_the_last_table_while_the_topic_manager_is_in_quarantine(tmp_path: Path) -> None:
    async with running_node(tmp_path / "node") as clients:
        async with Load(clients) as load:
            for _ in range(5):
                await kill(clients.node, "topic_manager")
            os.kill(await clients.node.pid("topic_manager"), signal.SIGKILL)
            await clients.node.until_said("child.quarantined", "topic_manager")
            await load.goes_on()
            assert (await clients.node.status())["state"] == "degraded"
            assert (await clients.node.roles())["topic_manager"]["deaths"][0]["reason"] == "killed by SIGKILL"
        assert load.received == list(range(len(load.received)))
        assert set(load.outcomes) == {"answer"}


@pytest.mark.parametrize("role", ["router", "rpc_broker"])
async def test_traffic_goes_on_while_another_control_actor_is_in_quarantine(tmp_path: Path, role: str) -> None:
    async with running_node(tmp_path / "node") as clients:
        async with Load(clients) as load:
            for _ in range(5):
                await kill(clients.node, role)
            os.kill(await clients.node.pid(role), signal.SIGKILL)
            await clients.node.until_said("child.quarantined", role)
            await load.goes_on()
            newcomer = await clients.connect(0)
            assert await newcomer.call("add", {"a": 1, "b": 2}, provider="init") == {"sum": 3}
        assert load.received == list(range(len(load.received)))
        assert set(load.outcomes) == {"answer"}


async def test_clients_of_a_node_whose_last_gateway_cannot_be_kept_get_an_end_to_every_call(tmp_path: Path) -> None:
    async with running_node(tmp_path / "node", gateways=1) as clients:
        gateway = f"gateway:{clients.node.ports[0]}"
        client = await clients.connect()
        calls = [client.start_call("nobody", timeout_s=GUARD_S / 2)]
        for _ in range(5):
            await kill(clients.node, gateway)
            calls.append(client.start_call("nobody", timeout_s=GUARD_S / 2))
        os.kill(await clients.node.pid(gateway), signal.SIGKILL)
        assert await clients.node.ended() == 70
        await client.close()
        async with asyncio.timeout(GUARD_S):
            ends = await asyncio.gather(*calls, return_exceptions=True)
        assert all(isinstance(end, MajulaError) for end in ends), ends


async def test_retained_values_survive_a_kill_of_the_topic_manager(tmp_path: Path) -> None:
    async with running_node(tmp_path / "node") as clients:
        publisher = await clients.connect(0)
        for n in range(50):
            await publisher.publish(f"kept.{n}", n, retain=True, ack=True)
        await kill(clients.node, "topic_manager")
        await publisher.publish("kept.50", 50, retain=True, ack=True)  # the new one orders on
        await kill(clients.node, f"gateway:{clients.node.ports[1]}")  # and gives all to a gateway that comes back empty
        reader = await clients.connect(1)
        subscription = await reader.subscribe("kept.*", retained=True, sync=True)
        async with asyncio.timeout(GUARD_S):
            got = [await anext(subscription) for _ in range(51)]
        assert {(message.topic, message.payload) for message in got} == {(f"kept.{n}", n) for n in range(51)}


class Knocking:
    """Connects to TCP port and Unix socket of a gateway again and again; counts who was let in and who was refused."""

    def __init__(self, clients: Clients) -> None:
        self._port, self._path = clients.node.ports[0], clients.address(0).removeprefix("unix:")
        self.connected = 0
        self.refused: list[str] = []

    async def go_on(self) -> None:
        while True:
            for family, where in ((socket.AF_INET, ("127.0.0.1", self._port)), (socket.AF_UNIX, self._path)):
                with socket.socket(family) as knock:
                    knock.setblocking(False)
                    try:
                        await asyncio.get_running_loop().sock_connect(knock, where)
                        self.connected += 1
                    except OSError as error:
                        self.refused.append(repr(error))
            await asyncio.sleep(0.002)  # a pace: some 400 a second


@pytest.mark.parametrize(
    ("kills", "every_s"),
    [
        pytest.param(4, 0.5, id="short"),
        pytest.param(30, 8.0, id="full", marks=[pytest.mark.soak, pytest.mark.timeout(400)]),
    ],
)
async def test_a_gateway_that_is_killed_again_and_again_refuses_nobody(tmp_path: Path, kills: int, every_s: float) -> None:
    async with running_node(tmp_path / "node") as clients:
        knocking = Knocking(clients)
        task = asyncio.create_task(knocking.go_on())
        async with Load(clients) as load:
            for _ in range(kills):
                due = time.monotonic() + every_s
                await kill(clients.node, f"gateway:{clients.node.ports[0]}")
                await load.goes_on()
                await asyncio.sleep(max(0.0, due - time.monotonic()))  # the pace of the faults, under the restart budget
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        assert knocking.refused == []
        assert knocking.connected > kills
        assert sum(load.outcomes.values()) == load.started
        assert load.received == sorted(set(load.received))
        assert sum(state.name == "connected" for state in clients.states[load.near]) == kills + 1


async def test_a_node_that_is_stopped_under_load_leaves_no_call_without_an_end(tmp_path: Path) -> None:
    async with running_node(tmp_path / "node") as clients:
        ends: list[object] = []
        load = Load(clients)
        async with load:
            calls = [load.near.start_call("twice", n, timeout_s=GUARD_S / 2) for n in range(500)]
            clients.node.process.terminate()
            ends = await asyncio.gather(*calls, return_exceptions=True)
            assert await clients.node.ended() == 0
            told = await clients.until_told(load.near, "disconnected")
            await load.near.close()
        allowed = (int, ConnectionLost, ProviderLost, Draining)
        assert all(isinstance(end, allowed) for end in ends), {type(end) for end in ends}
        assert told.reason
        assert sum(load.outcomes.values()) == load.started
