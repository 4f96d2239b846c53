"""Fenced blocks of a Markdown document, in order. Pure."""

from __future__ import annotations

import re
from typing import NamedTuple

_FENCE = re.compile(r"(?:^<!-- not run: ([^\n]+) -->\n)?^```(\w*)([^\n]*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_FILE = re.compile(r"# (\S+\.py)\n")


class Block(NamedTuple):
    """language: `console`, `python`, `text` ... terminal: of a console block, `terminal=NAME` behind the language.
    not_run: why no test runs it, from the comment `<!-- not run: REASON -->` in the line above; empty: one does."""

    language: str
    terminal: str
    text: str
    not_run: str = ""

    @property
    def file_name(self) -> str:
        """The file that a program is to be saved as, by its first line; empty: none."""
        found = _FILE.match(self.text)
        return found[1] if found else ""


def blocks_of(document: str) -> list[Block]:
    """All fenced blocks that begin at the start of a line."""
    return [
        Block(language, options.strip().removeprefix("terminal="), text, not_run)
        for not_run, language, options, text in _FENCE.findall(document)
    ]


def agrees(said: str, expected: str) -> bool:
    """Whether a line is what the document says; `…` there stands for any text."""
    # How wide the columns of a table are depends on what stands in them.
    said, expected = (re.sub(" {2,}", "  ", line) for line in (said, expected))
    return re.fullmatch(".*?".join(map(re.escape, expected.split("…"))), said) is not None
