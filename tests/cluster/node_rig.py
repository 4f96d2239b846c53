"""The nodes of our own tests: `majula.testing.Node` with probes below the real runner, and more harm."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from majula.testing.node import PATIENCE_S, Node
from majula.testing.processes import children, descendants, free_ports, is_alive

__all__ = [
    "PATIENCE_S",
    "PROBES",
    "REPOSITORY",
    "RESULTS",
    "NodeRig",
    "children",
    "descendants",
    "free_ports",
    "is_alive",
    "record_recovery",
]

REPOSITORY = Path(__file__).parents[2]
RESULTS = REPOSITORY / "tests" / "results"
PROBES = "tests.cluster.probe_node"


def record_recovery(role: str, fault: str, seconds: float, test: str) -> None:
    """One cell of the fault table, written as JSON; never asserted on."""
    RESULTS.mkdir(exist_ok=True)
    name = f"node-{role.partition(':')[0]}-{role.partition(':')[2] or 'only'}-{fault}.json".replace(" ", "_")
    cell = {"role": role, "fault": fault, "recovered_s": round(seconds, 4), "test": test}
    (RESULTS / name).write_text(json.dumps(cell) + "\n")


class NodeRig(Node):
    """One node; its folder stays.

    Args:
        folder: for its configuration, data and sockets.
        module: what is run: the probes' node, or `majula.runner`.
        The others are those of `Node`.
    """

    def __init__(
        self,
        folder: Path,
        *,
        module: str = PROBES,
        gateways: int = 1,
        environment: Mapping[str, str] | None = None,
        extra: str = "",
        entry: str = "",
        node_id: str = "n1",
    ) -> None:
        super().__init__(
            folder, module=module, gateways=gateways, environment=environment, extra=extra, entry=entry, node_id=node_id
        )

    async def pid(self, role: str) -> int:
        if role == "admin":
            return int((await self.status())["admin_pid"])
        if role == "logger":
            (found,) = set(children(await self.pid("admin"))) - {await self.pid("supervisor:root")}
            return found
        return await super().pid(role)

    async def until_serving(self) -> dict[str, Any]:
        """The first status that says `serving`; each turn is one question and its answer."""
        return await self.wait_ready()

    async def ask_gateway(self, port: int | None = None) -> int:
        """Connects; the pid of the gateway that answers. Raises ConnectionRefusedError where nobody listens."""
        return await self._ask(*await asyncio.open_connection("127.0.0.1", port or self.ports[0]))

    async def ask_unix(self, path: str) -> int:
        """The same, by the native port's socket."""
        return await self._ask(*await asyncio.open_unix_connection(path))

    async def _ask(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> int:
        try:
            return int(await reader.readline() or b"0")
        finally:
            writer.close()

    # --- harm

    async def harm(self, role: str, number: signal.Signals) -> float:
        """Signals the process of a role and waits until the node serves by a later incarnation. Seconds."""
        pid = await self.pid(role)
        lines = len(self.events)
        began = time.monotonic()
        os.kill(pid, number)
        is_whole_tree = role in ("admin", "supervisor:root")
        await self.until_said("tree.died" if is_whole_tree else "child.died", "" if is_whole_tree else role, after=lines)
        await self.until_serving()
        return time.monotonic() - began
