"""The log of a node on standard error, one line an event, from all its processes.

`LifeLog` writes lines, `LogBridge` makes lines of the records of Python's `logging`. Both are made by the runner before the first
fork; each process then goes on by itself: its own count of lines (`majula.telemetry.lines.LineCap`), its own way to the
descriptor.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import time
import traceback
from collections.abc import Callable

from setproctitle import getproctitle

from majula.runner.logfile import LogDescriptor
from majula.telemetry.events import Level
from majula.telemetry.lines import Format, LineCap, is_event_name, render

_log = logging.getLogger(__name__)

_RANK: dict[Level, int] = {"debug": 10, "info": 20, "warning": 30, "error": 40}

# 4,096 (PIPE_BUF): a write of at most so much to a pipe is never torn.
_LONGEST_BYTES = 4_096
_SUMMARY_S = 1.0
_REASON = 1_500


def wall_clock() -> float:
    return time.time()


class LifeLog:
    """Writes lines. A reader that does not read costs lines, never time: what does not fit is dropped, and the next line that
    fits says how many were lost. Lines that repeat, or come too fast, are left out, and `log.suppressed` says how many.

    Args:
        node: the node's id, in every line.
        format: `json` or `console`.
        level: the lowest that is written.
        descriptor: where to; standard error by default.
        clock: seconds since the epoch.
        monotonic: seconds that never go back.
    """

    def __init__(
        self,
        *,
        node: str,
        format: Format,
        level: Level = "info",
        descriptor: int = 2,
        clock: Callable[[], float] = wall_clock,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._node, self._format, self._rank = node, format, _RANK[level]
        self._target = LogDescriptor(descriptor)
        self._clock, self._monotonic = clock, monotonic
        self._pid = os.getpid()
        self._cap = LineCap(monotonic())
        self._is_summary_due = False
        self.dropped = 0

    def set_level(self, level: Level) -> None:
        """Write from this level on."""
        self._rank = _RANK[level]

    def write(self, event: str, level: Level = "info", *, role: str, pid: int, reason: str = "", **fields: object) -> None:
        """One line. `event` is a fixed name, `thing.happened`; values are fields."""
        if _RANK[level] >= self._rank and self.admits(f"{event} {reason} {fields or ''}"):
            self.put(event, level, role=role, pid=pid, reason=reason, fields=fields)

    def admits(self, key: str) -> bool:
        """Whether a line of this content may be written now; asked before a line is made that costs something to make."""
        now = self._monotonic()
        if self._pid != os.getpid():  # forked: what the parent has counted is not ours
            self._pid, self._cap, self._is_summary_due, self.dropped = os.getpid(), LineCap(now), False, 0
        if self._cap.admits(key, now):
            self._summarise()
            return True
        self._arm_summary()
        return False

    def put(self, event: str, level: Level, *, role: str, pid: int, reason: str, fields: dict[str, object]) -> None:
        """Write a line that was admitted."""
        if self.dropped:
            fields = {**fields, "lines_dropped": self.dropped}
        line = self._line(event, level, reason[:2_000], fields, role=role, pid=pid)
        if len(line) >= _LONGEST_BYTES:
            line = self._line(event, level, reason[:200], {"is_cut": True}, role=role, pid=pid)
        if self._target.write(line + b"\n"):
            self.dropped = 0
        else:
            self.dropped += 1

    def _line(self, event: str, level: Level, reason: str, fields: dict[str, object], *, role: str, pid: int) -> bytes:
        now = self._clock()
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now)) + f".{int(now % 1 * 1000):03d}Z"
        return render(
            self._format,
            stamp=stamp,
            event=event,
            level=level,
            node=self._node,
            role=role,
            pid=pid,
            reason=reason,
            fields=fields,
        )

    def _arm_summary(self) -> None:
        """The summary is to come also when no line follows. Where no loop runs, the next line brings it."""
        if self._is_summary_due or not self._cap.owes_summary():
            return
        try:
            asyncio.get_running_loop().call_later(_SUMMARY_S, self._summary_time)
        except RuntimeError:
            return
        self._is_summary_due = True

    def _summary_time(self) -> None:
        self._is_summary_due = False
        self._summarise()
        self._arm_summary()  # the summary itself may have been one too many

    def _summarise(self) -> None:
        if (found := self._cap.summary(self._monotonic())) is not None:
            self.put("log.suppressed", "warning", role=own_role(self._node), pid=self._pid, reason="", fields={**found})


_OWN_FIELDS = {*vars(logging.makeLogRecord({})), "message", "asctime", "taskName", "fields"} | {
    "event",
    "level",
    "node",
    "role",
    "pid",
    "reason",
    "time",
    "traceback",
    "logger",
    "lines_dropped",
}


def own_role(node: str) -> str:
    """The role of this process, read from its title `majula NODE ROLE`, which an actor's process sets when it learns its role."""
    title = getproctitle()
    if not title.startswith("majula "):
        return "runner"
    title = title.removeprefix("majula ")
    # Thespian's own processes have no role: `admin /run/dir`, `logger ...`
    return title.removeprefix(f"{node} ") if title.startswith(f"{node} ") else title.partition(" ")[0]


