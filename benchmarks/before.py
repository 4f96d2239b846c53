"""Has it become slower? `python -m benchmarks before REVISION`: an earlier commit beside this checkout, in turns, in one run.

The earlier commit is unpacked into a private directory and measured by its own benchmark with its own SDK and node, without
accounts, as it was then. This checkout is measured with what an operator turns on: a token with scopes, rates, metrics, logs.
By TCP, because on the Unix socket the node's own user may do everything, and nothing would be checked.

A case is measured on both sides right after one another, in a random order, so that both find the machine in one mood.
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
from benchmarks.peers.table import FEWEST_QUIET, QUIET_CORES
from benchmarks.peers.task import Failed, TopicFigures
from benchmarks.peers.variants import VARIANTS
from benchmarks.scope import ROOT, Scope, StartFailed, python, tail

MUST = 0.9
"""Of the earlier throughput."""

_USUAL = ("topic128", "topic64k", "fan100", "rpc")
_TURN_S = 600.0


class Turn(msgspec.Struct, frozen=True):
    """One case of one side in one round. figures: `deliveries/s`, or `calls/s` and `p50 us`; `CPU us` a message (call) in all
    processes, `cpu_us` by side."""

    side: str
    case: str
    round: int
    figures: dict[str, float]
    cpu_us: dict[str, float]
    others_cores: float


class BeforeRun(msgspec.Struct, kw_only=True):
    """One run of `python -m benchmarks before`."""

    benchmark: str = "before"
    machine: machine.Machine
    began: str
    revision: str
    earlier: str = ""
    now: str = ""
    turns: list[Turn] = []
    failures: list[str] = []


class Side(NamedTuple):
    """One of the two that are compared."""

    name: str
    checkout: Path
    variant: str


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("revision", help="the earlier commit, as git names it")
    parser.add_argument("--rounds", type=int, default=5, help="how often each side gets its turn (default 5)")
    parser.add_argument("--secs", type=float, default=1.0, help="seconds of each case (default 1)")
    parser.add_argument(
        "--cases", type=lambda text: names(list(CASES), text), default=list(_USUAL), metavar="A,B", help=f"of {', '.join(CASES)}"
    )
    parser.add_argument("--earlier", default="majula-tcp", help="variant of the earlier commit (default majula-tcp)")
    parser.add_argument(
        "--now",
        default="majula-tcp-token",
        choices=list(VARIANTS),
        help="variant of this checkout (default majula-tcp-token: a token with scopes, rates, metrics and logs on)",
    )
    parser.add_argument(
        "--patience", type=float, default=4.0, help="seconds to wait before a case for a quiet machine (default 4)"
    )


def run(arguments: argparse.Namespace) -> None:
    revision = _git("rev-parse", "--short", f"{arguments.revision}^{{commit}}").decode().strip()
    record = BeforeRun(
        machine=machine.describe(), began=report.now(), revision=revision, earlier=arguments.earlier, now=arguments.now
    )
    path = arguments.out or report.RESULTS / f"before-{record.began}.json"
    options = ["--rounds", "1", "--secs", str(arguments.secs), "--patience", str(arguments.patience)]
    if arguments.pin:
        options += ["--pin", ",".join(map(str, sorted(arguments.pin)))]
    with Scope() as scope:
        earlier = scope.directory / "earlier"
        unpack(revision, earlier)
        sides = [Side("earlier", earlier, arguments.earlier), Side("now", ROOT, arguments.now)]
        try:
            for number in range(arguments.rounds):
                for case in arguments.cases:
                    random.shuffle(sides)
                    for side in sides:
                        _take_turn(scope, record, (side, case, number), options)
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


def _take_turn(scope: Scope, record: BeforeRun, place: tuple[Side, str, int], options: Sequence[str]) -> None:
    side, case, number = place
    name = f"{side.name}-{case}-{number}"
    out = scope.directory / f"{name}.json"
    command = python("benchmarks", "peers", *options, "--cases", case, "--only", side.variant, "--out", str(out))
    process = scope.spawn(command, name=name, directory=side.checkout)
    try:
        process.wait(_TURN_S)
    except subprocess.TimeoutExpired:
        scope.end([process])
    if process.returncode or not out.exists():
        record.failures.append(f"{name}: {tail(scope.log(name))}")
        print(f"{number + 1}  {side.name:8} {case:10} failed: {tail(scope.log(name), 300)}", flush=True)
        return
    for found in msgspec.json.decode(out.read_bytes(), type=PeersRun).cases:
        if isinstance(found.outcome, Failed):
            record.failures.append(f"{name}: {found.outcome.reason}")
            continue
        turn = Turn(side.name, case, number, figures(found.outcome), found.outcome.cpu_us, found.outcome.others_cores)
        record.turns.append(turn)
        told = "  ".join(f"{value:,.1f} {figure}" for figure, value in turn.figures.items())
        cpu = " + ".join(f"{us:.2f}" for us in turn.cpu_us.values())
        print(f"{number + 1}  {side.name:8} {case:10} {told} = {cpu}  (others {turn.others_cores:.2f} cores)", flush=True)


def figures(outcome: Outcome) -> dict[str, float]:
    """What is compared."""
    if isinstance(outcome, Failed):
        return {}
    cpu = {"CPU us": sum(outcome.cpu_us.values())}
    if isinstance(outcome, TopicFigures):
        return {"deliveries/s": outcome.deliveries_per_s} | cpu
    return {"calls/s": outcome.calls_per_s, "p50 us": outcome.p50_us} | cpu


def render(record: BeforeRun) -> str:
    """Medians of both sides and their ratio."""
    rows: list[list[str]] = []
    kinds = dict.fromkeys((turn.case, figure) for turn in record.turns for figure in turn.figures)
    for case, figure in kinds:
        (earlier, was_quiet), (now, is_quiet) = (_median(record, side, case, figure) for side in ("earlier", "now"))
        what = f"{CASES[case].title}, {figure}"
        if earlier is None or now is None:
            rows.append([what, report.number(earlier), report.number(now), "-", "not measured"])
            continue
        ratio = now / earlier
        is_reached = ratio <= 1 / MUST if figure.endswith(" us") else ratio >= MUST
        is_sure = was_quiet and is_quiet
        verdict = ("reached" if is_reached else "MISSED") + ("" if is_sure else "?")
        rows.append([what, report.number(earlier), report.number(now), f"{'' if is_sure else '~'}{ratio:.2f}", verdict])
    head = ["figure", f"{record.earlier} at {record.revision}", f"{record.now} now", "ratio", f"must reach {MUST:g}"]
    failed = "".join(f"FAILED {failure}\n" for failure in record.failures)
    return failed + report.table(f"This checkout beside {record.revision}; ~: the machine was busy meanwhile", head, rows)


def _median(record: BeforeRun, side: str, case: str, figure: str) -> tuple[float | None, bool]:
    """Of the quiet samples; where there are fewer than two, of the quieter half."""
    taken = [turn for turn in record.turns if turn.side == side and turn.case == case and figure in turn.figures]
    quiet = [turn for turn in taken if turn.others_cores < QUIET_CORES]
    is_quiet = len(quiet) >= FEWEST_QUIET
    if not is_quiet:
        quiet = sorted(taken, key=lambda turn: turn.others_cores)[: max(3, (len(taken) + 1) // 2)]
    return (statistics.median(turn.figures[figure] for turn in quiet) if quiet else None), is_quiet


def _git(*words: str) -> bytes:
    try:
        return subprocess.run(["git", "-C", str(ROOT), *words], check=True, capture_output=True).stdout
    except (OSError, subprocess.CalledProcessError) as error:
        raise StartFailed(f"git {words[0]}: {getattr(error, 'stderr', b'').decode(errors='replace') or error}") from None
