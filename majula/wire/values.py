"""Payloads: what an application hands over, as bytes and an `encoding`, and back.

Bytes travel as they are (RAW). Everything else is msgpack. JSON is what the JSON surfaces send; it is kept as the text that came.
For a peer that speaks JSON only, `to_json` turns any payload into JSON text; raw bytes become `{"base64": "..."}`.
"""

from __future__ import annotations

import base64
from typing import Any

import msgspec

from majula.errors import InvalidRequest
from majula.wire import jsontext
from majula.wire.headers import JSON, MSGPACK, RAW, Encoding

_encode_msgpack = msgspec.msgpack.Encoder(enc_hook=None).encode
_decode_msgpack = msgspec.msgpack.Decoder().decode
_encode_json = msgspec.json.Encoder().encode
_decode_json = msgspec.json.Decoder().decode
_skip_json = msgspec.json.Decoder(msgspec.Raw).decode


def encode_value(value: object) -> tuple[Encoding, bytes]:
    """The value's encoding and bytes.

    Raises:
        InvalidRequest: the value holds something that msgpack cannot carry.
    """
    if isinstance(value, bytes):
        return RAW, value
    if isinstance(value, bytearray | memoryview):
        return RAW, bytes(value)
    try:
        return MSGPACK, _encode_msgpack(value)
    except (TypeError, OverflowError, ValueError, RecursionError) as error:
        raise InvalidRequest(f"this value cannot be sent: {error}") from None


def decode_value(encoding: Encoding, data: bytes) -> Any:
    """The value that a peer sent; RAW gives the bytes.

    Raises:
        InvalidRequest: the bytes are not what `encoding` says.
    """
    if encoding == RAW:
        return data
    try:
        return _decode_msgpack(data) if encoding == MSGPACK else _decode_json(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidRequest(f"the payload cannot be read: {error}") from None


def _check_json(data: bytes) -> None:
    """That this is one JSON text, without numbers and depths that end some readers. 0.5 us for 100 bytes.

    What a peer calls JSON is put between other text, and read there by clients that trust it: with a comma and a quotation mark
    in the right place it would become another package, such as the answer to somebody's call. A number of 5,000 digits, or
    brackets a thousand deep, would cost a reader all that stands in the same text.
    """
    try:
        _skip_json(data)  # reads everything but the encoding of texts
        if not data.isascii():
            data.decode()
        if jsontext.is_suspect(data):
            jsontext.check(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidRequest(f"the payload is not JSON: {error}") from None


def to_json(encoding: Encoding, data: bytes) -> msgspec.Raw:
    """The payload as JSON text, for peers that speak JSON only.

    Raises:
        InvalidRequest: the bytes are not what `encoding` says.
    """
    if encoding == JSON:
        if data:
            _check_json(data)
        return msgspec.Raw(data)
    if encoding == RAW:
        return msgspec.Raw(_encode_json({"base64": base64.b64encode(data).decode()}))
    try:
        return msgspec.Raw(_encode_json(decode_value(encoding, data)))
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidRequest(f"the payload has no JSON form: {error}") from None
