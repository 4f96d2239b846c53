"""Words of a command line as values."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence

import click
import pytest

from majula.api.cli.config import read_change
from majula.api.cli.show import Duration, harmless, rate
from majula.api.cli.values import as_json, as_text, read_arguments, read_pairs, read_value
from majula.errors import InvalidRequest


@pytest.mark.parametrize(("text", "value"), [('{"a": 1}', {"a": 1}), ("12", 12), ("plain words", "plain words"), ("", "")])
def test_message_is_json_where_it_is_json_and_text_elsewhere(text: str, value: object) -> None:
    assert read_value(text, raw=False) == value


def test_raw_message_is_its_bytes() -> None:
    assert read_value('{"a": 1}', raw=True) == b'{"a": 1}'


def test_dash_is_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"[1, 2]")))
    assert read_value("-", raw=False) == [1, 2]


def test_standard_input_that_is_no_text_asks_for_raw(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"\xff")))
    with pytest.raises(InvalidRequest, match="--raw"):
        read_value("-", raw=False)


@pytest.mark.parametrize(
    ("words", "arguments"),
    [
        ((), None),
        (("a=1", "b=x y"), {"a": 1, "b": "x y"}),
        (('{"a": "b=c"}',), {"a": "b=c"}),
        (("7",), 7),
        (("text",), "text"),
    ],
)
def test_arguments_are_names_with_values_or_one_value(words: tuple[str, ...], arguments: object) -> None:
    assert read_arguments(words) == arguments


def test_argument_without_a_name_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="name=value"):
        read_arguments(("a=1", "b"))


@pytest.mark.parametrize("read", [read_arguments, read_pairs])
def test_name_that_is_given_twice_is_refused(read: Callable[[Sequence[str]], object]) -> None:
    with pytest.raises(InvalidRequest, match="'a' is given twice"):
        read(("a=1", "b=2", "a=3"))


def test_headers_are_texts() -> None:
    assert read_pairs(("a=1",)) == {"a": "1"}
    assert read_pairs(()) is None


@pytest.mark.parametrize(
    ("payload", "text"), [(b"abc", "abc"), ({"a": 1}, '{"a": 1}'), ("x", "x"), (b"\xff\x00", "(2 bytes) ff00")]
)
def test_payload_is_shown_as_text(payload: object, text: str) -> None:
    assert as_text(payload) == text


def test_bytes_become_base64_in_json() -> None:
    assert as_json(b"\xff") == {"base64": "/w=="}


@pytest.mark.parametrize(
    ("text", "seconds"), [("90", 90.0), ("1.5s", 1.5), ("15m", 900.0), ("12h", 43_200.0), ("30d", 2_592_000.0)]
)
def test_duration_is_read_with_its_unit(text: str, seconds: float) -> None:
    assert Duration().convert(text, None, None) == seconds


@pytest.mark.parametrize("text", ["", "x", "5y", "-1s"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(click.BadParameter):
        Duration().convert(text, None, None)


@pytest.mark.parametrize("text", ["0", "0s", "0.0h"])
def test_duration_of_nothing_does_not_mean_for_ever(text: str) -> None:
    with pytest.raises(click.BadParameter, match="leave the option out"):
        Duration(lasts=True).convert(text, None, None)


def test_duration_over_its_bound_is_refused_with_the_bound() -> None:
    assert Duration(at_most_s=60).convert("1m", None, None) == 60.0
    with pytest.raises(click.BadParameter, match="60s at most"):
        Duration(at_most_s=60).convert("61s", None, None)


def test_keys_become_a_nested_change() -> None:
    assert read_change(("log.level=debug", "log.format=json", "drain_s=5")) == {
        "log": {"level": "debug", "format": "json"},
        "drain_s": 5,
    }


@pytest.mark.parametrize("keys", [("log",), ("=1",), ("a.=1",), ("a=1", "a.b=2"), ("a.b=2", "a=1")])
def test_change_that_contradicts_itself_is_refused(keys: tuple[str, ...]) -> None:
    with pytest.raises(InvalidRequest):
        read_change(keys)


def test_what_a_stranger_chose_cannot_move_the_cursor() -> None:
    assert harmless("a\x1b]0;x\x07\r\nb\u202e") == "a\\x1b]0;x\\x07\\r\\nb\\u202e"


def test_small_rates_keep_their_fraction() -> None:
    assert (rate(0), rate(0.25), rate(1_234.5)) == ("0/s", "0.2/s", "1234/s")
