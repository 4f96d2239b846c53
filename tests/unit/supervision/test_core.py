"""What a supervisor does when its children live and die."""

from __future__ import annotations

from math import inf

import pytest

from majula.messages.supervision import Escalate, RoleEntry, Roles, RoleSlice, Strategy
from majula.supervision.budget import BudgetLimits
from majula.supervision.events import (
    ChildEscalated,
    ChildExited,
    ChildReady,
    DrainAsked,
    RolesCame,
    SliceCame,
    StopAsked,
    TimerFired,
)

from .world import World, spec

THREE = (spec("one"), spec("two"), spec("three"))


# --- start and stop


def test_children_start_in_the_order_given() -> None:
    world = World(THREE).begin()
    assert world.log == ["one start", "two start", "three start"]


def test_child_waits_until_the_one_before_it_is_ready() -> None:
    world = World(THREE)
    world.slow.add("one")
    world.begin()
    assert world.log == ["one start"]
    world.ready("one")
    assert world.log == ["one start", "two start", "three start"]


def test_child_behind_one_that_cannot_be_started_starts_when_that_is_given_up() -> None:
    world = World(THREE)
    world.broken.add("one")
    world.begin()
    world.run_for(5.0)
    assert (world.state("one"), world.state("two")) == ("quarantined", "running")


def test_children_stop_in_reverse_order() -> None:
    world = World(THREE).begin()
    world.log.clear()
    world.feed(StopAsked())
    assert world.log == ["three stop", "two stop", "one stop"]
    assert world.is_stopped


def test_child_that_does_not_stop_in_time_is_killed_then_the_next_one_stops() -> None:
    world = World((spec("one"), spec("two", shutdown_s=3.0))).begin()
    world.stubborn.add("two")
    world.log.clear()
    world.feed(StopAsked())
    assert world.log == ["two stop"]
    world.run_for(3.0)
    assert world.log == ["two stop", "two kill", "one stop"]
    assert world.is_stopped


def test_child_without_shutdown_time_is_killed_at_once() -> None:
    world = World((spec("one", shutdown_s=0.0),)).begin()
    world.log.clear()
    world.feed(StopAsked())
    assert world.log == ["one kill"]


def test_supervisor_that_has_stopped_waits_for_nothing() -> None:
    world = World(THREE).begin()
    world.feed(StopAsked())
    assert world.core.next_deadline() == inf


def test_supervisor_without_children_stops_at_once() -> None:
    world = World(()).begin()
    world.feed(StopAsked())
    assert world.is_stopped


def test_child_that_dies_during_the_stop_is_not_started_again() -> None:
    world = World(THREE).begin()
    world.stubborn.add("three")
    world.feed(StopAsked())
    world.log.clear()
    world.die("one")
    world.run_for(10.0)
    assert "one start" not in world.log
    assert world.is_stopped


def test_child_that_is_not_ready_in_time_counts_as_hung() -> None:
    world = World((spec("one", start_s=2.0),))
    world.slow.add("one")
    world.begin()
    world.run_for(2.0)
    assert "child.hung" in world.said("one")
    assert world.reports[-1].reason == "hung: not ready within 2 s"


# --- strategies


@pytest.mark.parametrize(
    ("strategy", "log"),
    [
        ("one_for_one", ["two died", "two start"]),
        ("rest_for_one", ["two died", "three stop", "two start", "three start"]),
        ("one_for_all", ["two died", "three stop", "one stop", "one start", "two start", "three start"]),
    ],
)
def test_strategy_decides_who_is_restarted(strategy: Strategy, log: list[str]) -> None:
    world = World(THREE, strategy=strategy).begin()
    world.log.clear()
    world.die("two")
    assert world.log == log


def test_rest_for_one_does_not_start_what_stands_behind_a_child_in_quarantine() -> None:
    world = World(THREE, strategy="rest_for_one").begin()
    world.broken.add("two")
    world.die("two")
    world.run_for(5.0)
    assert (world.state("one"), world.state("two"), world.state("three")) == ("running", "quarantined", "waiting")


def test_sibling_that_was_taken_down_spends_no_budget() -> None:
    world = World(THREE, strategy="one_for_all").begin()
    for _ in range(3):
        world.die("one")
        world.run_for(1.0)
        world.die("two")
        world.run_for(1.0)
    assert {world.state(role) for role in ("one", "two", "three")} == {"running"}


def test_temporary_child_is_never_started_again() -> None:
    world = World((spec("one", restart="temporary"),)).begin()
    world.die("one")
    world.run_for(100.0)
    assert world.state("one") == "stopped"


