"""Does a node grow under load? `python -m benchmarks memory`: PSS of all processes, minute 10 over minute 2."""

from __future__ import annotations

import argparse
import statistics
import time

import msgspec

from benchmarks import machine, node, report, targets
from benchmarks.load import Load, Moved
from benchmarks.scope import Scope, StartFailed, Worker, python

_SAMPLES_AROUND = 5  # a point in time is the median of so many samples: one garbage collection must not decide


class Sample(msgspec.Struct, frozen=True):
    """PSS of all processes at `at_s` seconds of load, and the CPU used since the sample before, in cores."""

    at_s: float
    pss_mb: float
    cores: float


class MemoryRun(msgspec.Struct, kw_only=True):
    """One run of `python -m benchmarks memory`. `moved`: what the load had done by its end."""

    benchmark: str = "memory"
    machine: machine.Machine
    began: str
    early_s: float
    late_s: float
    samples: list[Sample] = []
    moved: Moved | None = None
    failure: str = ""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--minutes", type=float, default=10.0, help="of load (default 10)")
    parser.add_argument(
        "--early", type=float, default=None, help="minute to compare with (default: a fifth of --minutes, so 2 of 10)"
    )
    parser.add_argument("--every", type=float, default=5.0, help="seconds between samples (default 5)")


def run(arguments: argparse.Namespace) -> None:
    early = arguments.minutes / 5 if arguments.early is None else arguments.early
    record = MemoryRun(machine=machine.describe(), began=report.now(), early_s=early * 60, late_s=arguments.minutes * 60)
    path = arguments.out or report.RESULTS / f"memory-{record.began}.json"
    try:
        with Scope(pinned_cores=arguments.pin) as scope:
            _watch(record, scope, arguments.every)
    finally:
        report.write(record, path)
        print(f"\n{render(record)}\nRecord: {path}", flush=True)


def _watch(record: MemoryRun, scope: Scope, every_s: float) -> None:
    started = node.start(scope)
    load = Load(native=started.unix, websocket=started.websocket, port=started.port, seconds=record.late_s)
    worker = scope.worker(python("benchmarks.load", msgspec.json.encode(load).decode()), name="load")
    began, cpu_s, next_at = time.monotonic(), 0.0, 0.0
    while next_at <= record.late_s:
        time.sleep(max(0.0, began + next_at - time.monotonic()))
        if worker.process.poll() is not None:
            break
        tree, at_s = scope.tree(started.process.pid), time.monotonic() - began
        used_s = machine.cpu_s(tree)
        record.samples.append(Sample(at_s=at_s, pss_mb=machine.pss_mb(tree), cores=max(0.0, used_s - cpu_s) / every_s))
        cpu_s = used_s
        print(f"{at_s:6.0f} s  {record.samples[-1].pss_mb:7.1f} MB  {record.samples[-1].cores:.2f} cores", flush=True)
        next_at += every_s
    record.moved, record.failure = _outcome(worker)


def _outcome(worker: Worker) -> tuple[Moved | None, str]:
    try:
        return msgspec.json.decode(worker.line(30.0), type=Moved), ""
    except StartFailed as failure:
        return None, str(failure)


def pss_at(samples: list[Sample], at_s: float) -> float | None:
    """Median PSS of the samples nearest to `at_s`; None without samples."""
    nearest = sorted(samples, key=lambda sample: abs(sample.at_s - at_s))[:_SAMPLES_AROUND]
    return statistics.median(sample.pss_mb for sample in nearest) if nearest else None


def growth_percent(record: MemoryRun) -> float | None:
    """How much more PSS there is late than early; None when the load did not last."""
    early, late = pss_at(record.samples, record.early_s), pss_at(record.samples, record.late_s)
    if early is None or late is None or record.moved is None:
        return None
    return (late / early - 1) * 100


def render(record: MemoryRun) -> str:
    lines = []
    for name, at_s in (("early", record.early_s), ("late", record.late_s)):
        pss_mb = pss_at(record.samples, at_s)
        lines.append(f"{name}: {'-' if pss_mb is None else f'{pss_mb:.1f} MB'} at {at_s:.0f} s")
    if record.moved is not None:
        lines.append(
            "The load: " + ", ".join(f"{count:,} {what}" for what, count in msgspec.structs.asdict(record.moved).items())
        )
    if record.failure:
        lines.append(f"The load ended early: {record.failure}")
    return "\n".join(
        [*lines, "", report.table("Growth under a mixed load", targets.HEAD, [targets.GROWTH.row(growth_percent(record))])]
    )
