"""From messages to changes of the ledger, and from what came of them to answers: the words of the config actor about tokens."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from majula.auth.ledger import Applied, Change, Claim, Create, Noted, Revoke, Touch
from majula.auth.operations import CREATE, REVOKE, TokenCreateAnswer, TokenLine
from majula.errors import InvalidRequest, MajulaError
from majula.messages.auth import Audit, Spend, Spent, Used
from majula.messages.base import Message
from majula.messages.operations import Perform, Performed, answered, refused

WRITES = frozenset({CREATE.name, REVOKE.name})
"""Operations that change the ledger."""


def as_change(message: Message) -> Change | None:
    """The change that a message asks for; None: it asks for none.

    Raises:
        InvalidRequest: its parameters are not those of its operation.
    """
    match message:
        case Perform(operation=CREATE.name, parameters=parameters, caller=caller):
            return Create(_decode(parameters, CREATE.request), caller.who)
        case Perform(operation=REVOKE.name, parameters=parameters, caller=caller):
            return Revoke(_decode(parameters, REVOKE.request).token, caller.who)
        case Spend(token=token, claimant=claimant, client_id=client_id):
            return Claim(token, claimant, client_id)
        case Used(at=at):
            return Touch(at)
        case _:
            return None


def as_note(message: Audit) -> Noted:
    """The entry that somebody else wants to have written down."""
    return Noted(message.who, message.what, dict(message.detail))


def as_answer(message: Message, result: Applied | MajulaError) -> Performed | Spent | None:
    """What the sender of a change is told; None: nothing."""
    error = result if isinstance(result, MajulaError) else None
    match message:
        case Perform():
            return refused(message, error) if error is not None else answered(message, _answer(result))
        case Spend(number=number):
            return Spent(number, error.code, error.message) if error is not None else Spent(number)
        case _:
            return None


def happening(result: Applied | MajulaError) -> tuple[str, Mapping[str, str]] | None:
    """The event that a change is, and its fields; None: it is none."""
    if not isinstance(result, Applied) or result.noted is None:
        return None
    match result.answer:
        case TokenCreateAnswer(token=line):
            return "token.created", {"token": line.id, "who": result.noted.who}
        case TokenLine(id=token):
            return "token.revoked", {"token": token, "who": result.noted.who}
        case _:
            return None


def is_own_end(message: Message) -> bool:
    """Whether a session asks for the token that it stands on to be revoked."""
    change = as_change(message)
    return isinstance(change, Revoke) and change.token == change.who


def _answer(result: Applied | MajulaError) -> msgspec.Struct | None:
    return result.answer if isinstance(result, Applied) else None


def _decode(parameters: bytes, kind: type[Any]) -> Any:
    try:
        return msgspec.msgpack.decode(parameters, type=kind)
    except msgspec.DecodeError as error:
        raise InvalidRequest(str(error)) from None
