"""What the cores of this room ask their actor to do."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from majula.messages.base import Address, Message, Role


class Send(Struct, frozen=True):
    """Send `message` to `to`. Where the sending is refused (`send` gave False) say so by `refused`."""

    to: Address
    message: Message


class Changed(Struct, frozen=True):
    """A copy has changed and is already so in the exchange.

    Args:
        table: its name.
        owner: the role that published it.
        entries: keys that are new or have another value.
        removed: keys that are gone.
        is_snapshot: it came by a snapshot; `entries` and `removed` are the difference all the same.
    """

    table: str
    owner: Role
    entries: Mapping[str, bytes]
    removed: tuple[str, ...]
    is_snapshot: bool


class InForce(Struct, frozen=True):
    """What was published before `confirm(token)` is in force at every holder, and at every holder of what they make of it."""

    token: int


class Unconfirmed(Struct, frozen=True):
    """`confirm(token)` was given up; whether it is in force is unknown. `reason`: `timeout` or `too_many`."""

    token: int
    reason: str


News = Changed | InForce | Unconfirmed
"""What concerns the actor itself."""

Effect = Send | News
