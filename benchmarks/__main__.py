"""One command: `python -m benchmarks QUESTION`; see the package's own words."""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

import msgspec

import benchmarks
from benchmarks import before, idle, memory, path, scope, slow, start
from benchmarks.peers import command as peers
from benchmarks.peers.records import PeersRun
from benchmarks.peers.table import render as render_peers

_INTERRUPTED = 130
_QUESTIONS = {"peers": peers, "start": start, "idle": idle, "path": path, "memory": memory, "slow": slow, "before": before}


def main() -> int:
    """Returns 0, 1 when something could not be started, 130 after Ctrl-C."""
    parser = _parser()
    arguments = parser.parse_args()
    scope.interrupt_on_signals()
    try:
        match arguments.question:
            case "table":
                for record in arguments.records:
                    print(render(record))
            case "actors":
                return _run_actors(arguments.rest)
            case "all":
                return _run_all(parser, pin=arguments.pin_text)
            case question:
                _QUESTIONS[question].run(arguments)
    except scope.StartFailed as failure:
        print(failure, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return _INTERRUPTED
    return 0


def render(file: Path) -> str:
    """The tables of a record that was written earlier, whichever question it answers."""
    text = file.read_bytes()
    match msgspec.json.decode(text).get("benchmark"):
        case "peers":
            return render_peers(msgspec.json.decode(text, type=PeersRun))
        case "start":
            return start.render(msgspec.json.decode(text, type=start.StartRun))
        case "idle":
            return idle.render(msgspec.json.decode(text, type=idle.IdleRun))
        case "path":
            return path.render(msgspec.json.decode(text, type=path.PathRun))
        case "memory":
            return memory.render(msgspec.json.decode(text, type=memory.MemoryRun))
        case "slow":
            return slow.render(msgspec.json.decode(text, type=slow.SlowRun))
        case "before":
            return before.render(msgspec.json.decode(text, type=before.BeforeRun))
        case other:
            return f"{file}: no record of these benchmarks (benchmark: {other})"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=benchmarks.__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    questions = parser.add_subparsers(dest="question", required=True)
    for name, module in _QUESTIONS.items():
        question = questions.add_parser(name, description=module.__doc__)
        question.add_argument(
            "--pin", type=_cores, default=None, metavar="0,1", help="keep everything on these cores (default: nothing is pinned)"
        )
        question.add_argument(
            "--out", type=Path, default=None, help="file of the record (default: a new one in benchmarks/results)"
        )
        module.add_arguments(question)
    actors = questions.add_parser("actors", help="the actor system beside stock Thespian; options are its own", add_help=False)
    actors.add_argument("rest", nargs=argparse.REMAINDER)
    everything = questions.add_parser("all", description="Every question with its default options; about 25 minutes.")
    everything.add_argument("--pin", dest="pin_text", default="", metavar="0,1")
    table = questions.add_parser("table", description="The tables of records that were written earlier.")
    table.add_argument("records", nargs="+", type=Path)
    return parser


def _cores(text: str) -> frozenset[int]:
    return frozenset(int(core) for core in text.split(","))


def _run_actors(rest: list[str]) -> int:
    return subprocess.run([sys.executable, "-m", "benchmarks.actors", *rest], check=False, cwd=scope.ROOT).returncode


def _run_all(parser: argparse.ArgumentParser, *, pin: str) -> int:
    """One after the other; a question that fails does not keep the others from being asked."""
    worst = _run_actors([])
    for name, module in _QUESTIONS.items():
        if module is before:
            continue  # it needs to be told which commit
        print(f"\n=== {name}\n", flush=True)
        try:
            module.run(parser.parse_args([name, *(["--pin", pin] if pin else [])]))
        except scope.StartFailed as failure:
            print(failure, file=sys.stderr)
            worst = 1
    return worst


if __name__ == "__main__":
    sys.exit(main())
