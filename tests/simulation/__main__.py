"""Replay one run: `python -m tests.simulation tables --seed 0x5EED --until 900 --trace`, or look for a bad one: `--runs 1000`."""

from __future__ import annotations

import argparse
import sys
import time

from tests.simulation import claims, flow, tables
from tests.simulation.network import SimulationFailure
from tests.simulation.node import Plan

SCENARIOS = {"tables": tables.run, "claims": claims.run, "flow": flow.run}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("what", choices=sorted(SCENARIOS))
    parser.add_argument("--seed", type=lambda text: int(text, 0), default=1)
    parser.add_argument("--runs", type=int, default=1, help="so many seeds, from --seed on")
    parser.add_argument("--gateways", type=int, default=3)
    parser.add_argument("--loss", type=float, default=0.05)
    parser.add_argument("--steps", type=int, default=4_000)
    parser.add_argument("--until", type=int, default=None, help="stop at this event")
    parser.add_argument("--trace", action="store_true")
    arguments = parser.parse_args()
    began, steps = time.monotonic(), 0
    for seed in range(arguments.seed, arguments.seed + arguments.runs):
        plan = Plan(seed=seed, gateways=arguments.gateways, loss=arguments.loss, steps=arguments.steps)
        try:
            outcome = SCENARIOS[arguments.what](plan, until=arguments.until, trace=arguments.trace)
        except SimulationFailure as failure:
            print(failure)
            return 1
        steps += outcome.steps
    taken_s = time.monotonic() - began
    print(f"{arguments.runs} runs, {steps:,} steps, {steps / max(taken_s, 1e-9):,.0f} steps/s, last: {outcome}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
