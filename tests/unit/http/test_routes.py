"""Every declared path is served, and nothing else is."""

from __future__ import annotations

from typing import cast

import msgspec
from aiohttp import web

from majula.api.http import planned
from majula.api.http.routes import BASE, INNER_SERVINGS, OUTER, OUTER_SERVINGS, make_routes
from majula.gateway.edge import EdgeContext
from majula.operations import all_operations
from majula.wire.packages import Packages

ROUTES = {(route.method, route.path) for route in make_routes(cast(EdgeContext, None))}
PLANNED = {BASE + path + ending for path in planned.INNER for ending in ("", "/{client}")} | set(planned.OTHERS)


def test_every_inner_path_is_served_for_get_and_post_with_and_without_a_client() -> None:
    declared = {BASE + operation.inner_path for operation in all_operations() if operation.inner_path}
    assert {(m, path + end) for path in declared for m in ("GET", "POST") for end in ("", "/{client}")} <= ROUTES


def test_every_outer_path_is_served_for_its_method_alone() -> None:
    declared = {(operation.method, OUTER + operation.path) for operation in all_operations() if operation.path}
    assert declared == {(m, path) for m, path in ROUTES if path.startswith(OUTER) and m != "*"}


def test_nothing_is_served_that_no_operation_declares() -> None:
    declared = {operation.name for operation in all_operations()}
    assert set(INNER_SERVINGS) | set(OUTER_SERVINGS) <= declared
    inner = {BASE + operation.inner_path for operation in all_operations() if operation.inner_path}
    inner = {path + ending for path in inner for ending in ("", "/{client}")}
    rest = {path for _, path in ROUTES if not path.startswith(OUTER)} - inner - PLANNED
    assert rest == {f"{BASE}/health"}


def test_operations_that_change_something_are_not_served_for_get_below_v1() -> None:
    changing = {"publish", "call", "register", "send", "admin"}
    assert not [op.name for op in all_operations() if op.path and op.method == "GET" and op.scope in changing]


def answered(method: str) -> str:
    """The code with which a bare package of this method is refused; empty: it is not."""
    answers = Packages(batches=True, client_id="c").receive(msgspec.json.encode({"method": method})).answers
    return next((one["error"] for one in map(msgspec.json.decode, answers) if one["method"] == "ERROR"), "")


def test_every_operation_with_a_websocket_method_is_served_there() -> None:
    words = [operation.websocket for operation in all_operations() if operation.websocket]
    assert words and [word for word in words if "no method" in answered(word) or "not built" in answered(word)] == []


def test_a_path_that_is_served_is_not_called_planned() -> None:
    inner = {BASE + operation.inner_path for operation in all_operations() if operation.inner_path}
    assert not inner & PLANNED


def test_routes_can_be_added_to_an_application() -> None:
    web.Application().add_routes(make_routes(cast(EdgeContext, None)))
