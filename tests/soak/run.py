"""One run: node, traffic, faults, verdict."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path

import majula
from majula.errors import MajulaError
from majula.testing.processes import send
from tests.cluster.node_rig import NodeRig, descendants, free_ports, is_alive

from .calls import FUNCTION, Caller, twice
from .messages import Messages
from .neighbours import SeedProgram, Stranger, WebProgram
from .plan import Fault, draw
from .topics import Publisher, Subscriber
from .upkeep import Configuration, Tokens
from .verdict import Part, Verdict, Violation
from .watch import Watch

RECOVERY_S = 30.0
"""After a fault everything has to go on in so long. A guard: what it took is in the outcome."""
_STEPS = 3
"""So often every part has to have gone well again."""
_GONE_S = 2.0


@dataclass
class Outcome:
    """What a run showed. `recovered_s` by kind of fault and role: the longest time until everything went on."""

    seed: int
    faults: int = 0
    lasted_s: float = 0.0
    recovered_s: dict[str, float] = field(default_factory=dict)
    parts: dict[str, dict[str, int]] = field(default_factory=dict)


class Run:
    """`seconds` of traffic and faults on a node in `folder`.

    Args:
        folder: of the node; left there.
        seconds: how long faults go on; the end takes some seconds more.
        seed: draws the faults.
        say: called with each fault, for people.
    """

    def __init__(self, folder: Path, *, seconds: float, seed: int, say: Callable[[str], object] = lambda _: None) -> None:
        self._seconds, self._say = seconds, say
        self._guarded_port = free_ports(1)[0]
        # Below the list of open gateways: one more, that asks for tokens.
        entry = f"  - {{port: {self._guarded_port}, auth: token}}\n"
        self._node = NodeRig(folder, module="majula.runner", gateways=2, extra=f"{entry}drain_s: 5\n")
        self._plan: Iterator[Fault] = draw(seed)
        self._verdict = Verdict()
        self._parts: list[Part] = []
        self._last_fault = "none"
        self._began = 0.0
        self.outcome = Outcome(seed)

    async def __call__(self) -> Outcome:
        """Do it.

        Raises:
            Violation: a promise was broken; the words say which, after which fault, and how to have it again.
        """
        self._began = time.monotonic()
        try:
            async with self._node:
                async with AsyncExitStack() as stack:
                    await self._prepare(stack)
                    await self._go_on()
                await self._end()
        except Violation as violation:
            at = time.monotonic() - self._began
            raise Violation(
                f"{violation}\nat {at:.1f} s; last fault: {self._last_fault}\n"
                f"again: python -m tests.soak --minutes {self._seconds / 60:g} --seed {self.outcome.seed:#x}"
            ) from violation
        self.outcome.lasted_s = time.monotonic() - self._began
        return self.outcome

    async def _prepare(self, stack: AsyncExitStack) -> None:
        node, verdict = self._node, self._verdict

        async def connect(client_id: str, *addresses: str, **options: object) -> majula.Client:
            return await stack.enter_async_context(majula.connect(addresses, client_id=client_id, **options))  # type: ignore[arg-type]  # options by name

        ports = node.ports
        web = [f"ws://127.0.0.1:{port}/majula/ws" for port in ports]
        native = await connect("native", node.address(0))
        far = await connect("far", node.address(1))
        binary = await connect("binary", web[1], web[0])
        text = await connect("text", web[0], encoding="json")
        http = await connect("http", node.url(1))
        operator = await connect("operator", node.address(0), node.address(1))
        await far.register(FUNCTION, twice, sync=True)
        await binary.register(FUNCTION, twice, sync=True)
        self._parts = [
            Messages(verdict, "native to native", native, far, pace_s=0.005),
            Messages(verdict, "native to WebSocket", far, binary, pace_s=0.01),
            Messages(verdict, "WebSocket to JSON", binary, text, pace_s=0.02),
            Messages(verdict, "JSON to HTTP", text, http, pace_s=0.05),
            Messages(verdict, "HTTP to native", http, native, pace_s=0.05),
            Publisher(verdict, native, pace_s=0.01),
            Subscriber(verdict, "native", far),
            Subscriber(verdict, "WebSocket", binary),
            Subscriber(verdict, "JSON", text),
            Subscriber(verdict, "HTTP", http),
            Caller(verdict, "native", native, pace_s=0.01),
            Caller(verdict, "JSON", text, pace_s=0.05),
            Caller(verdict, "HTTP", http, pace_s=0.1, lanes=2),
            SeedProgram(verdict, ports[0], "seed-0"),
            SeedProgram(verdict, ports[1], "seed-1"),
            WebProgram(verdict, ports[0]),
            WebProgram(verdict, ports[1]),
            Stranger(verdict, ports[0], node.address(0).removeprefix("unix:")),
            Tokens(verdict, operator, self._guarded_port),
            Configuration(verdict, operator, node),
            Watch(verdict, node),
        ]

    async def _go_on(self) -> None:
        running = [asyncio.create_task(part.run(), name=part.name) for part in self._parts]
        for task in running:
            task.add_done_callback(self._ended)
        try:
            await self._all_went_on("nothing")
            until = time.monotonic() + self._seconds
            while True:
                faults = self._next_faults()
                if time.monotonic() + faults[0].after_s > until:
                    break
                await self._wait(faults[0].after_s)
                await self._harm(faults)
            for part in self._parts:
                part.is_over = True
            self._verdict.moved()
            async with asyncio.timeout(2 * RECOVERY_S):
                await asyncio.gather(*running)
                for part in self._parts:
                    await part.settle()
            await self._verdict.until(lambda: True)
        finally:
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)
        self.outcome.parts = {part.name: part.figures() for part in self._parts}

    def _ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self._verdict.broken(f"{task.get_name()}: {error!r}")

    async def _wait(self, seconds: float) -> None:
        """The pace of the faults; a violation ends it."""
        try:
            async with asyncio.timeout(seconds):
                await self._verdict.until(lambda: False)
        except TimeoutError:
            return

    def _next_faults(self) -> list[Fault]:
        """One, or several that come at the same moment."""
        faults = [next(self._plan)]
        while faults[-1].is_joined:
            faults.append(next(self._plan))
        return faults

    async def _harm(self, faults: list[Fault]) -> None:
        """All at once; returns when everything goes on again."""
        words = " and ".join(map(str, faults))
        self._last_fault = f"{words}, at {time.monotonic() - self._began:.1f} s"
        self._say(self._last_fault)
        began = time.monotonic()
        async with asyncio.timeout(RECOVERY_S):
            await asyncio.gather(*map(self._harm_one, faults))
        await self._node.until_serving()
        await self._all_went_on(words)
        self.outcome.faults += len(faults)
        kind = " and ".join(sorted(f"{fault.kind} {fault.role}" for fault in faults))
        took_s = round(time.monotonic() - began, 3)
        self.outcome.recovered_s[kind] = max(self.outcome.recovered_s.get(kind, 0.0), took_s)

    async def _harm_one(self, fault: Fault) -> None:
        """Returns when the process goes on, or another one has its role."""
        role = fault.role
        if role.startswith("gateway "):
            role = f"gateway:{[*self._node.ports, self._guarded_port][int(role[-1])]}"
        pid = await self._pid(role)
        send(pid, signal.SIGKILL if fault.kind == "kill" else signal.SIGSTOP)
        if fault.kind == "pause":
            await self._wait(fault.for_s)
            send(pid, signal.SIGCONT)
            return
        while await self._pid(role) == pid:
            await asyncio.sleep(0.01)  # two at once may take their supervisor along: nobody has to tell us of this one

    async def _pid(self, role: str) -> int:
        """As soon as it has one."""
        while True:
            try:
                return await self._node.pid(role)
            except (ValueError, MajulaError):  # between two lives
                await asyncio.sleep(0.01)

    async def _all_went_on(self, after: str) -> None:
        marks = {part: part.progress + _STEPS for part in self._parts if not isinstance(part, Configuration | Tokens)}
        marks |= {part: part.progress + 1 for part in self._parts if isinstance(part, Configuration | Tokens)}
        try:
            async with asyncio.timeout(RECOVERY_S):
                await self._verdict.until(lambda: all(part.progress >= mark for part, mark in marks.items()))
        except TimeoutError:
            late = [part.name for part, mark in marks.items() if part.progress < mark]
            raise Violation(f"{', '.join(late)}: has not gone on for {RECOVERY_S:g} s after {after}") from None

    async def _end(self) -> None:
        """In order: exit code 0, and nothing is left."""
        node = self._node
        tree = descendants(node.process.pid)
        node.process.terminate()
        if (code := await node.ended()) != 0:
            raise Violation(f"the node ended with {code}: {node.errors[-1:]}")
        until = time.monotonic() + _GONE_S
        while any(map(is_alive, tree)) and time.monotonic() < until:
            await asyncio.sleep(0.01)  # they are not ours to wait for
        if left := [pid for pid in tree if is_alive(pid)]:
            raise Violation(f"processes are left: {left}")
        if sockets := sorted(path.name for path in node.run_dir.glob("*.sock")):
            raise Violation(f"sockets are left: {sockets}")