def test_transient_child_that_ended_normally_is_not_started_again() -> None:
    world = World((spec("one", restart="transient"),)).begin()
    world.die("one", "exit status 0", normal=True)
    assert world.state("one") == "stopped"


def test_transient_child_that_crashed_is_started_again() -> None:
    world = World((spec("one", restart="transient"),)).begin()
    world.die("one")
    assert world.state("one") == "running"


def test_permanent_child_that_ended_normally_is_started_again() -> None:
    world = World((spec("one"),)).begin()
    world.die("one", "exit status 0", normal=True)
    assert world.state("one") == "running"


# --- budget


def crash_loop(world: World, role: str) -> None:
    world.broken.add(role)
    world.die(role, "ValueError: bad")
    world.run_for(5.0)


def test_restarts_follow_the_back_off() -> None:
    world = World(THREE).begin()
    at = world.now
    crash_loop(world, "two")
    assert [round(moment - at, 3) for moment in world.created_at["two"][1:]] == [0.0, 0.0, 0.1, 0.3, 0.7]


def test_child_that_spends_its_budget_is_quarantined_and_others_go_on() -> None:
    world = World(THREE).begin()
    crash_loop(world, "two")
    assert world.core.status(0, 1, world.now).degraded
    assert (world.state("one"), world.state("two"), world.state("three")) == ("running", "quarantined", "running")


def test_quarantine_ends_when_the_try_after_sixty_seconds_lives() -> None:
    world = World(THREE).begin()
    crash_loop(world, "two")
    world.broken.clear()
    world.run_for(60.0)
    assert world.state("two") == "running"
    assert not world.core.status(0, 1, world.now).degraded


def test_failed_try_from_quarantine_costs_one_start_a_minute() -> None:
    world = World(THREE).begin()
    crash_loop(world, "two")
    before = len(world.created_at["two"])
    world.run_for(600.0)
    assert len(world.created_at["two"]) - before == 10


def test_vital_child_that_spends_its_budget_escalates() -> None:
    world = World((spec("one"), spec("two", vital=True))).begin()
    crash_loop(world, "two")
    assert world.escalations == [Escalate(offender="two", reason="OSError: no luck")]


def test_nothing_is_restarted_after_an_escalation() -> None:
    world = World((spec("one"), spec("two", vital=True))).begin()
    crash_loop(world, "two")
    world.log.clear()
    world.die("one")
    world.run_for(100.0)
    assert world.log == ["one died"]


def test_last_member_of_a_vital_group_escalates() -> None:
    world = World((spec("one", vital_group="g"), spec("two", vital_group="g"))).begin()
    crash_loop(world, "one")
    assert (world.state("one"), world.escalations) == ("quarantined", [])
    crash_loop(world, "two")
    assert [escalate.offender for escalate in world.escalations] == ["two"]


def test_child_supervisor_that_gives_up_makes_its_vital_parent_give_up() -> None:
    world = World((spec("supervisor:data", vital=True),)).begin()
    world.feed(ChildEscalated("supervisor:data", Escalate("gateway:1", "OSError: no")))
    assert world.escalations == [Escalate("gateway:1", "OSError: no")]


def test_child_supervisor_that_gives_up_and_is_not_vital_is_quarantined_at_once() -> None:
    world = World((spec("supervisor:groups"),)).begin()
    world.feed(ChildEscalated("supervisor:groups", Escalate("raft_storage", "OSError: no")))
    assert (world.state("supervisor:groups"), world.log[-1]) == ("quarantined", "supervisor:groups kill")


def test_every_death_is_in_the_status_with_its_reason() -> None:
    world = World((spec("one"),)).begin()
    world.die("one", "ValueError: bad topic")
    world.run_for(2.0)
    (child,) = world.core.status(0, 1, world.now).children
    assert [(death.reason, death.incarnation, death.ago_s) for death in child.deaths] == [("ValueError: bad topic", 1, 2.0)]
    assert child.restarts == 1


def test_status_keeps_the_last_eight_deaths_only() -> None:
    world = World((spec("one"),), budget=BudgetLimits(deaths=100)).begin()
    for _ in range(20):
        world.die("one")
        world.run_for(10.0)
    assert len(world.core.status(0, 1, world.now).children[0].deaths) == 8


# --- hung children


