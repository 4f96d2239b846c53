"""Thespian's managers of plain actors and its admin, on our processes and our transport.

What is replaced: how a child is started (a fork that drops what it inherited, a socket that listens before the fork), how its end
is noticed (one descriptor a child on the loop), the throttle and the locks before each send, and the logger, which is started
again when it dies and keeps its address.
"""

from __future__ import annotations

import logging
import signal
import socket
from functools import partial
from typing import Any, Final

from thespian.actors import ActorAddress, ActorSystemFailure, ChildActorExited, NoCompatibleSystemForActor
from thespian.system.actorManager import ActorManager
from thespian.system.addressManager import ActorLocalAddress
from thespian.system.logdirector import ThespianLogForwarder, startupASLogger
from thespian.system.messages.admin import PendingActorResponse
from thespian.system.messages.multiproc import EndpointConnected
from thespian.system.multiprocCommon import ChildInfo, MultiProcReplicator, get_min_log_level
from thespian.system.sourceLoader import loadModuleFromHashSource
from thespian.system.systemAdmin import ThespianAdmin
from thespian.system.systemCommon import actorStartupFailed
from thespian.system.transport import ReceiveEnvelope, TransmitIntent
from thespian.system.utilis import actualActorClass, checkActorCapabilities

from majula.actorsystem.actor import MajulaActor
from majula.actorsystem.actorprocess import run_actor
from majula.actorsystem.process import fork_child, found_tree, set_title, watch_main
from majula.actorsystem.transport import ThespianEndpoint, UnixTransport
from majula.messages.base import Address

_log = logging.getLogger(__name__)

_main_root, _main_manager = logging.root, logging.Logger.manager
"""Logging as the main process has it: Thespian puts a forwarder to its logger in the place of both."""

_LOGGER_INSTANCE: Final = -1
"""Thespian's number for the logger, which is nobody's child."""


class Replicator(MultiProcReplicator):  # type: ignore[misc]  # Thespian has no types
    """Starts children and watches them, for a plain actor and for the admin."""

    transport: UnixTransport
    capabilities: dict[str, Any]

    def _send_intent(self, intent: TransmitIntent, curtime: object = None) -> None:
        """Without the throttle, which sleeps beyond 4,480 sends a second."""
        self._send_intent_to_transport(intent)

    def _startChildActor(  # noqa: PLR0917 - the signature is Thespian's
        self,
        childAddr: ActorAddress,
        childClass: Any,
        globalName: str | None,
        parentAddr: ActorAddress,
        notifyAddr: ActorAddress,
        childRequirements: object = None,
        sourceHash: str | None = None,
        sourceToLoad: object = None,
    ) -> None:
        if parentAddr is None:
            raise ActorSystemFailure("parentAddr cannot be None!")
        if self.asLogger is None:
            raise ActorSystemFailure("logger ADDR cannot be None!")
        loader = partial(loadModuleFromHashSource, sourceHash, {sourceHash: sourceToLoad}) if sourceHash else None
        if not checkActorCapabilities(childClass, self.capabilities, childRequirements, loader):
            raise NoCompatibleSystemForActor(childClass, "no system has compatible capabilities")
        prepared = self.transport.prepEndpoint(childAddr, self.capabilities)
        cls = actualActorClass(childClass, loader)
        if isinstance(cls, type) and issubclass(cls, MajulaActor):
            parent = (notifyAddr.addressDetails.name, prepared.addrInst)
            main = partial(_run_typed_actor, cls, prepared, parent)
        else:
            main = partial(
                run_plain_actor,
                prepared,
                self,
                (childClass, globalName, sourceHash, sourceToLoad, parentAddr, notifyAddr, childRequirements),
            )
        child = ChildInfo(childAddr, childClass, fork_child(main, keep=prepared.keep), prepared.addrInst)
        if not hasattr(self, "_child_procs"):
            self._child_procs: list[Any] = []
        self._child_procs.append(child)
        self.transport.connectEndpoint(prepared)
        self.transport.loop.add_reader(child.childProc.fileno(), self._process_ended, child)

    def _process_ended(self, child: Any) -> None:
        process = child.childProc
        self.transport.loop.remove_reader(process.fileno())
        address = getattr(child, "childRealAddr", None)
        if address is not None:
            self.transport.endpoint.drain_incoming(address.addressDetails.name)
        reason = process.reap()
        if child in self._child_procs:
            self._child_procs.remove(child)
        if getattr(child, "said_goodbye", False):
            return
        if address is None:
            self._never_came_up(child.childNum, reason)
            address = child.childAddr
        self.transport.deliver(ReceiveEnvelope(self.transport.myAddress, ChildActorExited(address)))

    def _never_came_up(self, instance: int, reason: str) -> None:
        """A child has ended before it reported to us: nothing that waits for it may wait on."""
        for intent in self._awaitingAddressUpdate.remove_intents_for_address(self._addrManager.getLocalAddress(instance)):
            intent.tx_done(False)

    def _childExited(self, childAddr: ActorAddress) -> None:
        """Its own goodbye came, and its end as a process follows: the parent hears of it once."""
        for child in getattr(self, "_child_procs", []):
            if getattr(child, "childRealAddr", child.childAddr) == childAddr:
                child.said_goodbye = True


