"""Listening to the messages of one actor for some seconds: who, what, how large; never what is in them."""

from __future__ import annotations

import asyncio
from typing import Final

import msgspec

from majula.messages.base import Address, Message, encode
from majula.messages.telemetry import Look
from majula.telemetry.operations import TapAnswer, TapLine

_TAP_LINES: Final = 1_024


class Tap:
    """Notes who sends what to whom, for some seconds."""

    def __init__(self, loop: asyncio.AbstractEventLoop, question: Look, sender: Address) -> None:
        self.question, self.sender = question, sender
        self._loop = loop
        self._began_at = loop.time()
        self._limit = min(max(question.limit, 1), _TAP_LINES)
        self._lines: list[TapLine] = []
        self._skipped = 0

    def note(self, direction: str, peer: Address, name: str, size: int) -> None:
        """One message; beyond the limit it is only counted."""
        if len(self._lines) >= self._limit:
            self._skipped += 1
            return
        self._lines.append(
            TapLine(at_s=round(self._loop.time() - self._began_at, 6), direction=direction, peer=peer, message=name, bytes=size)
        )

    def answer(self, role: str, names: dict[Address, str]) -> TapAnswer:
        """What was noted, peers by their role where it is known."""
        lines = tuple(msgspec.structs.replace(line, peer=names.get(line.peer, line.peer)) for line in self._lines)
        return TapAnswer(role=role, lines=lines, skipped=self._skipped)


def size_of(message: Message) -> int:
    """Bytes of a message as it travels; only while somebody taps."""
    return len(encode(message))
