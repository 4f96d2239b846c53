"""python -m tests.soak [--minutes 10] [--seed N]"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path

from .run import Run
from .verdict import Violation


def main() -> int:
    """1: a promise was broken; the node's folder is kept then."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description="Harm a node under mixed traffic at random.")
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=lambda text: int(text, 0), default=random.getrandbits(32), help="draws the faults")
    parser.add_argument("--quiet", action="store_true", help="do not name each fault")
    asked = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="majula-soak-"))
    print(f"seed {asked.seed:#x}, node in {folder}", file=sys.stderr)
    say = (lambda _: None) if asked.quiet else (lambda words: print(words, file=sys.stderr, flush=True))
    try:
        outcome = asyncio.run(Run(folder / "node", seconds=asked.minutes * 60, seed=asked.seed, say=say)())
    except Violation as violation:
        print(f"FAILED soak: {violation}", file=sys.stderr)
        for note in getattr(violation, "__notes__", ()):
            print(note, file=sys.stderr)
        return 1
    print(json.dumps(asdict(outcome), indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
