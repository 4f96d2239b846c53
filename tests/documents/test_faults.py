"""The page of faults has every actor and every fault, and each cell a test that there is, or a reason for none."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from majula.config import load_node_config
from majula.runner.plan import make_plan
from tests.faults_matrix import COLUMNS, EVERY_ACTOR, MATRIX, named_tests
from tests.faults_table import MATRIX_BEGIN, MATRIX_END, PAGE, REPOSITORY, matrix

_FIGURE = re.compile(r" \*\*[\d.]+ m?s\*\*")


def test_every_role_of_a_node_has_its_row() -> None:
    loaded = load_node_config(None)
    roles = {role.partition(":")[0] for role in make_plan(loaded.config, loaded=loaded).roles}
    assert roles | {"runner", "root supervisor", "Thespian's admin", "Thespian's logger"} <= MATRIX.keys()


@pytest.mark.parametrize("actor", MATRIX)
def test_every_fault_of_an_actor_has_its_cell(actor: str) -> None:
    assert tuple(MATRIX[actor]) == COLUMNS
    assert all(cell.words for cell in MATRIX[actor].values())


def test_what_holds_for_every_actor_has_tests() -> None:
    assert all(cell.test for every in EVERY_ACTOR for cell in every.cells)


@pytest.mark.parametrize("test", named_tests())
def test_a_test_that_the_table_names_is_there(test: str) -> None:
    path, _, name = test.partition("::")
    assert name in functions_of(REPOSITORY / path)


def test_the_page_shows_the_table_as_it_is() -> None:
    """`python -m tests.faults_table` draws it; figures may be of another day."""
    shown = PAGE.read_text().partition(MATRIX_BEGIN)[2].partition(MATRIX_END)[0]
    assert _FIGURE.sub("", shown) == _FIGURE.sub("", matrix({}))


def functions_of(path: Path) -> set[str]:
    return {
        node.name for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }
