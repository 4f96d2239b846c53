"""How often a child may die, and how long it waits."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from majula.supervision import RestartBudget
from majula.supervision.budget import BudgetLimits


def fresh(**numbers: float) -> RestartBudget:
    return RestartBudget(BudgetLimits(**numbers))  # type: ignore[arg-type] # numbers by name


def test_sixth_death_within_thirty_seconds_spends_the_budget() -> None:
    budget = fresh()
    assert [budget.died(float(second)) is None for second in range(6)] == [False] * 5 + [True]


def test_first_two_restarts_are_immediate_then_the_wait_doubles() -> None:
    budget = fresh()
    assert [budget.died(0.0) for _ in range(5)] == [0.0, 0.0, 0.1, 0.2, 0.4]


def test_wait_never_exceeds_five_seconds() -> None:
    budget = fresh(deaths=2_000)
    assert [budget.died(0.0) for _ in range(1_999)][-1] == 5.0


def test_thirty_quiet_seconds_reset_the_budget() -> None:
    budget = fresh()
    for _ in range(5):
        budget.died(0.0)
    assert budget.died(30.0) == 0.0


def test_deaths_eight_seconds_apart_never_spend_the_budget() -> None:
    budget = fresh()
    assert all(budget.died(8.0 * number) is not None for number in range(100))


def test_one_death_on_probation_spends_the_budget() -> None:
    budget = fresh()
    budget.retried(60.0)
    assert budget.died(89.9) is None


def test_probation_that_is_survived_gives_a_full_budget() -> None:
    budget = fresh()
    budget.retried(60.0)
    assert [budget.died(90.0) for _ in range(3)] == [0.0, 0.0, 0.1]


@given(st.lists(st.floats(min_value=0.0, max_value=20.0), max_size=60))
def test_budget_is_spent_exactly_when_six_deaths_lie_within_the_window(gaps_s: list[float]) -> None:
    budget, now, deaths = fresh(), 0.0, list[float]()
    for gap_s in gaps_s:
        now += gap_s
        deaths = [at for at in deaths if at > now - 30.0] + [now]
        assert (budget.died(now) is None) == (len(deaths) >= 6)


@given(st.lists(st.floats(min_value=0.0, max_value=5.0), min_size=2, max_size=5))
def test_waits_never_shrink_within_one_window(gaps_s: list[float]) -> None:
    budget, now, waits = fresh(), 0.0, list[float]()
    for gap_s in gaps_s:
        now += gap_s
        wait = budget.died(now)
        assert wait is not None
        waits.append(wait)
    assert all(earlier <= later for earlier, later in pairwise(waits))
