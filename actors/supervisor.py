"""The supervisor actor: it imports what its children need, freezes it, forks, and watches. `majula.supervision` decides.

It runs no thread, server, TLS or DNS, and it is the stock supervisor of every level: root, control, data.
"""

from __future__ import annotations

import asyncio
import importlib
import logging
import os
import signal
from collections import deque
from math import inf
from typing import assert_never

import msgspec

from majula.actorsystem.actor import MajulaActor
from majula.actorsystem.process import describe, freeze
from majula.messages.base import Address, Message, Role
from majula.messages.config import Settings
from majula.messages.supervision import (
    Drain,
    Drained,
    Escalate,
    Ping,
    Pong,
    RoleEntry,
    Roles,
    RoleSlice,
    Started,
    StartFailed,
    StatusRequest,
    Stop,
)
from majula.supervision import SupervisorCore, SupervisorSettings
from majula.supervision.events import (
    AllDrained,
    AllStopped,
    Begun,
    ChildCreated,
    ChildDrained,
    ChildEscalated,
    ChildExited,
    ChildPonged,
    ChildReady,
    Create,
    DrainAsked,
    DrainChild,
    Event,
    GiveUp,
    Kill,
    PingChild,
    RolesCame,
    SendRoles,
    SendSlice,
    SettingsCame,
    SliceCame,
    StopAsked,
    StopChild,
    Tell,
    TimerFired,
)

_log = logging.getLogger(__name__)

# What the base says of a child whose exit status is 0.
_NORMAL = "stopped"


def load_actor(path: str) -> type[MajulaActor]:
    """The actor class at a dotted path.

    Raises:
        ImportError, AttributeError: there is none. TypeError: it is no MajulaActor.
    """
    module, _, name = path.rpartition(".")
    found = getattr(importlib.import_module(module), name)
    if not (isinstance(found, type) and issubclass(found, MajulaActor)):
        raise TypeError(f"{path} is not a MajulaActor")
    return found


