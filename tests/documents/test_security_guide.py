"""The guide on protecting a node: its files load and start, and its commands say what it says."""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
from pathlib import Path

import pytest

from majula.config import load_node_config
from tests.cluster.node_rig import REPOSITORY, NodeRig, free_ports
from tests.documents.blocks import Block, agrees, blocks_of

BLOCKS = blocks_of((REPOSITORY / "docs" / "guides" / "security.md").read_text())
FILES = [block.text for block in BLOCKS if block.language == "yaml"]
COMMANDS = [block for block in BLOCKS if block.language == "console"]
PATIENCE_S = 30.0


@pytest.mark.parametrize("text", FILES)
def test_every_file_of_the_guide_may_start(tmp_path: Path, text: str) -> None:
    (tmp_path / "node.yaml").write_text(text)
    loaded = load_node_config(tmp_path / "node.yaml", directory=tmp_path)
    # The certificate of the guide is made in the guide.
    assert [line for line in loaded.refusals if "garage.key" not in line and "garage.crt" not in line] == []


class Terminal:
    """Commands of the guide, in a folder, for a node on another port than the guide's."""

    def __init__(self, folder: Path, node: NodeRig) -> None:
        self._folder, self._port = folder, node.ports[0]
        (folder / "majula").write_text(f'#!/bin/sh\nexec {sys.executable} -m majula.api.cli.main "$@"\n')
        (folder / "majula").chmod(0o755)
        self._environment = {
            **os.environ,
            "PATH": f"{folder}:{os.environ['PATH']}",
            "PYTHONPATH": str(REPOSITORY),
            "MAJULA_ADDRESS": f"unix:{node.run_dir}/native-{self._port}.sock",
        }

    async def run(self, block: Block) -> None:
        """Each command prints what follows it; a line `…` stands for any lines."""
        for turn in block.text.removeprefix("$ ").split("\n$ "):
            command, *expected = turn.rstrip("\n").split("\n")
            process = await asyncio.create_subprocess_exec(
                "bash",
                "-c",
                command.replace("18080", str(self._port)),
                cwd=self._folder,
                env=self._environment,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
            )
            async with asyncio.timeout(PATIENCE_S):
                out, err = await process.communicate()
            found = out.decode().splitlines()
            assert process.returncode == 0, (command, found, err.decode())
            if expected != ["…"]:
                assert len(found) == len(expected), (command, found)
                assert [pair for pair in zip(found, expected, strict=True) if not agrees(*pair)] == [], command


def node_of(folder: Path, text: str) -> NodeRig:
    """The guide's node, on a free port, with its directories below the folder."""
    (folder / "data").mkdir(exist_ok=True)
    node = NodeRig(folder, module="majula.runner")
    (port,) = node.ports = free_ports(1)
    moved = text.replace("18080", str(port)).replace("garage.crt", f"{folder}/garage.crt")
    node.config.write_text(
        moved.replace("garage.key", f"{folder}/garage.key")
        + f"data_dir: {node.data_dir}\nrun_dir: {node.run_dir}\nlog: {{format: json}}\n"
    )
    return node


@pytest.mark.slow
@pytest.mark.skipif(not (shutil.which("curl") and shutil.which("openssl")), reason="the guide's commands need curl and openssl")
async def test_the_commands_of_the_guide_say_what_it_says(tmp_path: Path) -> None:
    tokens, revoking, certificate, by_tls = COMMANDS
    async with node_of(tmp_path, FILES[0]) as node:
        for block in (tokens, revoking, certificate):
            await Terminal(tmp_path, node).run(block)
    async with node_of(tmp_path, FILES[1]) as node:
        await Terminal(tmp_path, node).run(by_tls)
