"""One life of the tree: Thespian's admin and logger, the root supervisor, all below. When it ends, the runner makes the next."""

from __future__ import annotations

import asyncio
import ctypes
import os
import signal
import socket
import stat
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import msgspec
from thespian.actors import ActorSystemException

from majula.actors.supervisor import SupervisorActor
from majula.actorsystem.base import System
from majula.actorsystem.outside import Outside
from majula.actorsystem.process import describe
from majula.actorsystem.rundir import remove_actor_sockets
from majula.errors import DeadlineExceeded, MajulaError, Unavailable
from majula.messages.base import Address, Message, Role
from majula.messages.config import Condition, Settings
from majula.messages.supervision import (
    Drain,
    Escalate,
    Ping,
    Pong,
    Report,
    RoleEntry,
    Roles,
    Start,
    Started,
    StartFailed,
    Status,
    StatusRequest,
    Stop,
)
from majula.messages.telemetry import SetLevel
from majula.runner.plan import ROOT
from majula.supervision import Pulse, SupervisorSettings

_PR_SET_CHILD_SUBREAPER: Final = 36
_ROOT_STARTS_S: Final = 10.0
_GONE_S: Final = 2.0
_STATUS_S: Final = 0.5
"""A supervisor that has not answered by then is shown as silent: `status` itself must answer while one hangs."""


