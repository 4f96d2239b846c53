"""The guide to insight is true: its commands run against a node and say what it says."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import sys
import tempfile
from pathlib import Path

import pytest

from tests.cluster.node_rig import REPOSITORY, NodeRig
from tests.documents.blocks import blocks_of
from tests.documents.terminal import PATIENCE_S, Terminal

GUIDE = (REPOSITORY / "docs" / "guides" / "insight.md").read_text()

pytestmark = [pytest.mark.slow, pytest.mark.skipif(shutil.which("curl") is None, reason="a command of the guide is curl")]


def environment_of(node: NodeRig, folder: Path) -> dict[str, str]:
    """Where `majula` is found, and the only node that it finds."""
    folder.mkdir()
    command = folder / "majula"
    command.write_text(f'#!/bin/sh\nexec {sys.executable} -m majula.api.cli.main "$@"\n')
    command.chmod(0o755)
    address = f"unix:{node.run_dir}/native-{node.ports[0]}.sock"
    path = f"{folder}:{os.environ['PATH']}"
    return {**os.environ, "PATH": path, "PYTHONPATH": str(REPOSITORY), "MAJULA_ADDRESS": address, "COLUMNS": "200"}


async def test_the_commands_of_the_guide_say_what_it_says(tmp_path: Path) -> None:
    with tempfile.TemporaryDirectory(prefix="mj") as short:  # pytest's own is too long for sockets
        async with NodeRig(Path(short) / "n", module="majula.runner", node_id="node1") as node:
            environment = environment_of(node, tmp_path / "bin")
            replace = {"18080": str(node.ports[0]), "majula status": f"majula status --run-dir {node.run_dir}"}
            terminal = Terminal(tmp_path, environment, replace)
            try:
                for block in blocks_of(GUIDE):
                    if block.language == "console":
                        await terminal.play(block.text)
            finally:
                await terminal.close()


async def test_the_program_of_the_guide_names_the_role_that_dies(tmp_path: Path) -> None:
    (program,) = [block for block in blocks_of(GUIDE) if block.language == "python"]
    with tempfile.TemporaryDirectory(prefix="mj") as short:
        async with NodeRig(Path(short) / "n", module="majula.runner", node_id="node1") as node:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-c",
                program.text,
                stdout=asyncio.subprocess.PIPE,
                env=environment_of(node, tmp_path / "bin"),
                cwd=tmp_path,
            )
            assert process.stdout is not None
            try:
                async with asyncio.timeout(PATIENCE_S):
                    assert await process.stdout.readline() == b"watching\n"
                    os.kill(await node.pid("router"), signal.SIGKILL)
                    assert await process.stdout.readline() == b"router killed by SIGKILL\n"
                    assert await process.wait() == 0
            finally:
                if process.returncode is None:
                    process.kill()
                    await process.wait()
