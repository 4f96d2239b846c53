"""The page of commands says what the commands say."""

from __future__ import annotations

from pathlib import Path

from majula.api.cli.reference import render

PAGE = Path(__file__).parents[3] / "docs" / "reference" / "cli.md"


def test_page_of_commands_is_up_to_date() -> None:
    assert PAGE.read_text(encoding="utf-8") == render(), "run: python -m majula.api.cli.reference > docs/reference/cli.md"
