"""Every command of the HTTP guide is run against a real node, and says what the guide says."""

from __future__ import annotations

import asyncio
import shutil
import sys
from pathlib import Path

import pytest

from tests.cluster.node_rig import NodeRig
from tests.documents.blocks import agrees, blocks_of

GUIDE = (Path(__file__).parents[2] / "docs" / "guides" / "http.md").read_text()
PATIENCE_S = 20.0

pytestmark = [pytest.mark.slow, pytest.mark.skipif(shutil.which("curl") is None, reason="the guide's commands need curl")]


def commands() -> list[tuple[str, list[str]]]:
    """(command, lines that it prints) in the order of the guide."""
    found: list[tuple[str, list[str]]] = []
    for block in blocks_of(GUIDE):
        for line in block.text.splitlines() if block.language == "console" else ():
            if line.startswith("$ "):
                found.append((line[2:], []))
            else:
                found[-1][1].append(line)
    return found


async def run(*command: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT)


async def lines_of(process: asyncio.subprocess.Process, number: int) -> list[str]:
    assert process.stdout is not None
    async with asyncio.timeout(PATIENCE_S):
        return [(await process.stdout.readline()).decode().rstrip("\n") for _ in range(number)]


async def test_the_guide_is_true(tmp_path: Path) -> None:
    streams: list[tuple[asyncio.subprocess.Process, list[str]]] = []
    async with NodeRig(tmp_path / "node", module="majula.runner", node_id="node1") as node:
        try:
            for command, expected in commands():
                process = await run("bash", "-c", "exec " + command.replace("18080", str(node.ports[0])))
                if "curl -sN" in command:
                    assert await lines_of(process, 2) == expected[:2]
                    streams.append((process, expected[2:]))
                    continue
                found = await lines_of(process, len(expected) + 1)
                await process.wait()
                assert found[-1] == "" and len(found) - 1 == len(expected), (command, found)
                differing = [pair for pair in zip(found, expected, strict=False) if not agrees(*pair)]
                assert differing == [], command
            for process, expected in streams:
                assert await lines_of(process, len(expected)) == expected
        finally:
            for process, _ in streams:
                process.kill()
                await process.wait()


PROGRAMS = [block.text for block in blocks_of(GUIDE) if block.language == "python"]
PRINTED = [block.text for block in blocks_of(GUIDE) if block.language == "text"]


@pytest.mark.parametrize(("program", "expected"), list(zip(PROGRAMS, PRINTED, strict=True)))
async def test_each_program_of_the_guide_prints_what_the_guide_says(tmp_path: Path, program: str, expected: str) -> None:
    async with NodeRig(tmp_path / "node", module="majula.runner", node_id="node1") as node:
        process = await run(sys.executable, "-c", program.replace("18080", str(node.ports[0])))
        async with asyncio.timeout(PATIENCE_S):
            printed, _ = await process.communicate()
    assert printed.decode() == expected
