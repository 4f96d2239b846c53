"""Thespian's view of an endpoint: what its managers and its admin call a transport.

Its `run` is the process's asyncio loop. Sends are queued on the endpoint, with no throttle, no sleeping lock and no retry: a name
that refuses a connection is dead for good. Threads may send and set wakeups while another runs the loop; all else happens in
the loop.
"""

from __future__ import annotations

import logging
import socket
import threading
from collections import deque
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import Any, Final

from thespian.actors import ActorAddress, ActorExitRequest, WakeupMessage, WatchMessage
from thespian.system.addressManager import ActorLocalAddress, CannotPickleAddress
from thespian.system.messages.convention import CONV_ADDR_IPV4_CAPABILITY
from thespian.system.timing import ExpirationTimer
from thespian.system.transport import (
    ExternalInterfaceTransportInit,
    ReceiveEnvelope,
    SendStatus,
    Thespian__Run_Expired,
    Thespian__Run_HandlerResult,
    Thespian__Run_Terminated,
    Thespian__UpdateWork,
    TransmitIntent,
    TransmitOnly,
)

from majula.actorsystem import pickling
from majula.actorsystem.address import NameSource, SocketAddress, admin_name, outside_name, split
from majula.actorsystem.connection import listen
from majula.actorsystem.endpoint import Endpoint
from majula.actorsystem.process import new_loop
from majula.actorsystem.rundir import socket_path

_log = logging.getLogger(__name__)

RUN_DIRECTORY: Final = "Run Directory"
"""Capability: where the actors' sockets are. Required."""
PLAIN_MESSAGES: Final = "plain_messages"
"""Capability: messages of plain Thespian actors, of any class, are pickled. Never set in a node."""
ADMIN_PORT: Final = "Admin Port"
"""Capability: tells admins apart that share a run directory (Thespian's own suite only)."""
EPOCH: Final = "Epoch"
"""Capability, set by the base: which start of a system in its run directory this is."""

_DRAIN_S: Final = 5.0


class ThespianEndpoint:
    """What a parent prepares for a child: its name, already listening.

    Attributes:
        addrInst: the child's number in the parent; the name is Thespian's.
    """

    def __init__(
        self, instance: int, name: str, listener: socket.socket, parent: UnixTransport, capabilities: dict[str, Any]
    ) -> None:
        self.addrInst = instance
        self.name = name
        self.listener = listener
        self.run_dir: str = parent.run_dir
        self.admin: str = parent.admin
        self.plain_messages: bool = parent.plain_messages
        self.epoch = int(capabilities.get(EPOCH, 1))

    @property
    def keep(self) -> tuple[int, ...]:
        """Descriptors that the child needs."""
        return (self.listener.fileno(),)


class _Clone:
    """A transport of its own for another thread outside."""

    def __init__(self, of: UnixTransport) -> None:
        self.of = of


