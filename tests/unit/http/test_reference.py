"""The reference of errors and the tree agree."""

from __future__ import annotations

from pathlib import Path

from majula.api.http import paths_reference
from majula.api.http.reference import render
from majula.errors import BY_CODE, CallerError, MajulaError, NotNow, OwnError, PeerError

DOCUMENT = Path(__file__).parents[3] / "docs" / "reference" / "errors.md"
BRANCHES = {MajulaError, CallerError, PeerError, OwnError, NotNow}


def test_the_document_is_what_the_tree_says() -> None:
    assert DOCUMENT.read_text() == render(), "run: python -m majula.api.http.reference > docs/reference/errors.md"


def test_the_reference_of_paths_is_what_is_declared() -> None:
    there = (DOCUMENT.parent / "http.md").read_text()
    assert there == paths_reference.render(), "run: python -m majula.api.http.paths_reference > docs/reference/http.md"


def test_every_code_stands_in_the_document_once() -> None:
    text = DOCUMENT.read_text()
    codes = [code for code, cls in BY_CODE.items() if cls not in BRANCHES]
    assert [code for code in codes if text.count(f"| `{code}` |") != 1] == []


def test_every_class_has_a_code_of_its_own() -> None:
    def below(cls: type[MajulaError]) -> list[type[MajulaError]]:
        return [cls, *(found for child in cls.__subclasses__() for found in below(child))]

    classes = [cls for cls in below(MajulaError) if cls.__module__ == "majula.errors"]
    assert len({cls.code for cls in classes}) == len(classes) == len(BY_CODE)
