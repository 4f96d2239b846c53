"""A comparison with an earlier commit is computed from its record alone."""

from __future__ import annotations

from benchmarks.before import BeforeRun, Turn, render
from benchmarks.machine import Machine


def line_of(*rounds: tuple[float, float, float], case: str = "topic128", figure: str = "deliveries/s") -> str:
    """The line of a figure, of rounds of (earlier, now, cores of others)."""
    record = BeforeRun(machine=Machine("a CPU", 2, 24_000, "6", "3.11"), began="", revision="abc", earlier="old", now="new")
    for number, (earlier, now, others) in enumerate(rounds):
        record.turns.append(Turn("earlier", case, number, {figure: earlier}, {}, others))
        record.turns.append(Turn("now", case, number, {figure: now}, {}, 0.0))
    return " ".join(next(line for line in render(record).splitlines() if figure in line).split())


def test_ratio_is_the_median_of_the_ratios_of_the_rounds() -> None:
    assert line_of((100, 95, 0), (300, 360, 0), (200, 190, 0)).endswith("0.95 reached")


def test_round_of_a_busy_machine_is_left_out_where_quiet_ones_suffice() -> None:
    assert line_of((100, 80, 0), (100, 200, 1.5), (100, 200, 1.5), (100, 80, 0)).endswith(" 0.80 MISSED")


def test_ratio_of_a_busy_machine_is_marked() -> None:
    assert line_of((100, 100, 1.5), (100, 100, 1.0)).endswith("~1.00 reached?")


def test_time_may_be_longer_by_a_ninth() -> None:
    assert line_of((100, 110, 0), (100, 110, 0), case="rpc", figure="p50 us").endswith("1.10 reached")
    assert line_of((100, 112, 0), (100, 112, 0), case="rpc", figure="p50 us").endswith("1.12 MISSED")


def test_case_that_one_side_did_not_finish_is_not_measured() -> None:
    record = BeforeRun(
        machine=Machine("a CPU", 2, 24_000, "6", "3.11"), began="", revision="abc", failures=["now-topic128-0: lost"]
    )
    record.turns.append(Turn("earlier", "topic128", 0, {"deliveries/s": 1.0}, {}, 0.0))
    assert "FAILED now-topic128-0: lost" in render(record) and "not measured" in render(record)