class UnixTransport:
    """One a process (or one a thread, outside).

    Args:
        place: outside: Thespian's marker, followed by capabilities (and two arguments that are not used); in a child: the
            `ThespianEndpoint` that its parent prepared.
    """

    run_dir: str
    admin: str
    plain_messages: bool

    def __init__(self, place: object, *args: Any) -> None:
        if isinstance(place, ThespianEndpoint):
            self.run_dir, self.admin, self.plain_messages = place.run_dir, place.admin, place.plain_messages
            name, listener = place.name, place.listener
            epoch = place.epoch
        else:
            if isinstance(place, _Clone):
                self.run_dir, self.admin, self.plain_messages = place.of.run_dir, place.of.admin, place.of.plain_messages
            else:
                assert isinstance(place, ExternalInterfaceTransportInit)
                capabilities: dict[str, Any] = args[0]
                self.run_dir = str(capabilities[RUN_DIRECTORY])
                self.admin = admin_name(capabilities.get(ADMIN_PORT))
                self.plain_messages = bool(capabilities.get(PLAIN_MESSAGES))
            name, epoch = outside_name(), 1
            listener = listen(self.run_dir, name)
        self.myAddress = ActorAddress(SocketAddress(name))
        self.names = NameSource(name, epoch)
        self.loop = new_loop()
        self.endpoint = Endpoint(self.loop, self.run_dir, name, listener)
        self.endpoint.on_plain = self._plain
        self._name = name
        self._inbox: deque[ReceiveEnvelope] = deque()
        self._handler: Callable[[ReceiveEnvelope], object] | None = None
        self._running = False
        self._pumping = False
        self._result: object = None
        self._error: BaseException | None = None
        self._aborted = False
        self._drain_on_abort = False
        self._thread = threading.get_ident()
        self._lock = threading.Lock()  # protects the next two: threads outside share a transport
        self._unsettled = 0
        self._wakeups: list[ExpirationTimer] = []
        self._watched: list[int] = []

    # --- names and addresses

    @staticmethod
    def getAdminAddr(capabilities: dict[str, Any]) -> ActorAddress:
        return ActorAddress(SocketAddress(admin_name(capabilities.get(ADMIN_PORT))))

    @staticmethod
    def getAddressFromString(spec: object) -> ActorAddress:
        """The admin that is meant by a convention's address: only its port tells admins of one run directory apart."""
        port = spec[1] if isinstance(spec, tuple) else str(spec).rpartition(":")[2]
        return ActorAddress(SocketAddress(admin_name(int(str(port)))))

    @staticmethod
    def getConventionAddress(capabilities: dict[str, Any]) -> object:
        address = capabilities.get(CONV_ADDR_IPV4_CAPABILITY)
        if not address:
            return None
        if isinstance(address, list):
            return [UnixTransport.getAddressFromString(each) for each in address]
        return [UnixTransport.getAddressFromString(address)]

    def probeAdmin(self, address: ActorAddress) -> bool:
        """Whether somebody listens under the admin's name."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            try:
                probe.connect(socket_path(self.run_dir, address.addressDetails.name))
            except OSError:
                return False
        return True

    def prepEndpoint(self, assigned: ActorAddress, capabilities: dict[str, Any]) -> ThespianEndpoint:
        details = assigned.addressDetails
        if isinstance(details, ActorLocalAddress):
            instance, name = details.addressInstanceNum, self.names.next()
        else:
            instance, name = -2, details.name
        return ThespianEndpoint(instance, name, listen(self.run_dir, name), self, capabilities)

    def connectEndpoint(self, prepared: ThespianEndpoint) -> None:
        """The child has been forked: the socket is its own now."""
        prepared.listener.close()

    def setAddressManager(self, manager: object) -> None:
        """Not needed: dead addresses are found out by connecting to them."""

    def deadAddress(self, manager: object, address: object) -> None:
        """Not needed, and a list of the dead would be searched with each send."""

    def enableRXPauseFlowControl(self, enable: bool = True) -> None:
        """Not needed: nothing here stops reading in order to send."""

    def lostRemote(self, address: object) -> None:
        """Not needed: a connection that is lost is closed when it is lost."""

    # --- sending

    def scheduleTransmit(self, manager: Any, intent: TransmitIntent, has_exclusive_flag: bool = False) -> None:
        """Send; the intent's callbacks hear what became of it, later.

        Raises:
            CannotPickleAddress: the target, or an address in the message, is of a child that is not up yet.
            Exception: the message cannot be pickled.
        """
        if isinstance(intent.message, Thespian__UpdateWork):
            intent.tx_done(SendStatus.Sent)
            return
        target = intent.targetAddr
        if manager is not None:
            target, message = manager.prepMessageSend(target, intent.message)
            if target is None:
                raise CannotPickleAddress(intent.targetAddr)
            intent.changeTargetAddr(target)
            intent.changeMessage(message)
        payload = pickling.dumps(intent.message, plain_messages=self.plain_messages)
        with self._lock:
            self._unsettled += 1
        if self._is_foreign_thread():
            self.loop.call_soon_threadsafe(self._submit, target.addressDetails.name, intent, payload)
        else:
            self._submit(target.addressDetails.name, intent, payload)

    def _is_foreign_thread(self) -> bool:
        return threading.get_ident() != self._thread

    def _submit(self, target: str, intent: TransmitIntent, payload: bytes) -> None:
        if split(target)[0] != self._name:
            self.endpoint.send_plain(target, payload, partial(self._settle, intent))
            return
        message = pickling.loads(payload, plain_messages=self.plain_messages)
        self.loop.call_soon(self.deliver, ReceiveEnvelope(self.myAddress, message))
        self.loop.call_soon(self._settle, intent, True)

    def _settle(self, intent: TransmitIntent, sent: bool) -> None:
        with self._lock:
            self._unsettled -= 1
        try:
            intent.tx_done(SendStatus.Sent if sent else SendStatus.DeadTarget)
        except BaseException as error:  # ActorStartupFailed leaves through `run`
            self._fail(error)
        if self._unsettled == 0 and self._running and self._handler is _until_settled:
            self.loop.stop()

    # --- receiving

    def _plain(self, payload: memoryview, sender: str) -> None:
        try:
            message = pickling.loads(payload, plain_messages=self.plain_messages)
        except Exception as error:
            _log.warning("%s: message of %s dropped: %s", self._name, sender, error)
            return
        self.deliver(ReceiveEnvelope(ActorAddress(SocketAddress(sender)), message))

    def deliver(self, envelope: ReceiveEnvelope) -> None:
        """Put a message into this process's own queue, and handle it if the loop runs for that."""
        self._inbox.append(envelope)
        if self._running and self._handler is not _until_settled:
            self._pump()

    def _pump(self) -> None:
        if self._pumping:
            return
        self._pumping = True
        try:
            while self._inbox and self._result is None and not self._aborted and self._error is None:
                envelope = self._inbox.popleft()
                if self._handler is None:
                    self._result = envelope
                    self._stop_loop()
                    return
                try:
                    go_on = self._handler(envelope)
                except BaseException as error:
                    self._fail(error)
                    return
                if not go_on:
                    self._result = Thespian__Run_HandlerResult(go_on)
                    self._stop_loop()
        finally:
            self._pumping = False

    def _fail(self, error: BaseException) -> None:
        self._error = self._error or error
        self._stop_loop()

    def _stop_loop(self) -> None:
        if self._running:  # else the stop would be remembered, and end the next run at once
            self.loop.stop()

    # --- running

    def run(self, incomingHandler: Any, maximumDuration: timedelta | None = None) -> object:
        """Run the loop until a message came (no handler), the handler is done, the time is over, or `abort_run`.

        With `TransmitOnly`: until all that was sent is out; returns how much is not.
        """
        self._thread = threading.get_ident()
        limit_s = None if maximumDuration is None else max(0.0, maximumDuration.total_seconds())
        if incomingHandler is TransmitOnly or isinstance(incomingHandler, TransmitOnly):
            return self._run_until_settled(limit_s)
        self._result, self._handler, self._aborted = None, incomingHandler, False
        self._pump()
        if self._result is None and not self._aborted and self._error is None:
            self._run_loop(limit_s)
        if self._error is not None:
            error, self._error = self._error, None
            raise error
        if self._aborted:
            self._aborted = False
            if self._drain_on_abort:
                self._drain_on_abort = False
                self._run_until_settled(_DRAIN_S)
            return Thespian__Run_Terminated()
        if self._result is not None:
            return self._result
        return Thespian__Run_Expired()

    def _run_until_settled(self, limit_s: float | None) -> int:
        # An abort does not end this: it comes from a failed send, whose dead letter must still get out.
        self._handler = _until_settled
        if self._unsettled:
            self._run_loop(limit_s)
        if self._error is not None:
            error, self._error = self._error, None
            raise error
        self._aborted = False
        return self._unsettled

    def _run_loop(self, limit_s: float | None) -> None:
        timer = None if limit_s is None else self.loop.call_later(limit_s, self.loop.stop)
        self._running = True
        try:
            self.loop.run_forever()
        finally:
            self._running = False
            if timer is not None:
                timer.cancel()

    def abort_run(self, drain: bool = False) -> None:
        if self._handler is _until_settled:
            return
        self._aborted = True
        self._drain_on_abort = self._drain_on_abort or drain
        if self._is_foreign_thread():
            self.loop.call_soon_threadsafe(self._stop_loop)
        else:
            self._stop_loop()

    def interrupt_wait(self, signal_shutdown: bool = False, check_children: bool = False) -> None:
        """From a signal's handler: end the actor. (Children are watched by descriptors, not by SIGCHLD.)"""
        if signal_shutdown:
            self.loop.call_soon_threadsafe(self.deliver, ReceiveEnvelope(self.myAddress, ActorExitRequest()))

    # --- timers and descriptors

    def addWakeup(self, period: timedelta | float, payload: object) -> None:
        timer = ExpirationTimer(period)
        with self._lock:
            self._wakeups.append(timer)
        if self._is_foreign_thread():
            self.loop.call_soon_threadsafe(self._set_wakeup, timer, payload)
        else:
            self._set_wakeup(timer, payload)

    def _set_wakeup(self, timer: ExpirationTimer, payload: object) -> None:
        self.loop.call_later(max(0.0, timer.view().remainingSeconds() or 0.0), self._wake, timer, payload)

    def _wake(self, timer: ExpirationTimer, payload: object) -> None:
        with self._lock:
            self._wakeups.remove(timer)
        self.deliver(ReceiveEnvelope(self.myAddress, WakeupMessage(timer.duration, payload)))

    def set_watch(self, filenos: list[int]) -> None:
        """Deliver a WatchMessage when one of these can be read; replaces those of the call before."""
        for fd in self._watched:
            self.loop.remove_reader(fd)
        self._watched = list(filenos)
        for fd in self._watched:
            self.loop.add_reader(fd, self._watch_ready, fd)

    def _watch_ready(self, fd: int) -> None:
        self.set_watch([])
        self.deliver(ReceiveEnvelope(self.myAddress, WatchMessage([fd])))

    # --- the rest of what Thespian calls

    def external_transport_clone(self) -> UnixTransport:
        return UnixTransport(_Clone(self))

    def _updateStatusResponse(self, response: Any) -> None:
        with self._lock:
            response.addWakeups([(self.myAddress, timer) for timer in sorted(self._wakeups)])
        for envelope in self._inbox:
            response.addPendingMessage(envelope.sender, self.myAddress, str(envelope.message))

    def close(self) -> None:
        """Close every socket; the transport cannot be used after that."""
        if not self.loop.is_closed():
            self.endpoint.close()
            self.loop.close()


def _until_settled(envelope: ReceiveEnvelope) -> object:
    """Marks a `run` that only sends: what comes meanwhile stays in the queue."""
    raise AssertionError("never called")
