"""From which level each role logs. Set by the configuration, changed at run time, for good or for some seconds."""

from __future__ import annotations

from collections.abc import Mapping
from math import inf
from typing import Final

from majula.messages.base import Role
from majula.telemetry.events import Level

EVERYBODY: Final = "*"
_LONGEST_S: Final = 86_400.0


class LogLevels:
    """Gives, for each change, who is to be told what.

    Args:
        usual: of a role that nothing else is said about.
        configured: by role.
    """

    def __init__(self, usual: Level, configured: Mapping[Role, Level]) -> None:
        self._usual = usual
        self._configured = dict(configured)
        self._changed: dict[Role, tuple[Level, float]] = {}  # level, and until when
        self._everybody: tuple[Level, float] | None = None

    def level(self, role: Role) -> Level:
        """From which level a role logs now: changed by name, changed for all, configured by name, by kind (`gateway` for
        `gateway:18080`), usual."""
        if role in self._changed:
            return self._changed[role][0]
        if self._everybody is not None:
            return self._everybody[0]
        kind = role.partition(":")[0]
        return self._configured.get(role) or self._configured.get(kind) or self._usual

    def is_usual(self, role: Role) -> bool:
        """Whether a role that has just started logs so already, because the runner was told."""
        return self.level(role) == self._usual

    def change(self, role: Role, level: Level, for_s: float, now: float) -> None:
        """From now on; `for_s` 0: until it is changed again or the node stops. `*`: all roles, whatever was said of each."""
        until = now + min(for_s, _LONGEST_S) if for_s > 0 else inf
        if role == EVERYBODY:
            self._changed.clear()
            self._everybody = (level, until)
        else:
            self._changed[role] = (level, until)

    def configure(self, usual: Level, configured: Mapping[Role, Level]) -> None:
        """The configuration has changed; what was changed at run time stays."""
        self._usual, self._configured = usual, dict(configured)

    def next_deadline(self) -> float:
        """When `expire` has something to do."""
        ends = [until for _, until in self._changed.values()]
        return min([*ends, self._everybody[1] if self._everybody is not None else inf])

    def expire(self, now: float) -> bool:
        """Take back what was for some seconds. True: something was, so everybody is to be told again."""
        over = [role for role, (_, until) in self._changed.items() if until <= now]
        for role in over:
            del self._changed[role]
        if self._everybody is not None and self._everybody[1] <= now:
            self._everybody = None
            return True
        return bool(over)
