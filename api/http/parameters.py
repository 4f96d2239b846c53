"""The parameters of a request: JSON body, then query, then form, where the later wins."""

from __future__ import annotations

import asyncio
import zlib
from email.message import Message
from typing import Any, NamedTuple
from urllib.parse import parse_qsl

from aiohttp import web
from aiohttp.multipart import BodyPartReader

from majula.errors import InvalidRequest, TooLarge, UnsupportedMedia
from majula.gateway.settings import GatewayLimits
from majula.wire import jsontext

_MAX_FIELDS = 1000
_FORM = "application/x-www-form-urlencoded"
_MULTIPART = "multipart/form-data"
_WINDOW_BITS = {"gzip": 31, "deflate": 15}  # zlib.decompressobj: 31 expects the gzip frame, 15 the zlib one (RFC 9110, 8.4.1)


class Parts(NamedTuple):
    """What a request carries. values: of its JSON body. texts: of its query and then its form, as often as a name came."""

    values: dict[str, Any]
    texts: list[tuple[str, str]]


async def read_parameters(request: web.BaseRequest, limits: GatewayLimits) -> dict[str, Any]:
    """All parameters of a request, whichever way they came.

    Raises:
        InvalidRequest, TooLarge, UnsupportedMedia: as `read_parts`.
    """
    values, texts = await read_parts(request, limits)
    return values | dict(texts)


async def read_parts(request: web.BaseRequest, limits: GatewayLimits) -> Parts:
    """The parameters of a request, kept apart by how they came.

    Raises:
        InvalidRequest, TooLarge: the body cannot be read, or unpacks to more than the limit.
        UnsupportedMedia: text/plain and everything else that is neither JSON nor a form.
    """
    found: dict[str, Any] = {}
    form: list[tuple[str, str]] = []
    if request.body_exists:
        kind = _media_type(request)
        if kind == _MULTIPART:
            form = await _multipart(request, limits)
        else:
            body = _unpacked(await _whole(request, limits), request.headers.get("Content-Encoding", ""), limits)
            if body:
                if kind == _FORM:
                    form = _fields(body)
                elif kind in {"", "application/json"} or kind.endswith("+json"):
                    found |= _object(body, limits)
                else:
                    raise UnsupportedMedia(f"{kind[:64]} is not served here; send application/json or a form")
    return Parts(found, _fields(request.rel_url.raw_query_string.encode("ascii")) + form)


def as_text(parameters: dict[str, Any], name: str) -> str:
    """A parameter that must be there and be text.

    Raises:
        InvalidRequest: it is missing or something else.
    """
    value = parameters.get(name)
    if value is None:
        raise InvalidRequest(f"the parameter {name} is missing")
    if isinstance(value, bool | int | float):
        if not -(1 << 63) <= value < 1 << 64:
            raise InvalidRequest(f"the parameter {name} is text; this number is too large for a name")
        value = str(value)
    if not isinstance(value, str):
        raise InvalidRequest(f"the parameter {name} is text")
    return value


def _media_type(request: web.BaseRequest) -> str:
    message = Message()
    message["Content-Type"] = request.headers.get("Content-Type", "")
    kind = message.get_content_type() if request.headers.get("Content-Type") else ""
    return kind.lower()


async def _whole(request: web.BaseRequest, limits: GatewayLimits) -> bytes:
    body = bytearray()
    while True:
        chunk = await request.content.readany()
        if not chunk:
            return bytes(body)
        body += chunk
        if len(body) > body_limit(limits):
            raise _too_large(limits)


def body_limit(limits: GatewayLimits) -> int:
    """Bytes of a body: one message and what names it."""
    return limits.message_bytes + 65_536


def _too_large(limits: GatewayLimits) -> TooLarge:
    return TooLarge(f"a body is at most {body_limit(limits)} bytes", limit_bytes=body_limit(limits))


def _unpacked(body: bytes, encoding: str, limits: GatewayLimits) -> bytes:
    encoding = encoding.lower()
    if encoding in {"", "identity"}:
        return body
    if encoding not in _WINDOW_BITS:
        raise UnsupportedMedia("Content-Encoding is gzip, deflate or absent")
    unpacker = zlib.decompressobj(_WINDOW_BITS[encoding])
    try:
        # One byte over the limit is enough to know: a bomb of 200 MB never unfolds.
        unpacked = unpacker.decompress(body, body_limit(limits) + 1)
    except zlib.error:
        raise InvalidRequest(f"the body is not {encoding}") from None
    if len(unpacked) > body_limit(limits):
        raise _too_large(limits)
    if not unpacker.eof or unpacker.unused_data:
        raise InvalidRequest(f"the body is not one whole {encoding} stream")
    return unpacked


def _object(body: bytes, limits: GatewayLimits) -> dict[str, Any]:
    value = jsontext.decode(body, nesting=limits.nesting)
    if not isinstance(value, dict):
        raise InvalidRequest("the JSON body is an object whose keys are the parameters")
    return value


def _fields(text: bytes) -> list[tuple[str, str]]:
    if not text:
        return []
    try:
        return parse_qsl(text.decode("ascii"), keep_blank_values=True, max_num_fields=_MAX_FIELDS, errors="strict")
    except (ValueError, UnicodeDecodeError) as error:
        raise InvalidRequest(f"the parameters cannot be read: {error}") from None


async def _multipart(request: web.BaseRequest, limits: GatewayLimits) -> list[tuple[str, str]]:
    fields: list[tuple[str, str]] = []
    left = body_limit(limits)
    try:
        reader = await request.multipart()
        async for part in reader:
            if not isinstance(part, BodyPartReader) or part.name is None or len(fields) >= _MAX_FIELDS:
                raise InvalidRequest("this form has parts that are no fields")
            value = bytearray()
            while chunk := await part.read_chunk():
                left -= len(chunk)
                if left < 0:
                    raise _too_large(limits)
                value += chunk
            fields.append((part.name, value.decode()))
    except asyncio.CancelledError:
        raise
    except (ValueError, UnicodeDecodeError, AssertionError) as error:  # what aiohttp raises for malformed parts
        raise InvalidRequest(f"this form cannot be read: {error}") from None
    return fields
