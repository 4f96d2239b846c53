"""The example projects work as their documents say."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import pytest

from tests.cluster.node_rig import PATIENCE_S, REPOSITORY, NodeRig

EXAMPLES = REPOSITORY / "examples"
PROJECTS = sorted(path.name for path in EXAMPLES.iterdir() if (path / "README.md").exists())

pytestmark = pytest.mark.slow


async def run(folder: Path, *command: str, **environment: str) -> tuple[int | None, str]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *command,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY), **environment},
    )
    async with asyncio.timeout(2 * PATIENCE_S):
        said, _ = await process.communicate()
    return process.returncode, said.decode()


@pytest.mark.parametrize("project", PROJECTS)
async def test_the_tests_of_an_example_pass(project: str) -> None:
    options = ("-p", "majula.testing.plugin", "-p", "no:cacheprovider", "-q", "--rootdir", ".", "-c", "/dev/null", ".")
    code, said = await run(EXAMPLES / project, "-B", "-m", "pytest", *options)
    assert code == 0, said


async def test_the_stock_serves_an_order_at_a_node(tmp_path: Path) -> None:
    async with NodeRig(tmp_path / "node", module="majula.runner") as node:
        client = await node.connect()
        environment = {"MAJULA_ADDRESS": node.address()}
        presence = await client.presence()
        service = await asyncio.create_subprocess_exec(
            sys.executable,
            "-B",
            "stock.py",
            cwd=EXAMPLES / "stock",
            env={**os.environ, "PYTHONPATH": str(REPOSITORY), **environment},
        )
        try:
            async for message in presence:
                if message.payload["fields"]["client_id"] == "stock":
                    break
            async with asyncio.timeout(PATIENCE_S):
                while not await client.services(provider="stock", function="stock.order"):
                    pass  # it is connected and offers its functions next; each turn is one question and its answer
            code, said = await run(EXAMPLES / "stock", "-B", "order.py", "bolt", "3", **environment)
            assert (code, said) == (0, "ordered 3 of bolt, 97 are left\n")
        finally:
            service.kill()
            await service.wait()
