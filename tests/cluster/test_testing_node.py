"""`majula.testing`: nodes for users' own tests."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from majula.errors import InvalidRequest
from majula.testing import Node, SyncNode, free_ports
from majula.testing.processes import descendants, is_alive

REPOSITORY = Path(__file__).parents[2]

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:  # `tmp_path` is made before
    """Where temporary directories go during a test; pytest's own has too long a name for sockets."""
    with tempfile.TemporaryDirectory(prefix="mj") as folder:
        monkeypatch.setattr(tempfile, "tempdir", folder)
        yield Path(folder)


async def test_a_node_serves_clients_and_leaves_no_process_and_no_file(temporary: Path) -> None:
    async with Node() as node:
        client = await node.connect()
        assert await client.call("whoami", provider="init") == {"id": "n1"}
        processes = descendants(node.process.pid) | {node.process.pid}
    assert [pid for pid in processes if is_alive(pid)] == []
    assert list(temporary.iterdir()) == []


_PROGRAM = """
import asyncio
from majula.testing import Node

async def main():
    async with Node() as node:
        print(node.process.pid, flush=True)
        await asyncio.Event().wait()

asyncio.run(main())
"""


async def test_a_node_ends_with_the_program_that_has_started_it_though_that_is_killed(temporary: Path) -> None:
    program = await asyncio.create_subprocess_exec(
        sys.executable, "-c", _PROGRAM, stdout=asyncio.subprocess.PIPE, env=os.environ | {"TMPDIR": str(temporary)}
    )
    assert program.stdout is not None
    async with asyncio.timeout(30):
        node = int(await program.stdout.readline())
        processes = descendants(node) | {node}
        program.kill()
        await program.wait()
        while any(map(is_alive, processes)):  # no children of ours: nobody tells us of their end
            await asyncio.sleep(0.01)


async def test_a_killed_role_comes_back_in_another_process() -> None:
    async with Node() as node:
        before = await node.pid("topic_manager")
        await node.kill("topic_manager")
        await node.wait_ready()
        assert await node.pid("topic_manager") != before


async def test_a_paused_role_goes_on_when_it_is_resumed() -> None:
    async with Node() as node:
        client = await node.connect()
        await node.pause("rpc_broker")
        registering = asyncio.ensure_future(client.register("f", lambda: None, sync=True))
        assert await client.call("whoami", provider="init") == {"id": "n1"}
        assert not registering.done()
        await node.resume("rpc_broker")
        await registering


async def test_an_unknown_role_is_refused_and_the_roles_are_named() -> None:
    async with Node() as node:
        with pytest.raises(InvalidRequest, match="topic_manager"):
            await node.kill("topics")


async def test_a_failure_in_the_block_carries_the_log(temporary: Path) -> None:
    with pytest.raises(ZeroDivisionError) as raised:
        async with Node(node_id="named"):
            _ = 1 / 0
    (note,) = raised.value.__notes__
    assert "node named" in note
    assert "node.ready" in note
    assert list(temporary.iterdir()) == []


async def test_a_node_that_cannot_start_says_why_and_leaves_nothing(temporary: Path) -> None:
    with pytest.raises(AssertionError, match="no_such_key"):
        async with Node(extra="no_such_key: 1"):
            pass
    assert list(temporary.iterdir()) == []


async def test_a_port_that_was_taken_in_between_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    taken = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
    free = free_ports(1)
    chosen = [free, [int(taken.sockets[0].getsockname()[1])]]
    monkeypatch.setattr("majula.testing.node.free_ports", lambda _number: chosen.pop())
    async with Node() as node:
        assert node.ports == free
    taken.close()


async def test_a_folder_with_a_long_name_is_no_obstacle(tmp_path: Path) -> None:
    folder = tmp_path / ("x" * 100)
    async with Node(folder) as node:
        await node.connect()
    assert (folder / "node.yaml").exists()


def test_the_same_without_an_event_loop(temporary: Path) -> None:
    with SyncNode() as node:
        client = node.connect()
        assert client.call("whoami", provider="init") == {"id": "n1"}
        before = node.pid("router")
        node.kill("router")
        node.wait_ready()
        assert node.pid("router") != before
    assert list(temporary.iterdir()) == []


def test_configuration_of_its_gateways_is_the_same_without_an_event_loop(temporary: Path) -> None:
    with SyncNode(entry="auth: token") as node:
        assert "auth: token" in (node.folder / "node.yaml").read_text()


TESTS = """
import pytest
@pytest.mark.asyncio
async def test_with_a_loop(majula_node):
    client = await majula_node.connect()
    assert await client.call('whoami', provider='init') == {'id': 'n1'}
def test_without_a_loop(majula_node_sync):
    assert majula_node_sync.connect().call('whoami', provider='init') == {'id': 'another'}
"""


def run_pytest(folder: Path, *options: str, path: str = "") -> str:
    (folder / "test_it.py").write_text(TESTS)
    command = [sys.executable, "-m", "pytest", *options, "-p", "no:cacheprovider", "-q", str(folder)]
    environment = {"PYTHONPATH": f"{REPOSITORY}:{path}", "PATH": "/usr/bin:/bin"}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=100)
    return done.stdout + done.stderr


def test_the_fixtures_give_a_node_and_a_failure_its_log(tmp_path: Path) -> None:
    said = run_pytest(tmp_path, "-p", "majula.testing.plugin")
    assert "1 failed, 1 passed" in said
    assert "log of majula_node_sync" in said
    assert "event=node.ready" in said


@pytest.mark.parametrize("options", [(), ("-p", "majula.testing.plugin")], ids=["found", "named too"])
def test_an_installed_package_brings_the_fixtures_along(tmp_path: Path, options: tuple[str, ...]) -> None:
    """As an installer lays it out. Named by its module, so that naming it once more does no harm."""
    distribution = tmp_path / "installed" / "majula-0.dist-info"
    distribution.mkdir(parents=True)
    (distribution / "METADATA").write_text("Metadata-Version: 2.1\nName: majula\nVersion: 0\n")
    (distribution / "entry_points.txt").write_text("[pytest11]\nmajula.testing.plugin = majula.testing.plugin\n")
    assert "1 failed, 1 passed" in run_pytest(tmp_path, *options, path=str(distribution.parent))
