"""The typed request of an operation below `/majula/v1`, from what came in the path, the query and the body.

What came as JSON has types and must have the right ones. What came as text (path, query, form) has none and is read as the type
that its field wants; a list is a name that comes several times. A name that the operation does not know is refused: a `dryrun`
that nobody reads would carry out what was only to be tried.
"""

from __future__ import annotations

import difflib
import re
import types
from functools import cache
from typing import Annotated, Any, Union, get_args, get_origin
from urllib.parse import unquote

import msgspec
from aiohttp import web

from majula.api.http.parameters import Parts
from majula.errors import InvalidRequest
from majula.operations import PATTERN, Operation
from majula.wire import jsontext


def path_texts(request: web.BaseRequest) -> dict[str, str]:
    """What stands in the path for the names of its template.

    Raises:
        InvalidRequest: the path is not UTF-8.
    """
    try:
        unquote(request.rel_url.raw_path, errors="strict")
    except UnicodeDecodeError:
        raise InvalidRequest("the path is not UTF-8") from None
    return dict(request.match_info)  # type: ignore[attr-defined] # a routed request has it, the base class's stub does not


def typed_request(operation: Operation, parts: Parts, path: dict[str, str], *, nesting: int) -> Any:
    """The request as the operation declares it.

    Raises:
        InvalidRequest: a name is unknown, a value is missing or of the wrong type.
    """
    fields = _fields(operation.request)
    texts: dict[str, list[str]] = {}
    for name, text in parts.texts:
        texts.setdefault(name, []).append(text)
    texts |= {name: [text] for name, text in path.items()}
    for name in (*parts.values, *texts):
        if name not in fields:
            near = difflib.get_close_matches(name[:64], fields, 1)
            known = f"; did you mean {near[0]}?" if near else f"; it has {', '.join(fields)}" if fields else "; it has none"
            raise InvalidRequest(f"{operation.name} has no parameter {name[:64]!r}{known}")
    try:
        values = {name: _whole(fields[name], value) for name, value in parts.values.items()}
        values |= {name: _read(name, fields[name], found, nesting) for name, found in texts.items()}
        return msgspec.convert(values, operation.request)
    except msgspec.ValidationError as error:
        raise InvalidRequest(f"{operation.name}: {_in_words(error)}") from None


def _in_words(error: msgspec.ValidationError) -> str:
    """What is wrong. A pattern is for machines: those that are checked here are of names and of patterns of topics."""
    wanted = (
        "whose `*` and last `>` are whole levels" if PATTERN in str(error).replace("\\\\", "\\") else "without control characters"
    )
    return re.sub(r"matching regex '.*'", wanted, str(error))


@cache
def _fields(request: type[msgspec.Struct]) -> dict[str, Any]:
    return {field.encode_name: field.type for field in msgspec.structs.fields(request)}


def _read(name: str, wanted: Any, texts: list[str], nesting: int) -> Any:
    """The value that texts stand for."""
    kinds = _kinds(wanted)
    if tuple in kinds or list in kinds:
        return msgspec.to_builtins(msgspec.convert(texts, wanted, strict=False))
    text = texts[-1]
    if not kinds or str in kinds:
        return text
    if dict in kinds:
        return jsontext.decode(text.encode("utf-8", "surrogatepass"), nesting=nesting)
    try:
        return msgspec.to_builtins(msgspec.convert(text, wanted, strict=False))
    except msgspec.ValidationError as error:
        raise InvalidRequest(f"{name}: {error}") from None


def _whole(wanted: Any, value: Any) -> Any:
    """JSON has one kind of number: 7.0 is a whole one."""
    return int(value) if type(value) is float and value.is_integer() and _kinds(wanted) == {int} else value


@cache
def _kinds(wanted: Any) -> frozenset[type]:
    """The plain types that a value may have; empty: any."""
    origin = get_origin(wanted)
    if origin is Annotated:
        return _kinds(get_args(wanted)[0])
    if origin in {Union, types.UnionType}:
        return frozenset().union(*(_kinds(one) for one in get_args(wanted)))
    if wanted is Any:
        return frozenset()
    if origin is None and isinstance(wanted, type):
        return frozenset({dict if issubclass(wanted, msgspec.Struct) else wanted})
    return frozenset({origin}) if isinstance(origin, type) else frozenset({str})  # a Literal is text
