"""`Message`, the base of everything that one Majula actor sends to another, and the codec over all of them.

A message travels as a msgpack array: its tag, then its fields in order. Tags are `room.ClassName`, so two rooms may use one word
(`link.Down`, `node.Down`). A message class must be imported before it can be decoded: `decode` builds its decoder over the
classes that exist then, and again when more have been defined since.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, Union

import msgspec

Address = str
"""Where an actor lives, as text relative to the run directory: `a7`, or `a7#3` for the third actor hosted in that process."""

Role = str
"""What an actor is to the others: its file's name, or `name:instance` where one is of many (`gateway:18080`)."""


class Message(msgspec.Struct, frozen=True, array_like=True):
    """Base of all messages. Subclasses are declared `class X(Message, frozen=True, array_like=True, tag="room.X")`.

    `droppable = True` in a subclass says that a newer message makes up for a lost one (a table's delta, for which a snapshot
    follows): at the outbox's mark it is refused to its sender, and does not come back as undeliverable. Fields are plain values
    and structs; `msgspec.Raw` is not allowed, it would point into the socket's buffer.
    """

    droppable: ClassVar[bool] = False


def _leaves(cls: type[Message]) -> list[type[Message]]:
    found: list[type[Message]] = []
    for child in cls.__subclasses__():
        found.append(child)
        found += _leaves(child)
    return found


class _Codec:
    """The decoder is a closed union: what is not a known message is refused before anything is built."""

    def __init__(self) -> None:
        self._known = 0
        self.decode: Callable[[bytes | memoryview], Any] = self._build_and_decode

    def _build_and_decode(self, data: bytes | memoryview) -> Any:
        return self.rebuilt()(data)

    def rebuilt(self) -> Callable[[bytes | memoryview], Any]:
        classes = tuple(_leaves(Message))
        self._known = len(classes)
        self.decode = msgspec.msgpack.Decoder(Union[classes]).decode  # noqa: UP007 - a union of a computed tuple
        return self.decode

    def is_stale(self) -> bool:
        return len(_leaves(Message)) != self._known


_codec = _Codec()
_encode = msgspec.msgpack.Encoder().encode


def encode(message: Message) -> bytes:
    """The message as msgpack, 0.2 us for a small one."""
    return _encode(message)


def decode(data: bytes | memoryview) -> Message:
    """The message in `data`.

    Raises:
        msgspec.DecodeError: not msgpack, not a known message, or fields of wrong types (msgspec.ValidationError).
    """
    try:
        found: Message = _codec.decode(data)
    except msgspec.ValidationError:
        if not _codec.is_stale():
            raise
        found = _codec.rebuilt()(data)
    return found
