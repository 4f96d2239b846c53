"""Has it become slower? `python -m benchmarks before REVISION`: an earlier commit beside this checkout, in turns, in one run.

The earlier commit is unpacked into a private directory and measured by its own benchmark with its own SDK and node, without
accounts, as it was then. This checkout is measured with what an operator turns on: a token with scopes, limits, metrics, logs.
"""

from __future__ import annotations

import argparse
import io
import random
import statistics
import subprocess
import tarfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

from benchmarks import machine, report
from benchmarks.peers.cases import CASES
from benchmarks.peers.command import names
from benchmarks.peers.records import Outcome, PeersRun
from benchmarks.peers.task import Failed, TopicFigures
from benchmarks.peers.variants import VARIANTS
from benchmarks.scope import ROOT, Scope, StartFailed, python, tail

MUST = 0.9
"""Of the earlier throughput."""

_USUAL = ("topic128", "topic64k", "fan100", "rpc")
_TURN_S = 600.0


class Turn(msgspec.Struct, frozen=True):
    """One case of one side in one round. figures: `deliveries/s`, or `calls/s` and `p50 us`."""

    side: str
    case: str
    round: int
    figures: dict[str, float]


class BeforeRun(msgspec.Struct, kw_only=True):
    """One run of `python -m benchmarks before`."""

    benchmark: str = "before"
    machine: machine.Machine
    began: str
    revision: str
    turns: list[Turn] = []
    failures: list[str] = []


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("revision", help="the earlier commit, as git names it")
    parser.add_argument("--rounds", type=int, default=5, help="how often each side gets its turn (default 5)")
    parser.add_argument("--secs", type=float, default=1.0, help="seconds of each case (default 1)")
    parser.add_argument(
        "--cases", type=lambda text: names(list(CASES), text), default=list(_USUAL), metavar="A,B", help=f"of {', '.join(CASES)}"
    )
    parser.add_argument("--earlier", default="majula-unix", help="variant of the earlier commit (default majula-unix)")
    parser.add_argument(
        "--now",
        default="majula-unix-token",
        choices=list(VARIANTS),
        help="variant of this checkout (default majula-unix-token: accounts, limits, metrics and logs on)",
    )
    parser.add_argument(
        "--patience", type=float, default=4.0, help="seconds to wait before a case for a quiet machine (default 4)"
    )


def run(arguments: argparse.Namespace) -> None:
    revision = _git("rev-parse", "--short", f"{arguments.revision}^{{commit}}").decode().strip()
    record = BeforeRun(machine=machine.describe(), began=report.now(), revision=revision)
    path = arguments.out or report.RESULTS / f"before-{record.began}.json"
    options = [
        *("--rounds", "1", "--secs", str(arguments.secs), "--cases", ",".join(arguments.cases)),
        *("--patience", str(arguments.patience)),
    ]
    if arguments.pin:
        options += ["--pin", ",".join(map(str, sorted(arguments.pin)))]
    with Scope() as scope:
        earlier = scope.directory / "earlier"
        unpack(revision, earlier)
        sides = [("earlier", earlier, arguments.earlier), ("now", ROOT, arguments.now)]
        try:
            for number in range(arguments.rounds):
                random.shuffle(sides)
                for side, checkout, variant in sides:
                    command = python("benchmarks", "peers", *options, "--only", variant)
                    _take_turn(scope, record, Side(side, checkout, number), command)
        finally:  # what was measured until Ctrl-C is kept and shown
            report.write(record, path)
            print(f"\n{render(record)}\nRecord: {path}", flush=True)


def unpack(revision: str, directory: Path) -> None:
    """The files of a commit, links included.

    Raises:
        StartFailed: git does not know it.
    """
    with tarfile.open(fileobj=io.BytesIO(_git("archive", "--format=tar", revision))) as archive:
        archive.extractall(directory, filter="data")


class Side(NamedTuple):
    """Whose turn it is, and in which round."""

    side: str
    checkout: Path
    number: int


def _take_turn(scope: Scope, record: BeforeRun, turn: Side, command: Sequence[str]) -> None:
    side, checkout, number = turn
    name = f"{side}-{number}"
    out = scope.directory / f"{name}.json"
    process = scope.spawn([*command, "--out", str(out)], name=name, directory=checkout)
    try:
        process.wait(_TURN_S)
    except subprocess.TimeoutExpired:
        scope.end([process])
    if process.returncode or not out.exists():
        record.failures.append(f"{name}: {tail(scope.log(name))}")
        print(f"{number + 1}  {side:8} failed: {tail(scope.log(name), 300)}", flush=True)
        return
    for case in msgspec.json.decode(out.read_bytes(), type=PeersRun).cases:
        if isinstance(case.outcome, Failed):
            record.failures.append(f"{name} {case.case}: {case.outcome.reason}")
            continue
        record.turns.append(Turn(side, case.case, number, figures(case.outcome)))
        print(f"{number + 1}  {side:8} {case.case:10} {record.turns[-1].figures}", flush=True)


def figures(outcome: Outcome) -> dict[str, float]:
    """What is compared."""
    match outcome:
        case TopicFigures():
            return {"deliveries/s": outcome.deliveries_per_s}
        case Failed():
            return {}
        case _:
            return {"calls/s": outcome.calls_per_s, "p50 us": outcome.p50_us}


def render(record: BeforeRun) -> str:
    """Medians of both sides and their ratio."""
    rows: list[list[str]] = []
    kinds = dict.fromkeys((turn.case, figure) for turn in record.turns for figure in turn.figures)
    for case, figure in kinds:
        earlier, now = (_median(record, side, case, figure) for side in ("earlier", "now"))
        if earlier is None or now is None:
            rows.append([f"{CASES[case].title}, {figure}", report.number(earlier), report.number(now), "-", "not measured"])
            continue
        ratio = now / earlier
        is_reached = ratio <= 1 / MUST if figure.startswith("p50") else ratio >= MUST
        verdict = "reached" if is_reached else "MISSED"
        rows.append([f"{CASES[case].title}, {figure}", report.number(earlier), report.number(now), f"{ratio:.2f}", verdict])
    head = ["figure", f"at {record.revision}", "now", "ratio", f"must reach {MUST:g}"]
    failed = "".join(f"FAILED {failure}\n" for failure in record.failures)
    return failed + report.table(f"This checkout beside {record.revision}", head, rows)


def _median(record: BeforeRun, side: str, case: str, figure: str) -> float | None:
    found = [turn.figures[figure] for turn in record.turns if turn.side == side and turn.case == case]
    return statistics.median(found) if found else None


def _git(*words: str) -> bytes:
    try:
        return subprocess.run(["git", "-C", str(ROOT), *words], check=True, capture_output=True).stdout
    except (OSError, subprocess.CalledProcessError) as error:
        raise StartFailed(f"git {words[0]}: {getattr(error, 'stderr', b'').decode(errors='replace') or error}") from None
