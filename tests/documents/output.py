"""Does a program say what the document says?"""

from __future__ import annotations

import re

ANY = "…"


def line_agrees(said: str, expected: str) -> bool:
    """`…` is any text; a number of spaces counts as one."""
    pattern = re.escape(_squeezed(expected)).replace(ANY, ".*")
    return re.fullmatch(pattern, _squeezed(said)) is not None


def consume(said: list[str], expected: list[str]) -> int | None:
    """How many lines of `said` the expected ones take; None: too few have come.

    Raises:
        AssertionError: a line is another one, and can no longer become right.
    """
    taken, skips = 0, False
    for line in expected:
        if line.strip() == ANY:
            skips = True
            continue
        while taken < len(said) and skips and not line_agrees(said[taken], line):
            taken += 1
        if taken >= len(said):
            return None
        assert line_agrees(said[taken], line), f"\n  expected: {line}\n  but said: {said[taken]}"
        taken, skips = taken + 1, False
    return taken


def ends_with_any(expected: list[str]) -> bool:
    return bool(expected) and expected[-1].strip() == ANY


def _squeezed(line: str) -> str:
    return re.sub(r" +", " ", line.rstrip())