def test_frozen_child_is_found_within_three_seconds_and_restarted() -> None:
    world = World(THREE).begin()
    world.run_for(10.2)
    frozen_at = world.now
    world.frozen.add("two")
    world.run_for(10.0, until=lambda: "two kill" in world.log)
    assert 1.5 <= world.now - frozen_at <= 3.0
    assert world.state("two") == "running"
    assert next(r.reason for r in world.reports if r.context == "child.died") == "hung: 4 pings unanswered"


def test_child_that_is_frozen_while_it_starts_is_found_as_fast() -> None:
    world = World((spec("one", start_s=60.0),))
    world.slow.add("one")
    world.frozen.add("one")
    world.begin()
    world.run_for(3.0)
    assert "child.hung" in world.said("one")


@pytest.mark.parametrize("since_start", [True, False])
def test_child_is_hung_after_four_unanswered_pings_and_not_before(since_start: bool) -> None:
    world = World((spec("one"),))
    if since_start:
        world.frozen.add("one")
    world.begin()
    if not since_start:
        world.run_for(10.0)
        world.frozen.add("one")
    frozen_at = world.now
    world.run_for(10.0, until=lambda: "child.hung" in world.said("one"))
    # A ping each half second, from the first tick on; the verdict comes with the one that would be the fifth.
    assert world.now - frozen_at == pytest.approx(5 * 0.5)


def test_child_that_answers_is_never_killed() -> None:
    world = World(THREE).begin()
    world.run_for(1_000.0)
    assert not [entry for entry in world.log if "kill" in entry]


def test_supervisor_that_was_itself_frozen_kills_nobody() -> None:
    world = World(THREE).begin()
    world.run_for(1.0)
    world.now += 600.0
    world.feed(TimerFired())
    world.run_for(10.0)
    assert not [entry for entry in world.log if "kill" in entry]


# --- registry


def test_registry_lists_children_that_are_ready() -> None:
    world = World(THREE)
    world.slow.add("three")
    world.begin()
    assert set(world.roles.entries) == {"one", "two"}


def test_registry_drops_a_dead_child_and_lists_its_next_life() -> None:
    world = World((spec("one"),)).begin()
    version = world.roles.version
    world.slow.add("one")
    world.die("one")
    assert (world.roles.entries, world.roles.version) == ({}, version + 1)
    world.ready("one")
    assert world.roles.entries["one"].incarnation == 2


def test_root_lists_what_a_child_supervisor_has_below_it() -> None:
    world = World((spec("supervisor:control"),)).begin()
    router = RoleEntry("a9", 1, 9)
    world.feed(SliceCame("supervisor:control", RoleSlice({"router": router}, {"router": 1})))
    assert world.roles.entries["router"] == router
    world.die("supervisor:control")
    assert "router" not in world.roles.entries


def test_supervisor_below_the_root_passes_its_slice_up() -> None:
    world = World((spec("one"),), is_root=False).begin()
    assert set(world.slices[-1].entries) == {"one"}


def test_registry_of_an_older_version_is_ignored() -> None:
    world = World((spec("one"),), is_root=False).begin()
    world.feed(RolesCame(Roles(5, {})))
    world.feed(RolesCame(Roles(4, {"router": RoleEntry("a1", 1, 1)})))
    assert world.roles.version == 5


def test_end_of_a_former_life_is_ignored() -> None:
    world = World((spec("one"),)).begin()
    former = world.living["one"]
    world.die("one")
    world.feed(ChildExited(role="one", incarnation=former, reason="late"))
    assert world.state("one") == "running"
    assert world.said("one").count("child.died") == 1


def test_ready_of_a_former_life_is_ignored() -> None:
    world = World((spec("one"),)).begin()
    world.slow.add("one")
    world.die("one")
    world.feed(ChildReady(role="one", incarnation=1, pid=5))
    assert world.state("one") == "starting"


# --- drain


def test_drain_is_over_when_every_child_said_so() -> None:
    world = World(THREE).begin()
    world.feed(DrainAsked(deadline_s=10.0))
    assert world.is_drained


def test_drain_is_over_at_its_deadline_whoever_is_still_busy() -> None:
    world = World(THREE).begin()
    world.busy.add("two")
    world.feed(DrainAsked(deadline_s=10.0))
    assert not world.is_drained
    world.run_for(11.0)
    assert world.is_drained


def test_child_that_dies_while_it_drains_is_not_waited_for() -> None:
    world = World(THREE).begin()
    world.busy.add("two")
    world.feed(DrainAsked(deadline_s=10.0))
    world.die("two")
    assert world.is_drained
