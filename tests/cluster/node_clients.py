"""Python clients of one real node, a steady load of messages and calls between two of them, and what a fault did to it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any, Self

import majula
from majula.errors import MajulaError
from tests.cluster.node_rig import NodeRig

GUARD_S = 30.0
"""Against a hang; no promise."""
PACE_S = 0.002
"""Between two messages of the load: 500 a second, so that a loss of a few milliseconds is seen."""
CALLERS = 8


class Clients:
    """Clients of one node, closed at the end."""

    def __init__(self, node: NodeRig, stack: AsyncExitStack) -> None:
        self.node = node
        self._stack = stack
        self.news = asyncio.Event()
        self.states: dict[majula.Client, list[majula.State]] = {}

    def address(self, gateway: int = 0) -> str:
        return f"unix:{self.node.run_dir}/native-{self.node.ports[gateway]}.sock"

    async def connect(self, gateway: int = 0, **options: Any) -> majula.Client:
        told: list[majula.State] = []

        def on_state(state: majula.State) -> None:
            told.append(state)
            self.news.set()

        client = await self._stack.enter_async_context(majula.connect(self.address(gateway), on_state=on_state, **options))
        self.states[client] = told
        return client

    async def until(self, condition: Callable[[], bool]) -> None:
        """Waits until a change of state, or anything else that sets `news`, makes it true."""
        async with asyncio.timeout(GUARD_S):
            while not condition():
                self.news.clear()
                await self.news.wait()

    async def until_told(self, client: majula.Client, name: str, *, times: int = 1) -> majula.State:
        def found() -> list[majula.State]:
            return [state for state in self.states[client] if state.name == name]

        await self.until(lambda: len(found()) >= times)
        return found()[times - 1]


@asynccontextmanager
async def running_node(
    folder: Path,
    *,
    gateways: int = 2,
    extra: str = "",
    entry: str = "",
    environment: Mapping[str, str] | None = None,
) -> AsyncIterator[Clients]:
    """The real node with clients; leaves nothing behind. Arguments as of `Node`."""
    rig = NodeRig(folder, module="majula.runner", gateways=gateways, extra=extra, entry=entry, environment=environment)
    async with rig as node, AsyncExitStack() as stack:
        yield Clients(node, stack)


class Load:
    """Messages 0, 1, 2 ... at one topic, and calls of one function, from a client of the first gateway to one of the last.

    `async with` runs it; afterwards every call has ended, and `outcomes` says how.
    """

    def __init__(self, clients: Clients, *, pace_s: float = PACE_S, limit: int | None = None) -> None:
        self._clients, self._pace_s, self._limit = clients, pace_s, limit
        self.published = 0
        self.received: list[int] = []
        self.received_at: list[float] = []
        self.answered_at: list[float] = []
        self.started = 0
        self.outcomes: Counter[str] = Counter()
        self.wrong: list[str] = []
        self._is_over = False
        self._tasks: list[asyncio.Task[None]] = []
        self.near: majula.Client
        self.far: majula.Client

    async def __aenter__(self) -> Self:
        self.near, self.far = await self._clients.connect(0), await self._clients.connect(-1)
        await self.far.subscribe("load", self._on_message, sync=True)
        await self.far.register("twice", self._twice, sync=True)
        self._tasks = [asyncio.create_task(self._publish())]
        self._tasks += [asyncio.create_task(self._call(number)) for number in range(CALLERS)]
        await self.goes_on()
        return self

    async def __aexit__(self, *_: object) -> None:
        self._is_over = True
        async with asyncio.timeout(GUARD_S):
            await asyncio.gather(*self._tasks)

    async def goes_on(self) -> None:
        """Returns when fifty messages more have come and fifty calls more were answered."""
        messages, answers = len(self.received) + 50, len(self.answered_at) + 50
        await self._clients.until(lambda: len(self.received) >= messages and len(self.answered_at) >= answers)

    async def until_published(self, number: int) -> None:
        """Returns when so many messages were published: the messages are the clock of a paced run."""
        while self.published < number:
            await self.goes_on()

    async def is_delivered(self, *, within_s: float = GUARD_S) -> None:
        """Returns when all that was to be published has been, and the last one has come."""
        async with asyncio.timeout(within_s):
            await self._tasks[0]
        await self._clients.until(lambda: bool(self.received) and self.received[-1] == self.published - 1)

    def silence_s(self, began_at: float) -> float:
        """The longest time after `began_at` in which no message came, or no call was answered."""
        longest = 0.0
        for times in (self.received_at, self.answered_at):
            points = [began_at, *(at for at in times if at > began_at)]
            longest = max([longest, *(later - earlier for earlier, later in pairwise(points))])
        return longest

    def _on_message(self, message: majula.Message) -> None:
        self.received.append(message.payload)
        self.received_at.append(time.monotonic())
        self._clients.news.set()

    @staticmethod
    async def _twice(value: int) -> int:
        await asyncio.sleep(0)  # so that some are always under way
        return value * 2

    async def _publish(self) -> None:
        began = time.monotonic()
        while not self._is_over and self.published != self._limit:
            await self.near.publish("load", self.published)
            self.published += 1
            await asyncio.sleep(max(0.0, began + self.published * self._pace_s - time.monotonic()))

    async def _call(self, number: int) -> None:
        while not self._is_over:
            self.started += 1
            try:
                answer = await self.near.call("twice", number, timeout_s=GUARD_S / 2)
            except MajulaError as error:
                self.outcomes[error.code] += 1
                await asyncio.sleep(PACE_S)  # a refusal comes at once, and the next one would too
                continue
            self.outcomes["answer"] += 1
            if answer != number * 2:
                self.wrong.append(f"{number} gave {answer}")
            self.answered_at.append(time.monotonic())
            self._clients.news.set()


class Outcome:
    """What clients, log and status showed of one fault under load."""

    def __init__(self, role: str, number: signal.Signals) -> None:
        self.role, self.fault = role, number.name
        self.serving_s = self.silence_s = 0.0
        self.received: list[int] = []
        self.started = 0
        self.outcomes: Counter[str] = Counter()
        self.wrong: list[str] = []
        self.log_reasons: list[str] = []
        self.status_reasons: list[str] = []
        self.pids = (0, 0)


TREE = ("admin", "supervisor:root")
"""Their end ends the whole tree, and the runner says so, not a supervisor."""


async def harm_under_load(folder: Path, role: str, number: signal.Signals) -> Outcome:
    """Signals the process of a role while messages and calls pass, and waits until they pass again."""
    async with running_node(folder) as clients:
        node = clients.node
        name = {"near gateway": f"gateway:{node.ports[0]}", "far gateway": f"gateway:{node.ports[-1]}"}.get(role, role)
        outcome = Outcome(role, number)
        async with Load(clients) as load:
            pid = await node.pid(name)
            lines = len(node.events)
            began_at = time.monotonic()
            os.kill(pid, number)
            if name == "logger":
                await _until_replaced(node, pid)
            elif name in TREE:
                await node.until_said("tree.died", after=lines)
            else:
                await node.until_said("child.died", name, after=lines)
            status = await node.until_serving()
            outcome.serving_s = time.monotonic() - began_at
            await load.goes_on()
            outcome.pids = (pid, await node.pid(name))
            outcome.silence_s = load.silence_s(began_at)
        outcome.received, outcome.started = load.received, load.started
        outcome.outcomes, outcome.wrong = load.outcomes, load.wrong
        outcome.log_reasons = [event["reason"] for event in node.events[lines:] if event["reason"]]
        outcome.status_reasons = [death["reason"] for found in status["roles"] for death in found["deaths"]]
    return outcome


async def _until_replaced(node: NodeRig, pid: int) -> None:
    async with asyncio.timeout(GUARD_S):
        while True:
            with contextlib.suppress(ValueError):  # there is none for a moment
                if await node.pid("logger") != pid:
                    return
            await asyncio.sleep(0.01)  # the logger is nobody's role: nothing tells us when it is back
