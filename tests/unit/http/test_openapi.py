"""The API document says what is served, and nothing else."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from openapi_spec_validator import validate

from majula.api.http.inner import INNER_PATHS
from majula.api.http.openapi import build, field_notes
from majula.api.http.routes import SHORT_PATHS, is_built
from majula.errors import BY_CODE
from majula.operations import Operation, all_operations
from tests.edges import body_of, exchange, request, serve_http, status_of

OPERATIONS = [operation for operation in all_operations() if operation.path]


def document(*, auth: str = "token") -> dict[str, Any]:
    built = [operation.name for operation in OPERATIONS if is_built(operation)]
    found = build(version="1.2.3", auth=auth, built=built, short_paths=SHORT_PATHS)
    as_sent: dict[str, Any] = json.loads(msgspec.json.encode(found))
    return as_sent


DOCUMENT = document()


def resolved(value: dict[str, Any]) -> dict[str, Any]:
    while "$ref" in value:
        found: Any = DOCUMENT
        for key in value["$ref"][2:].split("/"):
            found = found[key]
        value = found
    return value


def test_the_document_is_valid_openapi() -> None:
    validate(DOCUMENT)


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda one: one.name)
def test_every_operation_stands_at_its_path(operation: Operation) -> None:
    found = DOCUMENT["paths"]["/majula/v1" + operation.path][operation.method.lower()]
    assert found["summary"] == operation.summary and found["operationId"] == operation.name


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda one: one.name)
def test_every_parameter_of_an_operation_is_told_once(operation: Operation) -> None:
    found = DOCUMENT["paths"]["/majula/v1" + operation.path][operation.method.lower()]
    told = [one["name"] for one in found.get("parameters", ()) if one["in"] != "header"]
    body = found.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema", {})
    told += body.get("properties", {})
    assert sorted(told) == sorted(operation.request.__struct_encode_fields__)


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda one: one.name)
def test_every_success_has_the_status_that_is_declared(operation: Operation) -> None:
    responses = DOCUMENT["paths"]["/majula/v1" + operation.path][operation.method.lower()]["responses"]
    good = {status for status in responses if status.startswith("2")}
    assert good == {str(operation.success)} | ({"202"} if operation.begun else set())


def test_every_path_of_the_inner_circle_has_get_and_post_with_and_without_a_label() -> None:
    paths = {operation.inner_path for operation in all_operations() if operation.inner_path}
    assert set(INNER_PATHS) == {operation.name for operation in all_operations() if operation.inner_path}
    for path in paths:
        for ending in ("", "/{client}"):
            assert set(DOCUMENT["paths"][f"/majula{path}{ending}"]) == {"get", "post"}


def test_what_is_not_built_says_so_and_answers_501() -> None:
    marked = [
        (path, method) for path, methods in DOCUMENT["paths"].items() for method, one in methods.items() if one.get("x-not-built")
    ]
    assert ("/majula/raft/put", "post") in marked and ("/majula/v1/tunnels", "get") in marked
    for path, method in marked:
        assert "501" in DOCUMENT["paths"][path][method]["responses"]


def test_every_refusal_names_codes_that_there_are() -> None:
    for name, response in DOCUMENT["components"]["responses"].items():
        codes = response["description"].removeprefix("Refused: ").removesuffix(".").replace("`", "").split(", ")
        assert {BY_CODE[code].status for code in codes} == {int(name.removeprefix("Refused").partition(".")[0])}


def test_no_schema_stands_there_for_nothing() -> None:
    text = json.dumps(DOCUMENT)
    assert [name for name in DOCUMENT["components"]["schemas"] if f"#/components/schemas/{name}" not in text] == []


def test_operations_have_names_of_their_own() -> None:
    names = [one["operationId"] for methods in DOCUMENT["paths"].values() for one in methods.values()]
    assert len(names) == len(set(names))


def test_a_gateway_without_authentication_asks_for_none() -> None:
    assert document(auth="none")["security"] == [{}] and DOCUMENT["security"] == [{"token": []}]


def test_what_a_docstring_says_of_a_field_is_told() -> None:
    class Example(msgspec.Struct):
        """first: one thing; more of it. second, third: two
        things. Something else (a note). fourth: the last."""

        first: int
        second: int
        third: int
        fourth: int
        fifth: int

    assert field_notes(Example) == {
        "first": "One thing; more of it.",
        "second": "Two things. Something else (a note).",
        "third": "Two things. Something else (a note).",
        "fourth": "The last.",
    }


async def test_a_gateway_serves_its_document() -> None:
    async with serve_http() as served:
        answer = await exchange(served.port, request("GET", "/majula/openapi.json"))
        assert status_of(answer) == 200
        found = body_of(answer)
        assert found["openapi"] == "3.1.0" and "/majula/v1/calls" in found["paths"]
