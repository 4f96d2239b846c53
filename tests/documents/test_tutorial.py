"""The tutorial is true: it is walked through in an empty directory, with nothing but what it says."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster.node_rig import REPOSITORY, free_ports
from tests.documents.blocks import blocks_of
from tests.documents.terminal import Terminal

TUTORIAL = blocks_of((REPOSITORY / "docs" / "tutorial" / "README.md").read_text())
INSTALLS = "$ .venv/bin/pip install"
PORT = 18080

pytestmark = [pytest.mark.slow, pytest.mark.skipif(shutil.which("curl") is None, reason="the tutorial uses curl")]


@pytest.fixture
def folder() -> Iterator[Path]:
    """Empty; its path is short enough for the sockets of a node."""
    with tempfile.TemporaryDirectory(prefix="mj") as name:
        (Path(name) / "run").mkdir(mode=0o700)
        (Path(name) / "here").mkdir()
        yield Path(name)


async def walk(folder: Path, *, is_installed: bool) -> None:
    """Play every block, on another port, as somebody may have the tutorial's: it is changed in the file that `init` wrote."""
    (port,) = free_ports(1)
    here = folder / "here"
    environment = {
        name: value for name, value in os.environ.items() if name not in ("MAJULA_ADDRESS", "MAJULA_TOKEN", "PYTHONPATH")
    }
    environment |= {"XDG_RUNTIME_DIR": str(folder / "run"), "COLUMNS": "200"}
    clone = copy_of_the_tree(folder / "majula") if is_installed else REPOSITORY
    replace = {"~/majula": str(clone), str(PORT): str(port)}
    terminals: dict[str, Terminal] = {}
    try:
        for block in TUTORIAL:
            if block.file_name:
                (here / block.file_name).write_text(block.text.replace(str(PORT), str(port)))
                continue
            terminal = terminals.setdefault(block.terminal, Terminal(here, environment, replace, patience_s=100.0))
            if INSTALLS in block.text and not is_installed:
                await terminal.play(block.text.replace(INSTALLS, "$ : "))
                use_our_own(here / ".venv" / "bin")
            elif "$ majula init" in block.text:
                await Terminal(here, environment, {}, patience_s=100.0).play(block.text.replace("$ majula", "$ .venv/bin/majula"))
                config = here / "majula.yaml"
                config.write_text(config.read_text().replace(str(PORT), str(port)))
            else:
                # pip warns of the machine's own settings, too; only errors matter.
                await terminal.play(block.text.replace("pip install -q", "pip install -qqq"))
    finally:
        for terminal in reversed(terminals.values()):
            await terminal.close()


def copy_of_the_tree(clone: Path) -> Path:
    """To install from: that leaves a folder `build` there."""
    return shutil.copytree(
        REPOSITORY, clone, symlinks=True, ignore=shutil.ignore_patterns(".*", "build", "*.egg-info", "__pycache__", "tests")
    )


def use_our_own(commands: Path) -> None:
    """What an installation would put there, but for this source tree and the interpreter of this test."""
    for name, module in (("python", ""), ("majula", "-m majula.api.cli.main ")):
        command = commands / name
        command.unlink(missing_ok=True)
        command.write_text(f'#!/bin/sh\nPYTHONPATH={REPOSITORY} exec {sys.executable} {module}"$@"\n')
        command.chmod(0o755)


async def test_the_tutorial_is_true(folder: Path) -> None:
    await walk(folder, is_installed=False)


@pytest.mark.soak  # it asks a package registry
async def test_the_tutorial_is_true_with_the_packages_that_it_installs(folder: Path) -> None:
    await walk(folder, is_installed=True)


def test_every_block_of_the_tutorial_is_played() -> None:
    assert [block.not_run for block in TUTORIAL if block.not_run] == []
    assert {block.language for block in TUTORIAL if not block.file_name} == {"console"}
