"""What a subscriber gets, and how a run of messages is taken apart."""

from __future__ import annotations

import struct
from typing import Any

import msgspec

from majula.api.sdk.shape import Shape, decode_payload
from majula.errors import ProtocolError
from majula.wire.headers import Encoding

_LENGTH = struct.Struct("<I")
_MAX_SHAPES = 256
_SHAPE_BYTES = 4_096
_shapes: dict[int, struct.Struct] = {}


class Message(msgspec.Struct, frozen=True, gc=False):
    """One message of a topic.

    data: the payload as it travelled.
    topic: the topic it was published to, also where the subscription is a pattern.
    encoding: what `data` is: 0 bytes, 1 msgpack, 2 JSON.
    headers: what the publisher added, None where nothing.
    retained: it is the topic's kept value, sent because of the subscription, not a new publication.
    """

    data: bytes
    topic: str
    encoding: Encoding = 0
    headers: dict[str, str] | None = None
    retained: bool = False

    @property
    def payload(self) -> Any:
        """The value that was published, decoded at each access; bytes stay bytes.

        Raises:
            InvalidRequest: the bytes are not what `encoding` says.
        """
        return decode_payload(self.encoding, self.data) if self.encoding else self.data


class TypedMessage(Message, frozen=True):
    """A message of a subscription with a type."""

    value: Any = None

    @property
    def payload(self) -> Any:
        """The value that was published, as the type that was subscribed for."""
        return self.value


def typed(message: Message, shape: Shape) -> TypedMessage:
    """The same message with its payload as a type.

    Raises:
        InvalidRequest: it does not fit.
    """
    value = shape.read(message.encoding, message.data)
    return TypedMessage(message.data, message.topic, message.encoding, message.headers, message.retained, value)


def split_run(chunk: bytes, at: int, end: int) -> list[bytes]:
    """The messages of the run `chunk[at:end]`, each as bytes of its own.

    Raises:
        ProtocolError: the lengths do not add up.
    """
    if end - at < 4:
        if at == end:
            return []
        raise ProtocolError("a run of messages is cut off")
    unpack = _LENGTH.unpack_from
    first = unpack(chunk, at)[0]
    if at + 4 + first == end:
        return [chunk[at + 4 : end]]
    # Messages of one topic mostly have one size. Then one C loop cuts the run, at a third of the cost of the loop below.
    if first <= _SHAPE_BYTES and not (end - at) % (first + 4):
        shape = _shapes.get(first)
        if shape is None:
            if len(_shapes) >= _MAX_SHAPES:
                _shapes.clear()
            shape = _shapes[first] = struct.Struct(f"<I{first}s")
        same = [message for length, message in shape.iter_unpack(memoryview(chunk)[at:end]) if length == first]
        if len(same) * (first + 4) == end - at:
            return same
    messages: list[bytes] = []
    while at < end:
        if end - at < 4:
            raise ProtocolError("a run of messages is cut off")
        start = at + 4
        at = start + unpack(chunk, at)[0]
        if at > end:
            raise ProtocolError("a message in a run is longer than the run")
        messages.append(chunk[start:at])
    return messages
