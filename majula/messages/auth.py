"""What the other roles and the config actor say to each other about tokens and the audit, beside the table `tokens`.

gateway -> config     Spend (a session wants to open with a single-use token), Used (which tokens were used lately)
config -> gateway     Spent (to a Spend)
any role -> config    Audit (somebody has changed something)
"""

from __future__ import annotations

from typing import ClassVar

import msgspec

from majula.messages.base import Message


class Spend(Message, frozen=True, array_like=True, tag="auth.Spend"):
    """A session wants to open with this single-use token. Answered by Spent, when it is on disk; send it again, with the same
    number, to the next config actor where that did not come.

    number: the gateway's, ascending.
    token: its id.
    claimant: who it is to belong to from now on, something that no other session has and that outlives a lost connection, such as
        the hash of the session's secret. The same claimant wins again, so asking twice does no harm.
    client_id: for the audit.
    """

    number: int
    token: str
    claimant: str
    client_id: str = ""


class Spent(Message, frozen=True, array_like=True, tag="auth.Spent"):
    """code: empty, the session is the token's; else the error's: `unauthorized` (another was first, or the token is revoked or
    expired), `disk_full`, `unavailable`, `overloaded`."""

    number: int
    code: str = ""
    message: str = ""


class Used(Message, frozen=True, array_like=True, tag="auth.Used"):
    """Tokens that sessions were opened with since the last one: when (wall clock), by id. Sent every 30 s where there are any."""

    droppable: ClassVar[bool] = True

    at: dict[str, float]


class Audit(Message, frozen=True, array_like=True, tag="auth.Audit"):
    """Somebody has changed something; the config actor numbers it, writes it down, and gives no answer.

    who: a token's id, `uid:1000`, `signal`, `file`; empty where nobody has to say who he is.
    what: the operation's name, `clients.disconnect`.
    detail: without secrets, JSON values, at most 4 KiB.
    """

    who: str
    what: str
    detail: dict[str, object] = msgspec.field(default_factory=dict)
