"""What the main process and a whole node do about an exception of their own and a full disk."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from pathlib import Path

import pytest

from majula.errors import DiskFull
from tests.cluster.node_clients import Clients, Load, running_node
from tests.cluster.node_rig import NodeRig, descendants, is_alive, record_recovery
from tests.cluster.test_config_reload import Api
from tests.small_disk import fill, mounted

pytestmark = pytest.mark.slow


async def test_exception_in_the_runner_ends_the_node_with_70_and_its_reason(
    tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    async with NodeRig(tmp_path / "n", module="tests.cluster.fragile_node") as node:
        tree = descendants(node.process.pid)
        began = time.monotonic()
        os.kill(await node.pid("router"), signal.SIGKILL)
        assert await node.ended() == 70
        record_recovery("runner", "exception", time.monotonic() - began, request.node.nodeid)
        assert "RuntimeError: told to fail" in node.errors[-1]
        async with asyncio.timeout(1.0):
            while any(map(is_alive, tree)):
                await asyncio.sleep(0.005)  # they are not ours to wait for


async def test_node_on_a_full_disk_serves_and_refuses_only_what_needs_disk(
    tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    (tmp_path / "node").mkdir()
    with mounted(tmp_path / "node" / "data", kib=512) as disk:  # where the node has its data
        async with running_node(tmp_path / "node") as clients:
            operator = await clients.connect(0)
            made = await operator.create_token(["publish:a"])
            async with Load(clients) as load:
                fill(disk / "ballast")
                await refused_for_want_of_disk(clients, made.token.id)
                await clients.node.kill("telemetry")
                await clients.node.kill("config")
                await clients.node.until_serving()
                await load.goes_on()
                assert (await operator.token(made.token.id)).state == "active"
                began = time.monotonic()
                (disk / "ballast").unlink()
                await operator.revoke_token(made.token.id)
                record_recovery("runner", "disk full", time.monotonic() - began, request.node.nodeid)
            assert load.received == list(range(len(load.received)))
            assert set(load.outcomes) == {"answer"}


async def refused_for_want_of_disk(clients: Clients, token: str) -> None:
    operator = await clients.connect(1)
    with pytest.raises(DiskFull):
        await operator.create_token(["publish:" + "x" * 240] * 100)
    status, body = await Api(clients.node).ask("POST", "/v1/tokens", {"scopes": ["publish:" + "x" * 240] * 100})
    assert (status, body["code"]) == (507, "disk_full")
    assert (await operator.flight()).file == ""  # a recording that was asked for is shown, and not written
    assert (await operator.token(token)).state == "active"


async def test_node_whose_log_goes_to_a_full_disk_serves_all_the_same(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    with mounted(tmp_path / "log", kib=64) as disk:
        node = NodeRig(tmp_path / "n")
        fill(disk / "ballast")
        with (disk / "log").open("ab") as log:
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "tests.cluster.probe_node", str(node.config), stdout=log, stderr=log
            )
        try:
            await node.until_serving()
            began = time.monotonic()
            os.kill(router := await node.pid("router"), signal.SIGKILL)
            async with asyncio.timeout(10.0):
                while (await node.roles())["router"]["pid"] in (0, router):
                    await asyncio.sleep(0.005)  # its log is full: nobody tells us
            record_recovery("logger", "disk full", time.monotonic() - began, request.node.nodeid)
            assert await node.ask_gateway() == await node.pid(f"gateway:{node.ports[0]}")
            assert (disk / "log").read_bytes() == b""
        finally:
            process.terminate()
            assert await process.wait() == 0
