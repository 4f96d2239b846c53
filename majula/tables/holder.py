"""One copy of a table.

It asks its publisher when that appears, and again after a gap. While the publisher is away it keeps what it has: its owner acts
by the last table. A snapshot is put aside part by part and taken as a whole; the change that comes out is the difference to
what was held.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import inf

from majula.messages.base import Message
from majula.messages.tables import Ask, Confirmed, Delta, Snapshot

# An answer takes well under a millisecond; 0.5 s without one and the question is asked again, doubling, so that holders which all
# lost their publisher do not storm it.
ASK_S, ASK_MAX_S = 0.5, 8.0


class Difference:
    """What a part changed: `entries` new or other values, `removed` keys."""

    __slots__ = ("entries", "is_snapshot", "removed")

    def __init__(self, entries: dict[str, bytes], removed: list[str], *, is_snapshot: bool) -> None:
        self.entries = entries
        self.removed = removed
        self.is_snapshot = is_snapshot


class TableHolder:
    """A copy of one publisher's table. Every verb returns the messages for the publisher.

    Args:
        table: its name.
        is_relay: what is made of this copy is published on, so a version is in force only when `set_in_force` says so.
    """

    def __init__(self, table: str, *, is_relay: bool = False) -> None:
        self.table = table
        self.epoch = 0
        self.version = 0
        self.level = -1
        """The newest version at which this copy was the publisher's whole table; -1: never in this epoch."""
        self._is_relay = is_relay
        self._in_force = -1
        self._entries: dict[str, bytes] = {}
        self._is_present = False
        self._is_current = False
        self._staged: dict[str, bytes] | None = None
        self._staged_epoch = self._staged_version = self._staged_began = 0
        self._ask_at, self._ask_s = inf, ASK_S

    @property
    def entries(self) -> Mapping[str, bytes]:
        return self._entries

    @property
    def is_current(self) -> bool:
        """The publisher that lives now has brought this copy level at least once."""
        return self._is_current

    def publisher_here(self, now: float) -> list[Message]:
        """A publisher has appeared (for the first time, or after `publisher_gone`)."""
        self._is_present, self._is_current = True, False
        self._ask_s = ASK_S
        return self._ask(now)

    def publisher_gone(self) -> None:
        """It is no more. The copy stays."""
        self._is_present = self._is_current = False
        self._staged = None
        self._ask_at = inf

    def receive(self, message: Snapshot | Delta, now: float) -> tuple[Difference | None, list[Message]]:
        """A part from the present publisher: what it changed, and the answer."""
        if isinstance(message, Snapshot):
            return self._snapshot(message, now)
        return self._delta(message, now)

    def set_in_force(self, version: int) -> list[Message]:
        """What was made of this copy at `version` is in force everywhere (of a relay only)."""
        if version <= self._in_force:
            return []
        self._in_force = version
        return [self._confirmed()] if self._is_present else []

    def next_deadline(self) -> float:
        return self._ask_at

    def timer(self, now: float) -> list[Message]:
        return self._ask(now) if now >= self._ask_at else []

    # --- inside

    def _ask(self, now: float) -> list[Message]:
        self._staged = None
        self._ask_at = now + self._ask_s
        self._ask_s = min(2 * self._ask_s, ASK_MAX_S)
        return [Ask(self.table, self.epoch, self.version)]

    def _gap(self, now: float) -> tuple[None, list[Message]]:
        """Parts that follow a lost one all show the gap; one question is enough."""
        return None, self._ask(now) if self._ask_at == inf or self._staged is not None else []

    def _snapshot(self, message: Snapshot, now: float) -> tuple[Difference | None, list[Message]]:
        if message.base == 0:
            self._staged, self._staged_epoch, self._staged_version, self._staged_began = {}, message.epoch, 0, message.began
        staged = self._staged
        is_other = message.epoch != self._staged_epoch or message.began != self._staged_began
        if staged is None or is_other or message.base > self._staged_version:
            return self._gap(now)
        if message.version < self._staged_version:
            return None, [self._received()]
        staged.update(message.entries)
        for key in message.removed:
            staged.pop(key, None)
        self._staged_version = message.version
        if not message.is_last:
            self._ask_at = now + self._ask_s  # the next part is due
            return None, [self._received()]
        self._staged = None
        if message.epoch == self.epoch and message.version < self.version:
            return None, [self._confirmed()]  # a late answer to an earlier question
        if message.epoch != self.epoch:
            self.level = self._in_force = -1
        old, self._entries = self._entries, staged
        self.epoch = message.epoch
        changed = {key: value for key, value in staged.items() if old.get(key) != value}
        removed = [key for key in old if key not in staged]
        return Difference(changed, removed, is_snapshot=True), self._applied(message)

    def _delta(self, message: Delta, now: float) -> tuple[Difference | None, list[Message]]:
        # Epoch 0 is that of a copy that never had a publisher; level tells it from a table that has been received.
        if message.epoch != self.epoch or self.level < 0 or message.base > self.version:
            return self._gap(now)
        if message.version < self.version:
            return None, [self._confirmed()]
        if self._staged is not None:
            self._staged = None
        changed = {key: value for key, value in message.entries.items() if self._entries.get(key) != value}
        removed = [key for key in message.removed if key in self._entries]
        self._entries.update(changed)
        for key in removed:
            del self._entries[key]
        answer = self._applied(message)
        return (Difference(changed, removed, is_snapshot=False) if changed or removed else None), answer

    def _applied(self, message: Snapshot | Delta) -> list[Message]:
        self.version = message.version
        self._ask_at, self._ask_s = inf, ASK_S
        if message.is_last:
            self._is_current = True
            self.level = message.version
            if not self._is_relay:
                self._in_force = message.version
        return [self._confirmed()]

    def _received(self) -> Confirmed:
        in_force = self._in_force if self._staged_epoch == self.epoch else -1
        return Confirmed(self.table, self._staged_epoch, self._staged_version, in_force)

    def _confirmed(self) -> Confirmed:
        return Confirmed(self.table, self.epoch, self.version, self._in_force)
