"""python -m tests.fuzz DECODER [--minutes 10] [--seed N] [--plain]"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

from tests.fuzz import guided
from tests.fuzz.engine import CORPUS, Finding, keep, run


def main() -> int:
    """1: something was found; it is in the corpus then."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description="Feed a decoder with what nobody would write.")
    parser.add_argument("decoder", nargs="?", default="")
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=time.time_ns() % (1 << 31), help="the same one makes the same inputs")
    parser.add_argument("--plain", action="store_true", help="without atheris, also where it is installed")
    parser.add_argument("--list", action="store_true", help="the names of all decoders")
    asked = parser.parse_args()
    atheris = None if asked.plain or asked.list or not asked.decoder else guided.atheris_or_none()
    if atheris is not None:
        (CORPUS / asked.decoder).mkdir(exist_ok=True)
        folder = Path(tempfile.gettempdir()) / f"majula-fuzz-{asked.decoder}"
        print(f"seed {asked.seed}, inputs in {folder}", file=sys.stderr)
        guided.fuzz(atheris, asked.decoder, seconds=int(asked.minutes * 60), seed=asked.seed, folder=folder)
    from tests.fuzz.decoders import DECODERS  # noqa: PLC0415 - atheris must see these imports, if it is there

    if asked.list or asked.decoder not in DECODERS:
        print("\n".join(DECODERS))
        return 0 if asked.list else 64
    try:
        count = run(DECODERS[asked.decoder], seconds=asked.minutes * 60, seed=asked.seed)
    except Finding as finding:
        print(f"{finding}\nseed {asked.seed}; kept as {keep(asked.decoder, finding.data, finding.what)}", file=sys.stderr)
        return 1
    print(f"{asked.decoder}: {count} inputs, seed {asked.seed}: nothing found")
    return 0


if __name__ == "__main__":
    sys.exit(main())
