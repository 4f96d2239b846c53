"""`MajulaActor`, the class that every actor of a node derives from.

An actor is single-threaded: all its methods run on its process's asyncio loop, one at a time. It may own servers, sockets and
tasks on that loop, and `send` from any of them. Whether it has a process of its own or is hosted beside others, it is the same
class.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Coroutine, Mapping
from typing import Any, ClassVar

import msgspec
from thespian.actors import Actor

from majula.actorsystem.children import Children
from majula.actorsystem.mailbox import ActorMailbox
from majula.messages.base import Address, Message, Role


class NoConfig(msgspec.Struct):
    """The configuration of an actor that has none."""


class MajulaActor(Actor):  # type: ignore[misc]  # Thespian has no types
    """Base of all actors of a node. Override the `on_...` methods; each is called on the actor's loop, never concurrently.

    An exception in any of them, or in a task started by `spawn`, ends the actor, and its supervisor answers.

    Attributes:
        config_type: what the configuration bytes of Start are decoded to.
        role: what it is to the others, from Start on.
        node_id: the node's name, from Start on.
        incarnation: which start of this role this is, 1 for the first in the node's life.
    """

    config_type: ClassVar[type[Any]] = NoConfig

    role: Role = ""
    node_id: str = ""
    incarnation: int = 0

    _mailbox: ActorMailbox
    _offspring: Children | None = None

    # --- to override

    async def on_start(self, config: Any) -> None:
        """Get ready. Returning means ready, raising means a failed start. Messages that come before are kept until it returns."""

    def on_message(self, message: Message, sender: Address) -> None:
        """A message has come."""

    def on_settings(self, config: Any) -> None:
        """The configuration has changed: take over what can change while this actor runs. Whole, and of its `config_type`."""

    def on_frames(self, frames: bytes, sender: Address) -> None:
        """An opaque batch has come, as `send_frames` sent it."""

    def on_role(self, role: Role, address: Address | None, incarnation: int) -> None:
        """A role lives somewhere else now, or is away (None). After `on_start` it is called for each."""

    def on_undeliverable(self, message: Message, target: Address) -> None:
        """A message of this actor was not delivered: the target is gone, or its outbox was at the mark."""

    def on_writable(self, target: Address) -> None:
        """The outbox to `target`, which had refused something, is down to half its mark (or the target is gone)."""

    def on_deadline(self, deadline: float) -> None:
        """The time given to `arm` has come."""

    async def on_drain(self, deadline: float) -> None:
        """Take nothing new and finish what is in flight; return when done. At `deadline` (loop time) it is cancelled."""

    async def on_stop(self) -> None:
        """Clean up. The actor ends when this returns."""

    def on_child_started(self, address: Address) -> None:
        """A child's `on_start` has returned."""

    def on_child_exited(self, address: Address, reason: str) -> None:
        """A child has ended. `reason` in words: `killed by SIGKILL`, `ValueError: bad topic`, `stopped`."""

    def statistics(self) -> Mapping[str, int | float | str]:
        """Figures of this actor for `status`: a snapshot, cheap to make."""
        return {}

    # --- to use

    @property
    def address(self) -> Address:
        """Where this actor lives."""
        return self._mailbox.address

    @property
    def run_dir(self) -> str:
        """The node's run directory, in which the sockets of all its actors are."""
        return self._mailbox.endpoint.run_dir

    @property
    def parent(self) -> Address:
        """Who sent the Start: its supervisor. Empty before."""
        return self._mailbox.parent

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The loop that everything here runs on."""
        return self._mailbox.loop

    def send(self, target: Address, message: Message) -> bool:
        """Queue a message; never blocks. Order is kept per target.

        False: it was not queued. A message that is not `droppable` then also comes back, through `on_undeliverable`. True
        promises nothing beyond: a target that dies takes along what the kernel already had.
        """
        mailbox = self._mailbox
        return mailbox.endpoint.send_message(target, mailbox.local_id, message)

    def send_role(self, role: Role, message: Message) -> bool:
        """`send` to whoever has the role now. False: it is away (then nothing comes back), or `send` returned False."""
        mailbox = self._mailbox
        target = mailbox.role_addresses.get(role)
        return target is not None and mailbox.endpoint.send_message(target, mailbox.local_id, message)

    def send_frames(self, target: Address, frames: bytes | list[bytes]) -> bool:
        """Queue an opaque batch, moved as it is; a list is sent as one batch. Order is kept among batches; messages may overtake.

        False: nothing was queued, because the outbox is at its mark (`on_writable` follows) or the target is gone.
        """
        mailbox = self._mailbox
        return mailbox.endpoint.send_frames(target, mailbox.local_id, frames)

    def event(self, name: str, **fields: int | float | str) -> None:
        """Something has happened that an operator may want to know: a line in the log, an entry in `events.list`, the topic
        `$SYS.<name>`, a counter. Never blocks; where telemetry is away it is only logged.

        Args:
            name: `thing.happened`, from the table in `majula.telemetry.events`, which says how loud it is.
            fields: plain values. Never a payload, never a secret. Text of a peer is cut to 200 characters.
        """
        cut = {key: value[:200] if isinstance(value, str) else value for key, value in fields.items()}
        self._mailbox.event(name, cut)

    def roles(self) -> Mapping[Role, Address]:
        """Where each role that runs lives, as far as this actor has heard."""
        return self._mailbox.role_addresses

    def outbox_bytes(self, target: Address) -> int:
        """Bytes that wait for the process of `target`."""
        return self._mailbox.endpoint.pending_bytes(target)

    def spawn(self, coroutine: Coroutine[Any, Any, Any], *, name: str) -> asyncio.Task[Any]:
        """Run a task. An exception that it does not handle ends the actor; its end cancels the task."""
        return self._mailbox.spawn(coroutine, name)

    def arm(self, deadline: float | None) -> None:
        """Have `on_deadline` called at this loop time, once; replaces the time given before. None: not at all."""
        self._mailbox.arm(deadline)

    def crash(self, error: BaseException) -> None:
        """End this actor by this exception."""
        self._mailbox.crash(error)

    def stop(self) -> None:
        """End this actor in order, as Stop does."""
        self._mailbox.stop()

    # --- children

    def create_child(
        self,
        cls: type[MajulaActor],
        *,
        role: Role,
        node_id: str,
        incarnation: int,
        config: msgspec.Struct | bytes,
        isolation: str = "process",
    ) -> Address:
        """Start a child: fork its process now (or have its host make room) and send it its Start.

        Its Started or StartFailed comes to `on_message`; `on_child_started` and `on_child_exited` are called.

        Args:
            config: an instance of its `config_type`, or that as msgpack.
            isolation: `process`, or `host:NAME` for the host of that name, which is started when it does not run.
        Raises:
            OSError: no process could be started.
            ValueError: another isolation.
        """
        encoded = config if isinstance(config, bytes) else msgspec.msgpack.encode(config)
        return self._children().create(
            cls, role=role, node_id=node_id, incarnation=incarnation, config=encoded, isolation=isolation
        )

    def kill_child(self, address: Address, number: int = signal.SIGKILL) -> None:
        """Send a child's process a signal. A hosted child is dropped by its host; if that does not answer, the host is killed."""
        self._children().kill(address, number)

    def child_pid(self, address: Address) -> int:
        """The process that a child lives in; 0 when there is no such child."""
        return self._children().pid(address)

    def _children(self) -> Children:
        if self._offspring is None:
            self._offspring = Children(self, self._mailbox)
        return self._offspring

    def receiveMessage(self, msg: object, sender: object) -> None:
        """Not used: Thespian's own messages are answered by the actor's process, typed ones go to `on_message`."""
        raise TypeError(f"{type(self).__name__} takes typed messages only, not {type(msg).__name__}")
