"""How values are put into words of JSON on the HTTP surface."""

from __future__ import annotations

from typing import Any

import msgspec
from aiohttp import web

from majula.api.http.answers import JSON_TYPE
from majula.errors import InvalidRequest
from majula.wire import jsontext

_encode = msgspec.json.Encoder().encode


def json_answer(value: object, status: int = 200, *, location: str = "") -> web.Response:
    """The value as JSON. location: path of what was made."""
    headers = {"Content-Type": JSON_TYPE}
    if location:
        headers["Location"] = location
    return web.Response(status=status, body=_encode(value), headers=headers)


def json_object(value: Any, *, nesting: int) -> bytes:
    """A message of the inner circle as the JSON object that is delivered: itself, the object that a text spells, or
    `{"message": value}`."""
    if isinstance(value, dict):
        return _encode(value)
    if isinstance(value, str) and value.lstrip()[:1] == "{":
        text = value.strip().encode("utf-8", "surrogatepass")
        try:
            jsontext.decode(text, nesting=nesting)
            return text
        except InvalidRequest:
            pass  # text that merely begins like an object is delivered as text
    return _encode({"message": value})
