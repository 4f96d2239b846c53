"""The status answers at every moment, and no process grows without an end."""

from __future__ import annotations

import asyncio
import os
import time
from collections import defaultdict
from pathlib import Path

from majula.errors import MajulaError
from tests.cluster.node_rig import NodeRig

from .verdict import Part, Verdict

STATUS_S = 5.0
"""A guard against a hang. How long it took at most is in the figures."""
MEMORY_LIMIT = 256 << 20
"""Of one process, resident. All of them begin at about 40 MiB; a gateway may hold 64 MiB of retained values besides."""
_PAGE = os.sysconf("SC_PAGE_SIZE")


class Watch(Part):
    """Asks the control socket four times a second."""

    name = "status"

    def __init__(self, verdict: Verdict, node: NodeRig) -> None:
        super().__init__(verdict)
        self._node = node
        self._slowest_s = 0.0
        self._largest: defaultdict[str, int] = defaultdict(int)

    async def run(self) -> None:
        while not self.is_over:
            began = time.monotonic()
            try:
                async with asyncio.timeout(STATUS_S):
                    status = await self._node.status()
            except (TimeoutError, MajulaError) as error:
                self.broken(f"no answer in {time.monotonic() - began:.1f} s: {error!r}")
                return
            self._slowest_s = max(self._slowest_s, time.monotonic() - began)
            for role in status["roles"]:
                self._weigh(role["role"], role["pid"])
            self._weigh("admin", status["admin_pid"])
            self._weigh("runner", self._node.process.pid)
            self.went_well()
            await asyncio.sleep(0.25)

    def figures(self) -> dict[str, int]:
        sizes = {f"MiB of {role}": size >> 20 for role, size in sorted(self._largest.items())}
        return {"answers": self.progress, "slowest_ms": int(self._slowest_s * 1e3), **sizes}

    def _weigh(self, role: str, pid: int) -> None:
        try:
            size = int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE
        except (FileNotFoundError, ProcessLookupError):
            return
        self._largest[role] = max(self._largest[role], size)
        if size > MEMORY_LIMIT:
            self.broken(f"{role} has {size >> 20} MiB")
