"""One minute of faults in every run; ten minutes: python -m pytest tests/soak -m soak, or python -m tests.soak --seed N."""

from __future__ import annotations

import json
import random
from dataclasses import asdict
from pathlib import Path

import pytest

from tests.cluster.node_rig import RESULTS

from .plan import draw
from .run import Run

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    "minutes",
    [
        pytest.param(1.0, id="short", marks=pytest.mark.timeout(240)),
        pytest.param(10.0, id="full", marks=[pytest.mark.soak, pytest.mark.timeout(900)]),
    ],
)
async def test_node_keeps_its_promises_while_its_processes_are_killed_and_stopped_at_random(
    tmp_path: Path, minutes: float
) -> None:
    outcome = await Run(tmp_path / "node", seconds=minutes * 60, seed=random.getrandbits(32))()
    assert outcome.faults > 3 * minutes
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "soak.json").write_text(json.dumps(asdict(outcome), indent=1) + "\n")


def test_the_same_seed_draws_the_same_faults() -> None:
    first, second = draw(7), draw(7)
    assert [next(first) for _ in range(50)] == [next(second) for _ in range(50)]
