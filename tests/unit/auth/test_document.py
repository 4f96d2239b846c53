"""The document about security names what there is."""

from __future__ import annotations

from pathlib import Path

import pytest

from majula.auth.grants import grants_of
from majula.auth.ledger import TOKENS_MOST
from majula.auth.scopes import SCOPES_MOST, VERBS
from majula.operations import all_operations

TEXT = (Path(__file__).parents[3] / "docs" / "concepts" / "security.md").read_text()
ROWS = {row.split("|")[1].strip(): row for row in TEXT.splitlines() if row.startswith("| `")}


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_is_described(verb: str) -> None:
    assert any(f"`{verb}`" in name for name in ROWS)


@pytest.mark.parametrize("verb", ["observe", "admin"])
def test_every_fixed_object_of_a_scope_is_named(verb: str) -> None:
    fixed = {
        operation.scope_field[1:] for operation in all_operations() if operation.scope == verb and operation.scope_field[0] == "="
    }
    assert {word for word in fixed if f"`{word}`" not in ROWS[f"`{verb}`"]} == set()


def test_limits_are_those_of_the_code() -> None:
    assert f"{TOKENS_MOST:,} tokens" in TEXT
    assert f"at most {SCOPES_MOST}" in TEXT


def test_example_of_the_overlapping_subscription_behaves_as_described() -> None:
    found = grants_of(("subscribe:orders.>", "-subscribe:orders.secret.>"))
    assert found.allows("subscribe", "orders.eu.>", pattern=True)
    assert found.missing("subscribe", "orders.>", pattern=True) == "-subscribe:orders.secret.>"
