"""The system base that `ActorSystem("majulaBase", ...)` loads, and `System`, the short way to one for a node.

Importing this module makes the base known to Thespian under that name.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
import threading
import time
from contextlib import closing, suppress
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any, Final

import thespian.system
from thespian.actors import ActorAddress, ActorSystem, ActorSystemFailure, InvalidActorAddress, ThespianGeneration
from thespian.system.messages.admin import PendingActor, PendingActorResponse
from thespian.system.messages.multiproc import EndpointConnected
from thespian.system.systemBase import systemBase
from thespian.system.transport import ExternalInterfaceTransportInit, ReceiveEnvelope, TransmitIntent
from thespian.system.utilis import thesplog_control

from majula.actorsystem.actor import MajulaActor
from majula.actorsystem.managers import run_admin
from majula.actorsystem.process import ChildProcess, fork_child
from majula.actorsystem.rundir import prepare, remove_actor_sockets, socket_path
from majula.actorsystem.transport import EPOCH, RUN_DIRECTORY, UnixTransport
from majula.messages.base import Address

_log = logging.getLogger(__name__)

BASE_NAME: Final = "majulaBase"
_STARTS_WITHIN: Final = timedelta(seconds=3)
"""For the admin, and again for the root actor: both need some 30 ms. As long as a hung child has until it is found; the caller is
blocked meanwhile."""
_ADMIN_ENDS_S: Final = 2.0


class ActorSystemBase(systemBase):  # type: ignore[misc]  # Thespian has no types
    """What `ActorSystem` talks to. Capabilities: `Run Directory` (required), `plain_messages`, `Admin Port` (see `transport`).

    Raises:
        RuntimeError: an asyncio loop runs in this thread; start the system first.
    """

    def __init__(self, system: Any, logDefs: object = None) -> None:
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            pass  # none runs, as it must be
        else:
            raise RuntimeError("an actor system cannot be started from within a running asyncio loop: start it before")
        capabilities = system.capabilities
        capabilities["Thespian ActorSystem Name"] = BASE_NAME
        capabilities["Thespian ActorSystem Version"] = 1
        capabilities["Thespian Watch Supported"] = True
        capabilities["Python Version"] = tuple(sys.version_info)
        capabilities["Thespian Version"] = str(int(time.time() * 1000))
        capabilities["Thespian Generation"] = ThespianGeneration
        capabilities[EPOCH] = _next_epoch(str(capabilities[RUN_DIRECTORY]))
        self.admin_process: ChildProcess | None = None
        self.transport = UnixTransport(ExternalInterfaceTransportInit(), capabilities, logDefs, None)
        super().__init__(system, logDefs)

    def _startAdmin(
        self, adminAddr: ActorAddress, addrOfStarter: ActorAddress, capabilities: dict[str, Any], logDefs: object
    ) -> None:
        with suppress(FileNotFoundError):  # it is there when an admin was killed here
            os.unlink(socket_path(self.transport.run_dir, adminAddr.addressDetails.name))
        prepared = self.transport.prepEndpoint(adminAddr, capabilities)
        main = partial(run_admin, prepared, addrOfStarter, capabilities, logDefs, os.getpid())
        # The kernel's signal comes when the *thread* that forked ends; an admin that was started by a passing thread relies on
        # its descriptor of this process alone.
        in_main_thread = threading.current_thread() is threading.main_thread()
        self.admin_process = fork_child(main, keep=prepared.keep, dies_with_parent=in_main_thread)
        self.transport.connectEndpoint(prepared)
        answer = _first_message(self.transport, self.admin_process)
        if not isinstance(answer, EndpointConnected):
            self.admin_process.send_signal(signal.SIGKILL)
            reason = self.admin_process.reap()
            self.transport.close()
            raise InvalidActorAddress(adminAddr, f"not a valid ActorSystem admin: it did not come up ({reason})")

    def shutdown(self) -> None:
        super().shutdown()
        if self.admin_process is not None:
            self.admin_process.join(_ADMIN_ENDS_S)
            if self.admin_process.is_alive():
                self.admin_process.send_signal(signal.SIGKILL)
            self.admin_process.reap()


def _first_message(transport: UnixTransport, admin: ChildProcess) -> object:
    """What comes first; None where nothing came in time, or the admin, who was to send it, has ended."""
    transport.loop.add_reader(admin.fileno(), transport.abort_run)
    try:
        found = transport.run(None, _STARTS_WITHIN)
    finally:
        transport.loop.remove_reader(admin.fileno())
    return found.message if isinstance(found, ReceiveEnvelope) else None


def _next_epoch(run_dir: str) -> int:
    """Counts the starts in this directory, so that names are not used twice. Only a node's main process starts systems in it."""
    path = Path(run_dir) / "epoch"
    try:
        epoch = int(path.read_text()) + 1
    except (FileNotFoundError, ValueError):
        epoch = 1
    path.write_text(f"{epoch}\n")
    return epoch


