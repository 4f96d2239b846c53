"""One supervisor as a process of its own, seen from outside."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Self

import msgspec

from majula.actors.supervisor import SupervisorActor
from majula.actorsystem.actorprocess import run_actor
from majula.actorsystem.connection import listen
from majula.actorsystem.outside import Outside
from majula.actorsystem.process import ChildProcess, fork_child
from majula.actorsystem.rundir import prepare
from majula.messages.base import Address, Message, Role
from majula.messages.supervision import (
    ChildSpec,
    ChildStatus,
    Escalate,
    Report,
    RoleEntry,
    Roles,
    Start,
    Started,
    Status,
    StatusRequest,
)
from majula.supervision import SupervisorSettings

from .probe import Obeys, ProbeConfig, Saw

PROBE = f"{__package__}.probe.ProbeActor"
SUPERVISOR = "majula.actors.supervisor.SupervisorActor"
PATIENCE_S = 20.0
"""A guard against a hang, no promise."""
RESULTS = Path(__file__).parents[2] / "results"


def probe(role: Role, config: ProbeConfig | None = None, **fields: object) -> ChildSpec:
    encoded = msgspec.msgpack.encode(config or ProbeConfig())
    return ChildSpec(role=role, actor=PROBE, config=encoded, **fields)  # type: ignore[arg-type] # fields by name


def supervisor(role: Role, *children: ChildSpec, **fields: object) -> ChildSpec:
    encoded = msgspec.msgpack.encode(SupervisorSettings(children=children))
    return ChildSpec(role=role, actor=SUPERVISOR, config=encoded, **fields)  # type: ignore[arg-type] # fields by name


def record_recovery(role: Role, fault: str, seconds: float, test: str) -> None:
    """One cell of the fault table, written as JSON; never asserted on."""
    RESULTS.mkdir(exist_ok=True)
    name = f"recovery-{role.replace(':', '_')}-{fault.replace(' ', '_')}.json"
    cell = {"role": role, "fault": fault, "recovered_s": round(seconds, 4), "test": test}
    (RESULTS / name).write_text(json.dumps(cell) + "\n")


class SupervisorRig:
    """Starts a root supervisor over `children`; an async context manager that leaves no process behind."""

    def __init__(
        self,
        run_dir: Path,
        *children: ChildSpec,
        settings: SupervisorSettings | None = None,
        cls: type[SupervisorActor] = SupervisorActor,
    ) -> None:
        self._cls = cls
        self._run_dir = prepare(run_dir)
        self._settings = settings or SupervisorSettings(children=children)
        self.outside = Outside(self._run_dir, self._take)
        self.roles: dict[Role, RoleEntry] = {}
        self.reports: list[Report] = []
        self.escalations: list[Escalate] = []
        self.saw: list[Saw] = []
        self.obeys: list[Obeys] = []
        self.pids: set[int] = set()
        self._news = asyncio.Event()
        self._numbers = 0
        self.process: ChildProcess
        self.address: Address = "root"

    async def __aenter__(self) -> Self:
        await self.outside.__aenter__()
        listener = listen(str(self._run_dir), self.address)
        main = partial(run_actor, self._cls, str(self._run_dir), self.address, listener)
        self.process = fork_child(main, keep=(listener.fileno(),))
        listener.close()
        settings = msgspec.structs.replace(self._settings, is_root=True, watcher=self.outside.address)
        start = Start("supervisor:root", "n1", 1, msgspec.msgpack.encode(settings))
        self.outside.send(self.address, start)
        return self

    async def __aexit__(self, *_: object) -> None:
        for pid in self.pids:
            _signal(pid, signal.SIGCONT)
        self.process.send_signal(signal.SIGKILL)
        self.process.join(5.0)
        self.process.reap()
        await self.outside.__aexit__(None, None, None)

    def _take(self, message: Message, sender: Address) -> None:
        match message:
            case Roles():
                self.roles = message.entries
                self.pids |= {entry.pid for entry in message.entries.values()}
            case Report():
                self.reports.append(message)
            case Escalate():
                self.escalations.append(message)
            case Saw():
                self.saw.append(message)
            case Obeys():
                self.obeys.append(message)
            case Started():
                pass
        self._news.set()

    async def until(self, condition: Callable[[], bool]) -> None:
        """Waits for the news that makes it true."""
        async with asyncio.timeout(PATIENCE_S):
            while not condition():
                self._news.clear()
                await self._news.wait()

    async def running(self, *roles: Role) -> None:
        await self.until(lambda: set(roles) <= set(self.roles))

    async def recovered(self, role: Role, former: RoleEntry) -> float:
        """Waits until the role lives again. Seconds since the call."""
        began = time.monotonic()
        await self.until(lambda: role in self.roles and self.roles[role].incarnation > former.incarnation)
        return time.monotonic() - began

    async def status(self, supervisor: Role = "supervisor:root") -> dict[Role, ChildStatus]:
        self._numbers += 1
        found = await self.outside.ask(self.roles[supervisor].address, StatusRequest(self._numbers), PATIENCE_S)
        assert isinstance(found, Status)
        return {child.role: child for child in found.children}

    def kill(self, role: Role, number: signal.Signals = signal.SIGKILL) -> RoleEntry:
        """Signals the process of a role; the entry that it had."""
        entry = self.roles[role]
        os.kill(entry.pid, number)
        return entry

    def act(self, role: Role, message: Message) -> RoleEntry:
        entry = self.roles[role]
        self.outside.send(entry.address, message)
        return entry

    def said(self, role: Role) -> list[str]:
        return [report.context for report in self.reports if report.offender == role]


def _signal(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return


def is_alive(pid: int) -> bool:
    """Whether the process runs or is stopped; a zombie is not alive."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False
