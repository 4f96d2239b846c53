"""`python -m benchmarks peers`."""

from __future__ import annotations

import argparse
import random
from pathlib import Path

from benchmarks import machine, report
from benchmarks.peers.cases import CASES
from benchmarks.peers.records import PeersRun
from benchmarks.peers.rounds import run_rounds
from benchmarks.peers.table import render
from benchmarks.peers.variants import VARIANTS

USUAL = [variant.name for variant in VARIANTS.values() if variant.is_usual]


def names(known: list[str], text: str) -> list[str]:
    """A comma-separated list of known names, for argparse."""
    found = [name for name in text.split(",") if name]
    if unknown := [name for name in found if name not in known]:
        raise argparse.ArgumentTypeError(f"unknown: {', '.join(unknown)}; there are {', '.join(known)}")
    return found


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--rounds", type=int, default=5, help="how often each variant gets its turn (default 5)")
    parser.add_argument("--secs", type=float, default=1.0, help="seconds of each case (default 1)")
    parser.add_argument(
        "--only",
        type=lambda text: names(list(VARIANTS), text),
        default=USUAL,
        metavar="A,B",
        help=f"variants, of {', '.join(VARIANTS)} (default: {', '.join(USUAL)})",
    )
    parser.add_argument(
        "--cases", type=lambda text: names(list(CASES), text), default=list(CASES), metavar="A,B", help=f"of {', '.join(CASES)}"
    )
    parser.add_argument(
        "--patience", type=float, default=8.0, help="seconds to wait before a case for a quiet machine (default 8)"
    )
    parser.add_argument("--seed", type=int, default=None, help="of the order of the variants (default: a random one, recorded)")


def run(arguments: argparse.Namespace) -> None:
    record = PeersRun(
        machine=machine.describe(),
        began=report.now(),
        seed=random.randrange(2**32) if arguments.seed is None else arguments.seed,
        rounds=arguments.rounds,
        seconds=arguments.secs,
    )
    path = arguments.out or report.RESULTS / f"peers-{record.began}.json"
    try:
        run_rounds(
            record,
            [VARIANTS[name] for name in arguments.only],
            arguments.cases,
            patience_s=arguments.patience,
            pinned_cores=arguments.pin,
            say=lambda line: print(line, flush=True),
        )
    finally:  # what was measured until Ctrl-C is kept and shown
        finish(record, path)


def finish(record: PeersRun, path: Path) -> None:
    report.write(record, path)
    print(f"\n{render(record)}\nRecord: {path}", flush=True)
