"""Lifecycle events on standard error, one line each: JSON for machines, a sentence for people."""

from __future__ import annotations

import json
import logging
import os
import select
import time
import traceback
from collections.abc import Callable
from typing import Literal

from setproctitle import getproctitle

Level = Literal["debug", "info", "warning", "error"]
_RANK: dict[Level, int] = {"debug": 0, "info": 1, "warning": 2, "error": 3}

# 4,096 (PIPE_BUF): poll calls a pipe writable when so much fits, and a write of at most so much is never torn or blocked then.
_LONGEST_BYTES = 4_096

LEVELS: dict[str, Level] = {
    "child.started": "info",
    "child.start_failed": "error",
    "child.died": "error",
    "child.hung": "error",
    "child.restarting": "warning",
    "child.quarantined": "error",
    "child.escalated": "error",
    "child.drained": "info",
    "child.stopped": "info",
    "child.killed": "warning",
}


def wall_clock() -> float:
    return time.time()


class LifeLog:
    """Writes events. A reader that does not read costs lines, never time: what does not fit is dropped, and the next line that
    fits says how many were lost.

    Args:
        node: the node's id, in every line.
        format: `json` or `console`.
        level: the lowest that is written.
        descriptor: where to; standard error by default.
        clock: seconds since the epoch.
    """

    def __init__(
        self,
        *,
        node: str,
        format: Literal["json", "console"],
        level: Level = "info",
        descriptor: int = 2,
        clock: Callable[[], float] = wall_clock,
    ) -> None:
        self._node, self._is_json, self._rank = node, format == "json", _RANK[level]
        self._descriptor, self._clock = descriptor, clock
        self._poll = select.poll()
        self._poll.register(descriptor, select.POLLOUT)
        self.dropped = 0

    def write(self, event: str, level: Level = "info", *, role: str, pid: int, reason: str = "", **fields: object) -> None:
        """One line. `event` is a fixed name, `thing.happened`; values are fields."""
        if _RANK[level] < self._rank:
            return
        if self.dropped:
            fields["lines_dropped"] = self.dropped
        line = self._line(event, level, {"role": role, "pid": pid, "reason": reason[:2_000]}, fields)
        if len(line) >= _LONGEST_BYTES:
            line = self._line(event, level, {"role": role, "pid": pid, "reason": reason[:200]}, {"is_cut": True})
        if self._put(line):
            self.dropped = 0
        else:
            self.dropped += 1

    def _line(self, event: str, level: str, who: dict[str, object], fields: dict[str, object]) -> bytes:
        now = self._clock()
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now)) + f".{int(now % 1 * 1000):03d}Z"
        if self._is_json:
            content = {"time": stamp, "level": level, "event": event, "node": self._node, **who, **fields}
            return json.dumps(content, ensure_ascii=True, default=str).encode()
        text = f"{stamp[11:-1]} {level:7} {event:18} {who['role']} (pid {who['pid']})"
        text += f": {who['reason']}" if who["reason"] else ""
        text += "".join(f" {name}={value}" for name, value in fields.items())
        # A reason may quote what a peer sent: no line breaks, no terminal escapes.
        return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text).encode("utf-8", "replace")

    def _put(self, line: bytes) -> bool:
        try:
            ready = self._poll.poll(0)
            # POLLOUT alone: a closed pipe answers with POLLERR, and writing to it would raise.
            if not ready or ready[0][1] != select.POLLOUT:
                return False
            return os.write(self._descriptor, line + b"\n") > 0
        except OSError:
            return False


_OWN_FIELDS = {*vars(logging.makeLogRecord({})), "message", "asctime", "taskName"} | {
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


class LogBridge(logging.Handler):
    """Python's own log records as lines of the life log. Installed before the first fork, so every process of the node has it.

    The role is read from the process's title, `majula NODE ROLE`, which an actor's process sets when it learns its role.
    """

    def __init__(self, log: LifeLog, node: str) -> None:
        super().__init__()
        self._log, self._node = log, node
        self._runner_pid = os.getpid()

    def emit(self, record: logging.LogRecord) -> None:
        if record.name == "root" and record.levelno < logging.WARNING:
            return  # Thespian's greetings; nobody else logs without a name
        try:
            fields: dict[str, object] = {"logger": record.name}
            for name, value in vars(record).items():
                if name not in _OWN_FIELDS:  # what the caller gave as `extra`: a trace id, a client
                    fields[name] = value if isinstance(value, int | float) else str(value)[:200]
            if record.exc_info and record.exc_info[0] is not None:
                # Its end, because there the exception stands; what is longer than a line of the log would be lost as a whole.
                fields["traceback"] = "".join(traceback.format_exception(*record.exc_info))[-1_500:]
            level: Level = "error" if record.levelno >= logging.ERROR else "warning"
            if record.levelno < logging.WARNING:
                level = "info" if record.levelno >= logging.INFO else "debug"
            reason = record.getMessage()[:1_500]
            self._log.write(f"log.{level}", level, role=self._role(), pid=os.getpid(), reason=reason, **fields)
        except Exception:
            self.handleError(record)

    def _role(self) -> str:
        if os.getpid() == self._runner_pid:
            return "runner"
        title = getproctitle().removeprefix("majula ")
        # Thespian's own processes have no role: `admin /run/dir`, `logger ...`
        return title.removeprefix(f"{self._node} ") if title.startswith(f"{self._node} ") else title.partition(" ")[0]

    @classmethod
    def install(cls, log: LifeLog, node: str, level: Level) -> None:
        """Sends every record of this level and above there."""
        root = logging.getLogger()
        root.handlers[:] = [cls(log, node)]
        root.setLevel(level.upper())
