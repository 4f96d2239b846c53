"""Gateways and a topic manager exchange tables while deltas are lost, actors die, stop and come back in storms.

The gateways change their subscriptions at random and ask for confirmation of some; the topic manager merges them, and orders
retained values. What must hold:

- a copy's version never goes back within an epoch;
- a confirmation is never given before every living gateway acts by what it confirms;
- what was confirmed and not changed since never disappears from a living gateway's copy, whoever else dies;
- without loss, everybody is level 0.4 s after the last start;
- a retained value that was settled is never lost while a gateway lives that has it;
- everything that is kept for a peer has a bound;
- when all is quiet, every copy equals what its publishers say, every token is answered and no timer is armed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import msgspec

from majula.messages.base import Message
from majula.messages.topics import Retain, Retained
from majula.tables.effects import Changed, InForce, Unconfirmed
from majula.tables.publisher import TablePublisher
from majula.topics.interest import INTEREST, SUBSCRIPTIONS, InterestMerge, Interests
from majula.topics.retained import RETAINED, RetainedCopy, RetainedOrder, RetainedValue, Retaining
from tests.simulation import node
from tests.simulation.network import Network
from tests.simulation.node import REGISTRY_S, Actor, Outcome, Plan, World

TOPIC_MANAGER = "topic_manager"
NEVER = (0, 0)
RECOVERY_S = 0.4
"""Without loss no retry is needed, and the first one would come after 0.5 s: what takes longer has waited for it."""


@dataclass
class _Confirmation:
    """What a gateway asked to be confirmed: its own keys at that moment (each with its last change), and since when it waits."""

    keys: dict[str, int]
    asked_at: float


class _Gateway(Actor["_World"]):
    """A gateway: its own subscriptions, copies of interest and retained values."""

    def __init__(self, world: _World, role: str, incarnation: int) -> None:
        super().__init__(world, role, incarnation)
        self.versions: dict[tuple[str, str], tuple[int, int]] = {}
        self.slice: TablePublisher = self.exchange.publish(SUBSCRIPTIONS, to=TOPIC_MANAGER, needs_holder=True)
        self.exchange.hold(INTEREST, of=TOPIC_MANAGER)
        self.exchange.hold(RETAINED, of=TOPIC_MANAGER, gives_back=True)
        self.interests: Interests[int] = Interests(role)
        self.copy = RetainedCopy()
        self.retaining = Retaining(limit=64, window=8)
        self.waiting: dict[int, _Confirmation] = {}
        self.established: dict[str, int] = {}
        self.changes: dict[str, int] = {}  # own key -> number of its last change
        self.retains: dict[int, str] = {}
        self.manager: str | None = None
        world.net.at(world.net.now + 0.01, self.change)

    def on_role(self, role: str, address: str | None) -> None:
        if role == TOPIC_MANAGER and address != self.manager:
            self.manager = address
            self.retaining.restart()
            self.send_retains()

    def on_message(self, message: Message, sender: str) -> None:
        if isinstance(message, Retained) and self.retaining.settled(message.number):
            topic = self.retains.pop(message.number)
            if not message.code:
                self.world.settled(topic)
            self.send_retains()

    def on_changed(self, effect: Changed) -> None:
        holder = (effect.table, effect.owner)
        epoch, version = self.versions.get(holder, (0, -1))
        statistics = self.exchange.statistics()
        here = statistics[f"{effect.table}.version"]
        owner = self.world.epochs.get((effect.table, effect.owner), 0)
        if owner == epoch and here < version:
            self.world.fail(f"{self.address}: version of {effect.table} went back from {version} to {here}")
        self.versions[holder] = (owner, here)
        if effect.table == INTEREST:
            self.interests.apply(effect.entries, effect.removed)
            self.world.check_established(self)
        else:
            self.copy.apply(effect.entries, effect.removed)

    def on_token(self, effect: InForce | Unconfirmed) -> None:
        confirmation = self.waiting.pop(effect.token)
        if isinstance(effect, InForce):
            self.world.check_confirmed(self, confirmation)

    def change(self) -> None:
        """Subscribe, unsubscribe, retain, ask for confirmation: one thing at random, and again later."""
        world, net = self.world, self.world.net
        if not net.is_alive(self.address) or world.is_quiet:
            return
        wakes = net.paused_until(self.address)
        if wakes > net.now:
            net.at(wakes, self.change)
            return
        choice = net.random.random()
        subject = net.random.choice(("a", "a.b", "a.*", "b.>", "c", "c.d.e", "*.x", f"own.{net.random.randrange(40)}"))
        pattern = "*" in subject or ">" in subject
        session, queue = net.random.randrange(3), net.random.choice(("", "", "q", "r"))
        if choice < 0.5:
            self._slice(self.interests.subscribe(session, subject, pattern=pattern, queue=queue))
        elif choice < 0.8:
            self._slice(self.interests.unsubscribe(session, subject, pattern=pattern, queue=queue))
        elif choice < 0.9:
            frame = f"{self.address} {net.steps}".encode()
            topic = net.random.choice(("a", "b", "c"))
            number = self.retaining.add(topic, frame)
            if number is not None:
                self.retains[number] = topic
                self.send_retains()
        if net.random.random() < 0.2 and len(self.waiting) < 20:
            world.tokens += 1
            self.waiting[world.tokens] = _Confirmation(keys=dict(self.changes), asked_at=net.now)
            timeout_s = net.random.choice((0.5, 2.0, 30.0))
            self.carry_out(self.exchange.confirm(SUBSCRIPTIONS, world.tokens, net.now, timeout_s=timeout_s))
        self.arm()
        net.at(net.now + net.random.expovariate(1 / world.plan.changes), self.change)

    def _slice(self, change: tuple[str, bytes | None] | None) -> None:
        if change is None:
            return
        key, value = change
        self.established.pop(key, None)
        self.changes.pop(key, None)
        if value is not None:
            self.changes[key] = self.world.net.steps
        if value is None:
            self.slice.remove(key, self.world.net.now)
        else:
            self.slice.put(key, value, self.world.net.now)

    def send_retains(self) -> None:
        if self.manager is None:
            return
        for number, topic, frame, is_removal in self.retaining.to_send():
            self.world.net.send(self.address, self.manager, Retain(number, topic, frame, is_removal))


class _TopicManager(Actor["_World"]):
    """The topic manager: merges, orders retained values, settles them when they are in force."""

    def __init__(self, world: _World, role: str, incarnation: int) -> None:
        super().__init__(world, role, incarnation)
        self.merge = InterestMerge()
        self.interest = self.exchange.gather(SUBSCRIPTIONS, of="gateway:", into=INTEREST, merge=self.merge, gather_s=120.0)
        self.retained = self.exchange.regain(RETAINED, of="gateway:")
        self.order = RetainedOrder(epoch=self.exchange.epoch)
        self.early: list[tuple[Retain, str]] = []
        self.settling: dict[int, tuple[str, int]] = {}
        self.tokens = 0
        world.epochs[(INTEREST, role)] = world.epochs[(RETAINED, role)] = self.exchange.epoch

    def on_message(self, message: Message, sender: str) -> None:
        if isinstance(message, Retain):
            if not self.retained.is_open:
                self.early.append((message, sender))
            else:
                self._retain(message, sender)

    def on_changed(self, effect: Changed) -> None:
        if effect.table == RETAINED:
            self.order.load(effect.entries)
            self.world.check_regained(self, effect.entries)
            # After this step: the table opens in it.
            self.world.net.at(self.world.net.now, self._opened)

    def _opened(self) -> None:
        if self.world.net.is_alive(self.address):
            early, self.early = self.early, []
            for message, sender in early:
                self._retain(message, sender)

    def _retain(self, message: Retain, sender: str) -> None:
        now = self.world.net.now
        value = self.order.put(message.topic, message.frame)
        if value is None:
            self.world.net.send(self.address, sender, Retained(message.number, "limit_reached"))
            return
        self.retained.put(message.topic, value, now)
        self.tokens += 1
        self.settling[self.tokens] = (sender, message.number)
        self.carry_out(self.exchange.confirm(RETAINED, self.tokens, now, timeout_s=60.0))

    def on_token(self, effect: InForce | Unconfirmed) -> None:
        sender, number = self.settling.pop(effect.token)
        self.world.net.send(self.address, sender, Retained(number, "" if isinstance(effect, InForce) else "unavailable"))


class _World(World):
    """What must hold between gateways and the topic manager."""

    def __init__(self, plan: Plan, net: Network) -> None:
        self.tokens = 0
        self.epochs: dict[tuple[str, str], int] = {}
        self.witnesses: dict[str, tuple[tuple[int, int], set[str]]] = {}
        super().__init__(plan, net, name="tables", control=TOPIC_MANAGER, cast=self._make)

    def _make(self, role: str, incarnation: int) -> _TopicManager | _Gateway:
        return (_TopicManager if role == TOPIC_MANAGER else _Gateway)(self, role, incarnation)

    def start(self, role: str) -> None:
        super().start(role)
        started_at = self.net.now
        if self.net.faults.loss:
            return  # also where it ends meanwhile: what was lost before is asked for again later

        def check() -> None:
            if self.disturbed_until > started_at or self.actors.keys() != self.all_roles:
                return
            for gateway in self.gateways():
                for table in (INTEREST, RETAINED):
                    if not gateway.exchange.is_current(table):
                        self.fail(f"{gateway.address} has no current {table} {RECOVERY_S} s after {role} has started")

        self.net.at(started_at + RECOVERY_S, check)

    def gateways(self) -> list[_Gateway]:
        return [actor for actor in self.actors.values() if isinstance(actor, _Gateway)]

    def check_confirmed(self, gateway: _Gateway, confirmation: _Confirmation) -> None:
        """InForce: everybody that the topic manager could know of acts by what the gateway asked to be confirmed."""
        self.score += 1
        unchanged = {key: number for key, number in confirmation.keys.items() if gateway.changes.get(key) == number}
        for other in self.gateways():
            if self.registered_at[other.address] + REGISTRY_S >= confirmation.asked_at:
                continue
            for key in unchanged:
                if not _names(other, key, gateway.role):
                    self.fail(f"{gateway.address} was told that {key} is in force, but {other.address} does not have it")
        # A gateway that began later knows it by the snapshot with which it begins, so from now on nobody may lack it.
        gateway.established |= unchanged

    def check_established(self, other: _Gateway) -> None:
        """A table was taken: what was confirmed and has not changed is in it."""
        for gateway in self.gateways():
            if gateway is other:
                continue
            for key in gateway.established:
                if not _names(other, key, gateway.role):
                    self.fail(f"{other.address} has lost {key} of {gateway.address}, which was confirmed")

    def settled(self, topic: str) -> None:
        """A retained value was acknowledged: these gateways have it or a newer one, and while one of them lives it is not
        lost."""
        orders = {gateway.address: _order(gateway.exchange.held(RETAINED).get(topic)) for gateway in self.gateways()}
        having = {address: order for address, order in orders.items() if order > NEVER}
        if having:
            self.witnesses[topic] = (min(having.values()), set(having))

    def check_regained(self, manager: _TopicManager, copies: Mapping[str, bytes]) -> None:
        """A topic manager goes on from these values: none is older than what a living gateway had when it was acknowledged."""
        living = {gateway.address for gateway in self.gateways()}
        for topic, (order, witnesses) in self.witnesses.items():
            if witnesses & living and _order(copies.get(topic)) < order:
                self.fail(f"{manager.address} goes on with {topic} at {_order(copies.get(topic))}, it was {order}")

    def check_quiet(self) -> None:
        """Nothing has changed for a while: all copies are equal, all tokens answered, all timers off."""
        manager = self.actors[TOPIC_MANAGER]
        assert isinstance(manager, _TopicManager)
        wanted = InterestMerge()
        expected: dict[str, bytes | None] = {}
        for gateway in self.gateways():
            expected |= wanted.apply(gateway.role, dict(gateway.slice.items()), ())
        for gateway in self.gateways():
            if dict(gateway.exchange.held(INTEREST)) != expected:
                self.fail(f"{gateway.address}: interest differs from what the gateways want")
            if dict(gateway.exchange.held(RETAINED)) != dict(manager.retained.items()):
                self.fail(f"{gateway.address}: retained values differ from the topic manager's")
            if gateway.waiting:
                self.fail(f"{gateway.address}: tokens {sorted(gateway.waiting)} were never answered")
            if len(gateway.retaining):
                self.fail(f"{gateway.address}: {len(gateway.retaining)} retained publishes were never settled")
        living = {actor.address for actor in self.actors.values()}
        for topic, (order, witnesses) in self.witnesses.items():
            if witnesses & living and _order(manager.retained.get(topic)) < order:
                self.fail(f"the retained value of {topic} is lost, though {sorted(witnesses & living)} had it")
        super().check_quiet()


def _names(gateway: _Gateway, key: str, owner: str) -> bool:
    """Whether the gateway's interest in `key` names `owner`, as its routes would."""
    if gateway.role == owner:
        return True
    value = gateway.exchange.held(INTEREST).get(key)
    return value is not None and owner.encode() in value


def _order(value: bytes | None) -> tuple[int, int]:
    """The place of a retained value in the order of all."""
    if value is None:
        return NEVER
    retained = msgspec.msgpack.decode(value, type=RetainedValue)
    return retained.epoch, retained.sequence


def run(plan: Plan, *, until: int | None = None, trace: bool = False) -> Outcome:
    """One run; see `node.run`."""
    return node.run(plan, _World, until=until, trace=trace)
