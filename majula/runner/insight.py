"""What the runner tells telemetry: events of the node's life, and what only the runner knows. Kept for it while it is away."""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Final

import majula
from majula.config import NodeConfig
from majula.messages.base import Address, Message, Role
from majula.messages.supervision import Figure, RoleEntry
from majula.messages.telemetry import Event, NodeFacts

TELEMETRY: Role = "telemetry"
_KEPT: Final = 256
_ENDS: Final = frozenset({"child.died", "child.hung", "child.stopped", "child.quarantined"})


class Insight:
    """Events go out at once where telemetry is there; else the last 256 wait for it: those of a start, and why it was away.

    Args:
        config: of the node.
        began_at: `time.monotonic()` of the process's start.
        send: to an actor; False where it was not taken.
    """

    def __init__(self, config: NodeConfig, *, began_at: float, send: Callable[[Address, Message], bool]) -> None:
        self._config, self._began_at, self._send = config, began_at, send
        self._waiting: deque[Event] = deque(maxlen=_KEPT)
        self._entry: RoleEntry | None = None
        self._ended = 0
        self._told = ""
        self.insecure = insecure_listeners(config)

    def event(self, name: str, *, role: Role, pid: int, fields: Mapping[str, object]) -> None:
        """A happening that the runner has just logged."""
        if fields.get("offender") == TELEMETRY and name in _ENDS and self._entry is not None:
            # The registry, which says so too, takes another way and may come later: what is sent until then would be lost.
            self._ended, self._entry = self._entry.incarnation, None
        plain: dict[str, Figure] = {key: v if isinstance(v, int | float) else str(v)[:200] for key, v in fields.items()}
        self._waiting.append(Event(name=name, role=role, pid=pid, at=time.time(), fields=plain))
        self._flush()

    def roles_came(self, roles: Mapping[Role, RoleEntry], *, state: str, trees: int) -> None:
        """A new version of the registry: telemetry may be there, or be another one."""
        entry = roles.get(TELEMETRY)
        if entry is not None and entry.incarnation <= self._ended:
            entry = None
        if entry != self._entry:
            self._entry, self._told = entry, ""
        self.state_is(state, trees)
        self._flush()

    def tree_ended(self) -> None:
        """Nobody is there to be told."""
        self._entry, self._told = None, ""

    def state_is(self, state: str, trees: int) -> None:
        """The node's state, told when it is another than the last one."""
        if self._entry is None or state == self._told:
            return
        facts = NodeFacts(
            state=state,
            version=majula.__version__,
            began_at=self._began_at,
            pid=os.getpid(),
            trees=trees,
            data_dir=self._config.data_dir,
            insecure=self.insecure,
        )
        if self._send(self._entry.address, facts):
            self._told = state

    def _flush(self) -> None:
        while self._waiting and self._entry is not None:
            if not self._send(self._entry.address, self._waiting[0]):
                return
            self._waiting.popleft()


def insecure_listeners(config: NodeConfig) -> tuple[str, ...]:
    """What the node serves without the protection that it could have, a sentence each."""
    found: list[str] = []
    for entry in config.majula_servers:
        where = f"gateway:{entry.port} on {entry.bind}"
        if entry.auth == "none":
            found.append(f"{where}: every program of this machine may do everything (auth: none)")
        if entry.insecure and entry.tls is None:
            found.append(f"{where}: tokens and messages travel in the clear (insecure: true)")
    return tuple(found)
