"""What is declared for the Python client is there."""

from __future__ import annotations

import inspect

import pytest

from majula.api.sdk import Client
from majula.errors import PermissionDenied
from majula.operations import Operation, all_operations
from majula.wire.frames import encode_frame
from majula.wire.headers import Error, Request
from tests.unit.sdk.conftest import Clients
from tests.unit.sdk.gateway import FakeGateway

DECLARED = [operation for operation in all_operations() if operation.sdk]
ASKED = [operation for operation in DECLARED if operation.frame is Request and operation.name != "messages.broadcast"]
REQUIRED = {"role": "router", "level": "debug", "client": "c1", "token": "t1", "scopes": ("publish:>",)}


@pytest.mark.parametrize("operation", DECLARED, ids=lambda operation: operation.name)
def test_every_declared_operation_is_a_documented_method(operation: Operation) -> None:
    method = getattr(Client, operation.sdk)
    assert inspect.iscoroutinefunction(method)
    assert inspect.getdoc(method)


@pytest.mark.parametrize("operation", DECLARED, ids=lambda operation: operation.name)
def test_what_a_method_takes_has_the_names_of_the_declaration(operation: Operation) -> None:
    """But for units (`timeout_s` here) and what the method itself makes of its arguments."""
    renamed = {"message": "payload", "timeout_ms": "timeout_s"}
    derived = {"register": {"parameters", "results"}, "call": {"wait"}}.get(operation.sdk, set())
    if operation.sdk in {"register", "unregister"}:
        renamed["function"] = "name"
    taken = inspect.signature(getattr(Client, operation.sdk)).parameters
    declared = {renamed.get(name, name) for name in operation.request.__struct_fields__} - derived
    assert declared <= set(taken)


@pytest.mark.parametrize("operation", ASKED, ids=lambda operation: operation.name)
async def test_a_method_asks_its_operation_and_raises_the_refusal(
    operation: Operation, gateway: FakeGateway, clients: Clients
) -> None:
    gateway.answers[Request] = lambda _session, header: [
        encode_frame(Error(header.request, "permission_denied", "no"))  # type: ignore[attr-defined]  # it is a Request
    ]
    client = await clients.connect()
    method = getattr(client, operation.sdk)
    taken = inspect.signature(method).parameters.values()
    arguments = [REQUIRED[one.name] for one in taken if one.default is one.empty]
    with pytest.raises(PermissionDenied):
        await method(*arguments)
    assert [header.operation for header in gateway.of(Request) if isinstance(header, Request)] == [operation.name]
