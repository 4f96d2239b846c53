"""The life of one actor, in a process of its own or hosted: start, messages, timer, tasks, drain, stop, crash.

The endpoint puts what came into the mailbox, and the mailbox calls the actor. Every call of the actor's code goes through here,
and an exception in it ends the actor: it is noted, nothing more is delivered, and whoever holds the actor (`Life`) is told. It
never travels into a callback of the loop, where it would close a peer's connection instead.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections import deque
from collections.abc import Callable, Coroutine
from enum import IntEnum
from typing import TYPE_CHECKING, Any, Final, Protocol

import msgspec

from majula.actorsystem.endpoint import Endpoint
from majula.actorsystem.looking import Glass
from majula.actorsystem.process import describe, set_title
from majula.actorsystem.taps import Tap, size_of
from majula.messages.base import Address, Message, Role
from majula.messages.config import Obeyed, Settings
from majula.messages.supervision import Drain, Drained, Figure, Ping, Pong, RoleEntry, Roles, Start, Started, StartFailed, Stop
from majula.messages.telemetry import Event, Look, SetLevel
from majula.telemetry.events import level_of

if TYPE_CHECKING:
    from majula.actorsystem.actor import MajulaActor

_log = logging.getLogger(__name__)
_events = logging.getLogger("majula.event")
_LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}

_HELD_LIMIT: Final = 10_000
"""Messages that may come before `on_start` has returned; what is beyond is dropped, and logged."""
_HELD_BATCHES_LIMIT: Final = 16
"""Batches among them, which are larger."""
_TASKS_LIMIT: Final = 100_000
_QUEUES_SHOWN: Final = 16


class State(IntEnum):
    """NEW: no Start yet. STARTING: in `on_start`. RUNNING. STOPPING: in `on_stop`. ENDED: nothing is delivered any more."""

    NEW = 0
    STARTING = 1
    RUNNING = 2
    STOPPING = 3
    ENDED = 4


class Life(Protocol):
    """Who holds the actor: its process, or its host."""

    def ended(self, mailbox: ActorMailbox, error: BaseException | None) -> None:
        """The actor has ended: by itself (None), or by this exception."""


class ActorMailbox:
    """Implements `endpoint.Mailbox` for one `MajulaActor`.

    Args:
        actor: whose `on_...` methods are called.
        local_id: 0 in its own process.
    """

    def __init__(self, actor: MajulaActor, endpoint: Endpoint, local_id: int, life: Life) -> None:
        self.actor = actor
        self.endpoint = endpoint
        self.loop = endpoint.loop
        self.local_id = local_id
        self.address: Address = f"{endpoint.name}#{local_id}" if local_id else endpoint.name
        self.parent: Address = ""
        self.state = State.NEW
        self._open = False  # from RUNNING to ENDED; never for an actor that was stopped before it had started
        self.role_entries: dict[Role, RoleEntry] = {}
        self.role_addresses: dict[Role, Address] = {}
        self.immediate: dict[type[Message], Callable[[Any, Address], None]] = {
            Start: self._start,
            Roles: self._take_roles,
            Ping: self._pong,
            Drain: self._drain,
            Stop: self._stop,
            Settings: self._take_settings,
            Look: Glass(self, self._listen).look,
            SetLevel: _set_level,
        }
        """Messages that the base answers itself, whatever the state."""
        self.pid = os.getpid()
        self._taps: tuple[Tap, ...] = ()
        self._life = life
        self._roles_version = -1
        self._held: deque[tuple[Message | bytes, Address]] = deque()
        self._held_batches = 0
        self._held_too_many = False
        self._tasks: set[asyncio.Task[Any]] = set()
        self._timer: asyncio.Handle | None = None
        self._timer_at = 0.0  # uvloop gives a plain handle, without `when`, for a time that has passed
        self._deadline: float | None = None
        self._received = 0
        self._undelivered = 0

    # --- what the endpoint calls

    def receive(self, message: Message, sender: Address) -> None:
        self._received += 1
        if self._taps:
            for tap in self._taps:
                tap.note("in", sender, type(message).__name__, size_of(message))
        try:
            answer = self.immediate.get(type(message))
            if answer is not None:
                answer(message, sender)
            elif self._open:
                self.actor.on_message(message, sender)
            elif self.state != State.ENDED:
                self._hold(message, sender)
        except BaseException as error:
            self.crash(error)

    def receive_frames(self, frames: bytes, sender: Address) -> None:
        if self._taps:
            for tap in self._taps:
                tap.note("in", sender, "batch of frames", len(frames))
        try:
            if self._open:
                self.actor.on_frames(frames, sender)
            elif self.state != State.ENDED:
                self._hold(frames, sender)
        except BaseException as error:
            self.crash(error)

    def returned(self, message: Message, target: Address) -> None:
        self._undelivered += 1
        if self.state != State.ENDED:
            try:
                self.actor.on_undeliverable(message, target)
            except BaseException as error:
                self.crash(error)

    def writable(self, target: Address) -> None:
        if self.state != State.ENDED:
            try:
                self.actor.on_writable(target)
            except BaseException as error:
                self.crash(error)

    def _hold(self, item: Message | bytes, sender: Address) -> None:
        is_batch = isinstance(item, bytes)
        if len(self._held) >= _HELD_LIMIT or (is_batch and self._held_batches >= _HELD_BATCHES_LIMIT):
            self.endpoint.batches_lost += is_batch
            if not self._held_too_many:
                _log.warning(
                    "%s: too much came before it has started; %s of %s dropped", self.address, type(item).__name__, sender
                )
            self._held_too_many = True
            return
        self._held.append((item, sender))
        self._held_batches += is_batch

    # --- supervision

    def _start(self, start: Start, sender: Address) -> None:
        if self.state != State.NEW:
            return
        self.state = State.STARTING
        self.parent = sender
        actor = self.actor
        actor.role, actor.node_id, actor.incarnation = start.role, start.node_id, start.incarnation
        if not self.local_id:
            set_title(f"majula {start.node_id} {start.role}")
        self.spawn(self._run_start(start.config), "on_start")

    async def _run_start(self, config: bytes) -> None:
        actor = self.actor
        try:
            await actor.on_start(msgspec.msgpack.decode(config, type=actor.config_type))
        except Exception as error:
            self.endpoint.send_message(
                self.parent, self.local_id, StartFailed(incarnation=actor.incarnation, reason=describe(error))
            )
            raise
        if self.state != State.STARTING:  # stopped meanwhile
            return
        self.state = State.RUNNING
        self._open = True
        self.endpoint.send_message(self.parent, self.local_id, Started(incarnation=actor.incarnation, pid=os.getpid()))
        for role, entry in list(self.role_entries.items()):
            if role != actor.role:
                actor.on_role(role, entry.address, entry.incarnation)
        while self._held and self.state == State.RUNNING:
            item, sender = self._held.popleft()
            if isinstance(item, bytes):
                self.receive_frames(item, sender)
            else:
                self.receive(item, sender)

    def _take_roles(self, roles: Roles, sender: Address) -> None:
        if roles.version <= self._roles_version:
            return
        self._roles_version = roles.version
        before, self.role_entries = self.role_entries, roles.entries
        self.role_addresses = {role: entry.address for role, entry in roles.entries.items()}
        if self.state != State.RUNNING:
            return  # on_role follows for all when on_start has returned
        for role, entry in roles.entries.items():
            old = before.get(role)
            if role != self.actor.role and (old is None or old.address != entry.address or old.incarnation != entry.incarnation):
                self.actor.on_role(role, entry.address, entry.incarnation)
        for role, old in before.items():
            if role not in roles.entries and role != self.actor.role:
                self.actor.on_role(role, None, old.incarnation)

    def _take_settings(self, new: Settings, sender: Address) -> None:
        if self._open:
            self.actor.on_settings(msgspec.msgpack.decode(new.settings, type=self.actor.config_type))
            self.endpoint.send_message(sender, self.local_id, Obeyed(self.actor.role, new.revision))
        elif self.state != State.ENDED:
            self._hold(new, sender)

    def _pong(self, ping: Ping, sender: Address) -> None:
        queues = self.endpoint.queues()
        if len(queues) > _QUEUES_SHOWN:
            queues = dict(sorted(queues.items(), key=lambda item: -item[1])[:_QUEUES_SHOWN])
        self.endpoint.send_message(
            sender, self.local_id, Pong(sequence=ping.sequence, statistics=self.statistics(), queues=queues)
        )

    def statistics(self) -> dict[str, Figure]:
        """The actor's own figures and the mailbox's."""
        figures: dict[str, Figure] = {
            "messages_received": self._received,
            "messages_undelivered": self._undelivered,
            "messages_held": len(self._held),
            "batches_lost": self.endpoint.batches_lost + self.endpoint.local.batches_lost,
            "tasks": len(self._tasks),
        }
        if self.state == State.RUNNING:
            figures.update(self.actor.statistics())
        return figures

    def _drain(self, drain: Drain, sender: Address) -> None:
        self.spawn(self._run_drain(drain.deadline_s, sender), "on_drain")

    async def _run_drain(self, deadline_s: float, sender: Address) -> None:
        if self.state == State.RUNNING:
            try:
                async with asyncio.timeout(deadline_s):
                    await self.actor.on_drain(self.loop.time() + deadline_s)
            except TimeoutError:
                _log.warning("%s: not drained within %.1f s", self.actor.role, deadline_s)
        self.endpoint.send_message(sender, self.local_id, Drained())

    def _stop(self, stop: Stop, sender: Address) -> None:
        self.stop()

    def stop(self) -> None:
        """End: `on_stop` is awaited, then the actor is gone."""
        if self.state < State.STOPPING:
            was_started = self.state == State.RUNNING
            self.state = State.STOPPING
            self.spawn(self._run_stop(was_started), "on_stop")

    async def _run_stop(self, was_started: bool) -> None:
        if was_started:
            await self.actor.on_stop()
        self._end(None)

    def _listen(self, taps: tuple[Tap, ...]) -> None:
        self._taps = taps
        if taps:
            self.endpoint.taps[self.local_id] = taps
        else:
            self.endpoint.taps.pop(self.local_id, None)

    # --- what the actor uses

    def event(self, name: str, fields: dict[str, Figure]) -> None:
        """Log a happening, and tell telemetry, if it is there."""
        _events.log(_LEVELS[level_of(name)], name, extra={"fields": fields})
        telemetry = self.role_addresses.get("telemetry")
        if telemetry is not None:
            event = Event(name=name, role=self.actor.role, pid=self.pid, at=time.time(), fields=fields)
            self.endpoint.send_message(telemetry, self.local_id, event)

    def spawn(self, coroutine: Coroutine[Any, Any, Any], name: str) -> asyncio.Task[Any]:
        if len(self._tasks) >= _TASKS_LIMIT:
            coroutine.close()
            raise RuntimeError(f"{self.address}: more than {_TASKS_LIMIT} tasks")
        task = self.loop.create_task(coroutine, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._task_done)
        return task

    def _task_done(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            error = task.exception()
            if error is not None:
                self.crash(error)

    def arm(self, deadline: float | None) -> None:
        self._deadline = deadline
        timer = self._timer
        if deadline is None:
            return  # a timer that fires for nothing costs less than cancelling one a frame
        if timer is not None:
            if self._timer_at <= deadline:
                return  # it is merely too early: it looks at the deadline again when it fires
            timer.cancel()
        self._timer_at = deadline
        self._timer = self.loop.call_at(deadline, self._fire)

    def _fire(self) -> None:
        self._timer = None
        deadline = self._deadline
        if deadline is None or self.state == State.ENDED:
            return
        # The loop may fire a clock tick early; what is left then is below its resolution.
        if deadline - self.loop.time() > 0.001:
            self._timer_at = deadline
            self._timer = self.loop.call_at(deadline, self._fire)
            return
        self._deadline = None
        try:
            self.actor.on_deadline(deadline)
        except BaseException as error:
            self.crash(error)

    def crash(self, error: BaseException) -> None:
        """End by this exception."""
        self._end(error)

    def _end(self, error: BaseException | None) -> None:
        if self.state == State.ENDED:
            return
        self.state = State.ENDED
        self._open = False
        if self._timer is not None:
            self._timer.cancel()
        for task in self._tasks:
            if task is not asyncio.current_task(self.loop):
                task.cancel()
        self._held.clear()
        self._life.ended(self, error)


def _set_level(order: SetLevel, sender: Address) -> None:
    """For the whole process: what is hosted together logs alike."""
    logging.getLogger().setLevel(_LEVELS.get(order.level, logging.INFO))
