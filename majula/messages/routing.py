"""What gateways and the router say to each other about client ids, beside the tables `sessions` and `clients`.

gateway -> router     Claim (a client wants an id), Release (its session has ended)
router -> gateway     Granted | Refused (to a Claim), CloseSession (the id has gone to another session)
"""

from __future__ import annotations

from majula.messages.base import Message


class Claim(Message, frozen=True, array_like=True, tag="routing.Claim"):
    """A client wants this id. Answered by Granted or Refused.

    request: the gateway's number of this claim.
    session: name of the new session, never used before in this node.
    secret_hash: hash of the session's secret; who shows the same secret takes the id over. Empty: a program of the seed
    protocol, which
        has none.
    claimed_at: monotonic second (one clock for all processes of a machine).
    """

    request: int
    client_id: str
    session: str
    secret_hash: bytes
    claimed_at: float


class Granted(Message, frozen=True, array_like=True, tag="routing.Granted"):
    """The id is the session's."""

    request: int


class Refused(Message, frozen=True, array_like=True, tag="routing.Refused"):
    """It is not; `code` is the error's (`conflict`, `overloaded`)."""

    request: int
    code: str


class CloseSession(Message, frozen=True, array_like=True, tag="routing.CloseSession"):
    """Close this session; its end removes nothing of the session that has the id now. `reason`: `taken_over` (the same secret
    came again), `replaced` (the seed protocol's newest wins), `conflict` (two were admitted while the router was away; the
    older stays), `disconnected` (an operator has ended it; no other session has the id)."""

    client_id: str
    session: str
    reason: str


class Release(Message, frozen=True, array_like=True, tag="routing.Release"):
    """This session has ended. Without effect where another has the id by now. `reason`: why, empty: its client closed it."""

    client_id: str
    session: str
    reason: str = ""
