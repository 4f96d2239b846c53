"""Growth is told from samples of the memory benchmark."""

from __future__ import annotations

import pytest

from benchmarks.load import Moved
from benchmarks.machine import Machine
from benchmarks.memory import MemoryRun, Sample, growth_percent

MACHINE = Machine(cpu="a CPU", cores=2, memory_mb=1, kernel="6", python="3.11")


def record(samples: list[Sample], *, moved: Moved | None) -> MemoryRun:
    return MemoryRun(machine=MACHINE, began="", early_s=100.0, late_s=200.0, samples=samples, moved=moved)


def test_growth_compares_the_medians_around_both_times() -> None:
    early = [Sample(at_s=90.0 + 5 * number, pss_mb=pss_mb, cores=0.1) for number, pss_mb in enumerate((100, 100, 180, 100, 100))]
    late = [Sample(at_s=180.0 + 5 * number, pss_mb=104.0, cores=0.1) for number in range(5)]
    assert growth_percent(record(early + late, moved=Moved())) == pytest.approx(4.0)


def test_load_that_ended_early_gives_no_growth() -> None:
    samples = [Sample(at_s=100.0, pss_mb=100.0, cores=0.1)]
    assert growth_percent(record(samples, moved=None)) is None
