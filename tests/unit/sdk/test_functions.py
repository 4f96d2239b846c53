"""A typed function becomes a service."""

from __future__ import annotations

import functools
from typing import Annotated, Any

import msgspec
import pytest

from majula.api.sdk.functions import describe
from majula.errors import InvalidRequest
from majula.wire.headers import Parameter


class Point(msgspec.Struct):
    x: int
    y: int = 0


async def add(a: int, b: Annotated[int, "the other"] = 2) -> int:
    """Add two numbers.

    More.
    """
    return a + b


def echo(value):  # type: ignore[no-untyped-def]  # what an untyped program registers
    return value


def move(point: Point) -> Point:
    return point


def nothing() -> None:
    return None


def anything(**fields: object) -> dict[str, object]:
    return fields


def test_the_signature_becomes_the_metadata() -> None:
    described = describe(add)
    assert described.name == "add"
    assert described.note == "Add two numbers."
    assert described.parameters == (Parameter("a", "int"), Parameter("b", "int", "the other"))
    assert described.results == (Parameter("result", "int"),)
    assert described.is_async


def test_fields_of_a_result_are_listed() -> None:
    assert describe(move).results == (Parameter("x", "int"), Parameter("y", "int"))


def test_a_function_without_result_lists_none() -> None:
    assert describe(nothing).results == ()


@pytest.mark.parametrize(
    ("payload", "expected"),
    [({"a": 1}, ((), {"a": 1})), ({"a": 1, "b": 3}, ((), {"a": 1, "b": 3})), ({"a": "4"}, ((), {"a": 4}))],
)
def test_a_map_of_parameters_is_passed_by_name(payload: object, expected: object) -> None:
    assert describe(add).bind(payload) == expected


@pytest.mark.parametrize("payload", [{}, {"b": 1}, {"a": 1, "c": 2}, [1, 2], {"a": "x"}, None, {"a": None}])
def test_a_payload_that_does_not_fit_is_the_callers_error(payload: object) -> None:
    with pytest.raises(InvalidRequest):
        describe(add).bind(payload)


@pytest.mark.parametrize("payload", [b"raw", [1], {"other": 1}, "text", None, {}])
def test_one_parameter_takes_any_payload(payload: object) -> None:
    assert describe(echo).bind(payload) == ((payload,), {})


def test_one_parameter_is_also_passed_by_its_name() -> None:
    assert describe(echo).bind({"value": 1}) == ((), {"value": 1})


def test_a_struct_is_built_from_its_fields() -> None:
    assert describe(move).bind({"x": 1, "y": 2}) == ((Point(1, 2),), {})


def test_no_parameters_need_no_payload() -> None:
    assert describe(nothing).bind(None) == ((), {})
    assert describe(nothing).bind({}) == ((), {})


def test_any_fields_are_passed_to_a_function_that_takes_any() -> None:
    assert describe(anything).bind({"p": 1}) == ((), {"p": 1})


def test_a_name_and_a_note_may_be_given() -> None:
    described = describe(lambda value: value, name="f", note="n", idempotent=True)
    assert (described.name, described.note, described.idempotent) == ("f", "n", True)


def test_a_callable_without_a_name_needs_one() -> None:
    with pytest.raises(InvalidRequest, match="name"):
        describe(lambda value: value)


def test_positional_only_parameters_cannot_be_called_from_afar() -> None:
    def of_two(a: int, b: int, /) -> int:
        return a + b

    with pytest.raises(InvalidRequest, match="positional"):
        describe(of_two)


def test_methods_and_partials_and_objects_are_described() -> None:
    class Service:
        async def of(self, a: int) -> int:
            return a

        async def __call__(self, b: int) -> int:
            return b

    assert describe(Service().of).bind({"a": 1}) == ((), {"a": 1})
    assert describe(Service(), name="s").is_async
    assert describe(functools.partial(add, b=1), name="p").bind({"a": 1}) == ((), {"a": 1})


def test_an_annotation_that_cannot_be_resolved_is_no_obstacle() -> None:
    def odd(a: Missing) -> Any:  # type: ignore[name-defined]  # noqa: F821  # that is the point
        return a

    assert describe(odd).bind({"a": 1}) == ((), {"a": 1})
