"""What does a node cost that nobody uses? `python -m benchmarks idle`: CPU and memory of all its processes."""

from __future__ import annotations

import argparse
import time

import msgspec

from benchmarks import machine, node, report, targets
from benchmarks.scope import Scope


class IdleRun(msgspec.Struct, kw_only=True):
    """One run of `python -m benchmarks idle`. `cpu_percent`: of one core, all processes together; `pss_mb`: by process name."""

    benchmark: str = "idle"
    machine: machine.Machine
    began: str
    seconds: float
    cpu_percent: float
    pss_mb: float
    processes: dict[str, float]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--secs", type=float, default=30.0, help="how long to watch (default 30)")
    parser.add_argument("--settle", type=float, default=5.0, help="seconds after the start that are not watched (default 5)")


def run(arguments: argparse.Namespace) -> None:
    began = report.now()
    with Scope(pinned_cores=arguments.pin) as scope:
        started = node.start(scope)
        time.sleep(arguments.settle)
        tree = scope.tree(started.process.pid)
        before_s, at = machine.cpu_s(tree), time.monotonic()
        time.sleep(arguments.secs)
        cpu_percent = (machine.cpu_s(tree) - before_s) / (time.monotonic() - at) * 100
        record = IdleRun(
            machine=machine.describe(),
            began=began,
            seconds=arguments.secs,
            cpu_percent=cpu_percent,
            pss_mb=machine.pss_mb(tree),
            processes={f"{machine.title(pid)} ({pid})": machine.pss_mb([pid]) for pid in tree},
        )
    path = arguments.out or report.RESULTS / f"idle-{record.began}.json"
    report.write(record, path)
    print(f"\n{render(record)}\nRecord: {path}")


def render(record: IdleRun) -> str:
    rows = [[name, f"{pss_mb:.1f}"] for name, pss_mb in record.processes.items()]
    figures = [targets.IDLE_CPU.row(record.cpu_percent), targets.IDLE_PSS.row(record.pss_mb)]
    return "\n".join([report.table("Processes", ["process", "PSS MB"], rows), report.table("Idle", targets.HEAD, figures)])