class TreeEnded(Exception):
    """The tree is of no use any more. `is_final`: a supervisor gave up, so a new tree would end the same way."""

    def __init__(self, reason: str, *, is_final: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.is_final = is_final


class Tree:
    """Starts the actor system and the process of the root supervisor. Blocks; no asyncio loop may run.

    Args:
        run_dir: of the node, whose lock is held.
        node_id: of the node.
        incarnation: which tree of this node's life this is, from 1.
        on_roles: called with each version of the registry.
        on_report: called with each lifecycle event.
        on_config: called with what the config actor says to the runner.
        on_level: called when somebody wants the runner to log from another level on.
    Raises:
        TreeEnded: it did not start.
    """

    def __init__(
        self,
        run_dir: Path,
        *,
        node_id: str,
        incarnation: int,
        on_roles: Callable[[dict[Role, RoleEntry]], None],
        on_report: Callable[[Report], None],
        on_level: Callable[[str], None],
        on_config: Callable[[Settings | Condition], None],
    ) -> None:
        self._node_id, self._incarnation = node_id, incarnation
        self._on_roles, self._on_report, self._on_level, self._on_config = on_roles, on_report, on_level, on_config
        try:
            self._system = System(run_dir)
        except (ActorSystemException, OSError) as error:
            raise TreeEnded(f"the actor system did not start: {describe(error)}") from error
        try:
            self._root: Address = self._system.create_root(SupervisorActor)
        except (ActorSystemException, OSError) as error:
            self._system.kill()  # else its admin would go on beside that of the next tree
            raise TreeEnded(f"the root supervisor did not start: {describe(error)}") from error
        self._outside = Outside(run_dir, self._take)
        self._pulse = Pulse()
        self._missed = 0
        self._numbers = 0
        self._root_pid = 0
        self._root_pidfd = -1
        self._end: asyncio.Future[None]
        self.roles: dict[Role, RoleEntry] = {}
        self.began_at = time.monotonic()

    @property
    def admin_pid(self) -> int:
        return self._system.admin.pid

    async def serve(self, settings: SupervisorSettings) -> None:
        """Starts the root supervisor and watches it and the admin, until the tree ends.

        Raises:
            TreeEnded: why it ended.
        """
        loop = asyncio.get_running_loop()
        self._end = loop.create_future()
        async with self._outside:
            loop.add_reader(self._system.admin.fileno(), self._ended, f"the actor system's admin (pid {self.admin_pid}) died")
            try:
                complete = msgspec.structs.replace(settings, watcher=self._outside.address)
                start = Start(ROOT, self._node_id, self._incarnation, msgspec.msgpack.encode(complete))
                self._outside.send(self._root, start)
                late = loop.call_later(_ROOT_STARTS_S, self._not_started)
                watch = loop.create_task(self._watch())
                watch.add_done_callback(self._watch_ended)
                try:
                    await self._end
                finally:
                    late.cancel()
                    watch.cancel()
            finally:
                loop.remove_reader(self._system.admin.fileno())
                if self._root_pidfd >= 0:
                    loop.remove_reader(self._root_pidfd)

    def send(self, target: Address, message: Message) -> bool:
        """Queue a message to an actor of the tree. False: it was not taken."""
        return self._outside.is_open and self._outside.send(target, message)

    async def statuses(self) -> dict[Role, Status | None]:
        """The answer of each supervisor, asked at once; None where it did not come."""
        supervisors = [role for role in self.roles if role.startswith("supervisor:")]
        found = await asyncio.gather(*(self._status(self.roles[role].address) for role in supervisors))
        return dict(zip(supervisors, found, strict=True))

    async def drain(self, deadline_s: float) -> bool:
        """Has every actor finish what is in flight. False: it was not over by the deadline.

        Raises:
            TreeEnded: it died meanwhile, and nothing is in flight any more.
        """
        asked = asyncio.ensure_future(self._outside.ask(self._root, Drain(deadline_s), deadline_s + 1.0))
        try:
            first: set[asyncio.Future[Any]] = {asked, self._end}
            await asyncio.wait(first, return_when=asyncio.FIRST_COMPLETED)
            if self._end.done():
                self._end.result()
            await asked
        except MajulaError:
            return False
        finally:
            asked.cancel()
        return True

    async def stop(self, patience_s: float) -> bool:
        """Has the root supervisor end every child in reverse order, then itself. False: it was still there after `patience_s`."""
        if not self._root_pid:
            return True  # it has no child yet, and `end` ends it
        self._outside.send(self._root, Stop())
        try:
            async with asyncio.timeout(patience_s):
                await asyncio.wait([self._end])
        except TimeoutError:
            return False
        return True

    def end(self) -> None:
        """Ends all that is left, and waits until every process of the tree is gone. Blocks; no asyncio loop may run."""
        admin = self._system.admin
        admin.send_signal(signal.SIGKILL)
        # uvloop made its descriptor non-blocking when it watched it, and a wait on that does not wait.
        admin.join(_GONE_S)
        self._system.kill()
        remove_actor_sockets(self._system.run_dir)
        if self._root_pidfd >= 0:
            os.close(self._root_pidfd)
        # Every orphan of the tree is ours to reap (see `adopt_orphans`), so "no child left" means that nothing of it lives.
        until = time.monotonic() + _GONE_S
        while time.monotonic() < until:
            try:
                if os.waitpid(-1, os.WNOHANG)[0] == 0:
                    time.sleep(0.002)
            except ChildProcessError:
                return

    def reap(self) -> None:
        """Takes leave of orphans that have ended, at SIGCHLD. The admin is left to who watches it."""
        while True:
            try:
                found = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            except ChildProcessError:
                return
            if found is None or found.si_pid == self.admin_pid:
                return
            os.waitpid(found.si_pid, 0)

    async def _status(self, address: Address) -> Status | None:
        self._numbers += 1
        try:
            answer = await self._outside.ask(address, StatusRequest(self._numbers), _STATUS_S)
        except MajulaError:
            return None
        return answer if isinstance(answer, Status) else None

    async def _watch(self) -> None:
        """Pings the root as a supervisor pings its children, and looks whether Thespian's admin or logger is stopped: these two
        answer no ping. Who is stopped for as long as a hung child is killed like one; the admin starts its logger again.
        """
        ticks: dict[int, int] = {}
        while True:
            await asyncio.sleep(self._pulse.interval_s)
            if self._root_pid:
                if self._missed >= self._pulse.misses:
                    self._ended(f"the root supervisor (pid {self._root_pid}) hung: {self._missed} pings unanswered")
                self._missed += 1
                self._outside.send(self._root, Ping(0))
            else:
                await self._look_for_root()
            stopped = [pid for pid in (self.admin_pid, *_children(self.admin_pid)) if pid != self._root_pid and _is_stopped(pid)]
            ticks = {pid: ticks.get(pid, 0) + 1 for pid in stopped}
            for pid, number in ticks.items():
                if number < self._pulse.misses:
                    continue
                if pid == self.admin_pid:
                    self._ended(f"the actor system's admin (pid {pid}) hung: it is stopped")
                else:
                    with suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)

    async def _look_for_root(self) -> None:
        """Until it has said its pid, only an undeliverable message tells that it died."""
        try:
            await self._outside.ask(self._root, Ping(0), self._pulse.interval_s)
        except Unavailable:
            if not self._root_pid:
                self._ended("the root supervisor died during its start")
        except DeadlineExceeded:
            return  # busy, or stopped: `_not_started` has the last word

    def _watch_ended(self, watch: asyncio.Task[None]) -> None:
        if not watch.cancelled() and (error := watch.exception()) is not None:
            self._ended(f"the watch over the tree failed: {describe(error)}")

    def _take(self, message: Message, sender: Address) -> None:
        match message:
            case Pong():
                self._missed = 0
            case Roles():
                self.roles = message.entries
                self._on_roles(message.entries)
            case Report():
                self._on_report(message)
            case Started():
                self._root_started(message.pid)
            case StartFailed():
                self._ended(f"the root supervisor could not start: {message.reason}")
            case Settings() | Condition():
                self._on_config(message)
            case SetLevel():
                self._on_level(message.level)
            case Escalate():
                self._ended(f"{message.offender} cannot be kept alive: {message.reason}", is_final=True)

    def _root_started(self, pid: int) -> None:
        try:
            self._root_pidfd = os.pidfd_open(pid)
        except ProcessLookupError:
            self._ended(f"the root supervisor (pid {pid}) died")
            return
        self._root_pid = pid
        asyncio.get_running_loop().add_reader(self._root_pidfd, self._ended, f"the root supervisor (pid {pid}) died")

    def _not_started(self) -> None:
        if not self._root_pid:
            self._ended(f"the root supervisor was not ready within {_ROOT_STARTS_S:g} s")

    def _ended(self, reason: str, *, is_final: bool = False) -> None:
        if not self._end.done():
            self._end.set_exception(TreeEnded(reason, is_final=is_final))


def adopt_orphans() -> None:
    """Processes whose parent died become children of this one, which reaps them: not every process 1 does."""
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def wait_for_former_tree(run_dir: Path, *, limit_s: float = 2.0) -> None:
    """Waits until nothing of a killed node lives in this run directory: its processes need some milliseconds to die with it."""
    until = time.monotonic() + limit_s
    while time.monotonic() < until and any(_is_served(path) for path in run_dir.iterdir()):
        time.sleep(0.005)


def _is_served(path: Path) -> bool:
    if path.suffix == ".sock":
        return False  # the runner's own kind
    try:
        if not stat.S_ISSOCK(path.lstat().st_mode):
            return False
        with socket.socket(socket.AF_UNIX) as probe:
            probe.setblocking(False)
            probe.connect(str(path))
    except BlockingIOError:
        return True  # a full backlog is a sign of life
    except OSError:
        return False
    return True


def _children(pid: int) -> list[int]:
    try:
        return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []  # it is gone; its descriptor tells


def _is_stopped(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][:1] == "T"
    except OSError:
        return False
