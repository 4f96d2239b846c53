"""Many slices into one merged table, and the way back of the confirmation.

A control actor that starts knows nothing: it holds a slice of each owner (each gateway), and publishes what it makes of them
only when every living owner was heard. Until then the gateways act by the last table. An owner that does not answer is hung:
its supervisor finds that in 3 s, and then it no longer counts. So the limit of 5 s is reached only when supervision itself is
in trouble, and then a table without the silent owner is better than none.

The entries of an owner that goes away are removed at once, without a grace. Its clients' connections died with it, so nothing
of what it said is true any more: kept entries would draw calls and queue-group messages into the void. Its next life has other
entries.

Confirmation: at version v of a slice the merged table is at version w. When w is in force at every holder of the merged table,
v is in force at its owner. That is the pair (v, w) kept for each owner; the newest pairs stand for those that were replaced.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from math import inf
from typing import Protocol

from majula.messages.base import Address, Message, Role
from majula.messages.tables import Delta, Snapshot
from majula.tables.effects import Changed, Effect, Send
from majula.tables.holder import TableHolder
from majula.tables.publisher import TablePublisher

GATHER_S = 5.0
# Pairs of an owner that wait; one more replaces the last, so its confirmation comes with the newer version.
RELAYED = 1_024

Changes = dict[str, bytes | None]
"""Keys of the merged table with their new value, None where they are gone. A key whose value stays may be among them."""


class Merge(Protocol):
    """How slices become one table. Pure, and the order of owners must not matter."""

    def apply(self, owner: Role, entries: Mapping[str, bytes], removed: Iterable[str]) -> Changes:
        """These entries of the owner's slice are new or changed, those removed."""

    def owner_lost(self, owner: Role) -> Changes:
        """The owner is no more, and nothing of its slice is true."""


class _Owner:
    __slots__ = ("address", "holder", "level", "relayed")

    def __init__(self, table: str, address: Address) -> None:
        self.address = address
        self.holder = TableHolder(table, is_relay=True)
        self.level = -1
        self.relayed: deque[tuple[int, int]] = deque()


class Gathering:
    """The slices `table` of all owners, merged into `publisher`'s table.

    Args:
        table: name of the slices.
        publisher: of the merged table; closed until all owners were heard.
        merge: makes the one of the other.
        gather_s: seconds after `begin` at which it opens without those that are still silent.
    """

    def __init__(self, table: str, *, publisher: TablePublisher, merge: Merge, gather_s: float = GATHER_S) -> None:
        self.table = table
        self.publisher = publisher
        self._merge = merge
        self._gather_s = gather_s
        self._owners: dict[Role, _Owner] = {}
        self._is_begun = False
        self._open_at = inf

    def begin(self, now: float) -> list[Effect]:
        """The owners that live now are all known: open when they were heard."""
        if not self._is_begun:
            self._is_begun = True
            self._open_at = now + self._gather_s
        return self._settle(now)

    def owner_here(self, owner: Role, address: Address, now: float) -> list[Effect]:
        entry = self._owners[owner] = _Owner(self.table, address)
        return self._to(entry, entry.holder.publisher_here(now))

    def owner_gone(self, owner: Role, now: float) -> list[Effect]:
        if self._owners.pop(owner, None) is None:
            return []
        self._publish(self._merge.owner_lost(owner), now)
        return self._settle(now)

    def receive(self, owner: Role, message: Snapshot | Delta, now: float) -> list[Effect]:
        entry = self._owners.get(owner)
        if entry is None:
            return []
        difference, answers = entry.holder.receive(message, now)
        effects = self._to(entry, answers)
        if difference is not None:
            self._publish(self._merge.apply(owner, difference.entries, difference.removed), now)
            effects.append(
                Changed(
                    table=self.table,
                    owner=owner,
                    entries=difference.entries,
                    removed=tuple(difference.removed),
                    is_snapshot=difference.is_snapshot,
                )
            )
        if entry.holder.level != entry.level:
            entry.level = entry.holder.level
            if len(entry.relayed) >= RELAYED:
                entry.relayed.pop()
            entry.relayed.append((entry.level, self.publisher.version))
        if message.is_urgent and self.publisher.is_open:
            effects += self.publisher.hurry(now)
        return effects + self._settle(now)

    def settle(self, now: float) -> list[Effect]:
        """The publisher's holders have confirmed something, or one is gone."""
        return self._settle(now)

    def next_deadline(self) -> float:
        asks = min((entry.holder.next_deadline() for entry in self._owners.values()), default=inf)
        return min(asks, self._open_at)

    def timer(self, now: float) -> list[Effect]:
        effects: list[Effect] = []
        for entry in self._owners.values():
            effects += self._to(entry, entry.holder.timer(now))
        return effects + self._settle(now)

    def slices(self) -> Mapping[Role, Mapping[str, bytes]]:
        """What each owner says, for `status` and tests."""
        return {owner: entry.holder.entries for owner, entry in self._owners.items()}

    # --- inside

    @staticmethod
    def _to(entry: _Owner, messages: list[Message]) -> list[Effect]:
        return [Send(to=entry.address, message=message) for message in messages]

    def _publish(self, changes: Changes, now: float) -> None:
        for key, value in changes.items():
            if value is None:
                self.publisher.remove(key, now)
            else:
                self.publisher.put(key, value, now)

    def _settle(self, now: float) -> list[Effect]:
        effects: list[Effect] = []
        is_due = now >= self._open_at or all(entry.holder.is_current for entry in self._owners.values())
        if self._is_begun and is_due and not self.publisher.is_open:
            self._open_at = inf
            effects += self.publisher.open(now)
        if not any(entry.relayed for entry in self._owners.values()):
            return effects
        level = self.publisher.level()
        for entry in self._owners.values():
            version = -1
            while entry.relayed and entry.relayed[0][1] <= level:
                version = entry.relayed.popleft()[0]
            if version >= 0:
                effects += self._to(entry, entry.holder.set_in_force(version))
        return effects
