"""Thespian's own test suite passes on our base; what cannot apply is listed with its reason."""

from __future__ import annotations

import pytest

from tests.conformance.suite import CANNOT_APPLY, Base, Outcome, run, without_parameters


@pytest.fixture(scope="module")
def outcomes() -> dict[str, Outcome]:
    return run("ours")


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_at_least_350_tests_of_thespians_suite_pass(outcomes: dict[str, Outcome]) -> None:
    assert sum(outcome == "passed" for outcome in outcomes.values()) >= 350


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_what_fails_of_thespians_suite_is_what_cannot_apply(outcomes: dict[str, Outcome]) -> None:
    assert {without_parameters(test) for test, outcome in outcomes.items() if outcome == "failed"} == set(CANNOT_APPLY)


@pytest.mark.stock
@pytest.mark.timeout(1800)
def test_stock_base_passes_thespians_suite() -> None:
    base: Base = "stock"
    assert "failed" not in run(base).values()
