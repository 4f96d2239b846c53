"""A process in which many actors live, each with its own mailbox and state.

They have the same code, messages and supervision as actors with a process of their own. One that raises ends alone; when the
process ends, all in it do. A hosted actor that blocks the loop blocks its neighbours too: they answer no Ping, and the host is
killed.
"""

from __future__ import annotations

import importlib
import logging
from typing import Any

from majula.actorsystem.actor import MajulaActor
from majula.actorsystem.mailbox import ActorMailbox
from majula.actorsystem.process import describe
from majula.messages.actorsystem import EndHosted, HostActor, HostedEnded
from majula.messages.base import Address

_log = logging.getLogger(__name__)


class Host(MajulaActor):
    """The process's own actor: makes room for others, and tells their creator when one has ended."""

    def attach(self, mailbox: ActorMailbox) -> None:
        """Answer the creator at once, in any state: an actor's Start comes right after its HostActor."""
        mailbox.immediate[HostActor] = self._make_room
        mailbox.immediate[EndHosted] = self._drop

    def _make_room(self, order: HostActor, sender: Address) -> None:
        mailboxes = self._mailbox.endpoint.mailboxes
        if order.local_id in mailboxes:
            raise ValueError(f"{self.address}: local id {order.local_id} is taken")
        module_name, _, class_name = order.actor.rpartition(".")
        try:
            cls: Any = getattr(importlib.import_module(module_name), class_name)
            if not (isinstance(cls, type) and issubclass(cls, MajulaActor)):
                raise TypeError(f"{order.actor} is not a MajulaActor")
            actor = cls()
            mailboxes[order.local_id] = actor._mailbox = ActorMailbox(actor, self._mailbox.endpoint, order.local_id, self)
        except Exception as error:
            _log.exception("%s: cannot create %s", self.role, order.actor)
            self.send(sender, HostedEnded(local_id=order.local_id, reason=describe(error)))

    def _drop(self, order: EndHosted, sender: Address) -> None:
        mailbox = self._mailbox.endpoint.mailboxes.get(order.local_id)
        if isinstance(mailbox, ActorMailbox) and mailbox is not self._mailbox:
            mailbox.crash(Dropped("killed"))

    def ended(self, mailbox: ActorMailbox, error: BaseException | None) -> None:
        """`mailbox.Life` of the hosted actors."""
        self._mailbox.endpoint.mailboxes.pop(mailbox.local_id, None)
        if mailbox.actor._offspring is not None:
            mailbox.actor._offspring.abandon()
        if error is not None and not isinstance(error, Dropped):
            _log.error("%s (%s) ends", mailbox.actor.role, mailbox.address, exc_info=error)
        reason = "stopped" if error is None else "killed" if isinstance(error, Dropped) else describe(error)
        self.send(self._mailbox.parent, HostedEnded(local_id=mailbox.local_id, reason=reason))

    async def on_stop(self) -> None:
        """End every actor in it: their `on_stop` is their own supervisor's to ask for."""
        for mailbox in list(self._mailbox.endpoint.mailboxes.values()):
            if isinstance(mailbox, ActorMailbox) and mailbox is not self._mailbox:
                mailbox.crash(Dropped("killed"))


class Dropped(Exception):
    """The creator wanted it gone at once."""
