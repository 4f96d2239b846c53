"""The node: what `python -m majula.runner` runs. Start, serve, start the tree again when it dies, drain, stop."""

from __future__ import annotations

import asyncio
import importlib
import logging
import os
import signal
import sys
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from types import FrameType
from typing import Any, Literal, get_args

import msgspec

from majula.actorsystem.process import describe, freeze, new_loop
from majula.actorsystem.rundir import RunDirError, prepare
from majula.config import LoadedConfig
from majula.messages.base import Address, Message, Role
from majula.messages.config import Condition, Settings
from majula.messages.supervision import Report, RoleEntry
from majula.runner.control import ControlSocket
from majula.runner.descriptors import raise_limit
from majula.runner.exits import BAD_CONFIG, CRASHED, OK, NodeExit
from majula.runner.handout import Handout
from majula.runner.insight import Insight
from majula.runner.lifelog import LifeLog, LogBridge
from majula.runner.listeners import Listeners
from majula.runner.living import RUNNER, Living, has_terminal
from majula.runner.lock import DirectoryLock
from majula.runner.plan import Plan
from majula.runner.readiness import Readiness
from majula.runner.status import State, StatusBoard
from majula.runner.summary import summary
from majula.runner.tree import Tree, TreeEnded, adopt_orphans, wait_for_former_tree
from majula.runner.turnaway import TurnAway
from majula.supervision import RestartBudget, with_settings
from majula.supervision.budget import BudgetLimits
from majula.telemetry.events import Level, level_of

_log = logging.getLogger(__name__)

_STOP_ALLOWANCE_S = 2.0
_OWN_DESCRIPTORS = 512
"""Of a gateway beside its clients' connections: the other actors of the node, listening sockets, the loop's own."""


