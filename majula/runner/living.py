"""The runner's side of a configuration that changes: SIGHUP goes to the config actor, what the runner itself obeys comes back."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping

import msgspec

from majula.messages.base import Address, Message, Role
from majula.messages.config import Attach, Condition, Reload, RunnerSettings, Settings
from majula.messages.supervision import RoleEntry

CONFIG: Role = "config"
RUNNER: Role = "runner"
"""Who is told its settings as a role is."""


class Living:
    """Tells each config actor that comes up where the runner is, and keeps a reload that is wanted while there is none.

    Args:
        drain_s: as the node was started.
        send: to an actor; False where it was not taken.
    """

    def __init__(self, *, drain_s: float, send: Callable[[Address, Message], bool]) -> None:
        self.drain_s = drain_s
        """Seconds that work in flight gets to finish when the node is told to stop."""
        self._send = send
        self._entry: RoleEntry | None = None
        self._is_reload_wanted = False
        self._condition: Condition | None = None

    def roles_came(self, roles: Mapping[Role, RoleEntry]) -> None:
        """A new version of the registry: config may be there, or be another one."""
        entry = roles.get(CONFIG)
        if entry == self._entry:
            return
        self._entry = entry
        if entry is not None:
            self._send(entry.address, Attach())
            self._ask()

    def tree_ended(self) -> None:
        """Nobody is there to be asked."""
        self._entry = None

    def reload(self) -> None:
        """The file is to be read again, now or as soon as somebody can. Any number of wishes before that is one."""
        self._is_reload_wanted = True
        self._ask()

    def take(self, message: Settings | Condition) -> None:
        """What the config actor says to the runner."""
        if isinstance(message, Condition):
            self._condition = message
        else:
            self.drain_s = msgspec.msgpack.decode(message.settings, type=RunnerSettings).drain_s

    def status(self) -> dict[str, object] | None:
        """How it stands with the configuration, for `majula status`; None: nobody has said so yet."""
        found = self._condition
        if found is None:
            return None
        return {
            "revision": found.revision,
            "restart": list(found.restart),
            "refused": list(found.refused),
            "warnings": list(found.warnings),
        }

    def _ask(self) -> None:
        if self._is_reload_wanted and self._entry is not None:
            self._is_reload_wanted = not self._send(self._entry.address, Reload())


def has_terminal() -> bool:
    """Whether this process has a controlling terminal that still stands. SIGHUP comes when it goes, and also from who wants a
    reload; a node that had one and has it no more is to end with it."""
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC))
    except OSError:
        return False
    return True
