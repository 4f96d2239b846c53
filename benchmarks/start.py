"""How soon does a node serve? `python -m benchmarks start`: seconds from the command to the first "ready" of `/majula/health`."""

from __future__ import annotations

import argparse
import statistics

import msgspec

from benchmarks import machine, node, report, targets
from benchmarks.scope import Scope


class StartRun(msgspec.Struct, kw_only=True):
    """One run of `python -m benchmarks start`. `left_behind`: processes that outlived a stopped node."""

    benchmark: str = "start"
    machine: machine.Machine
    began: str
    ready_s: list[float] = []
    left_behind: int = 0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--starts", type=int, default=20, help="how many (default 20)")
    parser.add_argument(
        "--patience", type=float, default=2.0, help="seconds to wait before a start for a quiet machine (default 2)"
    )


def run(arguments: argparse.Namespace) -> None:
    record = StartRun(machine=machine.describe(), began=report.now())
    for number in range(arguments.starts):
        machine.wait_until_quiet(patience_s=arguments.patience)
        with Scope(pinned_cores=arguments.pin) as scope:
            started = node.start(scope)
            record.ready_s.append(started.started_in_s)
            record.left_behind += len(scope.end([started.process])) + len(scope.sweep())
        print(f"{number + 1}/{arguments.starts}  ready after {started.started_in_s:.3f} s", flush=True)
    path = arguments.out or report.RESULTS / f"start-{record.began}.json"
    report.write(record, path)
    print(f"\n{render(record)}\nRecord: {path}")


def render(record: StartRun) -> str:
    times = record.ready_s
    spread = (
        f"Ready after {min(times):.3f}..{max(times):.3f} s in {len(times)} starts; {record.left_behind} processes left behind.\n"
    )
    return spread + report.table("Start", targets.HEAD, [targets.START.row(statistics.median(times))])
