"""Every declared path is served, and nothing else is."""

from __future__ import annotations

import re
from typing import cast

import msgspec
import pytest
from aiohttp import web

from majula.api.http import planned
from majula.api.http.documentation import page_files
from majula.api.http.routes import (
    BASE,
    DOCUMENT_PATH,
    INNER_SERVINGS,
    OUTER,
    OUTER_SERVINGS,
    SHORT_PATHS,
    is_built,
    make_routes,
)
from majula.gateway.edge import EdgeContext
from majula.operations import Operation, all_operations
from majula.wire.packages import Packages

ROUTES = {(route.method, re.sub(r":\[\^/\]\+", "", route.path)) for route in make_routes(cast(EdgeContext, None))}
PLANNED = {BASE + path + ending for path in planned.INNER for ending in ("", "/{client}")} | set(planned.OTHERS)
OUTER_OPERATIONS = [operation for operation in all_operations() if operation.path]

API_PATHS: tuple[str, ...] = (
    "/h",
    "/sub",
    "/pub",
    "/rpc",
    "/send",
    "/list_rpc",
    "/frp",
    "/upload",
    "/download",
    "/connect_to_node",
)
API_PATHS += ("/join_raft_learner", "/join_raft_learner_with_fast_sync", "/leave_raft_learner")
API_PATHS += ("/raft/put", "/raft/delete", "/raft/get", "/elect/join", "/elect/giveup", "/elect/leave", "/elect/status")
"""The inner circle as its clients know it; `/ws` is opened before any route and `/map/{action}` has no client."""

INFORMATION: tuple[str, ...] = ("/majula/health", "/majula/info", "/majula/v1/nodes", "/majula/v1/clients", "/majula/v1/services")
INFORMATION += ("/majula/v1/topics", "/majula/v1/config", "/metrics", DOCUMENT_PATH)


@pytest.mark.parametrize("path", API_PATHS)
def test_every_path_of_the_inner_circle_is_served_or_planned(path: str) -> None:
    found = [m for m, p in ROUTES if p in (BASE + path, BASE + path + "/{client}")]
    assert sorted(found) in (["GET", "GET", "POST", "POST"], ["*", "*"])


@pytest.mark.parametrize("path", INFORMATION)
def test_every_path_of_information_is_served_for_get(path: str) -> None:
    assert {method for method, found in ROUTES if found == path} & {"GET", "*"}


def test_every_inner_path_is_served_for_get_and_post_with_and_without_a_client() -> None:
    declared = {BASE + operation.inner_path for operation in all_operations() if operation.inner_path}
    assert {(m, path + end) for path in declared for m in ("GET", "POST") for end in ("", "/{client}")} <= ROUTES


def test_every_outer_path_is_served_for_its_method_alone() -> None:
    declared = {(operation.method, OUTER + operation.path) for operation in OUTER_OPERATIONS}
    assert declared == {(m, path) for m, path in ROUTES if path.startswith(OUTER) and m != "*"}


@pytest.mark.parametrize("operation", OUTER_OPERATIONS, ids=lambda one: one.name)
def test_every_declared_operation_is_built(operation: Operation) -> None:
    assert is_built(operation)
    assert not operation.inner_path or operation.name in INNER_SERVINGS


def test_nothing_is_served_that_no_operation_declares() -> None:
    declared = {operation.name for operation in all_operations()}
    assert set(INNER_SERVINGS) | set(OUTER_SERVINGS) | set(SHORT_PATHS.values()) <= declared
    inner = {BASE + operation.inner_path for operation in all_operations() if operation.inner_path}
    inner = {path + ending for path in inner for ending in ("", "/{client}")}
    rest = {path for _, path in ROUTES if not path.startswith(OUTER)} - inner - PLANNED - set(SHORT_PATHS)
    assert rest <= {f"{BASE}/health", "/metrics", DOCUMENT_PATH, *(file.path for file in page_files())}


def test_operations_that_change_something_are_not_served_for_get_below_v1() -> None:
    changing = {"publish", "call", "register", "send"}
    assert not [op.name for op in OUTER_OPERATIONS if op.method == "GET" and (op.scope in changing or not op.idempotent)]


@pytest.mark.parametrize("operation", OUTER_OPERATIONS, ids=lambda one: one.name)
def test_the_names_in_a_path_are_parameters_of_its_operation(operation: Operation) -> None:
    assert set(re.findall(r"\{(\w+)\}", operation.path)) <= set(operation.request.__struct_encode_fields__)


@pytest.mark.parametrize("operation", OUTER_OPERATIONS, ids=lambda one: one.name)
def test_what_is_made_is_answered_by_201_and_its_path(operation: Operation) -> None:
    assert (operation.status == 201) == bool(operation.made)
    if operation.made and operation.answer is not None:
        (first,) = re.findall(r"\{(\w+)[^}]*\}", operation.made)
        assert first in operation.answer.__struct_encode_fields__


def answered(method: str) -> str:
    """The code with which a bare package of this method is refused; empty: it is not."""
    answers = Packages(batches=True, client_id="c").receive(msgspec.json.encode({"method": method})).answers
    return next((one["error"] for one in map(msgspec.json.decode, answers) if one["method"] == "ERROR"), "")


def test_every_operation_with_a_websocket_method_is_served_there() -> None:
    words = [operation.websocket for operation in all_operations() if operation.websocket]
    assert words and [word for word in words if "no method" in answered(word) or "not built" in answered(word)] == []


def test_a_path_that_is_served_is_not_called_planned() -> None:
    served = {path for method, path in ROUTES if method != "*"}
    assert not served & (PLANNED | {f"{OUTER}/{path}" for path in planned.OUTER})


def test_routes_can_be_added_to_an_application() -> None:
    web.Application().add_routes(make_routes(cast(EdgeContext, None)))
