"""The sessions of clients, as they stand in the tables, and the rule which of two has an id.

Two tables by client id: `sessions`, one slice a gateway (the sessions that it serves), and `clients`, made of them by the
router. The value of both is a `Session`.

The rule, for a newer session that wants an id which an older one has:

    both showed the same secret              the newer (the program has come back)
    neither has one (seed protocol)          the newer (that protocol cannot prove anything; its programs expect it)
    anything else                            the older
"""

from __future__ import annotations

import hmac
from typing import Literal

import msgspec

from majula.messages.base import Role

SESSIONS = "sessions"
CLIENTS = "clients"

Reason = Literal["taken_over", "replaced", "conflict"]


class Session(msgspec.Struct, frozen=True, array_like=True):
    """One client's session.

    Args:
        client_id: its name on this node.
        session: name of this session, never used before in this node.
        secret_hash: of its secret; empty for a program of the seed protocol.
        gateway: the role that serves it.
        claimed_at: monotonic second at which the id was asked for.
        surface: how it is attached: `native`, `websocket`, `http`.
        agent: what the program says it is.
        who: on whose behalf, as `gateway.accounts.Identity.who`.
    """

    client_id: str
    session: str
    secret_hash: bytes
    gateway: Role
    claimed_at: float
    surface: str = ""
    agent: str = ""
    who: str = ""


encode_session = msgspec.msgpack.Encoder().encode
decode_session = msgspec.msgpack.Decoder(Session).decode


def verdict(older_hash: bytes, newer_hash: bytes) -> Reason:
    """Why the older session is closed (`taken_over`, `replaced`), or `conflict`: it stays, and the newer is refused."""
    if not hmac.compare_digest(older_hash, newer_hash):
        return "conflict"
    return "taken_over" if older_hash else "replaced"