class PlainActorManager(Replicator, ActorManager):  # type: ignore[misc]  # Thespian has no types
    """Runs one plain Thespian actor."""


class Admin(Replicator, ThespianAdmin):  # type: ignore[misc]  # Thespian has no types
    """Thespian's admin: creates actors for those outside, knows global names, takes dead letters, keeps the logger."""

    _logger_listener: socket.socket
    _logger_address: ActorAddress
    _has_logger = False

    def start_logger(self, log_definitions: object) -> None:
        """Fork the logger. Its socket stays here as well, so that another one can take its place under the same name."""
        self.asLogger = None
        placeholder = ActorAddress(ActorLocalAddress(self.transport.myAddress, _LOGGER_INSTANCE, None))
        prepared = self.transport.prepEndpoint(placeholder, self.capabilities)
        self._logger_endpoint = prepared
        self._log_definitions = log_definitions
        self._fork_logger()

    def _fork_logger(self) -> None:
        prepared = self._logger_endpoint
        main = partial(run_logger, self.transport.myAddress, prepared, self._log_definitions)
        self.asLogProc = ChildInfo(None, "logger", fork_child(main, keep=prepared.keep), _LOGGER_INSTANCE)
        self.transport.loop.add_reader(self.asLogProc.childProc.fileno(), self._logger_ended, self.asLogProc)

    def _logger_ended(self, logger: Any) -> None:
        self.transport.loop.remove_reader(logger.childProc.fileno())
        reason = logger.childProc.reap()
        if not hasattr(self, "_exiting"):
            self._fork_logger()
            _log.warning("logger ended (%s), started again", reason)

    def h_LoggerConnected(self, envelope: ReceiveEnvelope) -> bool:
        if self._has_logger:
            return True  # a successor, under the name that everybody knows
        self._has_logger = True
        return bool(super().h_LoggerConnected(envelope))

    def _never_came_up(self, instance: int, reason: str) -> None:
        for request in self._pendingChildren.pop(instance, []) if isinstance(self._pendingChildren, dict) else []:
            self._sendPendingActorResponse(
                request, None, errorCode=PendingActorResponse.ERROR_Invalid_ActorClass, errorStr=f"did not come up: {reason}"
            )
        super()._never_came_up(instance, reason)


def run_plain_actor(prepared: ThespianEndpoint, creator: Any, what: tuple[Any, ...]) -> None:
    """The main function of a forked process that holds one plain actor."""
    child_class, global_name, source_hash, source, parent, notify, requirements = what
    transport = UnixTransport(prepared)
    _log_to(creator.asLogger, transport, get_min_log_level(creator.logdefs))
    manager = PlainActorManager(
        child_class,
        global_name,
        transport,
        source_hash,
        source,
        parent,
        creator._adminAddr,
        requirements,
        creator.capabilities,
        None,
        creator.logdefs,
    )
    manager.asLogger = creator.asLogger
    transport.scheduleTransmit(
        None, TransmitIntent(notify, EndpointConnected(prepared.addrInst)).addCallback(onFailure=actorStartupFailed)
    )
    set_title(f"{getattr(child_class, '__name__', child_class)} {prepared.name}")
    for number in (signal.SIGTERM, signal.SIGQUIT, signal.SIGABRT):
        signal.signal(number, lambda *_: transport.interrupt_wait(signal_shutdown=True))
    signal.signal(signal.SIGUSR1, lambda *_: manager.thesplogStatus())
    signal.signal(signal.SIGUSR2, signal.SIG_IGN)
    try:
        manager.run()
    finally:
        transport.close()


def _run_typed_actor(cls: type[MajulaActor], prepared: ThespianEndpoint, parent: tuple[Address, int]) -> None:
    # It logs for itself, with the handlers that the main process had set up; this process's parent had replaced them.
    logging.root, logging.Logger.root, logging.Logger.manager = _main_root, _main_root, _main_manager
    run_actor(cls, prepared.run_dir, prepared.name, prepared.listener, parent)


def run_logger(admin: ActorAddress, prepared: ThespianEndpoint, log_definitions: object) -> None:
    """The main function of the logger's process."""
    startupASLogger(admin, prepared, log_definitions, UnixTransport, None)


def run_admin(
    prepared: ThespianEndpoint, starter: ActorAddress, capabilities: dict[str, Any], log_definitions: object, main_pid: int
) -> None:
    """The main function of the admin's process. It ends with the process that started it, and all others end with it."""
    found_tree(main_pid)
    transport = UnixTransport(prepared)
    watch_main(transport.loop)
    admin = Admin(transport, ActorAddress(transport.myAddress.addressDetails), capabilities, log_definitions, None)
    admin.addrOfStarter = starter
    set_title(f"majula admin {prepared.run_dir}")
    admin.start_logger(log_definitions)
    try:
        admin.run()
    finally:
        transport.close()


def _log_to(logger: ActorAddress, transport: UnixTransport, level: int) -> None:
    # The standard way of Thespian's: a plain actor's log records go to the logger, whatever handlers its parent had.
    root = ThespianLogForwarder(logger, transport, logLevel=level)
    logging.root = root
    logging.Logger.root = root
    logging.Logger.manager = logging.Manager(root)
