"""Another gateway of this node, as this one sees it: what waits for it, and the calls between the two."""

from __future__ import annotations

import msgspec

from majula.gateway.outbox import Outbox
from majula.gateway.settings import GatewayLimits
from majula.messages.base import Role

# A gateway stands for many clients and reads as fast as it can: four times a client's room.
_PEER_QUEUE_FACTOR = 4


class Peer:
    """The gateway that has `role`, in one of its lives: a restarted one is a new `Peer`.

    Where both can be the end of a call it has what a session has: `outbox`, `is_open`, `is_dirty`.

    Args:
        role: `gateway:<port>`.
        incarnation: which life of it.
    """

    __slots__ = ("held", "incarnation", "is_dirty", "is_open", "outbox", "role", "was_slow")

    def __init__(self, role: Role, incarnation: int, *, limits: GatewayLimits, now: float) -> None:
        self.role = role
        self.incarnation = incarnation
        self.outbox = Outbox(
            msgspec.structs.replace(
                limits,
                queue_bytes=limits.queue_bytes * _PEER_QUEUE_FACTOR,
                queue_messages=limits.queue_messages * _PEER_QUEUE_FACTOR,
            ),
            now,
        )
        self.is_open = True
        self.is_dirty = False
        self.was_slow = False
        self.held: list[bytes] = []  # taken from the outbox, refused by the transport, first to go when it is writable
