"""Every program of the guides is run against a real node, and prints what the guide says."""

from __future__ import annotations

import asyncio
import os
import sys
from itertools import pairwise
from pathlib import Path

import pytest

from tests.cluster.node_rig import PATIENCE_S, REPOSITORY, NodeRig
from tests.documents.blocks import blocks_of

GUIDES = ("sdk.md", "sync.md", "topics.md", "rpc.md", "messages.md", "presence.md")

pytestmark = pytest.mark.slow


def programs(guide: str) -> list[tuple[str, str]]:
    """(program, what it prints) in the order of the guide."""
    blocks = blocks_of((REPOSITORY / "docs" / "guides" / guide).read_text())
    return [
        (program.text, said.text) for program, said in pairwise(blocks) if (program.language, said.language) == ("python", "text")
    ]


@pytest.mark.parametrize("guide", GUIDES)
def test_no_program_of_a_guide_lacks_its_output(guide: str) -> None:
    text = (REPOSITORY / "docs" / "guides" / guide).read_text()
    assert len(programs(guide)) == text.count("```python\n") > 0


async def test_the_guides_are_true(tmp_path: Path) -> None:
    async with NodeRig(tmp_path / "node", module="majula.runner", node_id="node1") as node:
        address = f"unix:{node.run_dir}/native-{node.ports[0]}.sock"
        environment = {**os.environ, "MAJULA_ADDRESS": address, "PYTHONPATH": str(REPOSITORY)}
        for guide in GUIDES:
            for program, expected in programs(guide):
                process = await asyncio.create_subprocess_exec(
                    sys.executable,
                    "-c",
                    program,
                    stdout=asyncio.subprocess.PIPE,
                    stderr=asyncio.subprocess.STDOUT,
                    cwd=tmp_path,
                    env=environment,
                )
                async with asyncio.timeout(PATIENCE_S):
                    said, _ = await process.communicate()
                assert said.decode() == expected, (guide, program)