class LogBridge(logging.Handler):
    """Python's own log records as lines of the life log. Installed before the first fork, so every process of the node has it.

    A record whose whole message is a fixed name (`client.slow`, with `extra` for its values) is an event of that name; any other
    is `log.<level>` with the message as reason. Which levels come here is the root logger's to say, so that it can be changed.
    """

    def __init__(self, log: LifeLog, node: str) -> None:
        super().__init__()
        self._log, self._node = log, node
        self._runner_pid = os.getpid()

    def emit(self, record: logging.LogRecord) -> None:
        if record.name == "root" and record.levelno < logging.WARNING:
            return  # Thespian's greetings; nobody else logs without a name
        try:
            reason = record.getMessage()[:_REASON]
            fields = _fields(record)
            # The traceback is no part of what makes two lines the same, and costs more to make than all the rest.
            if not self._log.admits(f"{record.name} {reason} {fields or ''}"):
                return
            if record.exc_info and record.exc_info[0] is not None:
                fields["traceback"] = _traceback(record.exc_info[1])
            level: Level = "error" if record.levelno >= logging.ERROR else "warning"
            if record.levelno < logging.WARNING:
                level = "info" if record.levelno >= logging.INFO else "debug"
            event = f"log.{level}"
            if not record.args and is_event_name(reason):
                event, reason = reason, str(fields.pop("reason", ""))
            if record.name != "majula.event":
                fields = {"logger": record.name, **fields}
            role = "runner" if os.getpid() == self._runner_pid else own_role(self._node)
            self._log.put(event, level, role=role, pid=os.getpid(), reason=reason, fields=fields)
        except Exception:
            self.handleError(record)

    @classmethod
    def install(cls, log: LifeLog, node: str, level: Level) -> None:
        """Sends every record of this level and above there, and what Python itself would print: several lines, and it would wait
        for whoever reads standard error."""
        root = logging.getLogger()
        root.handlers[:] = [cls(log, node)]
        root.setLevel(level.upper())
        logging.captureWarnings(True)
        sys.unraisablehook = _unraisable


def _unraisable(found: sys.UnraisableHookArgs) -> None:
    """An exception where nobody can catch it, such as in `__del__`."""
    _log.error("%s", found.err_msg or "an exception that nobody could catch", exc_info=found.exc_value)


def _fields(record: logging.LogRecord) -> dict[str, object]:
    """What the caller gave as `extra`: a trace id, a client; or an event's fields."""
    found: dict[str, object] = {}
    for name, value in vars(record).items():
        if name not in _OWN_FIELDS:
            found[name] = value if isinstance(value, int | float) else str(value)[:200]
    given = getattr(record, "fields", None)
    if isinstance(given, dict):
        found.update(given)
    return found


def _traceback(error: BaseException | None) -> str:
    """The end of it, because there the exception stands; what is longer than a line of the log would be lost as a whole. The
    exception's own text is cut first: it may be as long as what a peer sent."""
    if error is None:
        return ""
    frames = "".join(traceback.format_tb(error.__traceback__, limit=-20))
    return (frames + f"{type(error).__name__}: {str(error)[:500]}")[-_REASON:]
