"""Tables as text, records as JSON files."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec

RESULTS = Path(__file__).resolve().parent / "results"


def table(title: str, head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table with aligned columns: the first to the left, the others to the right."""
    widths = [max(len(row[column]) for row in [head, *rows]) for column in range(len(head))]

    def line(row: Sequence[str]) -> str:
        cells = [
            cell.ljust(width) if at == 0 else cell.rjust(width) for at, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        return "  ".join(cells).rstrip()

    return "\n".join([title, line(head), "-" * len(line(head)), *map(line, rows), ""])


def number(value: float | None) -> str:
    """Three significant digits with k or M."""
    if value is None:
        return "-"
    for limit, unit in ((1e6, "M"), (1e3, "k")):
        if abs(value) >= limit:
            return f"{value / limit:.{2 if value < 10 * limit else 1 if value < 100 * limit else 0}f}{unit}"
    return f"{value:.0f}" if value >= 10 else f"{value:.2f}"


def now() -> str:
    """UTC, as it stands in records and names of files."""
    return time.strftime("%Y-%m-%dT%H%M%SZ", time.gmtime())


def write(record: msgspec.Struct, path: Path) -> None:
    """Write `record` as JSON, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(".unfinished")
    unfinished.write_bytes(msgspec.json.format(msgspec.json.encode(record), indent=1) + b"\n")
    os.replace(unfinished, path)
