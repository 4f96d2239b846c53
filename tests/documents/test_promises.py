"""Every promise names tests that hold it, and they exist."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from tests.cluster.node_rig import REPOSITORY

PROMISES = (REPOSITORY / "docs" / "promises.md").read_text()
DOCUMENTS = sorted((REPOSITORY / "docs").rglob("*.md"))
_PROMISE = re.compile(r"^\*\*(P\d+)\. (.*?)(?=^\*\*P\d+\. |^## |\Z)", re.DOTALL | re.MULTILINE)
_TEST = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")
_PATH = re.compile(r"`(tests/[\w/.]+)[`:]")


def functions_of(path: Path) -> set[str]:
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    return {node.name for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, functions)}


def test_promises_are_numbered_one_after_the_other() -> None:
    found = [number for number, _ in _PROMISE.findall(PROMISES)]
    assert found == [f"P{number}" for number in range(1, len(found) + 1)]
    assert len(found) > 20


@pytest.mark.parametrize(("number", "text"), _PROMISE.findall(PROMISES), ids=lambda value: value[:3])
def test_a_promise_names_tests_that_there_are(number: str, text: str) -> None:
    named = _TEST.findall(text)
    assert named != [], number
    assert [(path, name) for path, name in named if name not in functions_of(REPOSITORY / path)] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_test_file_that_a_document_names_is_there(document: Path) -> None:
    assert [path for path in _PATH.findall(document.read_text()) if not (REPOSITORY / path).exists()] == []
