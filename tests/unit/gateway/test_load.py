"""When a gateway takes nobody new."""

from __future__ import annotations

import pytest

from majula.errors import Overloaded
from majula.gateway.load import Load
from majula.gateway.settings import GatewayLimits

MIB = 1 << 20


def load(*lags_s: float, memory_mib: int = 10) -> Load:
    found = Load(GatewayLimits(loop_lag_ms=100, memory_bytes=100 * MIB))
    for lag_s in lags_s:
        found.measured(lag_s=lag_s, memory_bytes=memory_mib * MIB)
    return found


def test_gateway_that_is_late_for_a_second_takes_nobody_and_says_when_to_come_again() -> None:
    with pytest.raises(Overloaded) as refusal:
        load(0.2, 0.2, 0.2, 0.2).check()
    assert refusal.value.retry_after_s == 2.0 and refusal.value.detail["reason"] == "loop_lag"


@pytest.mark.parametrize("lags_s", [(9.0,), (9.0, 9.0, 9.0), (9.0, 9.0, 0.05, 9.0), (0.0,) * 8])
def test_single_late_turns_are_no_overload(lags_s: tuple[float, ...]) -> None:
    load(*lags_s).check()


def test_gateway_that_holds_too_much_takes_nobody() -> None:
    found = load(0.0, memory_mib=101)
    assert found.reason == "memory"
    with pytest.raises(Overloaded):
        found.check()


def test_it_takes_clients_again_clearly_below_the_mark_only() -> None:
    found = load(0.2, 0.2, 0.2, 0.2)
    assert not found.measured(lag_s=0.09, memory_bytes=0) and found.reason == "loop_lag"
    assert found.measured(lag_s=0.05, memory_bytes=0)
    found.check()


def test_change_of_the_verdict_is_told_once() -> None:
    found = load(0.2, 0.2, 0.2)
    assert found.measured(lag_s=0.2, memory_bytes=0)
    assert not found.measured(lag_s=0.2, memory_bytes=0)


def test_without_marks_nothing_is_too_much() -> None:
    found = Load(GatewayLimits(loop_lag_ms=0, memory_bytes=0))
    for _ in range(8):
        found.measured(lag_s=60, memory_bytes=1 << 50)
    found.check()


def test_refusals_are_counted() -> None:
    found = load(0.2, 0.2, 0.2, 0.2)
    for _ in range(3):
        with pytest.raises(Overloaded):
            found.check()
    assert found.statistics()["refused_by_load_total"] == 3
