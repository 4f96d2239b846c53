"""Tables from a run's record: medians, spreads, ratios to nats-py, CPU by side, and how Majula stands to its targets."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

import msgspec

from benchmarks import targets
from benchmarks.peers.cases import CASES, IN_FLIGHT
from benchmarks.peers.records import CaseRecord, PeersRun, last_line
from benchmarks.peers.task import Failed
from benchmarks.peers.variants import BASE, VARIANTS
from benchmarks.report import number, table

QUIET_CORES = 0.35
"""A sample is quiet when the rest of the machine used less than this meanwhile."""

FEWEST_QUIET = 2
"""Quiet samples that are enough; with fewer the quietest stand in, and the figure is marked."""

_QUIETEST = 3  # samples that stand in where quiet ones are too few


class Figure(msgspec.Struct, frozen=True, kw_only=True):
    """A figure of one case of one variant, over the rounds."""

    median: float
    low: float
    high: float
    samples: int
    is_quiet: bool

    def text(self) -> str:
        spread = (self.high - self.low) / 2 / self.median if self.median else 0.0
        return f"{'' if self.is_quiet else '~'}{number(self.median)} ±{spread:.0%}"


def figure(run: PeersRun, variant: str, case: str, name: str) -> Figure | None:
    """The figure `name`, a field of the outcome or `cpu_us.SIDE`, from the quiet samples, else from the quietest.

    None: there is no valid sample.
    """
    valid = [record for record in _records(run, variant, case) if _value(record, name) is not None]
    quiet = [record for record in valid if _others(record) < QUIET_CORES]
    is_quiet = len(quiet) >= FEWEST_QUIET
    taken = quiet if is_quiet else sorted(valid, key=_others)[:_QUIETEST]
    values = [value for record in taken if (value := _value(record, name)) is not None]
    if not values:
        return None
    return Figure(median=statistics.median(values), low=min(values), high=max(values), samples=len(values), is_quiet=is_quiet)


def ratio(run: PeersRun, variant: str, base: str, case: str, name: str) -> float | None:
    """Ratio of two medians of this run."""
    ours, theirs = figure(run, variant, case, name), figure(run, base, case, name)
    return ours.median / theirs.median if ours and theirs else None


def render(run: PeersRun) -> str:
    """Everything that is printed at the end of a run."""
    variants = [name for name in VARIANTS if any(record.variant == name for record in run.cases)]
    parts = [
        f"{run.machine.cpu}, {run.machine.cores} cores; {run.rounds} rounds of {run.seconds:g} s a case, began {run.began}.",
        f"Median, spread (half of highest - lowest), ratio of medians to {BASE}; ~: others used {QUIET_CORES} cores or more.\n",
        _topics(run, variants),
        _rpc(run, variants, "rpc", "RPC, 128 B: one at a time, then in flight"),
        _rpc(run, variants, "ping", "Private messages, 128 B, there and back: one at a time, then in flight"),
        _cpu(run, variants),
        _servers(run),
        _targets(run),
        _void(run),
    ]
    return "\n".join(part for part in parts if part)


def _records(run: PeersRun, variant: str, case: str) -> list[CaseRecord]:
    return [record for record in run.cases if record.variant == variant and record.case == case]


def _others(record: CaseRecord) -> float:
    return float("inf") if isinstance(record.outcome, Failed) else record.outcome.others_cores


def _value(record: CaseRecord, name: str) -> float | None:
    """A field of the outcome; None where the case is void or has no such field."""
    if isinstance(record.outcome, Failed):
        return None
    field, _, side = name.partition(".")
    value = getattr(record.outcome, field, None)
    return value.get(side) if isinstance(value, dict) else value


def _cell(run: PeersRun, variant: str, case: str, name: str) -> str:
    found = figure(run, variant, case, name)
    if found is None:
        return "-"
    times = ratio(run, variant, BASE, case, name)
    return found.text() + (f" {times:.2f}x" if times is not None else "")


def _rows(variants: Sequence[str], cells: Sequence[Sequence[str]]) -> list[list[str]]:
    return [[name, *row] for name, row in zip(variants, cells, strict=True) if any(cell != "-" for cell in row)]


def _topics(run: PeersRun, variants: Sequence[str]) -> str:
    cases = [case for case in CASES.values() if case.is_stream and any(record.case == case.name for record in run.cases)]
    rows = _rows(variants, [[_cell(run, name, case.name, "deliveries_per_s") for case in cases] for name in variants])
    return table("Topics: deliveries/s", ["variant", *(case.title for case in cases)], rows) if rows else ""


def _rpc(run: PeersRun, variants: Sequence[str], case: str, title: str) -> str:
    columns = {
        "p50 us": "p50_us",
        "p99 us": "p99_us",
        f"{IN_FLIGHT} in flight, calls/s": "calls_per_s",
        "their p99 us": "in_flight_p99_us",
    }
    rows = _rows(variants, [[_cell(run, name, case, field) for field in columns.values()] for name in variants])
    return table(title, ["variant", *columns], rows) if rows else ""


def _cpu(run: PeersRun, variants: Sequence[str]) -> str:
    def sides(variant: str, case: str, names: Sequence[str]) -> str:
        found = [figure(run, variant, case, f"cpu_us.{name}") for name in names]
        return " + ".join(f"{one.median:.1f}" for one in found if one) or "-"

    topic, call = ("publisher", "server", "subscriber"), ("caller", "server", "service")
    columns = {
        "topic128": ("topic 128 B", topic),
        "topic64k": ("topic 64 KiB", topic),
        "fan100": ("fan-out 100", topic),
        "rpc": ("RPC in flight", call),
        "private": ("private", topic),
        "private16": ("private to 16", topic),
        "ping": ("there and back", call),
    }
    measured = {case: column for case, column in columns.items() if any(record.case == case for record in run.cases)}
    cells = [[sides(name, case, names) for case, (_, names) in measured.items()] for name in variants]
    rows = _rows(variants, cells)
    title = "CPU us per published message (call): publisher + server + subscriber (caller + server + service)"
    return table(title, ["variant", *(head for head, _ in measured.values())], rows) if rows else ""


def _servers(run: PeersRun) -> str:
    rows = []
    for name in VARIANTS:
        started = [record for record in run.servers if record.variant == name and not record.failure]
        if started:
            rows.append(
                [
                    name,
                    f"{started[0].processes}",
                    f"{statistics.median(record.started_in_s for record in started) * 1e3:.0f}",
                    f"{statistics.median(record.idle_pss_mb for record in started):.0f}",
                ]
            )
    return table("Servers", ["variant", "processes", "start ms", "idle PSS MB"], rows) if rows else ""


def _targets(run: PeersRun) -> str:
    rows = [
        target.row(
            ratio(run, target.variant, target.base, target.case, target.figure),
            is_quiet=all(
                found.is_quiet
                for name in (target.variant, target.base)
                if (found := figure(run, name, target.case, target.figure)) is not None
            ),
        )
        for target in targets.PEERS
        if _records(run, target.variant, target.case)
    ]
    return table("Targets: ratios of medians", targets.HEAD, rows) if rows else ""


def _void(run: PeersRun) -> str:
    """Void cases and servers that did not start are part of the result."""
    lines = [
        f"  {record.variant}, {record.case}, round {record.round + 1}: {last_line(record.outcome.reason)}"
        for record in run.cases
        if isinstance(record.outcome, Failed)
    ]
    lines += [
        f"  {record.variant}, round {record.round + 1}, did not start: {record.failure}"
        for record in run.servers
        if record.failure
    ]
    return "\n".join(["Void:", *lines, ""]) if lines else ""