class System:
    """A running actor system for one node: Thespian's admin and logger, then the actors that `create_root` starts.

    Blocks in each method, so use it before the process's own loop runs, or between two runs of it. Talk to actors with `Outside`.

    Args:
        run_dir: made or checked by `rundir.prepare`; sockets of an earlier life in it are removed, so hold the node's lock.
    Raises:
        RunDirError: see there.
        RuntimeError: an asyncio loop runs.
    """

    def __init__(self, run_dir: Path | str) -> None:
        self.run_dir = prepare(Path(run_dir))
        # Thespian's internal log would go to a file of a fixed name in a directory that all users share.
        thesplog_control(logging.WARNING, False, 0)
        remove_actor_sockets(self.run_dir)
        self._system = ActorSystem(BASE_NAME, {RUN_DIRECTORY: str(self.run_dir)}, transientUnique=True)
        process = self._system._systemBase.admin_process
        assert isinstance(process, ChildProcess)
        self._reaped = False
        self.admin: ChildProcess = process
        """Thespian's admin. Its `fileno()` becomes readable when it dies; then nothing of the tree lives."""

    def create_root(self, cls: type[MajulaActor]) -> Address:
        """Start an actor below the admin. It waits for its Start.

        Raises:
            ActorSystemFailure: it, or the admin, died meanwhile or was not there in time; `kill` what is left.
        """
        # Not by `createActor`, which would wait for 50 s for an admin that is dead or stopped.
        base = self._system._systemBase
        with closing(base.transport.external_transport_clone()) as transport:
            wanted = PendingActor(f"{cls.__module__}.{cls.__name__}", None, 1, None, globalName=None)
            transport.scheduleTransmit(None, TransmitIntent(base.adminAddr, wanted))
            answer = _first_message(transport, self.admin)
        if not isinstance(answer, PendingActorResponse):
            within = f"within {_STARTS_WITHIN.total_seconds():g} s" if self.admin.is_alive() else "before its admin died"
            raise ActorSystemFailure(f"{cls.__name__} did not come up {within}")
        if answer.errorCode or not answer.actualAddress:
            raise ActorSystemFailure(f"{cls.__name__}: {answer.errorStr or answer.errorCode}")
        return str(answer.actualAddress.addressDetails.name)

    def shutdown(self) -> None:
        """End all actors in order, then logger and admin."""
        self._system.shutdown()
        self._reaped = True

    def kill(self) -> str:
        """End everything at once, and wait for the admin's end. Returns its reason."""
        self.admin.send_signal(signal.SIGKILL)  # it may have been stopped before it had a group
        if not self._reaped:  # until then nobody else can have its number
            with suppress(ProcessLookupError):
                os.killpg(self.admin.pid, signal.SIGKILL)
            self._reaped = True
        reason = self.admin.reap()
        self._system._systemBase.transport.close()
        return reason


sys.modules[f"thespian.system.{BASE_NAME}"] = sys.modules[__name__]
setattr(thespian.system, BASE_NAME, sys.modules[__name__])
