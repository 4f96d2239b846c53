"""How a node starts, says who it is, refuses what cannot be, drains and stops."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import stat
import sys
from pathlib import Path

import pytest

from majula.api.cli.control import ask

from .node_rig import PROBES, REPOSITORY, NodeRig, descendants, is_alive

pytestmark = pytest.mark.slow
ABOVE = {"config", "telemetry"}
"""Children of the root beside the supervisors."""


async def test_summary_names_node_roles_pids_and_addresses(tmp_path: Path) -> None:
    async with NodeRig(tmp_path / "n") as node:
        await node.until(lambda: any("stop with" in line for line in node.out))
        text = "\n".join(node.out)
        assert "majula node n1 is ready" in text
        assert f"http://127.0.0.1:{node.ports[0]}/majula" in text
        assert f"unix:{node.run_dir}/native-{node.ports[0]}.sock" in text
        for role, found in (await node.roles()).items():
            assert any(role in line and f"pid {found['pid']}" in line for line in node.out)


async def test_every_role_runs_in_a_process_of_its_own(tmp_path: Path) -> None:
    async with NodeRig(tmp_path / "n") as node:
        pids = [role["pid"] for role in (await node.roles()).values()]
        assert len(set(pids)) == 9


async def test_second_start_on_the_same_data_directory_is_refused_naming_the_pid(tmp_path: Path) -> None:
    async with NodeRig(tmp_path / "n") as node:
        second = NodeRig(tmp_path / "m")
        second.config.write_text(second.config.read_text().replace(str(second.data_dir), str(node.data_dir)))
        await second.start()
        assert await second.ended() == 75
        assert second.errors == [f"majula: {node.data_dir} is in use by the node with pid {node.process.pid}"]


async def test_second_start_in_the_same_run_directory_is_refused_naming_the_pid(tmp_path: Path) -> None:
    async with NodeRig(tmp_path / "n") as node:
        second = NodeRig(tmp_path / "m")
        second.config.write_text(second.config.read_text().replace(str(second.run_dir), str(node.run_dir)))
        await second.start()
        assert await second.ended() == 75
        assert f"pid {node.process.pid}" in second.errors[-1]


async def test_two_nodes_run_on_one_machine(tmp_path: Path) -> None:
    async with NodeRig(tmp_path / "n") as one, NodeRig(tmp_path / "m", node_id="n2") as two:
        assert await one.ask_gateway() != await two.ask_gateway()
        assert (await two.status())["node_id"] == "n2"


async def test_port_in_use_ends_the_start_naming_role_and_address(tmp_path: Path) -> None:
    node = NodeRig(tmp_path / "n")
    with socket.create_server(("127.0.0.1", node.ports[0])):
        await node.start()
        assert await node.ended() == 69
    port = node.ports[0]
    assert node.errors == [f"majula: gateway:{port} cannot listen on 127.0.0.1:{port}: address in use by another program"]


async def test_vital_role_that_cannot_start_ends_the_node_naming_role_and_reason(tmp_path: Path) -> None:
    node = NodeRig(tmp_path / "n")
    node._environment["PROBE_FAIL"] = f"gateway:{node.ports[0]}"
    await node.start()
    assert await node.ended() == 70
    assert node.errors[-1] == f"majula: gateway:{node.ports[0]} cannot be kept alive: OSError: no luck"


async def test_role_that_is_not_vital_and_cannot_start_leaves_the_node_degraded(tmp_path: Path) -> None:
    async with NodeRig(tmp_path / "n", environment={"PROBE_FAIL": "router"}) as node:
        assert (await node.status())["state"] == "degraded"
        assert any(line.split()[1:4] == ["router", "in", "quarantine:"] for line in node.out)
        assert await node.ask_gateway() == await node.pid(f"gateway:{node.ports[0]}")


async def test_configuration_that_is_wrong_is_refused_with_every_problem(tmp_path: Path) -> None:
    node = NodeRig(tmp_path / "n", module="majula.runner", extra="nonsense: 1\nmore_nonsense: 2")
    await node.start()
    assert await node.ended() == 78
    assert len([line for line in node.errors if "nonsense" in line]) == 2


async def test_run_directory_that_others_may_enter_is_refused(tmp_path: Path) -> None:
    node = NodeRig(tmp_path / "n")
    node.run_dir.mkdir()
    node.run_dir.chmod(0o755)
    await node.start()
    assert await node.ended() == 78
    assert "0755" in node.errors[-1]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_signal_drains_and_stops_the_node_in_order(tmp_path: Path, number: signal.Signals) -> None:
    async with NodeRig(tmp_path / "n", environment={"PROBE_DRAIN_S": "0.2"}) as node:
        tree = descendants(node.process.pid)
        node.process.send_signal(number)
        assert await node.ended() == 0
        gateway = f"gateway:{node.ports[0]}"
        stopped = {event["role"] for event in node.said("child.stopped")}
        assert stopped == {gateway, "router", "topic_manager", "rpc_broker", "supervisor:data", "supervisor:control", *ABOVE}
        assert node.said("child.drained", gateway)
        assert not [pid for pid in tree if is_alive(pid)]


async def test_node_that_has_stopped_leaves_no_sockets(tmp_path: Path) -> None:
    async with NodeRig(tmp_path / "n") as node:
        node.process.send_signal(signal.SIGTERM)
        assert await node.ended() == 0
        assert [path.name for path in node.run_dir.iterdir() if stat.S_ISSOCK(path.lstat().st_mode)] == []


async def test_signal_during_the_start_stops_the_node_and_leaves_nothing(tmp_path: Path) -> None:
    node = NodeRig(tmp_path / "n")
    await node.start()
    await node.until_said("config.warning")
    node.process.send_signal(signal.SIGTERM)
    assert await node.ended() == 0
    assert [path.name for path in node.run_dir.iterdir() if stat.S_ISSOCK(path.lstat().st_mode)] == []


async def test_second_signal_ends_the_drain_at_once(tmp_path: Path) -> None:
    async with NodeRig(tmp_path / "n", environment={"PROBE_DRAIN_S": "1000"}, extra="drain_s: 1000") as node:
        node.process.send_signal(signal.SIGTERM)
        await node.until_said("node.draining")
        node.process.send_signal(signal.SIGTERM)
        assert await node.ended() == 0


async def test_drain_ends_at_its_deadline(tmp_path: Path) -> None:
    async with NodeRig(tmp_path / "n", environment={"PROBE_DRAIN_S": "1000"}, extra="drain_s: 0.3") as node:
        node.process.send_signal(signal.SIGTERM)
        assert await node.ended() == 0


@pytest.mark.parametrize("role", ["supervisor:root", "admin"])
async def test_tree_that_dies_while_it_drains_ends_the_node_and_says_why(tmp_path: Path, role: str) -> None:
    async with NodeRig(tmp_path / "n", environment={"PROBE_DRAIN_S": "1000"}, extra="drain_s: 1000") as node:
        pid = await node.pid(role)
        node.process.send_signal(signal.SIGTERM)
        await node.until_said("node.draining")
        os.kill(pid, signal.SIGKILL)
        assert await node.ended() == 0
        (died,) = node.said("tree.died")
        assert f"(pid {pid}) died" in died["reason"]


async def test_ctrl_c_in_the_terminal_reaches_only_the_runner(tmp_path: Path) -> None:
    async with NodeRig(tmp_path / "n") as node:
        for pid in descendants(node.process.pid):
            os.kill(pid, signal.SIGINT)
        await node.roles()
        node.process.send_signal(signal.SIGINT)
        assert await node.ended() == 0
        assert not node.said("child.died")


async def test_stop_by_the_control_socket_ends_the_node(tmp_path: Path) -> None:
    async with NodeRig(tmp_path / "n") as node:
        assert (await asyncio.to_thread(ask, node.run_dir / "control.sock", {"command": "stop"}))["ok"]
        assert await node.ended() == 0


async def test_node_whose_output_nobody_reads_serves_all_the_same(tmp_path: Path) -> None:
    node = NodeRig(tmp_path / "n")
    reading, writing = os.pipe()
    os.close(reading)
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", PROBES, str(node.config), stdout=writing, stderr=writing, cwd=REPOSITORY
    )
    os.close(writing)
    try:
        await node.until_serving()
    finally:
        process.terminate()
        assert await process.wait() == 0
