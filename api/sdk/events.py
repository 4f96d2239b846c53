"""The vocabulary of a session: what happens to it, and what it wants done. Effects are carried out in their order."""

from __future__ import annotations

from collections.abc import Hashable
from math import inf

from msgspec import Struct

from majula.api.sdk.states import State
from majula.errors import MajulaError
from majula.wire import headers
from majula.wire.headers import Encoding, Header, Register, Subscribe

Ticket = Hashable
"""Stands for somebody who waits; settled exactly once. None: nobody waits."""

WishKey = tuple[object, ...]
"""What the gateway takes for one and the same: see `session.wish_key`."""


class Start(Struct, frozen=True):
    """Event: begin."""


class Opened(Struct, frozen=True):
    """Event: the connection that `Dial` asked for stands."""


class Lost(Struct, frozen=True):
    """Event: the connection ended, or could not be made. `error`: what the gateway said to that, where it did."""

    reason: str
    error: MajulaError | None = None


class Received(Struct, frozen=True):
    """Event: a frame other than PUBLISH, CALL, RESULT, CANCEL and SLOW came."""

    header: Header
    body: bytes = b""


class Want(Struct, frozen=True):
    """Event: the program wants this subscription or function in force, now and after each reconnection.

    template: SUBSCRIBE or REGISTER; its request number is filled in.
    again: ask the gateway even where it is in force already (retained values, another description).
    """

    template: Subscribe | Register
    ticket: Ticket
    deadline: float
    again: bool = False


class Unwant(Struct, frozen=True):
    """Event: the opposite; `ticket` None: nobody waits for it."""

    key: WishKey
    ticket: Ticket | None = None
    deadline: float = inf


class Ask(Struct, frozen=True):
    """Event: a request of this session only. `template` has a field `request` that is filled in, or is a PING."""

    template: Header
    ticket: Ticket
    deadline: float
    body: bytes = b""


class Forget(Struct, frozen=True):
    """Event: whoever stood behind the ticket has gone; it is not settled any more."""

    ticket: Ticket


class Quiet(Struct, frozen=True):
    """Event: no call is open, in either direction, and nothing waits to be written."""


class TimerFired(Struct, frozen=True):
    """Event: the deadline came. Early or repeated firing does no harm."""


class Close(Struct, frozen=True):
    """Event: the program is done."""


class Dial(Struct, frozen=True):
    """Effect: make a connection; `Opened` or `Lost` follows. `attempt` counts from 0 since the last steady session."""

    attempt: int


class Send(Struct, frozen=True):
    """Effect: write a frame."""

    header: Header
    body: bytes = b""


class HangUp(Struct, frozen=True):
    """Effect: end the connection; no `Lost` follows, the core knows."""


class SessionEnded(Struct, frozen=True):
    """Effect: calls and frames of the session mean nothing any more."""

    error: MajulaError


class Resume(Struct, frozen=True):
    """Effect: the session is open; what waited may go."""

    welcome: headers.Welcome


class Settle(Struct, frozen=True):
    """Effect: a ticket's answer: `guarantee` of an ACK, body of a REPLY, or an error."""

    ticket: Ticket
    guarantee: str = ""
    encoding: Encoding = 1
    body: bytes = b""
    error: MajulaError | None = None


class Withdrawn(Struct, frozen=True):
    """Effect: a wish that had been in force was refused when the client came back; it is no longer wanted."""

    key: WishKey
    error: MajulaError


class Refused(Struct, frozen=True):
    """Effect: the gateway refused a frame that nobody waits for."""

    error: MajulaError
    method: str


class Finish(Struct, frozen=True):
    """Effect: start nothing new in this session; tell by `Quiet` when all that is open has ended."""


class Announce(Struct, frozen=True):
    """Effect: tell the program."""

    state: State


class Failed(Struct, frozen=True):
    """Effect: trying again cannot help; the session is closed."""

    error: MajulaError


Event = Start | Opened | Lost | Received | Want | Unwant | Ask | Forget | Quiet | TimerFired | Close
Effect = Dial | Send | HangUp | SessionEnded | Resume | Settle | Withdrawn | Refused | Finish | Announce | Failed
