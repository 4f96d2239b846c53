"""What was asked of single roles and is not answered yet."""

from __future__ import annotations

from math import inf
from typing import Final

from msgspec import Struct

from majula.errors import MajulaError, Overloaded, Unavailable
from majula.messages.base import Address, Role
from majula.messages.operations import Perform, Performed, refused

LIMIT: Final = 256
ANSWER_S: Final = 2.0
"""A role whose loop turns answers at once. One that hangs is found and killed by its supervisor within 4 s."""


class _Asked(Struct, frozen=True):
    role: Role
    perform: Perform
    asker: Address
    deadline: float


class Questions:
    """By number: who asked, whom, until when."""

    def __init__(self) -> None:
        self._asked: dict[int, _Asked] = {}
        self._last = 0

    def __len__(self) -> int:
        return len(self._asked)

    def ask(self, role: Role, perform: Perform, asker: Address, *, listens_s: float, now: float) -> int:
        """Its number.

        Raises:
            Overloaded: too many are open.
        """
        if len(self._asked) >= LIMIT:
            raise Overloaded("too many roles are being looked at", retry_after_s=1.0)
        self._last += 1
        self._asked[self._last] = _Asked(role, perform, asker, now + listens_s + ANSWER_S)
        return self._last

    def settle(self, number: int, answer: bytes) -> tuple[Address, Performed] | None:
        """The role has answered: what to send to whom."""
        asked = self._asked.pop(number, None)
        return None if asked is None else (asked.asker, Performed(asked.perform.number, answer))

    def fail(self, number: int, error: MajulaError) -> tuple[Address, Performed] | None:
        """There will be no answer."""
        asked = self._asked.pop(number, None)
        return None if asked is None else (asked.asker, refused(asked.perform, error))

    def gone(self, role: Role) -> list[tuple[Address, Performed]]:
        """The role has ended."""
        ended = [number for number, asked in self._asked.items() if asked.role == role]
        error = Unavailable(f"{role} has ended meanwhile; `majula status` says why", retry_after_s=1.0, role=role)
        return [found for number in ended if (found := self.fail(number, error)) is not None]

    def next_deadline(self) -> float:
        """When `overdue` has something to give."""
        return min((asked.deadline for asked in self._asked.values()), default=inf)

    def overdue(self, now: float) -> list[tuple[Address, Performed]]:
        """Those that were not answered in time."""
        late = [(number, asked.role) for number, asked in self._asked.items() if asked.deadline <= now]
        return [
            found
            for number, role in late
            if (found := self.fail(number, Unavailable(_hangs(role), retry_after_s=1.0, role=role))) is not None
        ]


def _hangs(role: Role) -> str:
    return (
        f"{role} did not answer within {ANSWER_S:g} s: its loop does not turn."
        " Its supervisor ends a role that hangs within 4 s, and `majula status` shows it then"
    )
