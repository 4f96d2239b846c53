"""The reference of the Python client is what its docstrings say."""

from __future__ import annotations

from pathlib import Path

from majula.api.sdk.reference import reference
from majula.operations import all_operations

DOCUMENT = Path(__file__).parents[3] / "docs" / "reference" / "sdk.md"


def test_document_is_what_the_docstrings_say() -> None:
    assert DOCUMENT.read_text() == reference(), "run: python -m majula.api.sdk.reference > docs/reference/sdk.md"


def test_every_declared_method_is_in_it() -> None:
    text = reference()
    assert [one.sdk for one in all_operations() if one.sdk and f"### `client.{one.sdk}`" not in text] == []