class SupervisorActor(MajulaActor):
    """Supervises the children of its settings."""

    config_type = SupervisorSettings

    async def on_start(self, config: SupervisorSettings) -> None:
        self._watcher, self._is_root = config.watcher, config.is_root
        self._parent = config.watcher if config.is_root else self.parent
        self._roles_by_address: dict[Address, tuple[Role, int]] = {}
        self._addresses: dict[Role, Address] = {}
        self._last_words: dict[Role, str] = {}
        self._has_begun = False
        self._drained, self._stopped = asyncio.Event(), asyncio.Event()
        own = RoleEntry(address=self.address, incarnation=self.incarnation, pid=os.getpid())
        self._core = SupervisorCore(role=self.role, settings=config, entry=own if config.is_root else None)
        # The registry is what this actor passes on, not what it looks roles up in.
        self._mailbox.immediate[Roles] = lambda roles, sender: self._step(RolesCame(roles))
        # These are of a child, not its own.
        self._mailbox.immediate[Settings] = lambda new, sender: self._step(SettingsCame(new.role, new.settings))
        for spec in config.children:
            load_actor(spec.actor)  # a class that is not there fails this start, by name, and not each start of the child
        freeze()
        # By the timer: whoever supervises us hears that we are ready before it hears what lives below.
        self.arm(self.loop.time())

    def on_deadline(self, deadline: float) -> None:
        # The loop may fire a clock tick early; the core must see its deadline as reached.
        event: Event = TimerFired() if self._has_begun else Begun()
        self._has_begun = True
        self._step(event, max(deadline, self.loop.time()))

    def on_message(self, message: Message, sender: Address) -> None:
        if isinstance(message, StatusRequest):
            self.send(sender, self._core.status(message.number, os.getpid(), self.loop.time()))
        elif (child := self._roles_by_address.get(sender)) is not None:
            self._on_child(message, child[0])
        else:
            _log.warning("%s: %s from %s, which is no child of it", self.role, type(message).__name__, sender)

    def _on_child(self, message: Message, role: Role) -> None:
        match message:
            case Started():
                self._step(ChildReady(role=role, incarnation=message.incarnation, pid=message.pid))
            case Pong():
                self._step(ChildPonged(role=role, statistics=message.statistics, queues=message.queues))
            case StartFailed():
                self._last_words[role] = message.reason
            case Drained():
                self._step(ChildDrained(role=role))
            case RoleSlice():
                self._step(SliceCame(role=role, part=message))
            case Escalate():
                self._step(ChildEscalated(role=role, escalate=message))
            case _:
                _log.warning("%s: unexpected %s from %s", self.role, type(message).__name__, role)

    def on_writable(self, target: Address) -> None:
        # What was refused at the mark is old by now; the newest says everything.
        if target in self._roles_by_address:
            self.send(target, self._core.roles)
        elif target == self._parent and not self._is_root:
            self.send(target, self._core.as_slice())

    def on_child_exited(self, address: Address, reason: str) -> None:
        role, incarnation = self._roles_by_address.pop(address)
        if self._addresses.get(role) == address:
            del self._addresses[role]
        said = self._last_words.pop(role, "")
        self._step(ChildExited(role=role, incarnation=incarnation, reason=said or reason, normal=reason == _NORMAL))

    async def on_drain(self, deadline: float) -> None:
        self._step(DrainAsked(deadline_s=deadline - self.loop.time()))
        await self._drained.wait()

    async def on_stop(self) -> None:
        self._step(StopAsked())
        await self._stopped.wait()

    def _step(self, event: Event, now: float | None = None) -> None:
        """The one place where effects turn into processes, messages and a timer."""
        events = deque([event])
        while events:
            for effect in self._core.handle(events.popleft(), self.loop.time() if now is None else now):
                match effect:
                    case Create():
                        events.append(self._create(effect))
                    case Kill(role=role):
                        self.kill_child(self._addresses.get(role, ""), signal.SIGKILL)
                    case PingChild(role=role, sequence=sequence):
                        self._tell(role, Ping(sequence=sequence))
                    case StopChild(role=role):
                        self._tell(role, Stop())
                    case DrainChild(role=role, deadline_s=deadline_s):
                        self._tell(role, Drain(deadline_s=deadline_s))
                    case SendRoles(roles=roles, to=to, to_watcher=to_watcher):
                        for role in to:
                            self._tell(role, roles)
                        if to_watcher and self._watcher:
                            self.send(self._watcher, roles)
                    case SendSlice(part=part):
                        self.send(self._parent, part)
                    case Tell(report=report):
                        if self._watcher:
                            self.send(self._watcher, report)
                    case GiveUp(escalate=escalate):
                        self.send(self._parent, escalate)
                    case AllDrained():
                        self._drained.set()
                    case AllStopped():
                        self._stopped.set()
                    case _:
                        assert_never(effect)
        if not self._has_begun:
            return  # the registry may come before our first turn, whose timer must stay
        deadline = self._core.next_deadline()
        self.arm(None if deadline == inf else deadline)

    def _create(self, effect: Create) -> ChildCreated | ChildExited:
        """A start that fails at once is an event like any other end: the core waits and tries again, and we go on answering."""
        spec = effect.spec
        try:
            cls = load_actor(spec.actor)
            config: bytes = spec.config
            if issubclass(cls, SupervisorActor):
                config = self._settings_below(config, effect.incarnations)
            address = self.create_child(
                cls,
                role=spec.role,
                node_id=self.node_id,
                incarnation=effect.incarnation,
                config=config,
                isolation=spec.isolation,
            )
        except (OSError, ImportError, AttributeError, TypeError, ValueError) as error:
            return ChildExited(role=spec.role, incarnation=effect.incarnation, reason=describe(error))
        self._roles_by_address[address] = (spec.role, effect.incarnation)
        self._addresses[spec.role] = address
        pid = self.child_pid(address)
        return ChildCreated(role=spec.role, incarnation=effect.incarnation, address=address, pid=pid)

    def _settings_below(self, config: bytes, incarnations: dict[Role, int]) -> bytes:
        settings = msgspec.msgpack.decode(config, type=SupervisorSettings)
        known = {role: number for role, number in incarnations.items() if any(role == spec.role for spec in settings.children)}
        return msgspec.msgpack.encode(msgspec.structs.replace(settings, watcher=self._watcher, incarnations=known))

    def _tell(self, role: Role, message: Message) -> None:
        """To a child. One that is gone, or whose outbox is full of what it does not read, will be found by its pings."""
        if (address := self._addresses.get(role)) is not None:
            self.send(address, message)
