"""A process that gets no more memory is as one that was killed: it ends, its supervisor starts it again, and clients go on.

Here those that keep what clients send; each of the others is starved alone in tests/actors.
"""

from __future__ import annotations

import asyncio
import os
import resource
import time
from itertools import count
from pathlib import Path

import pytest

import majula
from majula.errors import MajulaError
from tests.cluster.node_clients import GUARD_S, Load, running_node
from tests.cluster.node_rig import record_recovery

pytestmark = pytest.mark.slow
PAGE = os.sysconf("SC_PAGE_SIZE")


def starve(pid: int) -> None:
    """From now on the kernel gives it no more memory."""
    size = int(Path(f"/proc/{pid}/statm").read_text().split()[0]) * PAGE
    resource.prlimit(pid, resource.RLIMIT_AS, (size, size))


@pytest.mark.parametrize("role", ["gateway", "topic_manager"])
async def test_role_without_memory_ends_and_is_started_again(tmp_path: Path, role: str, request: pytest.FixtureRequest) -> None:
    async with running_node(tmp_path / "node") as clients, Load(clients) as load:
        node = clients.node
        name = f"gateway:{node.ports[1]}" if role == "gateway" else role
        hungry = await clients.connect(0)
        starve(await node.pid(name))
        lines = len(node.events)
        feeding = asyncio.create_task(feed(hungry))
        try:
            await node.until_said("child.died", name, after=lines)
        finally:
            feeding.cancel()
            await asyncio.gather(feeding, return_exceptions=True)
        began = time.monotonic()
        await node.until_serving()
        await load.goes_on()
        record_recovery(role, "out of memory", time.monotonic() - began, request.node.nodeid)


async def feed(client: majula.Client) -> None:
    """Makes every gateway keep more and more retained values, and the topic manager more and more interest."""
    for number in count():
        try:
            async with asyncio.timeout(GUARD_S):
                await client.subscribe(f"hungry.{number}.{'x' * 200}")
                await client.publish(f"hungry.{number % 50}", os.urandom(200_000), retain=True, ack=True)
        except (MajulaError, TimeoutError):
            await asyncio.sleep(0.01)  # who answers has just died
