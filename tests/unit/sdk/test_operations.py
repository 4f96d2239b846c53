"""What is declared for the Python client is there."""

from __future__ import annotations

import inspect

import pytest

from majula.api.sdk import Client
from majula.operations import Operation, all_operations

DECLARED = [operation for operation in all_operations() if operation.sdk]


@pytest.mark.parametrize("operation", DECLARED, ids=lambda operation: operation.name)
def test_every_declared_operation_is_a_documented_method(operation: Operation) -> None:
    method = getattr(Client, operation.sdk)
    assert inspect.iscoroutinefunction(method)
    assert inspect.getdoc(method)


@pytest.mark.parametrize("operation", DECLARED, ids=lambda operation: operation.name)
def test_what_a_method_takes_has_the_names_of_the_declaration(operation: Operation) -> None:
    """But for units (`timeout_s` here) and what the method itself makes of its arguments."""
    renamed = {"message": "payload", "timeout_ms": "timeout_s"}
    derived = {"parameters", "results"} if operation.sdk == "register" else set()
    if operation.sdk in {"register", "unregister"}:
        renamed["function"] = "name"
    taken = inspect.signature(getattr(Client, operation.sdk)).parameters
    declared = {renamed.get(name, name) for name in operation.request.__struct_fields__} - derived
    assert declared <= set(taken)
