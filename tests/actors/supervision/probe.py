"""A child that does what a test tells it."""

from __future__ import annotations

import asyncio
from typing import Any, Literal

import msgspec

from majula.actors.supervisor import SupervisorActor
from majula.actorsystem.actor import MajulaActor
from majula.messages.base import Address, Message, Role


class ProbeConfig(msgspec.Struct, frozen=True):
    """`fail_start`: why its start fails; `reports_to`: who hears of each change of a role; `drain_s`: how long it drains."""

    fail_start: str = ""
    reports_to: Address = ""
    drain_s: float = 0.0
    ignore_stop: bool = False


class Act(Message, frozen=True, array_like=True, tag="probe.Act"):
    """Misbehave: raise in the handler, raise in a task, or never return."""

    what: Literal["raise", "raise_in_task", "spin"]


class Saw(Message, frozen=True, array_like=True, tag="probe.Saw"):
    """What `on_role` was called with; `by` says by whom."""

    by: Role
    role: Role
    address: Address
    incarnation: int


class Obeys(Message, frozen=True, array_like=True, tag="probe.Obeys"):
    """Which `drain_s` a probe has, said at its start and when its settings change; `changed` says which of the two."""

    by: Role
    drain_s: float
    changed: bool


class ProbeActor(MajulaActor):
    """See `Act`."""

    config_type = ProbeConfig

    async def on_start(self, config: ProbeConfig) -> None:
        self._config = config
        if config.fail_start:
            raise OSError(config.fail_start)
        if config.reports_to:
            self.send(config.reports_to, Obeys(self.role, config.drain_s, changed=False))

    def on_settings(self, config: ProbeConfig) -> None:
        self._config = config
        self.send(config.reports_to, Obeys(self.role, config.drain_s, changed=True))

    def on_message(self, message: Message, sender: Address) -> None:
        match message:
            case Act(what="raise"):
                raise ValueError("bad topic")
            case Act(what="raise_in_task"):
                self.spawn(self._raise(), name="bad task")
            case Act(what="spin"):
                while True:
                    pass

    def on_role(self, role: Role, address: Address | None, incarnation: int) -> None:
        if self._config.reports_to:
            self.send(self._config.reports_to, Saw(by=self.role, role=role, address=address or "", incarnation=incarnation))

    async def on_drain(self, deadline: float) -> None:
        await asyncio.sleep(self._config.drain_s)

    async def on_stop(self) -> None:
        if self._config.ignore_stop:
            await asyncio.Event().wait()

    def statistics(self) -> dict[str, int | float | str]:
        return {"answer": 42}

    async def _raise(self) -> None:
        await asyncio.sleep(0)
        raise KeyError("lost")


class OutOfProcesses(SupervisorActor):
    """A supervisor whose machine has no room for a process at its first two starts of a child."""

    _refusals = 2

    def create_child(self, *arguments: Any, **fields: Any) -> Address:
        if self._refusals:
            self._refusals -= 1
            raise BlockingIOError(11, "Resource temporarily unavailable")
        return super().create_child(*arguments, **fields)
