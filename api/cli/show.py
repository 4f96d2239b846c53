"""Answers for people: tables, durations, sizes, and nothing that a terminal would obey."""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Iterable, Sequence
from typing import Any

import click

_WIDE = 10_000
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(s|m|h|d|w)?")
_UNITS = {None: 1, "": 1, "s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}


def harmless(text: str) -> str:
    """Text that a stranger may have chosen, fit for a terminal: line breaks and control characters are spelt out."""
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)


def print_table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """A table; on a terminal as wide as that, in a pipe as wide as it must be."""
    from rich.console import Console  # noqa: PLC0415 - 60 ms, for those commands that show a table
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    is_terminal = sys.stdout.isatty()
    console = Console(width=None if is_terminal else _WIDE, highlight=False)
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold", show_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(Text(harmless(_cell(value))) for value in row))
    with console.capture() as shown:
        console.print(table)
    for line in shown.get().splitlines():  # it pads the last column
        click.echo(line if is_terminal else line.rstrip())


def print_fields(fields: Iterable[tuple[str, object]]) -> None:
    """Name and value, a line each."""
    listed = [(name, harmless(_cell(value))) for name, value in fields]
    width = max((len(name) for name, _ in listed), default=0)
    for name, value in listed:
        click.echo(f"{name.ljust(width)}  {value}")


def _cell(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else ""
    if isinstance(value, tuple | list):
        return " ".join(map(str, value))
    return str(value)


def seconds(value: float) -> str:
    """A duration as people say it: 0.4 s, 12 s, 3 min, 5 h, 2 d."""
    if value < 10:
        return f"{value:.1f} s"
    for limit, unit, name in ((120, 1, "s"), (7_200, 60, "min"), (172_800, 3_600, "h")):
        if value < limit:
            return f"{value / unit:.0f} {name}"
    return f"{value / 86_400:.0f} d"


def size(value: float) -> str:
    """Bytes as people say them."""
    if value < 1_024:
        return f"{value:.0f} B"
    return f"{value / 1_024:.0f} KiB" if value < 1 << 20 else f"{value / (1 << 20):.1f} MiB"


def rate(value: float) -> str:
    """Something a second."""
    return f"{value:.1f}/s" if 0 < value < 10 else f"{value:.0f}/s"


class Duration(click.ParamType[float, Any]):
    """`90`, `90s`, `15m`, `12h`, `30d`, `2w`: seconds.

    lasts: 0 is refused, where it would be read as "for ever". at_most_s: so long at most.
    """

    name = "duration"

    def __init__(self, *, lasts: bool = False, at_most_s: float = math.inf) -> None:
        self._lasts, self._at_most_s = lasts, at_most_s

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        if isinstance(value, int | float):
            return float(value)
        match = _DURATION.fullmatch(str(value))
        if match is None:
            self.fail(f"{value!r} is no duration: use 90, 15m, 12h, 30d or 2w", param, ctx)
        lasts_s = float(match[1]) * _UNITS[match[2]]
        if self._lasts and not lasts_s:
            self.fail(f"{value!r} is over at once: give a longer one, or leave the option out", param, ctx)
        if lasts_s > self._at_most_s:
            self.fail(f"{value!r} is too long: {self._at_most_s:.0f}s at most", param, ctx)
        return lasts_s
