"""Gateways and a topic manager exchange tables while deltas are lost, actors die, stop and come back in storms.

The gateways change their subscriptions at random and ask for confirmation of some; the topic manager merges them, and orders
retained values. What must hold:

- a copy's version never goes back within an epoch;
- a confirmation is never given before every living gateway acts by what it confirms;
- what was confirmed and not changed since never disappears from a living gateway's copy, whoever else dies;
- a retained value that was settled is never lost while a gateway lives that has it;
- everything that is kept for a peer has a bound;
- when all is quiet, every copy equals what its publishers say, every token is answered and no timer is armed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import inf

import msgspec

from majula.messages.base import Message
from majula.messages.topics import Retain, Retained
from majula.tables.effects import Changed, Effect, InForce, Unconfirmed
from majula.tables.exchange import TableExchange
from majula.tables.publisher import Limits, TablePublisher
from majula.topics.interest import INTEREST, SUBSCRIPTIONS, InterestMerge, Interests
from majula.topics.retained import RETAINED, RetainedCopy, RetainedOrder, RetainedValue, Retaining
from tests.simulation.network import Faults, Network, SimulationFailure

TOPIC_MANAGER = "topic_manager"
REGISTRY_S = 0.02
"""Longest time until an actor hears of a change of the registry."""
NEVER = (0, 0)
QUIET_S = 40.0
"""Longer than any retry: a probe or a question is repeated after 8 s at most."""


@dataclass
class Plan:
    """One run.

    Args:
        seed: of everything.
        gateways: how many.
        steps: events until the faults end.
        loss: share of snapshots and deltas that vanish.
        kills: mean seconds between two deaths.
        storms: chance that a death takes all gateways along.
        changes: mean seconds between two changes at one gateway.
    """

    seed: int
    gateways: int = 3
    steps: int = 4_000
    loss: float = 0.05
    kills: float = 0.7
    storms: float = 0.15
    changes: float = 0.02


@dataclass
class _Confirmation:
    """What a gateway asked to be confirmed: its own keys at that moment (each with its last change), and since when it waits."""

    keys: dict[str, int]
    asked_at: float


class _Actor:
    """One life of one role."""

    def __init__(self, world: World, role: str, incarnation: int) -> None:
        self.world, self.role, self.incarnation = world, role, incarnation
        self.address = f"{role}@{incarnation}"
        self.born_at = world.net.now
        self.versions: dict[tuple[str, str], tuple[int, int]] = {}
        self.exchange = TableExchange(
            role=role,
            incarnation=incarnation,
            random32=world.net.random.getrandbits(32),
            now=world.net.now,
            limits=world.limits,
        )
        self._armed = inf
        world.net.join(self.address, self.receive, self.writable)

    def on_message(self, message: Message, sender: str) -> None:
        raise NotImplementedError

    def on_changed(self, effect: Changed) -> None:
        raise NotImplementedError

    def on_role(self, role: str, address: str | None) -> None:
        """A role lives somewhere else now."""

    def on_token(self, effect: InForce | Unconfirmed) -> None:
        raise NotImplementedError

    def roles(self, registry: dict[str, tuple[str, int]]) -> None:
        """The registry as it is now, every role told in one step."""
        if not self.world.net.is_alive(self.address):
            return
        for role in sorted(registry.keys() | self.world.all_roles):
            address, incarnation = registry.get(role, (None, 0))
            self.carry_out(self.exchange.role_changed(role, address, incarnation, self.world.net.now))
            self.on_role(role, address)

    def receive(self, message: Message, sender: str) -> None:
        effects = self.exchange.receive(message, sender, self.world.net.now)
        if effects is None:
            self.on_message(message, sender)
            self.arm()
        else:
            self.carry_out(effects)

    def writable(self, address: str) -> None:
        self.carry_out(self.exchange.writable(address, self.world.net.now))

    def timer(self) -> None:
        net = self.world.net
        if not net.is_alive(self.address) or self._armed > net.now:
            return
        wakes = net.paused_until(self.address)
        if wakes > net.now:
            net.at(wakes, self.timer)
            return
        self._armed = inf
        before = self.exchange.next_deadline()
        self.carry_out(self.exchange.timer(net.now))
        after = self.exchange.next_deadline()
        if before <= net.now and after <= net.now:
            self.world.fail(f"the timer of {self.address} stands still at {after}")

    def carry_out(self, effects: list[Effect]) -> None:
        net = self.world.net
        for news in self.exchange.carry_out(effects, lambda to, message: net.send(self.address, to, message), net.now):
            if isinstance(news, Changed):
                self.on_changed(news)
            else:
                self.on_token(news)
        self.arm()

    def arm(self) -> None:
        deadline = self.exchange.next_deadline()
        if deadline < self._armed:
            self._armed = deadline
            self.world.net.at(deadline, self.timer)


class _Gateway(_Actor):
    """A gateway: its own subscriptions, copies of interest and retained values."""

    def __init__(self, world: World, role: str, incarnation: int) -> None:
        super().__init__(world, role, incarnation)
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


class _TopicManager(_Actor):
    """The topic manager: merges, orders retained values, settles them when they are in force."""

    def __init__(self, world: World, role: str, incarnation: int) -> None:
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


class World:
    """All actors, the registry, and what must hold."""

    def __init__(self, plan: Plan, net: Network) -> None:
        self.plan, self.net = plan, net
        self.is_quiet = False
        self.tokens = 0
        self.epochs: dict[tuple[str, str], int] = {}
        self.all_roles = {TOPIC_MANAGER, *(f"gateway:{n}" for n in range(plan.gateways))}
        self.incarnations = dict.fromkeys(sorted(self.all_roles), 0)
        self.actors: dict[str, _Actor] = {}
        self.registry: dict[str, tuple[str, int]] = {}
        self.registered_at: dict[str, float] = {}
        self.confirmed = 0
        self.witnesses: dict[str, tuple[tuple[int, int], set[str]]] = {}
        self._told: dict[str, float] = {}
        # So small that snapshots and deltas come in parts, windows close and tombstones are forgotten.
        pick = net.random.choice
        self.limits = Limits(
            part_bytes=pick((30, 200, 256 * 1024)),
            part_entries=pick((1, 3, 4_096)),
            window_bytes=pick((40, 300, 1024 * 1024)),
            tombstones=pick((0, 2, 4_096)),
        )
        for role in sorted(self.all_roles):
            net.at(net.random.uniform(0, 0.2), lambda role=role: self.start(role))  # type: ignore[misc] # a default binds the loop's value

    # --- lives

    def start(self, role: str) -> None:
        self.incarnations[role] += 1
        cls = _TopicManager if role == TOPIC_MANAGER else _Gateway
        actor = self.actors[role] = cls(self, role, self.incarnations[role])
        self.net.trace(f"START   {actor.address}")
        self.registry[role] = (actor.address, actor.incarnation)
        self.registered_at[actor.address] = self.net.now
        actor.arm()
        self.tell()

    def kill(self, role: str, away_s: float) -> None:
        actor = self.actors.pop(role, None)
        if actor is None:
            return
        self.net.trace(f"KILL    {actor.address}")
        self.net.leave(actor.address)
        self.registry.pop(role)
        self.tell()
        self.net.at(self.net.now + away_s, lambda: self.start(role))

    def tell(self) -> None:
        """The registry goes to each actor by a way of its own, in order."""
        registry = dict(self.registry)
        for actor in self.actors.values():
            # As long as the longest delay, so that no two registries overtake each other on one way.
            at = max(self._told.get(actor.address, 0.0), self.net.now + self.net.random.uniform(0.0001, REGISTRY_S))
            self._told[actor.address] = at
            self.net.at(at, lambda actor=actor: actor.roles(registry))  # type: ignore[misc] # as above

    def fault(self) -> None:
        if self.is_quiet:
            return
        random = self.net.random
        choice = random.random()
        role = random.choice(sorted(self.all_roles))
        if choice < self.plan.storms:
            for gateway in sorted(self.all_roles - {TOPIC_MANAGER}):
                self.kill(gateway, random.uniform(0.0, 0.3))
        elif choice < 0.35:
            self.kill(TOPIC_MANAGER, random.uniform(0.0, 0.5))
        elif choice < 0.7:
            self.kill(role, random.uniform(0.0, 0.5))
        elif role in self.actors:
            self.net.trace(f"STOP    {self.actors[role].address}")
            self.net.pause(self.actors[role].address, self.net.now + random.uniform(0.05, 2.5))
        self.net.at(self.net.now + random.expovariate(1 / self.plan.kills), self.fault)

    # --- what must hold

    def fail(self, what: str) -> None:
        plan = self.plan
        raise SimulationFailure(
            f"FAILED tables: {what} at step {self.net.steps:,}, t = {self.net.now:.3f} s\n"
            f"replay:  python -m tests.simulation tables --seed {plan.seed:#x} --gateways {plan.gateways} "
            f"--loss {plan.loss} --steps {plan.steps} --until {self.net.steps} --trace"
        )

    def gateways(self) -> list[_Gateway]:
        return [actor for actor in self.actors.values() if isinstance(actor, _Gateway)]

    def check_confirmed(self, gateway: _Gateway, confirmation: _Confirmation) -> None:
        """InForce: everybody that the topic manager could know of acts by what the gateway asked to be confirmed."""
        self.confirmed += 1
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

    def check_bounds(self) -> None:
        for actor in self.actors.values():
            for name, value in actor.exchange.statistics().items():
                limit = {"entries": 60, "holders": 2 * self.plan.gateways + 2, "tokens": 600}.get(name.partition(".")[2], inf)
                if value > limit:
                    self.fail(f"{actor.address}: {name} is {value}, over {limit}")

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
        for actor in self.actors.values():
            if actor.exchange.next_deadline() < inf:
                self.fail(f"{actor.address} has a timer armed though nothing is to be done")


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


@dataclass
class Outcome:
    """What a run was, so that two runs can be compared."""

    steps: int
    now: float
    confirmed: int
    lives: int
    lines: list[str] = field(default_factory=list)


def run(plan: Plan, *, until: int | None = None, trace: bool = False) -> Outcome:
    """One run: faults for `plan.steps` events, then quiet, then everything must be equal.

    Args:
        until: stop at this event, without the quiet end.
        trace: print what happens.
    Raises:
        SimulationFailure: an invariant does not hold.
    """
    net = Network(seed=plan.seed, faults=Faults(loss=plan.loss), trace=print if trace else None)
    world = World(plan, net)
    net.at(0.5, world.fault)
    while net.steps < plan.steps and net.step():
        if net.steps % 64 == 0:
            world.check_bounds()
        if net.steps == until:
            return Outcome(net.steps, net.now, world.confirmed, sum(world.incarnations.values()))
    world.is_quiet = True
    net.faults.loss = 0.0
    end = net.now + QUIET_S
    while net.next_at() <= end:
        net.step()
        if net.steps > plan.steps + 200_000:
            world.fail("the actors do not come to rest")
        if net.steps == until:
            break
    else:
        world.check_quiet()
    return Outcome(net.steps, net.now, world.confirmed, sum(world.incarnations.values()))
