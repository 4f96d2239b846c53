"""From path, query and body to the typed request of an operation."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from majula.api.http.parameters import Parts
from majula.api.http.typed import typed_request
from majula.errors import InvalidRequest
from majula.operations import Operation


class Inner(msgspec.Struct, frozen=True):
    a: int = 0


class Request(msgspec.Struct, frozen=True):
    name: str
    count: int = 0
    seconds: float = 0.0
    wait: bool = True
    words: tuple[str, ...] = ()
    numbers: tuple[int, ...] = ()
    anything: Any = None
    headers: dict[str, str] | None = None
    inner: Inner | None = None


OPERATION = Operation(
    name="test.ask", summary="", request=Request, answer=None, scope="", scope_field="name", idempotent=True, path="/x/{name}"
)


def read(json: dict[str, Any] | None = None, *texts: tuple[str, str], name: str = "n") -> Any:
    return typed_request(OPERATION, Parts(json or {}, list(texts)), {"name": name}, nesting=64)


def test_text_is_read_as_the_type_that_its_field_wants() -> None:
    found = read(None, ("count", "7"), ("seconds", "1.5"), ("wait", "false"))
    assert found == Request("n", 7, 1.5, False)


def test_a_name_that_comes_several_times_is_a_list() -> None:
    assert read(None, ("words", "a"), ("words", "b"), ("numbers", "1")) == Request("n", words=("a", "b"), numbers=(1,))


def test_text_for_an_object_is_its_json() -> None:
    assert read(None, ("headers", '{"k": "v"}'), ("inner", '{"a": 3}')) == Request("n", headers={"k": "v"}, inner=Inner(3))


def test_text_for_any_value_stays_text() -> None:
    assert read(None, ("anything", "7")) == Request("n", anything="7")


def test_a_name_that_looks_like_a_number_stays_text() -> None:
    assert read(None, name="123") == Request("123")


def test_the_path_wins_over_the_query_and_the_query_over_the_body() -> None:
    assert read({"name": "body", "count": 1}, ("name", "query"), ("count", "2"), name="path") == Request("path", 2)


def test_a_whole_number_may_be_written_with_a_point() -> None:
    found = read({"count": 7.0, "seconds": 7, "anything": 7.0})
    assert (found.count, type(found.count), found.seconds, type(found.anything)) == (7, int, 7.0, float)


@pytest.mark.parametrize(
    "json", [{"count": 7.5}, {"count": "7"}, {"wait": "true"}, {"words": "a"}, {"seconds": None}, {"inner": {"a": "1"}}]
)
def test_json_of_another_type_is_refused(json: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest):
        read(json)


@pytest.mark.parametrize("text", [("count", "x"), ("wait", "maybe"), ("numbers", "x"), ("headers", "{"), ("headers", "[]")])
def test_text_that_is_no_value_of_its_type_is_refused(text: tuple[str, str]) -> None:
    with pytest.raises(InvalidRequest):
        read(None, text)


def test_an_unknown_name_is_refused_and_the_nearest_is_named() -> None:
    with pytest.raises(InvalidRequest, match="did you mean count"):
        read({"cuont": 1})


def test_a_missing_value_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="name"):
        typed_request(OPERATION, Parts({}, []), {}, nesting=64)
