"""A person's terminal: runs `majula` commands against one node."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from .node_rig import PATIENCE_S, REPOSITORY, NodeRig


class Terminal:
    """Commands find the node by MAJULA_ADDRESS.

    Args:
        node: that runs.
    """

    def __init__(self, node: NodeRig) -> None:
        self.node = node
        self.address = f"unix:{node.run_dir}/native-{node.ports[0]}.sock"

    async def start(self, *words: str, environment: Mapping[str, str] | None = None) -> asyncio.subprocess.Process:
        """A command, not waited for."""
        return await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "majula.api.cli.main", *words),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            cwd=REPOSITORY,
            env={**os.environ, "MAJULA_ADDRESS": self.address, **(environment or {})},
        )

    async def run(self, *words: str, given: str = "", environment: Mapping[str, str] | None = None) -> tuple[int, str, str]:
        """Exit code, standard output, standard error."""
        process = await self.start(*words, environment=environment)
        async with asyncio.timeout(PATIENCE_S):
            out, error = await process.communicate(given.encode())
        assert process.returncode is not None
        return process.returncode, out.decode(), error.decode()


@asynccontextmanager
async def terminal(folder: Path, *, auth: str = "none") -> AsyncIterator[Terminal]:
    """A node with one gateway, and a terminal for it."""
    async with NodeRig(folder / "n", module="majula.runner", entry=f"auth: {auth}") as node:
        yield Terminal(node)
