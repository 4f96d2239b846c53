"""How an operation that another actor answers gets there and back: the one way for all of them.

    gateway -> role       Perform
    role -> gateway       Performed (to a Perform)

The parameters and the answer are the structs that the operation declares, as msgpack.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

import msgspec
from msgspec import Struct

from majula.errors import InvalidRequest, MajulaError, NotFound
from majula.messages.base import Message
from majula.operations import Operation, all_operations

_encode = msgspec.msgpack.Encoder(enc_hook=str).encode


class Caller(Struct, frozen=True, array_like=True):
    """On whose behalf. who: a token's id, `uid:1000`, or empty where nobody has to say. client_id: of the session."""

    who: str
    client_id: str
    address: str = ""


class Perform(Message, frozen=True, array_like=True, tag="operations.Perform"):
    """Do this. Its sender has checked the scope. Answered by Performed, within ten seconds.

    number: the sender's. parameters: the operation's request.
    """

    number: int
    operation: str
    parameters: bytes
    caller: Caller


class Performed(Message, frozen=True, array_like=True, tag="operations.Performed"):
    """code: empty, or that of the error. answer: the operation's answer, empty where it has none."""

    number: int
    answer: bytes = b""
    code: str = ""
    message: str = ""
    detail: dict[str, object] = {}  # noqa: RUF012 - msgspec copies it for each instance


Serving = Mapping[str, Callable[[Any, Caller], Struct | None]]
"""By the operation's name: who carries it out, given its typed request. Raises MajulaError for what the caller is to be told."""


def perform(message: Perform, serving: Serving) -> Performed:
    """Carry out what was asked, where it can be done at once, and give what is to be sent back."""
    try:
        operation = _operations()[message.operation]
        serve = serving[message.operation]
    except KeyError:
        return refused(message, NotFound(f"{message.operation} is not served here", operation=message.operation))
    try:
        answer = serve(msgspec.msgpack.decode(message.parameters, type=operation.request), message.caller)
    except MajulaError as error:
        return refused(message, error)
    except msgspec.DecodeError as error:
        return refused(message, InvalidRequest(f"{message.operation}: {error}"))
    return answered(message, answer)


def answered(message: Perform, answer: Struct | None) -> Performed:
    """Done; `answer` is the operation's."""
    return Performed(message.number, b"" if answer is None else _encode(answer))


def refused(message: Perform, error: MajulaError) -> Performed:
    """Not done, and why."""
    return Performed(message.number, b"", error.code, error.message, error.detail)


@cache
def _operations() -> Mapping[str, Operation]:
    return {operation.name: operation for operation in all_operations()}
