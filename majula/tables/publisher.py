"""One table, published to many holders.

Changes are gathered for 5 ms, then each holder is sent what it lacks (`ChangeLog.after` its position), in parts of at most 256
KiB and at most 1 MiB ahead of what it has confirmed. A holder that reads slowly is so never sent more than its window; it gets
the newest values when it reads again. A holder that says `Ask` is sent on from where it stands, or a snapshot.

A snapshot is the whole log from version 0. While its parts are sent the table may change: a changed key moves to the end and
comes in a later part, a removed key of an earlier part comes as removed. At the last part the holder has exactly the
publisher's table.

*In force*: a holder is level at the moments at which it was sent everything (`is_last`). `confirm(token)` is fulfilled when
each holder has confirmed a level moment not older than the token. A part that ends at version n is not enough: a key that was
changed at n may have been changed again and so have moved behind the part.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from math import inf

from msgspec import Struct

from majula.messages.base import Address, Message
from majula.messages.tables import Ask, Confirmed, Delta, Snapshot
from majula.tables.effects import Effect, InForce, Send, Unconfirmed
from majula.tables.log import ChangeLog

# 5 ms: a program that subscribes 100 times in a row makes one delta, and no human sees 5 ms.
COALESCE_S = 0.005
# Silence after which a holder is asked whether it is level. Nothing is lost between two living actors, so this is for what cannot
# happen in theory; doubling, so that a stopped holder is not flooded.
PROBE_S, PROBE_MAX_S = 1.0, 8.0


class Limits(Struct, frozen=True):
    """What is kept and sent at most.

    Args:
        part_bytes: of one message; 256 KiB delays no other message by more than about 0.2 ms on a Unix socket.
        part_entries: of one message.
        window_bytes: sent to a holder beyond what it has confirmed; 1 MiB keeps the pipe full and is far below an outbox's mark.
        tombstones: removed keys that are remembered; who lacks more is better served by a snapshot. 4,096 keys are at most 1 MiB.
        tokens: confirmations under way.
    """

    part_bytes: int = 256 * 1024
    part_entries: int = 4_096
    window_bytes: int = 1024 * 1024
    tombstones: int = 4_096
    tokens: int = 16_384


LIMITS = Limits()


class _Holder:
    """What the publisher knows of one holder.

    `snapshot_from`: the version at which its snapshot began, None while deltas do; `snapshot_began`: of the last one, also
    after it.
    """

    __slots__ = (
        "asked",
        "blocked",
        "in_flight",
        "in_flight_bytes",
        "in_force",
        "probe_at",
        "probe_s",
        "received",
        "sent",
        "snapshot_began",
        "snapshot_from",
    )

    def __init__(self) -> None:
        self.asked = False
        self.blocked = False
        self.sent = self.received = 0
        self.in_force = -1  # an empty table has version 0, and that too must be confirmed
        self.snapshot_from: int | None = 0
        self.snapshot_began = 0
        self.in_flight: deque[tuple[int, int]] = deque()
        self.in_flight_bytes = 0
        self.probe_at, self.probe_s = inf, PROBE_S

    def rewind(self, version: int, snapshot_from: int | None) -> None:
        self.sent = self.received = version
        self.snapshot_from = snapshot_from
        if snapshot_from is not None:
            self.snapshot_began = snapshot_from
        self.in_flight.clear()
        self.in_flight_bytes = 0
        self.blocked = False


class TablePublisher:
    """One table and its holders.

    Args:
        table: its name.
        epoch: which life of the publisher this is; higher than that of any earlier life of the same role.
        needs_holder: `confirm` waits until there is a holder. Set it where one must exist for the promise to mean anything (a
            slice), not where none is fine (a merged table).
        is_open: False: holders may ask but are sent nothing until `open`, because the table is not whole yet.
        limits: what is kept and sent at most.
    """

    def __init__(
        self, table: str, *, epoch: int, needs_holder: bool = False, is_open: bool = True, limits: Limits = LIMITS
    ) -> None:
        self.table = table
        self.epoch = epoch
        self.is_open = is_open
        self._needs_holder = needs_holder
        self._log = ChangeLog(tombstones=limits.tombstones)
        self._limits = limits
        self._holders: dict[Address, _Holder] = {}
        self._flush_at = inf
        self._flushed = 0  # the version up to which everything is due
        self._is_urgent = False
        self._tokens: deque[tuple[int, int, float]] = deque()  # (version, token, deadline), versions ascending
        self._tokens_due = inf  # not later than the earliest of their deadlines

    # --- the table

    @property
    def version(self) -> int:
        return self._log.version

    @property
    def size_bytes(self) -> int:
        return self._log.size_bytes

    def get(self, key: str) -> bytes | None:
        return self._log.get(key)

    def items(self) -> Iterator[tuple[str, bytes]]:
        return self._log.items()

    def __len__(self) -> int:
        return len(self._log)

    def put(self, key: str, value: bytes, now: float) -> bool:
        """Set a key; it is sent within 5 ms. False: nothing changed."""
        return self._log.put(key, value) and self._touch(now)

    def remove(self, key: str, now: float) -> bool:
        """Remove a key; False: it was not there."""
        return self._log.remove(key) and self._touch(now)

    def load(self, entries: Mapping[str, bytes], *, version: int) -> None:
        """Start as the copy of a table that another publisher had brought to `version`. Before any `put`.

        Raises:
            ValueError: `version` is less than the number of entries, which no table can be at.
        """
        for key, value in entries.items():
            self._log.put(key, value)
        self._log.skip_to(version)

    def open(self, now: float) -> list[Effect]:
        """The table is whole: serve those who have asked."""
        self.is_open = True
        return self._pump_all(now)

    # --- holders

    def expect(self, holder: Address) -> None:
        """An actor that holds this table lives at `holder`. From now `confirm` waits for it, though it has not asked yet."""
        self._holders.setdefault(holder, _Holder())

    def gone(self, holder: Address, now: float) -> list[Effect]:
        """The actor at `holder` is no more; nobody waits for it."""
        self._holders.pop(holder, None)
        return self._settle()

    def receive(self, sender: Address, message: Ask | Confirmed, now: float) -> list[Effect]:
        """A holder's Ask or Confirmed. One of another epoch or from a stranger has no effect (Ask makes a holder of its
        sender)."""
        if isinstance(message, Ask):
            holder = self._holders.setdefault(sender, _Holder())
            holder.asked = True
            holder.probe_at, holder.probe_s = inf, PROBE_S
            # Epoch 0 is that of who has nothing, also where the table itself is a copy that was never filled.
            is_known = message.epoch == self.epoch > 0 and self._log.floor <= message.version <= self.version
            if is_known:
                holder.rewind(message.version, None)
                holder.in_force = min(holder.in_force, message.version)
            else:
                holder.rewind(0, self.version)
                holder.in_force = -1
            self._flushed = self.version
            # Also when there is nothing to send: the holder waits for a word, and confirms what it has.
            return self._pump(sender, holder, now, speak=True) if self.is_open else []
        known = self._holders.get(sender)
        if known is None or message.epoch != self.epoch or not known.asked:
            return []
        self._confirmed(known, message, now)
        # Only what was due already and the window has held back: newer changes wait for their 5 ms.
        is_due = known.sent < self._flushed or known.snapshot_from is not None
        effects = self._pump(sender, known, now) if is_due else []
        return effects + self._settle()

    def refused(self, holder: Address, message: Message, now: float) -> None:
        """`message` could not be sent: the holder's outbox is at its mark. It goes on with `writable`, at the latest with a
        probe."""
        known = self._holders.get(holder)
        if known is None or not isinstance(message, Snapshot | Delta):
            return
        if message.base < known.sent:
            # Back to where the refused part began; what the holder then gets twice it recognises by the version.
            known.sent = message.base
            known.in_flight = deque(pair for pair in known.in_flight if pair[0] <= message.base)
            known.in_flight_bytes = sum(size for _, size in known.in_flight)
        if isinstance(message, Snapshot):
            known.snapshot_from = known.snapshot_began
        known.blocked = True
        known.probe_at = now + known.probe_s

    def writable(self, holder: Address, now: float) -> list[Effect]:
        """The outbox of `holder` is below its low mark again."""
        known = self._holders.get(holder)
        if known is None or not known.blocked:
            return []
        known.blocked = False
        return self._pump(holder, known, now)

    # --- confirmation

    def confirm(self, token: int, now: float, *, timeout_s: float = 2.0) -> list[Effect]:
        """Say InForce(token) when everything published so far is in force everywhere, or Unconfirmed(token) after `timeout_s`."""
        if len(self._tokens) >= self._limits.tokens:
            return [Unconfirmed(token=token, reason="too_many")]
        if self._needs_holder:
            # A version of its own, though nothing changes: the holder answers for those who hold its table now. An answer that it
            # gave before may be older than a gateway that has come since.
            self._log.skip_to(self.version + 1)
        self._tokens.append((self.version, token, now + timeout_s))
        self._tokens_due = min(self._tokens_due, now + timeout_s)
        return self.hurry(now) + self._settle()

    def hurry(self, now: float) -> list[Effect]:
        """Somebody waits: send what there is without the 5 ms."""
        self._is_urgent = True
        self._flush_at = inf
        effects = self._pump_all(now)
        self._is_urgent = False
        return effects

    def level(self) -> int:
        """The version that is in force at every holder; -1 where that is none: a holder has confirmed nothing, one is needed and
        there is none, or the table is not open."""
        if not self.is_open:
            return -1
        if not self._holders:
            return -1 if self._needs_holder else self.version
        return min(holder.in_force for holder in self._holders.values())

    # --- time

    def next_deadline(self) -> float:
        """When `timer` has something to do; inf: never."""
        deadline = min(self._flush_at, self._tokens_due)
        for holder in self._holders.values():
            deadline = min(deadline, holder.probe_at)
        return deadline

    def timer(self, now: float) -> list[Effect]:
        effects: list[Effect] = []
        if now >= self._flush_at:
            self._flush_at = inf
            effects += self._pump_all(now)
        for address, holder in self._holders.items():
            if now >= holder.probe_at:
                holder.probe_s = min(2 * holder.probe_s, PROBE_MAX_S)
                holder.probe_at = inf
                holder.blocked = False
                effects += self._pump(address, holder, now, speak=True)
        if now >= self._tokens_due:
            effects += [Unconfirmed(token=token, reason="timeout") for _, token, at in self._tokens if now >= at]
            self._tokens = deque(entry for entry in self._tokens if now < entry[2])
            self._tokens_due = min((deadline for _, _, deadline in self._tokens), default=inf)
        return effects

    def statistics(self) -> dict[str, int]:
        return {
            "entries": len(self._log),
            "bytes": self._log.size_bytes,
            "version": self.version,
            "holders": len(self._holders),
            "behind": sum(holder.received < self.version for holder in self._holders.values()),
            "tokens": len(self._tokens),
        }

    # --- inside

    def _touch(self, now: float) -> bool:
        self._flush_at = min(self._flush_at, now + COALESCE_S)
        return True

    def _confirmed(self, holder: _Holder, message: Confirmed, now: float) -> None:
        if message.version > holder.sent:
            if holder.snapshot_from is not None or message.version > self.version:
                return  # of an earlier snapshot, which counts for nothing since it has asked again
            holder.sent = message.version  # it had more than its question said, which was overtaken by its answer
        if message.version > holder.received or message.in_force > holder.in_force:
            holder.probe_s = PROBE_S
        holder.received = max(holder.received, message.version)
        holder.in_force = max(holder.in_force, message.in_force)
        while holder.in_flight and holder.in_flight[0][0] <= holder.received:
            holder.in_flight_bytes -= holder.in_flight.popleft()[1]
        self._watch(holder, now)

    def _watch(self, holder: _Holder, now: float) -> None:
        """Ask again later if the holder owes a confirmation: of what it was sent, or that it is in force."""
        owes = holder.asked and not holder.blocked and (holder.received < holder.sent or holder.in_force < holder.sent)
        holder.probe_at = now + holder.probe_s if owes else inf

    def _pump_all(self, now: float) -> list[Effect]:
        effects: list[Effect] = []
        self._flushed = self.version
        for address, holder in self._holders.items():
            effects += self._pump(address, holder, now)
        return effects

    def _pump(self, address: Address, holder: _Holder, now: float, *, speak: bool = False) -> list[Effect]:
        """Send this holder what it lacks, as far as its window allows. `speak`: say at least where we stand."""
        effects: list[Effect] = []
        limits = self._limits
        if not self.is_open or not holder.asked or holder.blocked:
            return effects
        while holder.in_flight_bytes < limits.window_bytes and (holder.snapshot_from is not None or holder.sent < self.version):
            # A removal that this holder lacks has been forgotten: only the whole table tells it now.
            if self._log.floor > (holder.sent if holder.snapshot_from is None else max(holder.sent, holder.snapshot_from)):
                holder.rewind(0, self.version)
            effects.append(Send(to=address, message=self._part(holder)))
        if speak and not effects:
            effects.append(Send(to=address, message=self._question(holder)))
        if effects:
            self._watch(holder, now)
        return effects

    def _question(self, holder: _Holder) -> Snapshot | Delta:
        """A part without content: who lacks what was before it will ask, who does not will confirm."""
        if holder.snapshot_from is not None:
            return Snapshot(self.table, self.epoch, holder.sent, holder.sent, False, holder.snapshot_from, {})
        is_level = holder.sent == self.version
        return Delta(self.table, self.epoch, holder.sent, holder.sent, is_level, {}, is_urgent=bool(self._tokens))

    def _part(self, holder: _Holder) -> Snapshot | Delta:
        entries: dict[str, bytes] = {}
        removed: list[str] = []
        base = version = holder.sent
        size = 0
        is_last = True
        limits = self._limits
        snapshot_from = holder.snapshot_from
        for changed, key, value in self._log.after(base):
            if size >= limits.part_bytes or len(entries) + len(removed) >= limits.part_entries:
                is_last = False
                break
            version = changed
            if value is not None:
                entries[key] = value
                size += len(key) + len(value)
            elif snapshot_from is None or changed > snapshot_from:
                removed.append(key)
                size += len(key)
        if is_last:
            version = self.version
        holder.sent = version
        holder.in_flight.append((version, size))
        holder.in_flight_bytes += size
        is_urgent = self._is_urgent or bool(self._tokens)
        if snapshot_from is None:
            return Delta(self.table, self.epoch, base, version, is_last, entries, removed, is_urgent)
        if is_last:
            holder.snapshot_from = None
        return Snapshot(self.table, self.epoch, base, version, is_last, snapshot_from, entries, removed, is_urgent)

    def _settle(self) -> list[Effect]:
        """The tokens that are in force now. Tokens are in the order of their versions, so only the front is looked at."""
        if not self._tokens:
            return []
        level = self.level()
        effects: list[Effect] = []
        while self._tokens and self._tokens[0][0] <= level:
            effects.append(InForce(token=self._tokens.popleft()[1]))
        if not self._tokens:
            self._tokens_due = inf
        return effects
