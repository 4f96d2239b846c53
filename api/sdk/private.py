"""A private message, as its receiver gets it, and the queue in which messages wait for the program. Pure."""

from __future__ import annotations

from collections import deque
from itertools import count, repeat
from typing import Any

import msgspec

from majula.api.sdk.shape import decode_payload
from majula.flow import Arrived, headers_size, message_id
from majula.wire.headers import Encoding

MAX_QUEUED = 4_096
MAX_QUEUED_BYTES = 16 << 20
"""What may wait for the program, over that by one frame at most; then nothing more is acknowledged until half of it is taken."""


class PrivateMessage(msgspec.Struct, frozen=True, gc=False):
    """One message that another client has sent to this one.

    data: the payload as it travelled.
    source, source_node: client id and node of the sender, written by its gateway.
    encoding: what `data` is: 0 bytes, 1 msgpack, 2 JSON.
    headers: what the sender added, None where nothing.
    flow, sequence: its place in what that session sends to this client.
    """

    data: bytes
    source: str
    source_node: str
    encoding: Encoding
    headers: dict[str, str] | None
    flow: int
    sequence: int

    @property
    def message_id(self) -> str:
        """The same here as at the sender."""
        return message_id(self.flow, self.sequence)

    @property
    def payload(self) -> Any:
        """The value that was sent, decoded at each access; bytes stay bytes.

        Raises:
            InvalidRequest: the bytes are not what `encoding` says.
        """
        return decode_payload(self.encoding, self.data) if self.encoding else self.data


def messages_of(arrived: Arrived) -> list[PrivateMessage]:
    """The messages of one frame."""
    header = arrived.header
    return list(
        map(
            PrivateMessage,
            arrived.messages,
            repeat(header.source),
            repeat(header.source_node),
            repeat(header.encoding),
            repeat(header.headers),
            repeat(header.flow),
            count(arrived.sequence),
        )
    )


def _size(message: PrivateMessage) -> int:
    return len(message.data) + headers_size(message.headers) if message.headers else len(message.data)


class Queue:
    """Messages that wait for the program."""

    def __init__(self, *, limit: int = MAX_QUEUED, limit_bytes: int = MAX_QUEUED_BYTES) -> None:
        self._limit, self._limit_bytes = limit, limit_bytes
        self._messages: deque[PrivateMessage] = deque()
        self._bytes = 0
        self.is_full = False
        """Since it reached its limit, until half of it was taken."""

    def __len__(self) -> int:
        return len(self._messages)

    def add(self, messages: list[PrivateMessage]) -> None:
        """Behind what waits, over the limit as well: they were acknowledged by coming here."""
        self._messages.extend(messages)
        for message in messages:
            self._bytes += _size(message)
        self.is_full = self.is_full or len(self._messages) >= self._limit or self._bytes >= self._limit_bytes

    def pop(self) -> PrivateMessage:
        """The oldest one."""
        message = self._messages.popleft()
        self._bytes -= _size(message)
        if self.is_full and len(self._messages) <= self._limit // 2 and self._bytes <= self._limit_bytes // 2:
            self.is_full = False
        return message
