"""All tables of one actor: those it publishes and those it holds, by the roles at their other ends.

An actor declares its tables once, then hands in what happens (`role_changed`, `receive`, `refused`, `writable`, `timer`) and
carries out the effects that come back, in order. After each step it arms its timer for `next_deadline`.

    gateway         publish("subscriptions", to="topic_manager", needs_holder=True);  hold("interest", of="topic_manager")
    topic manager   gather("subscriptions", of="gateway:", into="interest")

A role that ends in a colon stands for all roles that begin so.

*Giving back.* Some tables are not made of slices: the topic manager itself orders retained values, the gateways have copies.
After its restart it `regain`s such a table: it asks each gateway for its copy, takes the newest one (the epoch and version of
the publisher's former life tell which; a mix of copies would bring back what was removed) and publishes on from there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from math import inf

from majula.messages.base import Address, Message, Role
from majula.messages.tables import Ask, Confirmed, Delta, Snapshot
from majula.tables.effects import Changed, Effect, News, Send
from majula.tables.gathering import GATHER_S, Gathering, Merge
from majula.tables.holder import TableHolder
from majula.tables.publisher import LIMITS, Limits, TablePublisher

# The registry in which an actor stands itself comes right after its start. Should it not come, begin with the roles that are
# known.
BEGIN_S = 1.0

# Actors that ask before they are named, and tables a one: more than a node has of both. Who is left out asks again in 0.5 s.
EARLY = 256

COPY = ".copy"
"""Ends the name under which a holder gives its copy of a table back."""


class _Held:
    """A table that is held, and whether it is given back."""

    __slots__ = ("copy", "gives_back", "holder", "of", "publisher")

    def __init__(self, table: str, of: Role, *, gives_back: bool) -> None:
        self.holder = TableHolder(table)
        self.of = of
        self.gives_back = gives_back
        self.publisher: tuple[Role, Address] | None = None
        self.copy: TablePublisher | None = None


class _Regaining:
    """A table of ours whose copies are being asked for."""

    __slots__ = ("copies", "of", "open_at", "publisher")

    def __init__(self, publisher: TablePublisher, of: Role) -> None:
        self.publisher = publisher
        self.of = of
        self.copies: dict[Role, tuple[Address, TableHolder]] = {}
        self.open_at = inf


class TableExchange:
    """The tables of one actor.

    Args:
        role: the actor's own.
        incarnation: which start of the role this is.
        random32: 32 random bits: two lives of a role with one incarnation (a node whose main process restarted) differ by them.
        now: seconds, monotonic.
        limits: of every table that it publishes.
    """

    def __init__(self, *, role: Role, incarnation: int, random32: int, now: float, limits: Limits = LIMITS) -> None:
        self.role = role
        self.epoch = (incarnation << 32) | (random32 & 0xFFFFFFFF)
        self._limits = limits
        self._roles: dict[Role, Address] = {}
        self._names: dict[Address, Role] = {}
        self._publishers: dict[str, tuple[TablePublisher, Role]] = {}
        self._held: dict[str, _Held] = {}
        self._gatherings: dict[str, tuple[Gathering, Role]] = {}
        self._regaining: dict[str, _Regaining] = {}
        self._begin_at, self._is_begun = now + BEGIN_S, False
        # Questions of actors that the registry has not named yet: it reaches each actor by a way of its own.
        self._early: dict[Address, dict[str, Ask]] = {}

    # --- declared once, before the first event

    def publish(self, table: str, *, to: Role, needs_holder: bool = False) -> TablePublisher:
        """Publish `table` to all who are `to`. `needs_holder`: a confirmation means nothing where nobody holds it (a slice)."""
        publisher = TablePublisher(table, epoch=self.epoch, needs_holder=needs_holder, limits=self._limits)
        self._publishers[table] = (publisher, to)
        return publisher

    def hold(self, table: str, *, of: Role, gives_back: bool = False) -> Mapping[str, bytes]:
        """Hold a copy of the table that `of` publishes. `gives_back`: it is asked for its copy when it has restarted.

        Returns:
            The copy at this moment, empty; `held` gives it later.
        """
        self._held[table] = _Held(table, of, gives_back=gives_back)
        return self._held[table].holder.entries

    def gather(self, table: str, *, of: Role, into: str, merge: Merge, gather_s: float = GATHER_S) -> TablePublisher:
        """Hold the slices `table` of all `of`, and publish what `merge` makes of them to the same roles as table `into`."""
        publisher = TablePublisher(into, epoch=self.epoch, is_open=False, limits=self._limits)
        self._publishers[into] = (publisher, of)
        self._gatherings[table] = (Gathering(table, publisher=publisher, merge=merge, gather_s=gather_s), of)
        return publisher

    def regain(self, table: str, *, of: Role) -> TablePublisher:
        """Publish `table` to all `of`, going on from the newest copy that one of them has. `Changed` with this table's name
        tells what was regained; the table is open (`is_open`) from then on, and only then to be changed."""
        publisher = TablePublisher(table, epoch=self.epoch, is_open=False, limits=self._limits)
        self._publishers[table] = (publisher, of)
        self._regaining[table] = _Regaining(publisher, of)
        return publisher

    # --- use

    def held(self, table: str) -> Mapping[str, bytes]:
        """The copy of a table as it is now. Take it anew each time: a snapshot replaces the mapping."""
        return self._held[table].holder.entries

    def is_current(self, table: str) -> bool:
        """The publisher that lives now has brought the copy level. False while it is away; the copy stays usable."""
        return self._held[table].holder.is_current

    def confirm(self, table: str, token: int, now: float, *, timeout_s: float = 2.0) -> list[Effect]:
        """Send what was changed in a published table at once, and say InForce(token) when it is in force at everybody who acts
        by it, or Unconfirmed(token) after `timeout_s` seconds."""
        return self._publishers[table][0].confirm(token, now, timeout_s=timeout_s)

    # --- what happens

    def role_changed(self, role: Role, address: Address | None, incarnation: int, now: float) -> list[Effect]:
        """The registry says where `role` lives now; None: it is away."""
        effects: list[Effect] = []
        old = self._roles.get(role)
        if old == address:
            return effects
        if old is not None:
            del self._roles[role], self._names[old]
            effects += self._gone(role, old, now)
        if address is not None:
            self._roles[role] = address
            self._names[address] = role
            effects += self._here(role, address, now)
            for ask in self._early.pop(address, {}).values():
                effects += self._asked(ask, address, now)
            if not self._is_begun:
                # A registry is whole, and its other roles are told within the same step; begin with the timer, after it.
                self._begin_at = min(self._begin_at, now)
        return effects

    def receive(self, message: Message, sender: Address, now: float) -> list[Effect] | None:
        """A message of `majula.messages.tables`; None: it is none of them, and the actor's own business."""
        match message:
            case Ask() | Confirmed():
                return self._asked(message, sender, now)
            case Snapshot() | Delta():
                return self._told(message, sender, now)
            case _:
                return None

    def refused(self, effect: Send, now: float) -> None:
        """This effect could not be carried out: the outbox is at its mark."""
        if isinstance(effect.message, Snapshot | Delta):
            publisher = self._publisher(effect.message.table)
            if publisher is not None:
                publisher.refused(effect.to, effect.message, now)

    def writable(self, address: Address, now: float) -> list[Effect]:
        """An outbox that had refused something takes messages again."""
        effects: list[Effect] = []
        for publisher in self._all_publishers():
            effects += publisher.writable(address, now)
        return effects

    def carry_out(self, effects: list[Effect], send: Callable[[Address, Message], bool], now: float) -> list[News]:
        """Send what is to be sent, by `send` (False: refused), and return the rest, which is the actor's to act by."""
        news: list[News] = []
        for effect in effects:
            if isinstance(effect, Send):
                if not send(effect.to, effect.message):
                    self.refused(effect, now)
            else:
                news.append(effect)
        return news

    def next_deadline(self) -> float:
        """When `timer` has something to do; inf: never."""
        deadline = self._begin_at
        for publisher in self._all_publishers():
            deadline = min(deadline, publisher.next_deadline())
        for held in self._held.values():
            deadline = min(deadline, held.holder.next_deadline())
        for gathering, _ in self._gatherings.values():
            deadline = min(deadline, gathering.next_deadline())
        for regaining in self._regaining.values():
            deadline = min(deadline, regaining.open_at, *(holder.next_deadline() for _, holder in regaining.copies.values()))
        return deadline

    def timer(self, now: float) -> list[Effect]:
        """The deadline came. Early or repeated calls do no harm."""
        effects: list[Effect] = []
        if now >= self._begin_at:
            self._begin_at, self._is_begun = inf, True
            for gathering, _ in self._gatherings.values():
                effects += gathering.begin(now)
            for regaining in self._regaining.values():
                regaining.open_at = now + GATHER_S
        for held in self._held.values():
            if held.publisher is not None:
                effects += self._to(held.publisher[1], held.holder.timer(now))
        for gathering, _ in self._gatherings.values():
            effects += gathering.timer(now)
        for table in list(self._regaining):
            for address, holder in self._regaining[table].copies.values():
                effects += self._to(address, holder.timer(now))
            effects += self._open_regained(table, now)
        for publisher in self._all_publishers():
            effects += publisher.timer(now)
        return effects + self._settle(now)

    def statistics(self) -> dict[str, int]:
        """`<table>.entries`, `<table>.version` and so on for each table."""
        found: dict[str, int] = {}
        for table, (publisher, _) in self._publishers.items():
            found |= {f"{table}.{name}": value for name, value in publisher.statistics().items()}
        for table, held in self._held.items():
            found[f"{table}.entries"] = len(held.holder.entries)
            found[f"{table}.version"] = held.holder.version
        return found

    # --- inside

    def _all_publishers(self) -> Iterator[TablePublisher]:
        for publisher, _ in self._publishers.values():
            yield publisher
        for held in self._held.values():
            if held.copy is not None:
                yield held.copy

    def _publisher(self, table: str) -> TablePublisher | None:
        found = self._publishers.get(table)
        if found is not None:
            return found[0]
        held = self._held.get(table.removesuffix(COPY)) if table.endswith(COPY) else None
        return held.copy if held is not None else None

    def _here(self, role: Role, address: Address, now: float) -> list[Effect]:
        effects: list[Effect] = []
        for publisher, to in self._publishers.values():
            if _is(role, to) and role != self.role:
                publisher.expect(address)
        for held in self._held.values():
            if _is(role, held.of):
                held.publisher = (role, address)
                effects += self._to(address, held.holder.publisher_here(now))
        for gathering, of in self._gatherings.values():
            if _is(role, of):
                effects += gathering.owner_here(role, address, now)
        for table, regaining in self._regaining.items():
            if _is(role, regaining.of):
                holder = TableHolder(table + COPY)
                regaining.copies[role] = (address, holder)
                effects += self._to(address, holder.publisher_here(now))
        return effects

    def _gone(self, role: Role, address: Address, now: float) -> list[Effect]:
        effects: list[Effect] = []
        for publisher, _ in self._publishers.values():
            effects += publisher.gone(address, now)
        for held in self._held.values():
            if held.publisher == (role, address):
                held.publisher = None
                held.copy = None
                held.holder.publisher_gone()
        for gathering, of in self._gatherings.values():
            if _is(role, of):
                effects += gathering.owner_gone(role, now)
        for table in list(self._regaining):
            self._regaining[table].copies.pop(role, None)
            effects += self._open_regained(table, now)
        return effects + self._settle(now)

    def _asked(self, message: Ask | Confirmed, sender: Address, now: float) -> list[Effect]:
        if sender not in self._names:
            # Not served until it is named: nobody would ever say that it is gone.
            if isinstance(message, Ask) and (sender in self._early or len(self._early) < EARLY):
                asks = self._early.setdefault(sender, {})
                if len(asks) < EARLY:
                    asks[message.table] = message
            return []
        if message.table.endswith(COPY) and isinstance(message, Ask):
            self._offer_copy(message.table, sender)
        publisher = self._publisher(message.table)
        if publisher is None:
            return []
        return publisher.receive(sender, message, now) + self._settle(now)

    def _offer_copy(self, table: str, sender: Address) -> None:
        held = self._held.get(table.removesuffix(COPY))
        if held is None or not held.gives_back or held.copy is not None or held.publisher is None or held.publisher[1] != sender:
            return
        held.copy = TablePublisher(table, epoch=held.holder.epoch, limits=self._limits)
        held.copy.load(held.holder.entries, version=held.holder.version)

    def _told(self, message: Snapshot | Delta, sender: Address, now: float) -> list[Effect]:
        role = self._names.get(sender)
        if role is None:
            return []
        held = self._held.get(message.table)
        if held is not None:
            if held.publisher != (role, sender):
                return []
            epoch = held.holder.epoch
            difference, answers = held.holder.receive(message, now)
            if held.holder.epoch != epoch:
                held.copy = None  # the new life has what it wanted
            effects: list[Effect] = []
            # First the change, then its confirmation: who hears of it may act on it.
            if difference is not None:
                effects.append(
                    Changed(
                        table=message.table,
                        owner=role,
                        entries=difference.entries,
                        removed=tuple(difference.removed),
                        is_snapshot=difference.is_snapshot,
                    )
                )
            return effects + self._to(sender, answers)
        gathered = self._gatherings.get(message.table)
        if gathered is not None:
            return gathered[0].receive(role, message, now)
        table = message.table.removesuffix(COPY)
        regaining = self._regaining.get(table)
        if regaining is not None and role in regaining.copies:
            _, answers = regaining.copies[role][1].receive(message, now)
            return self._to(sender, answers) + self._open_regained(table, now)
        return []

    def _open_regained(self, table: str, now: float) -> list[Effect]:
        """When all copies are here, or the time for it is over: go on from the newest."""
        regaining = self._regaining[table]
        if regaining.open_at == inf:
            return []
        if now < regaining.open_at and not all(holder.is_current for _, holder in regaining.copies.values()):
            return []
        del self._regaining[table]
        best: TableHolder | None = None
        owner = ""
        for role, (_, holder) in regaining.copies.items():
            if best is None or (holder.epoch, holder.version) > (best.epoch, best.version):
                best, owner = holder, role
        entries = dict(best.entries) if best is not None else {}
        for key, value in entries.items():
            regaining.publisher.put(key, value, now)
        changed = Changed(table=table, owner=owner, entries=entries, removed=(), is_snapshot=True)
        return [changed, *regaining.publisher.open(now)]

    def _settle(self, now: float) -> list[Effect]:
        effects: list[Effect] = []
        for gathering, _ in self._gatherings.values():
            effects += gathering.settle(now)
        return effects

    @staticmethod
    def _to(address: Address, messages: list[Message]) -> list[Effect]:
        return [Send(to=address, message=message) for message in messages]


def _is(role: Role, wanted: Role) -> bool:
    return role.startswith(wanted) if wanted.endswith(":") else role == wanted


