"""Has it become slower? `python -m benchmarks before REVISION`: an earlier commit beside this checkout, in turns, in one run.

The earlier commit is unpacked into a private directory and measured by its own benchmark with its own SDK and node, without
accounts, as it was then. This checkout is measured with what an operator turns on: a token with scopes, rates, metrics, logs.
By TCP, because on the Unix socket the node's own user may do everything, and nothing would be checked.

A case is measured on both sides right after one another, in a random order, so that both find the machine in one mood. What
counts is the median of the ratios of such pairs. Everything that is started keeps its freed memory: a process that moves 64 KiB
messages otherwise takes each from the kernel anew, or none of them, by the layout of its heap, which is a matter of luck, and
costs up to four times as much.
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
_SIDES = 2
_TURN_S = 600.0
# mallopt(3)
_KEEP_FREED_MEMORY = {"MALLOC_TRIM_THRESHOLD_": str(64 << 20), "MALLOC_MMAP_THRESHOLD_": str(32 << 20)}


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
    process = scope.spawn(command, name=name, directory=side.checkout, environment=_KEEP_FREED_MEMORY)
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
    """Medians of both sides, and the median of their ratios."""
    rows: list[list[str]] = []
    kinds = dict.fromkeys((turn.case, figure) for turn in record.turns for figure in turn.figures)
    for case, figure in kinds:
        pairs, is_sure = _pairs(record, case, figure)
        what = f"{CASES[case].title}, {figure}"
        if not pairs:
            rows.append([what, "-", "-", "-", "not measured"])
            continue
        earlier, now = (statistics.median(pair[side] for pair in pairs) for side in (0, 1))
        ratio = statistics.median(after / before for before, after in pairs)
        is_reached = ratio <= 1 / MUST if figure.endswith(" us") else ratio >= MUST
        verdict = ("reached" if is_reached else "MISSED") + ("" if is_sure else "?")
        rows.append([what, report.number(earlier), report.number(now), f"{'' if is_sure else '~'}{ratio:.2f}", verdict])
    head = ["figure", f"{record.earlier} at {record.revision}", f"{record.now} now", "ratio", f"must reach {MUST:g}"]
    failed = "".join(f"FAILED {failure}\n" for failure in record.failures)
    return failed + report.table(f"This checkout beside {record.revision}; ~: the machine was busy meanwhile", head, rows)


def _pairs(record: BeforeRun, case: str, figure: str) -> tuple[list[tuple[float, float]], bool]:
    """What both sides showed in each round in which the machine was quiet; where those are too few, in the quieter half."""
    found: list[tuple[float, float, float]] = []  # the cores of others, earlier, now
    for number in sorted({turn.round for turn in record.turns}):
        sides = {turn.side: turn for turn in record.turns if turn.case == case and turn.round == number}
        if len(sides) == _SIDES:
            earlier, now = sides["earlier"], sides["now"]
            found.append((max(earlier.others_cores, now.others_cores), earlier.figures[figure], now.figures[figure]))
    quiet = [pair for pair in found if pair[0] < QUIET_CORES]
    is_quiet = len(quiet) >= FEWEST_QUIET
    if not is_quiet:
        quiet = sorted(found)[: max(3, (len(found) + 1) // 2)]
    return [(earlier, now) for _, earlier, now in quiet], is_quiet


def _git(*words: str) -> bytes:
    try:
        return subprocess.run(["git", "-C", str(ROOT), *words], check=True, capture_output=True).stdout
    except (OSError, subprocess.CalledProcessError) as error:
        raise StartFailed(f"git {words[0]}: {getattr(error, 'stderr', b'').decode(errors='replace') or error}") from None
