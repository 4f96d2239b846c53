"""The README is true: its tour is walked through, its links lead somewhere."""

from __future__ import annotations

import os
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster.node_rig import REPOSITORY, free_ports
from tests.documents.blocks import blocks_of
from tests.documents.terminal import Terminal

README = (REPOSITORY / "README.md").read_text()
DOCUMENTS = [REPOSITORY / "README.md", *sorted(REPOSITORY.glob("*.md")), *sorted((REPOSITORY / "docs").rglob("*.md"))]


@pytest.fixture
def runtime() -> Iterator[str]:
    """Where run directories go: a path that is short enough for the sockets in it."""
    with tempfile.TemporaryDirectory(prefix="mj") as folder:
        yield folder


def tour_folder(tmp_path: Path, port: int) -> Path:
    """What a clone holds of what the tour uses, with a port of our own."""
    folder = tmp_path / "majula"
    shutil.copytree(REPOSITORY / "cluster_configs", folder / "cluster_configs")
    config = folder / "cluster_configs" / "single.yaml"
    config.write_text(config.read_text().replace("18080", str(port)))
    commands = folder / ".venv" / "bin"
    commands.mkdir(parents=True)
    for name, module in (("python", ""), ("majula", "-m majula.api.cli.main ")):
        command = commands / name
        command.write_text(f'#!/bin/sh\nexec {sys.executable} {module}"$@"\n')
        command.chmod(0o755)
    return folder


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("curl") is None, reason="the tour uses curl")
async def test_the_tour_is_true(tmp_path: Path, runtime: str) -> None:
    (port,) = free_ports(1)
    folder = tour_folder(tmp_path, port)
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "XDG_RUNTIME_DIR": runtime}
    environment.pop("MAJULA_ADDRESS", None)
    replace = {"18080": str(port)}
    terminals: dict[str, Terminal] = {}
    try:
        for block in blocks_of(README):
            if block.file_name:
                (folder / block.file_name).write_text(block.text)
            elif block.language == "console":
                if block.terminal not in terminals:
                    terminals[block.terminal] = Terminal(folder, environment, replace)
                await terminals[block.terminal].play(block.text)
    finally:
        for terminal in reversed(terminals.values()):
            await terminal.close()


def test_every_block_of_the_readme_is_run_or_is_a_set_up_command() -> None:
    others = [block for block in blocks_of(README) if block.language != "console" and not block.file_name]
    assert [block.text.startswith("python3 -m venv .venv && ") for block in others] == [True, True]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(REPOSITORY)))
def test_links_between_documents_lead_somewhere(document: Path) -> None:
    prose = re.sub(r"^```.*?^```$", "", document.read_text(), flags=re.DOTALL | re.MULTILINE)
    targets = [target.partition("#")[0] for target in re.findall(r"\]\(([^)\s]+)\)", prose) if "://" not in target]
    assert [target for target in targets if target and not (document.parent / target).exists()] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(REPOSITORY)))
def test_no_document_names_a_path_of_one_machine(document: Path) -> None:
    assert re.findall(r"(?<![\w.])/(?:home|root|work|Users)/\S*", document.read_text()) == []
