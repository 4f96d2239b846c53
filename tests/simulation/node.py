"""One node of simulated actors: lives and deaths, the registry that tells of them, and runs from one seed.

What the actors are and what must hold is the scenario's: `tables`, `claims`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import inf
from typing import Any, Generic, TypeVar

from majula.messages.base import Message
from majula.tables import Changed, Effect, InForce, TableExchange, Unconfirmed
from majula.tables.publisher import Limits
from tests.simulation.network import Faults, Network, SimulationFailure

REGISTRY_S = 0.02
"""Longest time until an actor hears of a change of the registry."""
QUIET_S = 40.0
"""Longer than any retry: a probe or a question is repeated after 8 s at most."""

W = TypeVar("W", bound="World")


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


class Actor(Generic[W]):
    """One life of one role."""

    def __init__(self, world: W, role: str, incarnation: int) -> None:
        self.world, self.role, self.incarnation = world, role, incarnation
        self.address = f"{role}@{incarnation}"
        self.born_at = world.net.now
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
        """A copy has changed."""

    def on_role(self, role: str, address: str | None) -> None:
        """A role lives somewhere else now."""

    def on_token(self, effect: InForce | Unconfirmed) -> None:
        """A confirmation came, or will not."""

    def on_step(self) -> None:
        """Effects were carried out."""

    def on_timer(self) -> None:
        """Some deadline came; the actor's own cores may have something to do."""

    def next_deadline(self) -> float:
        """When any core of this actor has something to do."""
        return self.exchange.next_deadline()

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
        before = self.next_deadline()
        self.on_timer()
        self.carry_out(self.exchange.timer(net.now))
        after = self.next_deadline()
        if before <= net.now and after <= net.now:
            self.world.fail(f"the timer of {self.address} stands still at {after}")

    def carry_out(self, effects: list[Effect]) -> None:
        net = self.world.net
        for news in self.exchange.carry_out(effects, lambda to, message: net.send(self.address, to, message), net.now):
            if isinstance(news, Changed):
                self.on_changed(news)
            else:
                self.on_token(news)
        self.on_step()
        self.arm()

    def arm(self) -> None:
        deadline = self.next_deadline()
        if deadline < self._armed:
            self._armed = deadline
            self.world.net.at(deadline, self.timer)


class World:
    """All actors and the registry.

    Args:
        name: of the scenario.
        control: role of the control actor.
        cast: makes the actor of a role.
    """


    def __init__(
        self, plan: Plan, net: Network, *, name: str, control: str, cast: Callable[[str, int], Actor[Any]]
    ) -> None:
        self.name, self.control, self._cast = name, control, cast
        self.plan, self.net = plan, net
        self.is_quiet = False
        self.all_roles = {control, *(f"gateway:{n}" for n in range(plan.gateways))}
        self.incarnations = dict.fromkeys(sorted(self.all_roles), 0)
        self.actors: dict[str, Actor[Any]] = {}
        self.registry: dict[str, tuple[str, int]] = {}
        self.registered_at: dict[str, float] = {}
        self.score = 0
        self.disturbed_until = 0.0  # since then nobody has died, started or been stopped
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
        self.disturbed_until = max(self.disturbed_until, self.net.now)
        self.incarnations[role] += 1
        actor = self.actors[role] = self._cast(role, self.incarnations[role])
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
        self.disturbed_until = max(self.disturbed_until, self.net.now)
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
            for gateway in sorted(self.all_roles - {self.control}):
                self.kill(gateway, random.uniform(0.0, 0.3))
        elif choice < 0.35:
            self.kill(self.control, random.uniform(0.0, 0.5))
        elif choice < 0.7:
            self.kill(role, random.uniform(0.0, 0.5))
        elif role in self.actors:
            self.net.trace(f"STOP    {self.actors[role].address}")
            wakes = self.net.now + random.uniform(0.05, 2.5)
            self.net.pause(self.actors[role].address, wakes)
            self.disturbed_until = max(self.disturbed_until, wakes)
        self.net.at(self.net.now + random.expovariate(1 / self.plan.kills), self.fault)

    # --- what must hold

    def fail(self, what: str) -> None:
        plan = self.plan
        raise SimulationFailure(
            f"FAILED {self.name}: {what} at step {self.net.steps:,}, t = {self.net.now:.3f} s\n"
            f"replay:  python -m tests.simulation {self.name} --seed {plan.seed:#x} --gateways {plan.gateways} "
            f"--loss {plan.loss} --steps {plan.steps} --until {self.net.steps} --trace"
        )

    def check_often(self) -> None:
        """What must hold at any time."""
        for actor in self.actors.values():
            for name, value in actor.exchange.statistics().items():
                limit = {"entries": 60, "holders": 2 * self.plan.gateways + 2, "tokens": 600}.get(name.partition(".")[2], inf)
                if value > limit:
                    self.fail(f"{actor.address}: {name} is {value}, over {limit}")

    def check_quiet(self) -> None:
        """What must hold when nothing has changed for a while."""
        for actor in self.actors.values():
            if actor.next_deadline() < inf:
                self.fail(f"{actor.address} has a timer armed though nothing is to be done")


@dataclass
class Outcome:
    """What a run was, so that two runs can be compared."""

    steps: int
    now: float
    score: int
    lives: int


def run(
    plan: Plan, make: Callable[[Plan, Network], World], *, until: int | None = None, trace: bool = False
) -> Outcome:
    """One run: faults for `plan.steps` events, then quiet, then everything must be equal.

    Args:
        make: the world of a scenario.
        until: stop at this event, without the quiet end.
        trace: print what happens.
    Raises:
        SimulationFailure: an invariant does not hold.
    """
    net = Network(seed=plan.seed, faults=Faults(loss=plan.loss), trace=print if trace else None)
    world = make(plan, net)
    net.at(0.5, world.fault)
    while net.steps < plan.steps and net.step():
        if net.steps % 64 == 0:
            world.check_often()
        if net.steps == until:
            return Outcome(net.steps, net.now, world.score, sum(world.incarnations.values()))
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
    return Outcome(net.steps, net.now, world.score, sum(world.incarnations.values()))
