"""One line of the log: JSON for machines, a sentence for people. And how many lines there may be.

Whatever a peer sent may end up in a line. It never ends the line or reaches a terminal as anything but visible characters.
"""

from __future__ import annotations

import json
import re
from collections import OrderedDict
from collections.abc import Mapping
from typing import Final, Literal

from majula.telemetry.events import Level

Format = Literal["json", "console"]

_EVENT_NAME = re.compile(r"[a-z][a-z0-9_]{0,63}(\.[a-z][a-z0-9_]{0,63}){1,3}")
_CUT: Final = 200


def is_event_name(text: str) -> bool:
    """Whether a text is the fixed name of a happening, `thing.happened`."""
    return _EVENT_NAME.fullmatch(text) is not None


def render(
    format: Format,
    *,
    stamp: str,
    event: str,
    level: Level,
    node: str,
    role: str,
    pid: int,
    reason: str,
    fields: Mapping[str, object],
) -> bytes:
    """The line, without its end.

    Args:
        stamp: time, RFC 3339.
        fields: what comes behind; they cannot replace the others.
    """
    if format == "json":
        head = {"time": stamp, "level": level, "event": event, "node": node, "role": role, "pid": pid, "reason": reason}
        # Above ASCII and below a space everything is escaped, U+009B and DEL included.
        return json.dumps({**head, **{k: v for k, v in fields.items() if k not in head}}, ensure_ascii=True, default=str).encode()
    text = f"{stamp[11:-1]} {level:7} {event:18} {role} (pid {pid})"
    text += f": {reason}" if reason else ""
    text += "".join(f" {name}={value}" for name, value in fields.items())
    return visible(text).encode("utf-8", "replace")


def visible(text: str) -> str:
    """The text on one line: line breaks, terminal escapes and marks that turn the direction of writing become visible."""
    return text if text.isprintable() else "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)


class LineCap:
    """How many lines a process may write.

    The same line is written five times in ten seconds; all lines together 60 a second, 40 more at once, so never more than 100
    within one second. What is left out is counted, and `summaries` gives the lines that say so.

    Args:
        now: monotonic seconds.
        per_s, burst: of all lines.
        same, window_s: of one line.
    """

    KEYS: Final = 256
    """Different lines that are remembered; beyond, the oldest is forgotten."""

    def __init__(self, now: float, *, per_s: float = 60.0, burst: int = 40, same: int = 5, window_s: float = 10.0) -> None:
        self._per_s, self._burst, self._same, self._window_s = per_s, burst, same, window_s
        self._tokens, self._filled_at = float(burst), now
        self._seen: OrderedDict[str, list[float]] = OrderedDict()  # [beginning of its window, how often]
        self._left_out = 0
        self._first_left_out = ""
        self._summed_at = now

    def admits(self, key: str, now: float) -> bool:
        """Whether to write this line. `key`: its content, but for time and process."""
        seen = self._seen.get(key)
        if seen is None or now - seen[0] >= self._window_s:
            self._seen[key] = seen = [now, 0]
            self._seen.move_to_end(key)
            if len(self._seen) > self.KEYS:
                self._seen.popitem(last=False)
        seen[1] += 1
        if seen[1] > self._same or not self._take(now):
            self._left_out += 1
            self._first_left_out = self._first_left_out or key
            return False
        return True

    def owes_summary(self) -> bool:
        """Whether something was left out of which nobody has been told."""
        return self._left_out > 0

    def summary(self, now: float) -> dict[str, int | str] | None:
        """What was left out since the last summary, once a second; None where that was nothing, or where even this line would be
        one too many."""
        if not self._left_out or now - self._summed_at < 1.0 or not self._take(now):
            return None
        self._summed_at = now
        found: dict[str, int | str] = {"lines": self._left_out, "first": self._first_left_out[:_CUT]}
        self._left_out, self._first_left_out = 0, ""
        return found

    def _take(self, now: float) -> bool:
        self._tokens = min(float(self._burst), self._tokens + (now - self._filled_at) * self._per_s)
        self._filled_at = now
        if self._tokens < 1.0:
            return False
        self._tokens -= 1.0
        return True
