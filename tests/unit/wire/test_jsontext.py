"""JSON of strangers."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from majula.errors import InvalidRequest
from majula.wire import jsontext

_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


def _is_sendable(value: object) -> bool:
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:  # half of a surrogate pair
        return False
    return True


@given(_values.filter(_is_sendable), st.booleans())
def test_what_the_standard_library_writes_is_read_as_it_was(value: Any, ascii_only: bool) -> None:
    read = jsontext.decode(json.dumps(value, ensure_ascii=ascii_only).encode())
    assert read == value or (isinstance(value, float) and math.isclose(read, value))


@pytest.mark.parametrize(
    "text",
    [
        b'{"a":1,"a":2}',
        b'{"x":{"a":1,"b":{},"a":2}}',
        b'{"a":1,"\\u0061":2}',
        b'{"v":"x",":a":1,":a":2}',
        b'[{"k":"a","a":1},{"k":"a","a":1,"k":2}]',
    ],
)
def test_a_key_that_stands_twice_is_refused(text: bytes) -> None:
    with pytest.raises(InvalidRequest, match="twice"):
        jsontext.check(text)


@pytest.mark.parametrize("text", [b'{"a":"a"}', b'[{"k":1},{"k":2}]', b'{"a":{"a":{"a":1}}}', b'{"a":"\\"a\\":1,\\"a\\":2"}'])
def test_equal_words_that_are_no_keys_of_one_object_are_served(text: bytes) -> None:
    jsontext.check(text)


@pytest.mark.parametrize("text", [b'{"a":1e999}', b"[-1E+400]", b"1e309", b'{"b":"\\n","a":1e+309}', b"1" + b"0" * 400 + b".5"])
def test_a_number_beyond_what_a_double_holds_is_refused(text: bytes) -> None:
    with pytest.raises(InvalidRequest, match="beyond what a double holds"):
        jsontext.check(text)


@pytest.mark.parametrize("text", [b"1e308", b"[1.5e+300]", b"1e-999", b'{"a":"1e999"}', b'{"e1000":1}'])
def test_large_and_tiny_numbers_that_a_double_holds_are_served(text: bytes) -> None:
    jsontext.check(text)


@given(st.text(alphabet='0123456789eE+-.,[]{}":a', max_size=60) | st.sampled_from(["1e999", "9" * 5000, "[" * 70 + "]" * 70]))
def test_what_raises_no_suspicion_has_no_large_number_and_no_depth(text: str) -> None:
    try:
        jsontext.check(text.encode())
    except InvalidRequest as error:
        if "beyond" in error.message or "deeper" in error.message:
            assert jsontext.is_suspect(text.encode())


@pytest.mark.parametrize("text", [b'{"a":NaN}', b'{"a":Infinity}', b'{"a":-Infinity}'])
def test_what_is_no_number_is_refused(text: bytes) -> None:
    with pytest.raises(InvalidRequest):
        jsontext.decode(text)


@pytest.mark.parametrize("digits", ["18446744073709551616", "-9223372036854775809", "1" * 5000])
def test_whole_numbers_beyond_64_bits_are_refused(digits: str) -> None:
    with pytest.raises(InvalidRequest, match="64 bits"):
        jsontext.check(b'{"n":%b}' % digits.encode())


@pytest.mark.parametrize("number", [18446744073709551615, -9223372036854775808])
def test_whole_numbers_of_64_bits_are_exact(number: int) -> None:
    assert jsontext.decode(b"[%d]" % number) == [number]


def test_many_digits_in_a_string_or_a_fraction_are_served() -> None:
    assert jsontext.decode(b'["' + b"7" * 40 + b'",0.' + b"1" * 30 + b"]")[0] == "7" * 40


@pytest.mark.parametrize("text", [b'{"a":"\\ud800"}', b'{"a":"\\udc00\\ud800"}', b'{"\\ud83d":1}', b'{"a":"\\ud800\\\\"}'])
def test_half_of_a_surrogate_pair_is_refused(text: bytes) -> None:
    with pytest.raises(InvalidRequest):
        jsontext.check(text)


def test_a_whole_surrogate_pair_is_served() -> None:
    assert jsontext.decode(b'"\\ud83d\\ude00"') == "\U0001f600"


def test_bytes_that_are_not_utf8_are_refused() -> None:
    with pytest.raises(InvalidRequest):
        jsontext.check(b'{"a":"\xff"}')


def test_nesting_at_the_limit_is_served() -> None:
    jsontext.check(b"[" * 64 + b"]" * 64)


def test_nesting_beyond_the_limit_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="nested"):
        jsontext.check(b"[" * 65 + b"]" * 65)


def test_two_hundred_thousand_brackets_are_refused() -> None:
    with pytest.raises(InvalidRequest, match="nested"):
        jsontext.check(b'{"a":' + b"[" * 200_000)


def test_brackets_in_strings_do_not_count() -> None:
    jsontext.check(b'["' + b"[" * 200 + b'","\\"' + b"{" * 200 + b'"]')


def test_many_objects_side_by_side_are_served() -> None:
    jsontext.check(b"[" + b",".join([b'{"a":[1]}'] * 5000) + b"]")


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    try:
        jsontext.decode(data)
    except InvalidRequest:
        return
