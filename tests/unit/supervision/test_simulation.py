"""Whatever happens to the children: no two lives of one role, no timer that spins, and calm brings everybody back."""

from __future__ import annotations

import random
from typing import get_args

from hypothesis import given, settings
from hypothesis import strategies as st

from majula.messages.supervision import Strategy
from majula.supervision.events import StopAsked

from .world import World, spec

ROLES = ("one", "two", "three", "four")
FAULTS = ("die", "freeze", "thaw", "break", "mend", "slow", "quick", "stubborn", "wait")
steps = st.lists(st.tuples(st.sampled_from(FAULTS), st.sampled_from(ROLES), st.floats(0.0, 8.0)), max_size=40)


def torment(world: World, happenings: list[tuple[str, str, float]]) -> None:
    marks = {"freeze": world.frozen, "break": world.broken, "slow": world.slow, "stubborn": world.stubborn}
    lifts = {"thaw": world.frozen, "mend": world.broken, "quick": world.slow}
    for what, role, seconds in happenings:
        if what == "die" and role in world.living:
            world.die(role)
        elif what in marks:
            marks[what].add(role)
        elif what in lifts:
            lifts[what].discard(role)
        world.run_for(seconds)
        running = {role for role in ROLES if world.state(role) == "running"}
        stopping = {role for role in ROLES if world.state(role) == "stopping"}
        assert running <= set(world.roles.entries) <= running | stopping
        assert running <= set(world.living)


def soothe(world: World) -> None:
    for mark in (world.frozen, world.broken, world.slow, world.stubborn):
        mark.clear()
    world.run_for(200.0)


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(get_args(Strategy)), steps)
def test_every_child_runs_again_when_the_faults_end(strategy: Strategy, happenings: list[tuple[str, str, float]]) -> None:
    world = World([spec(role) for role in ROLES], strategy=strategy).begin()
    torment(world, happenings)
    soothe(world)
    assert {world.state(role) for role in ROLES} == {"running"}
    assert all(world.roles.entries[role].incarnation == world.living[role] for role in ROLES)


@settings(max_examples=40, deadline=None)
@given(st.sampled_from(get_args(Strategy)), steps)
def test_stop_ends_every_child_whatever_it_does(strategy: Strategy, happenings: list[tuple[str, str, float]]) -> None:
    world = World([spec(role) for role in ROLES], strategy=strategy).begin()
    torment(world, happenings)
    world.feed(StopAsked())
    world.run_for(30.0)
    assert world.is_stopped
    assert not world.living


def test_a_long_life_under_random_faults_is_the_same_under_the_same_seed() -> None:
    logs = []
    for _ in range(2):
        dice = random.Random(0x5EED)
        world = World([spec(role) for role in ROLES], strategy="rest_for_one").begin()
        torment(world, [(dice.choice(FAULTS), dice.choice(ROLES), dice.random() * 5) for _ in range(400)])
        logs.append(world.log)
    assert logs[0] == logs[1]