class Node:
    """One node, from its first lock to its exit code.

    Args:
        loaded: its configuration.
        plan: what is made of it.
    """

    def __init__(self, loaded: LoadedConfig, plan: Plan) -> None:
        self._config, self._source, self._plan = loaded.config, loaded.source, plan
        self._loaded = loaded
        self._started_at = time.monotonic() - _process_age_s()
        self._run_dir = Path(self._config.run_dir)
        is_console = self._config.log.format == "console" or (self._config.log.format == "auto" and sys.stderr.isatty())
        self._log = LifeLog(node=self._config.node_id, format="console" if is_console else "json", level=self._config.log.level)
        self._budget = RestartBudget(BudgetLimits())
        self._loop = new_loop()
        self._loop.set_exception_handler(self._unhandled)
        self._fault: BaseException | None = None
        self._wake = asyncio.Event()
        self._signals = 0
        self._stop_now = False
        self._is_ready = False
        self._state: State = "starting"
        self._tree: Tree | None = None
        self._turn_away: TurnAway
        self._trees = 0
        self._incarnations: dict[Role, int] = {}
        self._readiness = Readiness(plan.roles)
        self._living = Living(drain_s=self._config.drain_s, send=self._send)
        self._had_terminal = has_terminal()
        self._insight = Insight(self._config, began_at=self._started_at, send=self._send)
        self._board = StatusBoard(self._config, plan.listeners, began_at=self._started_at)

    def run(self) -> int:
        """Runs the node until it is stopped or cannot go on.

        An exception of the runner's own ends the tree and the node, as CRASHED with its words.

        Returns:
            the exit code, 0 after a stop that was asked for.
        Raises:
            NodeExit: any other end, with its reason.
        """
        try:
            return self._run()
        except NodeExit:
            raise
        except Exception as error:
            _log.exception("the runner ends")
            raise NodeExit(CRASHED, f"runner: {describe(error)}") from error

    def _run(self) -> int:
        signals = {signal.SIGTERM: self._on_signal, signal.SIGINT: self._on_signal, signal.SIGHUP: self._on_hangup}
        for number, call in signals.items():
            if signal.getsignal(number) != signal.SIG_IGN:  # nohup, or a job in the background
                signal.signal(number, call)
        locks = self._lock()
        try:
            listeners = Listeners(self._plan.listeners)
            try:
                LogBridge.install(self._log, self._config.node_id, self._config.log.level)
                self._warn()
                self._raise_descriptor_limit()
                self._preload()
                adopt_orphans()
                signal.signal(signal.SIGCHLD, self._on_child)
                wait_for_former_tree(self._run_dir)
                return self._run_trees(listeners)
            finally:
                listeners.close()
        finally:
            for lock in locks:
                lock.release()

    # --- start

    def _lock(self) -> list[DirectoryLock]:
        locks = [DirectoryLock(Path(self._config.data_dir))]
        try:
            # Two configurations may name one run directory; the data directory's lock would not notice.
            locks.append(DirectoryLock(prepare(self._run_dir)))
        except RunDirError as error:
            locks[0].release()
            raise NodeExit(BAD_CONFIG, f"run_dir: {error}") from error
        except NodeExit:
            locks[0].release()
            raise
        return locks

    def _warn(self) -> None:
        for line in self._loaded.warnings:
            self._say("config.warning", "warning", reason=line)
        if self._loaded.inactive:
            self._say("config.inactive", "warning", reason=f"not active yet in this version: {', '.join(self._loaded.inactive)}")

    def _raise_descriptor_limit(self) -> None:
        """Many systems give a process 1,024 descriptors and let it have more: a gateway's connections are far more."""
        wanted = max(entry.limits.connections for entry in self._config.majula_servers) + _OWN_DESCRIPTORS
        allowed = raise_limit(wanted)
        if allowed < wanted:
            reason = f"a gateway may need {wanted} descriptors, the system allows {allowed}: raise the hard limit (ulimit -Hn)"
            self._say("config.warning", "warning", reason=reason)

    def _preload(self) -> None:
        for module in self._plan.modules:
            try:
                importlib.import_module(module)
            except ImportError as error:
                raise NodeExit(CRASHED, f"{module} cannot be imported: {error}") from error
        freeze()

    # --- trees

    def _run_trees(self, listeners: Listeners) -> int:
        handout, control = self._loop.run_until_complete(self._open(listeners))
        try:
            is_wanted = True
            while is_wanted and not self._signals:
                try:
                    self._run_tree()
                    is_wanted = False
                except TreeEnded as ended:
                    self._tree_ended(ended)
            return OK
        finally:
            self._loop.run_until_complete(control.close())
            handout.close()
            self._loop.close()

    async def _open(self, listeners: Listeners) -> tuple[Handout, ControlSocket]:
        self._turn_away = TurnAway(self._loop, listeners.by_name())
        handout = Handout(self._run_dir, listeners.by_name(), on_given=self._turn_away.end)
        control = ControlSocket(self._run_dir, status=self._status, stop=self._on_stop_asked)
        await control.start()
        return handout, control

    def _run_tree(self) -> None:
        """One tree, from its start to its end; returns when the node was asked to stop.

        Raises:
            TreeEnded: it ended by itself.
        """
        self._trees += 1
        self._tree = tree = Tree(
            self._run_dir,
            node_id=self._config.node_id,
            incarnation=self._trees,
            on_roles=self._on_roles,
            on_report=self._on_report,
            on_level=self._on_level,
            on_config=self._on_config,
        )
        try:
            self._loop.run_until_complete(self._serve(tree))
        finally:
            tree.end()
            self._tree = None
            self._insight.tree_ended()
            self._living.tree_ended()
            self._readiness.tree_ended()
            self._turn_away.end_all()

    def _tree_ended(self, ended: TreeEnded) -> None:
        self._board.tree_ended(ended.reason, self._trees)
        self._say("tree.died", "error", reason=ended.reason)
        if self._signals:
            return  # it is being stopped anyway
        delay_s = None if ended.is_final else self._budget.died(time.monotonic())
        if delay_s is None:
            raise NodeExit(CRASHED, ended.reason)
        self._state = "recovering"
        self._say("tree.restarting", "warning", reason=ended.reason, in_s=round(delay_s, 3))
        if delay_s:
            # The control socket goes on answering meanwhile, and a signal ends the wait.
            self._loop.run_until_complete(self._wait_for_signal(delay_s))

    async def _wait_for_signal(self, limit_s: float) -> None:
        try:
            async with asyncio.timeout(limit_s):
                await self._wake.wait()
        except TimeoutError:
            return

    async def _serve(self, tree: Tree) -> None:
        settings = msgspec.structs.replace(self._plan.root, incarnations=self._incarnations)
        serving = self._loop.create_task(tree.serve(settings))
        stopping = self._loop.create_task(self._wake.wait())
        try:
            await asyncio.wait({serving, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if self._fault is not None:
                raise self._fault
            if serving.done():
                serving.result()
            await self._end_in_order(tree)
        finally:
            stopping.cancel()
            serving.cancel()
            await asyncio.gather(serving, return_exceptions=True)

    def _unhandled(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """What the loop has caught. The failure of one connection to the control socket, or of a task that nobody waits for, is
        told in the log; that of a callback of the runner's own ends the node, as its bookkeeping may be half done."""
        error = context.get("exception")
        _log.error("%s", context.get("message"), exc_info=error)
        if error is not None and self._fault is None and context.keys().isdisjoint(("transport", "protocol", "task", "future")):
            self._fault = error
            self._wake.set()

    async def _end_in_order(self, tree: Tree) -> None:
        """Drain, then stop; a second signal skips the rest."""
        drain_s = self._living.drain_s
        if self._signals < 2 and not self._stop_now and self._is_ready and drain_s > 0:
            self._state = "draining"
            self._say("node.draining", "info", deadline_s=drain_s)
            if not await self._unless_impatient(tree.drain(drain_s)):
                self._say("node.not_drained", "warning", reason="work was still in flight at the deadline")
        self._state = "stopping"
        patience_s = sum(child.shutdown_s for child in self._plan.root.children) + _STOP_ALLOWANCE_S
        if not await self._unless_impatient(tree.stop(patience_s)):
            self._say("node.killed", "warning", reason="some processes did not stop in time and were killed")
        self._say("node.stopped", "info")

    async def _unless_impatient(self, work: Coroutine[None, None, bool]) -> bool:
        """The result, or False as soon as another signal came."""
        task = self._loop.create_task(work)
        while not task.done() and self._signals < 2:
            self._wake.clear()
            woken = self._loop.create_task(self._wake.wait())
            await asyncio.wait({task, woken}, return_when=asyncio.FIRST_COMPLETED)
            woken.cancel()
        if task.done():
            return task.result()
        task.cancel()
        return False

    # --- what happens

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        # Not the loop's own signal handling: between two trees the loop does not run, and a signal must not be lost then.
        self._signals += 1
        self._in_loop(self._wake.set)

    def _on_hangup(self, number: int, frame: FrameType | None) -> None:
        """Read the configuration again; or the terminal that the node was started at has gone, which is the end."""
        if self._had_terminal and not has_terminal():
            self._on_signal(number, frame)
        else:
            self._in_loop(self._living.reload)

    def _on_child(self, number: int, frame: FrameType | None) -> None:
        self._in_loop(self._reap)

    def _in_loop(self, call: Callable[[], None]) -> None:
        # A signal may still come when all is over; an exception here would make a crash of an orderly end.
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(call)

    def _reap(self) -> None:
        if self._tree is not None:
            self._tree.reap()

    def _on_stop_asked(self, now: bool) -> None:
        self._signals += 1
        self._stop_now = self._stop_now or now
        self._wake.set()

    def _on_roles(self, roles: dict[Role, RoleEntry]) -> None:
        for role, entry in roles.items():
            self._incarnations[role] = max(entry.incarnation, self._incarnations.get(role, 0))
        self._readiness.roles_came(roles)
        self._look_whether_ready()
        self._living.roles_came(roles)
        self._insight.roles_came(roles, state=self._state, trees=self._trees)

    def _on_report(self, report: Report) -> None:
        fields: dict[str, object] = {"incarnation": report.incarnation, "supervisor": report.supervisor}
        if report.in_s >= 0:
            fields["in_s"] = round(report.in_s, 3)
        self._log.write(
            report.context, level_of(report.context), role=report.offender, pid=report.pid, reason=report.reason, **fields
        )
        said = {"offender": report.offender, **fields, **({"reason": report.reason} if report.reason else {})}
        self._insight.event(report.context, role=report.offender, pid=report.pid, fields=said)
        self._readiness.reported(report)
        if report.context == "child.quarantined":
            self._turn_away.begin(found.name for found in self._plan.listeners if found.role == report.offender)
        self._look_whether_ready()
        self._insight.state_is(self._state, self._trees)

    def _look_whether_ready(self) -> None:
        if self._signals:
            return
        verdict = self._readiness.verdict()
        if verdict == "incomplete":
            self._state = "recovering" if self._is_ready else "starting"
            return
        self._state = verdict
        if not self._is_ready:
            self._is_ready = True
            ready_s = time.monotonic() - self._started_at
            self._say("node.ready", "info", after_s=round(ready_s, 3))
            self._print_summary(ready_s)

    def _print_summary(self, ready_s: float) -> None:
        text = summary(
            node_id=self._config.node_id,
            pid=os.getpid(),
            source=self._source,
            data_dir=self._config.data_dir,
            run_dir=self._config.run_dir,
            roles={} if self._tree is None else self._tree.roles,
            listeners=self._plan.listeners,
            ready_s=ready_s,
            quarantined=self._readiness.quarantined,
        )
        try:
            print(text, flush=True)
        except OSError:
            return  # nobody reads standard output; the node serves all the same

    def _say(self, event: str, level: Literal["info", "warning", "error"], *, reason: str = "", **fields: object) -> None:
        self._log.write(event, level, role="runner", pid=os.getpid(), reason=reason, **fields)
        said = {**fields, **({"reason": reason} if reason else {})}
        self._insight.event(event, role="runner", pid=os.getpid(), fields=said)
        self._insight.state_is(self._state, self._trees)

    def _send(self, target: Address, message: Message) -> bool:
        return self._tree is not None and self._tree.send(target, message)

    def _on_level(self, level: str) -> None:
        for known in get_args(Level):
            if known == level:
                self._log.set_level(known)
                logging.getLogger().setLevel(known.upper())

    def _on_config(self, message: Settings | Condition) -> None:
        if isinstance(message, Settings) and message.role != RUNNER:
            # A tree that is started anew begins with the newest settings, as a child does that its supervisor starts again.
            root = self._plan.root
            children = with_settings(root.children, message.role, message.settings)
            self._plan = msgspec.structs.replace(self._plan, root=msgspec.structs.replace(root, children=children))
        else:
            self._living.take(message)

    async def _status(self) -> dict[str, object]:
        found = await self._board.read(state=self._state, tree=self._tree, trees=self._trees)
        return {**found, "configuration": self._living.status()}


def _process_age_s() -> float:
    """Seconds since this process began, the start of the interpreter included; to the clock tick, 10 ms."""
    fields = Path("/proc/self/stat").read_text().rpartition(") ")[2].split()
    began_at = int(fields[19]) / os.sysconf("SC_CLK_TCK")  # field 22 of proc(5), counted from boot
    return max(0.0, time.clock_gettime(time.CLOCK_BOOTTIME) - began_at)
