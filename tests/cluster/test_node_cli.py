"""The commands, against a node that runs."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from pathlib import Path

import pytest

from .node_rig import PATIENCE_S, REPOSITORY, NodeRig

pytestmark = pytest.mark.slow


async def majula(*words: str) -> tuple[int, str, str]:
    """Exit code, standard output, standard error."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "majula.api.cli.main",
        *words,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        cwd=REPOSITORY,
    )
    async with asyncio.timeout(PATIENCE_S):
        out, error = await process.communicate()
    assert process.returncode is not None
    return process.returncode, out.decode(), error.decode()


async def test_status_shows_every_role_with_its_pid(tmp_path: Path) -> None:
    async with NodeRig(tmp_path / "n") as node:
        code, out, _error = await majula("status", "--run-dir", str(node.run_dir))
        assert code == 0
        for role, found in (await node.roles()).items():
            assert any(line.split()[:3] == [role, "running", str(found["pid"])] for line in out.splitlines())


async def test_status_as_json_is_what_the_control_socket_says(tmp_path: Path) -> None:
    async with NodeRig(tmp_path / "n") as node:
        _code, out, _error = await majula("status", "--json", "--run-dir", str(node.run_dir))
        assert json.loads(out)["addresses"] == (await node.status())["addresses"]


async def test_status_shows_why_a_role_was_restarted(tmp_path: Path) -> None:
    async with NodeRig(tmp_path / "n") as node:
        await node.harm("router", signal.SIGKILL)
        _code, out, _error = await majula("status", "--run-dir", str(node.run_dir))
        assert "ago  router: killed by SIGKILL" in out


async def test_status_without_a_node_says_so_and_fails(tmp_path: Path) -> None:
    code, out, error = await majula("status", "--run-dir", str(tmp_path))
    assert (code, out) == (3, "")
    assert error.splitlines()[0] == f"Error: no node runs in {tmp_path} [no_such_node]"


async def test_node_stop_ends_the_node(tmp_path: Path) -> None:
    async with NodeRig(tmp_path / "n") as node:
        code, _out, _error = await majula("node", "stop", "--run-dir", str(node.run_dir))
        assert (code, await node.ended()) == (0, 0)


async def test_node_run_is_the_node_itself(tmp_path: Path) -> None:
    rig = NodeRig(tmp_path / "n")
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "majula.api.cli.main", "node", "run", str(rig.config)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        cwd=REPOSITORY,
    )
    try:
        status = await rig.until_serving()
        assert status["pid"] == process.pid
    finally:
        process.terminate()
        assert await process.wait() == 0


async def test_node_run_fails_with_the_exit_code_of_the_node(tmp_path: Path) -> None:
    code, _out, error = await majula("node", "run", str(tmp_path / "nothing.yaml"))
    assert code == 78
    assert "nothing.yaml:1:1: cannot be read" in error


async def test_demo_shows_its_traffic_and_leaves_nothing(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path_factory.mktemp("d")  # a short name: sockets lie below it
    monkeypatch.setenv("TMPDIR", str(folder))
    code, out, error = await majula("demo")
    assert (code, error) == (0, "")
    assert "reader got weather.oslo: {'celsius': -3}" in out
    assert "convert(celsius=28) -> {'fahrenheit': 82.4}" in out
    assert "ValueError: -300.0 is below absolute zero" in out
    assert "the node has drained and stopped (exit code 0)" in out
    assert list(folder.iterdir()) == []
