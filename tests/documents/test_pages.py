"""The pages of reference say what the declarations say, and one command makes them all."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.documents.pages import PAGES, REPOSITORY, write


@pytest.mark.parametrize("page", PAGES)
def test_page_says_what_the_declarations_say(page: str) -> None:
    assert (REPOSITORY / page).read_text(encoding="utf-8") == PAGES[page](), "run: make docs"


def test_every_page_that_calls_itself_generated_is_made_by_that_command() -> None:
    generated = {
        str(page.relative_to(REPOSITORY)) for page in (REPOSITORY / "docs").rglob("*.md") if "Generated" in page.read_text()
    }
    assert generated == set(PAGES)


def test_the_command_writes_what_has_changed_and_nothing_else(tmp_path: Path) -> None:
    assert write(tmp_path) == list(PAGES)
    (tmp_path / "docs/reference/events.md").write_text("stale")
    assert write(tmp_path) == ["docs/reference/events.md"]
    assert write(tmp_path) == []


def test_make_docs_is_that_command() -> None:
    assert "docs: ; .venv/bin/python -m tests.documents.pages\n" in (REPOSITORY / "Makefile").read_text()
