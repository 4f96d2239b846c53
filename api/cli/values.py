"""What stands on a command line, as values to send."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from typing import Any

from majula.errors import InvalidRequest


def read_value(text: str, *, raw: bool) -> object:
    """A message: JSON where it is JSON, else the text itself; with `raw` the bytes as they are. `-` is standard input."""
    if text == "-":
        data = sys.stdin.buffer.read()
        if raw:
            return data
        text = _decoded(data)
    if raw:
        return text.encode("utf-8", "surrogateescape")
    try:
        return json.loads(text)
    except ValueError:
        return text


def read_arguments(words: Sequence[str]) -> object:
    """Arguments of a call: one JSON value, or `name=value` each; without any: none."""
    if not words:
        return None
    if len(words) == 1 and "=" not in words[0].partition("{")[0]:
        return read_value(words[0], raw=False)
    return {name: read_value(value, raw=False) for name, value in _pairs(words).items()}


def read_pairs(words: Iterable[str]) -> dict[str, str] | None:
    """`name=value` each, as texts; None where there is none."""
    return _pairs(words) or None


def as_text(value: Any) -> str:
    """A payload for people: text as it is, all else as JSON; bytes as text where they are one."""
    if isinstance(value, bytes):
        try:
            value = value.decode()
        except UnicodeDecodeError:
            return f"({len(value)} bytes) {value[:64].hex()}"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def as_json(value: Any) -> Any:
    """A payload for programs: bytes that are no text become `{"base64": ...}`, as on the JSON surfaces."""
    if isinstance(value, bytes):
        from base64 import b64encode  # noqa: PLC0415 - seldom

        return {"base64": b64encode(value).decode()}
    return value


def _pairs(words: Iterable[str]) -> dict[str, str]:
    pairs: dict[str, str] = {}
    for name, value in map(_pair, words):
        if name in pairs:
            raise InvalidRequest(f"{name!r} is given twice")
        pairs[name] = value
    return pairs


def _pair(word: str) -> tuple[str, str]:
    name, equals, value = word.partition("=")
    if not equals or not name:
        raise InvalidRequest(f"{word!r} is not name=value")
    return name, value


def _decoded(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise InvalidRequest("standard input is no UTF-8 text: send it with --raw") from None
