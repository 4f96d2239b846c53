"""A running actor system with a nursery at its root, seen from outside."""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
from collections import deque
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import TypeVar

import pytest

from majula.actorsystem.base import System
from majula.actorsystem.outside import Outside
from majula.messages.base import Address, Message
from majula.messages.supervision import Start, Started
from tests.actors.actorsystem.players import Do, Exited, Made, Make, Nursery, Say

M = TypeVar("M", bound=Message)


class Rig:
    """What a test does with the system."""

    def __init__(self, system: System, root: Address, outside: Outside) -> None:
        self.system = system
        self.root = root
        self.outside = outside
        self._seen: deque[tuple[Message, Address]] = deque()

    async def expect(self, kind: type[M], sender: Address = "") -> M:
        """The next unsolicited message of this kind (of this sender); others are kept for a later call."""
        for kept in list(self._seen):
            if isinstance(kept[0], kind) and sender in ("", kept[1]):
                self._seen.remove(kept)
                return kept[0]
        while True:
            message, found = await self.outside.receive()
            if isinstance(message, kind) and sender in ("", found):
                return message
            self._seen.append((message, found))

    async def make(self, role: str = "player", isolation: str = "process") -> Made:
        """A player that has started."""
        made = await self.ask(self.root, Make(role, isolation), Made)
        await self.expect(Started)
        return made

    async def ask(self, target: Address, message: Message, kind: type[M]) -> M:
        """One question, one answer of this kind."""
        answer = await self.outside.ask(target, message, 30.0)
        assert isinstance(answer, kind), answer
        return answer

    async def say(self, target: Address, what: str, partner: Address = "", count: int = 0) -> Say:
        """Tell a player to do something, and hear what it says."""
        return await self.ask(target, Do(what, partner, count), Say)

    def tell(self, target: Address, what: str, partner: Address = "", count: int = 0) -> None:
        """Tell a player to do something; what it says later comes to `expect`."""
        assert self.outside.send(target, Do(what, partner, count))

    async def exit_of(self, address: Address) -> str:
        """Why this player ended; waits for it."""
        while (exited := await self.expect(Exited)).address != address:
            continue
        return exited.reason


@pytest.fixture
def run_dir() -> Iterator[Path]:
    """A private directory with a path short enough for sockets: pytest's own are too long."""
    path = Path(tempfile.mkdtemp(prefix="mj"))
    yield path
    shutil.rmtree(path)


@pytest.fixture
def system(run_dir: Path) -> Iterator[System]:
    """A running system; everything of it is gone afterwards."""
    started = System(run_dir)
    yield started
    started.kill()


@pytest.fixture
def root(system: System) -> Address:
    return system.create_root(Nursery)


@pytest.fixture
async def rig(system: System, root: Address) -> AsyncIterator[Rig]:
    async with Outside(system.run_dir) as outside:
        rig = Rig(system, root, outside)
        outside.send(root, Start(role="nursery", node_id="n1", incarnation=1, config=b"\x80"))
        await rig.expect(Started)
        yield rig


def is_gone(pid: int) -> bool:
    """Whether the process has ended (one that nobody has waited for yet has ended too)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return True


async def wait_gone(pids: list[int], limit_s: float) -> list[int]:
    """Wait until these processes have ended; those that have not within the limit."""
    descriptors = []
    loop = asyncio.get_running_loop()
    left = {pid for pid in pids if not is_gone(pid)}
    done = asyncio.Event()
    for pid in list(left):
        try:
            fd = os.pidfd_open(pid)
        except ProcessLookupError:
            left.discard(pid)
            continue
        descriptors.append(fd)

        def ended(fd: int = fd, pid: int = pid) -> None:
            loop.remove_reader(fd)
            left.discard(pid)
            if not left:
                done.set()

        loop.add_reader(fd, ended)
    if left:
        try:
            async with asyncio.timeout(limit_s):
                await done.wait()
        except TimeoutError:
            pass  # what is left is returned
    for fd in descriptors:
        loop.remove_reader(fd)
        os.close(fd)
    return sorted(left)
