"""What a node does when a process of it is killed or stopped. Recovery times are recorded, not asserted."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from pathlib import Path

import pytest

from .node_rig import NodeRig, children, descendants, is_alive, record_recovery

pytestmark = pytest.mark.slow

ROLES = (
    "config",
    "telemetry",
    "router",
    "topic_manager",
    "rpc_broker",
    "gateway",
    "supervisor:control",
    "supervisor:data",
    "supervisor:root",
    "admin",
)


def full(role: str, node: NodeRig) -> str:
    return f"gateway:{node.ports[0]}" if role == "gateway" else role


@pytest.mark.parametrize("role", ROLES)
async def test_node_serves_again_after_sigkill_of_any_process(tmp_path: Path, role: str, request: pytest.FixtureRequest) -> None:
    async with NodeRig(tmp_path / "n") as node:
        seconds = await node.harm(full(role, node), signal.SIGKILL)
        assert await node.ask_gateway() == await node.pid(f"gateway:{node.ports[0]}")
        record_recovery(role, "SIGKILL", seconds, request.node.nodeid)


@pytest.mark.parametrize("role", ROLES)
async def test_node_serves_again_after_sigstop_of_any_process(tmp_path: Path, role: str, request: pytest.FixtureRequest) -> None:
    async with NodeRig(tmp_path / "n") as node:
        seconds = await node.harm(full(role, node), signal.SIGSTOP)
        assert await node.ask_gateway() == await node.pid(f"gateway:{node.ports[0]}")
        record_recovery(role, "SIGSTOP", seconds, request.node.nodeid)


@pytest.mark.parametrize("role", ["router", "gateway"])
async def test_reason_of_a_death_is_in_the_log_and_in_the_status(tmp_path: Path, role: str) -> None:
    async with NodeRig(tmp_path / "n") as node:
        await node.harm(full(role, node), signal.SIGKILL)
        line = await node.until_said("child.died", full(role, node))
        assert line["reason"] == "killed by SIGKILL"
        assert (await node.roles())[full(role, node)]["deaths"][0]["reason"] == "killed by SIGKILL"


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
async def test_logger_that_is_killed_or_stopped_is_replaced_and_disturbs_nobody(tmp_path: Path, number: signal.Signals) -> None:
    async with NodeRig(tmp_path / "n") as node:
        before = await node.roles()
        logger = await node.pid("logger")
        os.kill(logger, number)
        async with asyncio.timeout(10.0):
            while await _logger_or_none(node) in (None, logger):
                await asyncio.sleep(0.01)  # the logger is nobody's role: nothing tells us when it is back
        assert {role: found["pid"] for role, found in (await node.roles()).items()} == {
            role: found["pid"] for role, found in before.items()
        }


async def _logger_or_none(node: NodeRig) -> int | None:
    try:
        return await node.pid("logger")
    except ValueError:
        return None


async def test_status_answers_while_the_gateway_is_stopped(tmp_path: Path) -> None:
    async with NodeRig(tmp_path / "n") as node:
        os.kill(await node.pid(f"gateway:{node.ports[0]}"), signal.SIGSTOP)
        assert f"gateway:{node.ports[0]}" in await node.roles()


async def test_status_answers_while_a_supervisor_is_stopped(tmp_path: Path) -> None:
    async with NodeRig(tmp_path / "n") as node:
        await node.roles()
        os.kill(await node.pid("supervisor:data"), signal.SIGSTOP)
        gateway = (await node.roles())[f"gateway:{node.ports[0]}"]
        assert not gateway["is_fresh"]


async def test_no_connection_is_refused_while_the_gateway_is_killed(tmp_path: Path) -> None:
    async with NodeRig(tmp_path / "n") as node:
        connected = 0
        kills = 0

        unix = str(node.run_dir / f"native-{node.ports[0]}.sock")

        async def knock(is_unix: bool) -> None:
            nonlocal connected
            while kills < 4:
                # A connection that the killed gateway had accepted is cut; one that it had not waits for the next one.
                try:
                    await (node.ask_unix(unix) if is_unix else node.ask_gateway())
                except ConnectionResetError:
                    continue
                connected += 1

        knocking = [asyncio.create_task(knock(number % 2 == 0)) for number in range(8)]
        for _ in range(4):
            await node.harm(f"gateway:{node.ports[0]}", signal.SIGKILL)
            kills += 1
        await asyncio.gather(*knocking)  # raises ConnectionRefusedError if there was one
        assert connected > 0


async def test_sigkill_of_the_runner_leaves_no_process_after_a_second(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    async with NodeRig(tmp_path / "n") as node:
        tree = descendants(node.process.pid)
        os.kill(await node.pid("router"), signal.SIGSTOP)
        node.process.kill()
        until = time.monotonic() + 1.0
        while time.monotonic() < until and any(is_alive(pid) for pid in tree):
            await asyncio.sleep(0.005)  # they are not ours to wait for
        assert not [pid for pid in tree if is_alive(pid)]
        record_recovery("runner", "SIGKILL", time.monotonic() - until + 1.0, request.node.nodeid)
        assert len(tree) >= 9


async def test_sigkill_of_a_stopped_runner_leaves_no_process_after_a_second(
    tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    async with NodeRig(tmp_path / "n") as node:
        tree = descendants(node.process.pid)
        node.process.send_signal(signal.SIGSTOP)
        node.process.kill()
        until = time.monotonic() + 1.0
        while time.monotonic() < until and any(is_alive(pid) for pid in tree):
            await asyncio.sleep(0.005)  # they are not ours to wait for
        assert not [pid for pid in tree if is_alive(pid)]
        record_recovery("runner", "SIGSTOP", time.monotonic() - until + 1.0, request.node.nodeid)


async def test_node_starts_in_the_directory_of_one_that_was_killed(tmp_path: Path) -> None:
    node = NodeRig(tmp_path / "n")
    async with node:
        node.process.kill()
        await node.process.wait()
    node.events.clear()
    async with node:
        assert await node.ask_gateway() == await node.pid(f"gateway:{node.ports[0]}")


async def test_processes_of_a_killed_supervisor_do_not_stay_as_zombies(tmp_path: Path) -> None:
    async with NodeRig(tmp_path / "n") as node:
        await node.harm("supervisor:control", signal.SIGKILL)
        admin = await node.pid("admin")
        async with asyncio.timeout(5.0):
            while children(node.process.pid) != [admin]:
                await asyncio.sleep(0.01)  # reaped at SIGCHLD, which is not ours


async def test_incarnations_grow_over_the_death_of_the_whole_tree(tmp_path: Path) -> None:
    async with NodeRig(tmp_path / "n") as node:
        before = (await node.roles())["router"]["incarnation"]
        await node.harm("supervisor:root", signal.SIGKILL)
        assert (await node.roles())["router"]["incarnation"] > before


async def test_crash_loop_of_a_role_that_is_not_vital_ends_in_degraded(tmp_path: Path) -> None:
    async with NodeRig(tmp_path / "n") as node:
        for number in range(6):
            lines = len(node.events)
            os.kill(await node.pid("router"), signal.SIGKILL)
            if number < 5:
                await node.until_said("child.started", "router", after=lines)
        await node.until_said("child.quarantined", "router")
        status = await node.status()
        assert status["state"] == "degraded"
        assert await node.ask_gateway() == await node.pid(f"gateway:{node.ports[0]}")


async def test_crash_loop_of_the_last_gateway_ends_the_node_with_its_reason(tmp_path: Path) -> None:
    async with NodeRig(tmp_path / "n") as node:
        gateway = f"gateway:{node.ports[0]}"
        for number in range(6):
            lines = len(node.events)
            os.kill(await node.pid(gateway), signal.SIGKILL)
            if number < 5:
                await node.until_said("child.started", gateway, after=lines)
        assert await node.ended() == 70
        assert node.errors[-1] == f"majula: {gateway} cannot be kept alive: killed by SIGKILL"


async def test_crash_loop_of_one_of_two_gateways_leaves_the_other_serving(tmp_path: Path) -> None:
    async with NodeRig(tmp_path / "n", gateways=2) as node:
        first = f"gateway:{node.ports[0]}"
        for number in range(6):
            lines = len(node.events)
            os.kill(await node.pid(first), signal.SIGKILL)
            if number < 5:
                await node.until_said("child.started", first, after=lines)
        await node.until_said("child.quarantined", first)
        assert await node.ask_gateway(node.ports[1]) == await node.pid(f"gateway:{node.ports[1]}")


async def test_connection_to_a_gateway_in_quarantine_is_closed_at_once(tmp_path: Path) -> None:
    async with NodeRig(tmp_path / "n", gateways=2) as node:
        first = f"gateway:{node.ports[0]}"
        for number in range(6):
            lines = len(node.events)
            os.kill(await node.pid(first), signal.SIGKILL)
            if number < 5:
                await node.until_said("child.started", first, after=lines)
        await node.until_said("child.quarantined", first)
        assert await node.ask_gateway(node.ports[0]) == 0  # the end of the stream, and no pid


async def test_tree_that_dies_again_and_again_ends_the_node_with_its_reason(tmp_path: Path) -> None:
    async with NodeRig(tmp_path / "n") as node:
        for number in range(6):
            await node.until_serving()
            lines = len(node.events)
            os.kill(await node.pid("supervisor:root"), signal.SIGKILL)
            if number < 5:
                await node.until_said("tree.restarting", after=lines)
                await node.until_said("child.started", "supervisor:data", after=lines)
        assert await node.ended() == 70
        assert "the root supervisor (pid " in node.errors[-1]
