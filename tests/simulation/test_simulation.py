"""Some seeds of every scenario, and that a seed is a run."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable

import pytest

from tests.simulation import claims, flow, tables
from tests.simulation.network import SimulationFailure
from tests.simulation.node import Outcome, Plan, World

Run = Callable[..., Outcome]
SCENARIOS = {"tables": tables.run, "claims": claims.run, "flow": flow.run}

# All seeds on all machines: a failure here is replayed by the command that it prints.
PLANS = [
    *(Plan(seed=seed, steps=2_000) for seed in range(8)),
    *(Plan(seed=0x10 + seed, gateways=2, loss=0.0, steps=2_000) for seed in range(3)),
    *(Plan(seed=0x20 + seed, gateways=4, loss=0.3, storms=0.4, kills=0.3, steps=3_000) for seed in range(5)),
]


@pytest.mark.slow
@pytest.mark.parametrize("plan", PLANS, ids=lambda plan: f"{plan.seed:#x}")
@pytest.mark.parametrize("run", SCENARIOS.values(), ids=SCENARIOS)
def test_nothing_is_broken_by_loss_death_and_storms(run: Run, plan: Plan) -> None:
    run(plan)


@pytest.mark.slow
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_same_seed_is_the_same_run_whatever_the_hash_seed(scenario: str) -> None:
    command = [sys.executable, "-m", "tests.simulation", scenario, "--seed", "7", "--until", "1500", "--trace"]
    traces = {
        subprocess.run(command, env=os.environ | {"PYTHONHASHSEED": seed}, capture_output=True, check=True).stdout.rpartition(
            b"\n1 runs"
        )[0]
        for seed in ("1", "2")
    }
    assert len(traces) == 1
    assert traces.pop().count(b"\n") > 500


def test_failure_says_how_to_see_it_again(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(world: World) -> None:
        world.fail("the sky is falling")

    monkeypatch.setattr(World, "check_often", fail)
    with pytest.raises(SimulationFailure, match=r"replay:  python -m tests.simulation tables --seed 0x7 .* --until 64 --trace"):
        tables.run(Plan(seed=7, steps=100))
