"""The guide on configuration is true: its files load, and its commands say what it says."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from majula.config import load_node_config
from tests.cluster.node_rig import REPOSITORY, NodeRig
from tests.documents.blocks import blocks_of
from tests.documents.terminal import Terminal

BLOCKS = blocks_of((REPOSITORY / "docs" / "guides" / "configuration.md").read_text())
FILES = [block.text for block in BLOCKS if block.language == "yaml"]


@pytest.mark.parametrize("text", FILES)
def test_every_file_of_the_guide_may_start(tmp_path: Path, text: str) -> None:
    (tmp_path / "garage.yaml").write_text(text)
    (tmp_path / "mesh.token").write_text("hG7wKq2ZpL9xVbN4mT1cRd")
    (tmp_path / "mesh.token").chmod(0o600)
    loaded = load_node_config(tmp_path / "garage.yaml", directory=tmp_path)
    assert loaded.refusals == () and loaded.warnings == ()


@pytest.mark.slow
async def test_every_command_of_the_guide_says_what_it_says(tmp_path: Path) -> None:
    node = NodeRig(tmp_path, module="majula.runner")
    port = node.ports[0]
    directories = f"data_dir: {node.data_dir}\nrun_dir: {node.run_dir}\nlog: {{format: json}}\n"
    node.config = tmp_path / "garage.yaml"
    node.config.write_text(FILES[0].replace("18080", str(port)) + directories)
    (tmp_path / "majula").write_text(f'#!/bin/sh\nexec {sys.executable} -m majula.api.cli.main "$@"\n')
    (tmp_path / "majula").chmod(0o755)
    environment = {
        **os.environ,
        "PATH": f"{tmp_path}:{os.environ['PATH']}",
        "PYTHONPATH": str(REPOSITORY),
        "MAJULA_ADDRESS": f"unix:{node.run_dir}/native-{port}.sock",
    }
    terminal = Terminal(tmp_path, environment, {"18080": str(port)})
    async with node:
        try:
            for block in BLOCKS:
                if block.language == "console":
                    await terminal.play(block.text)
        finally:
            await terminal.close()
