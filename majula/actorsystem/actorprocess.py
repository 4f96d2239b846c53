"""A process that belongs to one `MajulaActor`: its loop, its endpoint, and the few messages of Thespian that it answers.

It speaks Thespian's protocol as far as a parent needs that is Thespian's (the admin, for the root of a node; a plain actor): it
reports that it is up, and it ends on ActorExitRequest.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
from collections.abc import Callable
from typing import Any, Final

from thespian.actors import ActorAddress, ActorExitRequest, ChildActorExited
from thespian.system.messages.multiproc import EndpointConnected
from thespian.system.messages.status import Thespian_ActorStatus, Thespian_StatusReq

from majula.actorsystem import pickling
from majula.actorsystem.actor import MajulaActor
from majula.actorsystem.address import SocketAddress
from majula.actorsystem.endpoint import Endpoint
from majula.actorsystem.host import Host
from majula.actorsystem.mailbox import ActorMailbox
from majula.actorsystem.process import new_loop, set_title, watch_main
from majula.messages.base import Address

_log = logging.getLogger(__name__)

_LAST_WORDS_S: Final = 0.5
"""How long an ending process tries to write what is queued; a peer that does not read must not keep it."""


class ActorProcess:
    """Runs one actor until it ends.

    Args:
        cls: the actor's class.
        run_dir, name, listener: where it listens.
        thespian_parent: the parent's address and our instance number in it, when the parent is Thespian's.
    """

    def __init__(
        self,
        cls: type[MajulaActor],
        run_dir: str,
        name: str,
        listener: socket.socket,
        thespian_parent: tuple[Address, int] | None = None,
    ) -> None:
        self._loop = new_loop()
        asyncio.set_event_loop(self._loop)
        self._loop.set_exception_handler(self._unhandled)
        watch_main(self._loop)
        self._endpoint = Endpoint(self._loop, run_dir, name, listener)
        self._endpoint.on_plain = self._plain
        self._error: BaseException | None = None
        self._ended = False
        self._thespian_parent = thespian_parent
        actor = cls()
        self._mailbox = actor._mailbox = ActorMailbox(actor, self._endpoint, 0, self)
        if isinstance(actor, Host):
            actor.attach(self._mailbox)
        self._endpoint.mailboxes[0] = self._mailbox
        if thespian_parent is not None:
            parent, instance = thespian_parent
            self._send_plain(parent, EndpointConnected(instance), lambda sent: None if sent else self._mailbox.stop())

    def run(self) -> None:
        """Until the actor ends.

        Raises:
            BaseException: what the actor crashed with.
        """
        self._loop.add_signal_handler(signal.SIGTERM, self._mailbox.stop)
        try:
            self._loop.run_forever()
            if self._thespian_parent is not None:
                own = ActorAddress(SocketAddress(self._endpoint.name))
                self._send_plain(self._thespian_parent[0], ChildActorExited(own), lambda sent: None)
            self._loop.run_until_complete(self._endpoint.flushed(_LAST_WORDS_S))
        finally:
            self._endpoint.close()
        if self._error is not None:
            raise self._error

    def ended(self, mailbox: ActorMailbox, error: BaseException | None) -> None:
        """`mailbox.Life`: the loop stops at the end of this turn, and the exception is raised outside it."""
        self._error = error
        self._endpoint.stopped = True
        self._loop.stop()

    def _unhandled(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        if "transport" in context or "protocol" in context or error is None or "task" in context or "future" in context:
            # One connection's failure: the loop closes it. Tasks that matter to the actor are spawned, and crash it there.
            _log.error("%s: %s", self._endpoint.name, context.get("message"), exc_info=error)
        else:
            self._mailbox.crash(error)  # a bare callback of the actor's own

    def _plain(self, payload: memoryview, sender: Address) -> None:
        try:
            message = pickling.loads(payload, plain_messages=False)
        except Exception as error:
            _log.warning("%s: message of %s dropped: %s", self._endpoint.name, sender, error)
            return
        if isinstance(message, ActorExitRequest):
            self._mailbox.stop()
        elif isinstance(message, Thespian_StatusReq):
            own = ActorAddress(SocketAddress(self._endpoint.name))
            self._send_plain(sender, Thespian_ActorStatus(own, type(self._mailbox.actor), None), lambda sent: None)
        # Others (new capabilities, log levels of Thespian's own log) say nothing to a typed actor.

    def _send_plain(self, target: Address, message: object, settle: Callable[[bool], None]) -> None:
        self._endpoint.send_plain(target, pickling.dumps(message, plain_messages=False), settle)


def run_actor(
    cls: type[MajulaActor],
    run_dir: str,
    name: str,
    listener: socket.socket,
    thespian_parent: tuple[Address, int] | None = None,
) -> None:
    """The main function of a forked process: `ActorProcess`, from its start to its end."""
    set_title(f"majula {cls.__name__} {name}")
    ActorProcess(cls, run_dir, name, listener, thespian_parent).run()
