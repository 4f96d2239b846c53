"""Values as an application wants them: as JSON or msgpack on the way out, as a type of its own on the way in. Pure."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable
from typing import Any, Literal

import msgspec

from majula.errors import InvalidRequest
from majula.wire.headers import JSON, RAW, Encoding
from majula.wire.values import decode_value, encode_value

Codec = Literal["msgpack", "json"]
Encode = Callable[[object], tuple[Encoding, bytes]]

_encode_json = msgspec.json.Encoder().encode


def encoder(codec: Codec) -> Encode:
    """How a client encodes values that are no bytes.

    Raises:
        InvalidRequest: there is no such codec.
    """
    if codec == "msgpack":
        return encode_value
    if codec == "json":
        return _as_json
    raise InvalidRequest(f"a codec is 'msgpack' or 'json', not {codec!r}")


def _as_json(value: object) -> tuple[Encoding, bytes]:
    if isinstance(value, bytes | bytearray | memoryview):
        return RAW, bytes(value)
    try:
        return JSON, _encode_json(value)
    except (TypeError, OverflowError, ValueError, RecursionError) as error:
        raise InvalidRequest(f"this value cannot be sent: {error}") from None


_BASE64 = b'{"base64":"'


def unwrapped(encoding: Encoding, data: bytes) -> tuple[Encoding, bytes]:
    """A payload that came, bytes taken out of the form in which they cross JSON: `{"base64": "..."}`."""
    if encoding == JSON and data.startswith(_BASE64) and data.endswith(b'"}'):
        try:
            return RAW, base64.b64decode(data[len(_BASE64) : -2], validate=True)
        except (binascii.Error, ValueError):
            pass  # it only looked like it
    return encoding, data


def decode_payload(encoding: Encoding, data: bytes) -> Any:
    """The value that another client sent, whatever it speaks.

    Raises:
        InvalidRequest: the bytes are not what `encoding` says.
    """
    if encoding == JSON:
        encoding, data = unwrapped(encoding, data)
    return decode_value(encoding, data)


class Shape:
    """A type that payloads have to fit: whatever msgspec knows, such as its structs, dataclasses, `list[int]`, `datetime`.

    Args:
        wanted: the type. `bytes` takes only what was sent as bytes.
    Raises:
        InvalidRequest: msgspec cannot make such a type.
    """

    def __init__(self, wanted: Any) -> None:
        self.name = getattr(wanted, "__name__", str(wanted))
        self._wanted = wanted
        try:
            self._msgpack: Any = msgspec.msgpack.Decoder(wanted, strict=False)
            self._json: Any = msgspec.json.Decoder(wanted, strict=False)
        except (TypeError, NameError) as error:
            raise InvalidRequest(f"{self.name} is no type for payloads: {error}") from None

    def read(self, encoding: Encoding, data: bytes) -> Any:
        """A payload as a value of the type.

        Raises:
            InvalidRequest: it does not fit; the text says where, as `$.orders[2].price`.
        """
        encoding, data = unwrapped(encoding, data)
        try:
            if encoding == RAW:
                return msgspec.convert(data, self._wanted)
            return (self._json if encoding == JSON else self._msgpack).decode(data)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise InvalidRequest(f"the payload does not fit {self.name}: {error}") from None

    def convert(self, value: Any) -> Any:
        """The same for a value that was decoded already."""
        try:
            return msgspec.convert(value, self._wanted, strict=False)
        except (msgspec.ValidationError, RecursionError) as error:
            raise InvalidRequest(f"the value does not fit {self.name}: {error}") from None
