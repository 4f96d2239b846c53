"""Guides that are walked through in terminals, and whose programs are run, against a node that was started for each."""

from __future__ import annotations

import asyncio
import shutil
import sys
import tempfile
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from majula.config import load_node_config
from tests.cluster.node_rig import PATIENCE_S, REPOSITORY, NodeRig
from tests.documents.blocks import Block, blocks_of
from tests.documents.terminal import Terminal
from tests.documents.test_insight_guide import environment_of

WALKED = ("guides/cli.md", "guides/operations.md", "guides/websocket.md")
PORT = "18080"

pytestmark = [pytest.mark.slow, pytest.mark.skipif(shutil.which("curl") is None, reason="a command of the guides is curl")]


def blocks(document: str) -> list[Block]:
    return [block for block in blocks_of((REPOSITORY / "docs" / document).read_text()) if not block.not_run]


@pytest.fixture
def short() -> Iterator[Path]:
    """A folder whose path is short enough for the sockets in it."""
    with tempfile.TemporaryDirectory(prefix="mj") as folder:
        yield Path(folder)


@pytest.mark.parametrize("document", WALKED)
async def test_the_guide_is_true(tmp_path: Path, short: Path, document: str) -> None:
    async with NodeRig(short / "n", module="majula.runner", node_id="node1") as node:
        environment = environment_of(node, tmp_path / "bin")
        port = str(node.ports[0])
        replace = {PORT: port, "majula status": f"majula status --run-dir {node.run_dir}"}
        terminals: dict[str, Terminal] = {}
        try:
            for block in blocks(document):
                if block.language == "console":
                    await terminals.setdefault(block.terminal, Terminal(tmp_path, environment, replace)).play(block.text)
            for program, said in pairwise(blocks(document)):
                if program.language == "python":
                    assert await said_by(program.text.replace(PORT, port)) == said.text
        finally:
            for terminal in reversed(terminals.values()):
                await terminal.close()


async def said_by(program: str) -> str:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    async with asyncio.timeout(PATIENCE_S):
        said, _ = await process.communicate()
    return said.decode()


def test_the_file_for_programs_of_the_seed_system_may_start(tmp_path: Path) -> None:
    (block,) = blocks("migration.md")
    (tmp_path / "node.yaml").write_text(block.text)
    assert load_node_config(tmp_path / "node.yaml", directory=tmp_path).refusals == ()
