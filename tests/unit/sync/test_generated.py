"""The synchronous client has what the asyncio client has."""

from __future__ import annotations

import inspect
from pathlib import Path

import pytest

import majula
from majula.api.sdk import Client as AsyncClient
from majula.api.sdk import Subscription as AsyncSubscription
from majula.api.sync import Client, Subscription, generate
from majula.operations import Operation, all_operations

DECLARED = [operation for operation in all_operations() if operation.sdk]


@pytest.mark.parametrize("module", generate.MODULES)
def test_what_is_generated_is_what_stands_in_the_tree(module: str) -> None:
    pytest.importorskip("ruff", reason="ruff belongs to the extra `dev`")
    written = (Path(generate.__file__).parent / f"{module}.py").read_text()
    assert generate.generate(module) == written, "run python api/sync/generate.py"


@pytest.mark.parametrize("operation", DECLARED, ids=lambda operation: operation.name)
def test_every_declared_operation_is_a_documented_method_that_blocks(operation: Operation) -> None:
    method = getattr(Client, operation.sdk)
    assert inspect.getdoc(method)
    assert not inspect.iscoroutinefunction(method)
    assert list(inspect.signature(method).parameters) == list(inspect.signature(getattr(AsyncClient, operation.sdk)).parameters)


def test_connecting_takes_the_same_and_the_number_of_threads() -> None:
    there, here = inspect.signature(majula.connect).parameters, inspect.signature(majula.sync.connect).parameters
    assert {name: one.default for name, one in here.items() if name != "threads"} == {
        name: one.default for name, one in there.items()
    }


def test_a_subscription_has_the_same_verbs() -> None:
    inside = {"take", "end", "receive_some"}
    there = {name for name in vars(AsyncSubscription) if not name.startswith("_")} - inside
    assert there <= set(vars(Subscription))


def test_no_verb_of_the_asyncio_client_is_missing() -> None:
    inside = {"spawn", "tell_slow", "end_subscription", "frames_received", "connection_lost", "writable"}
    there = {name for name, _ in inspect.getmembers(AsyncClient) if not name.startswith("_")} - inside
    assert there <= {name for name, _ in inspect.getmembers(Client)}
