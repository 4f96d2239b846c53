"""REQUESTs: operations that are asked by name. Some the gateway answers, others an actor by its role."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import inf
from typing import Any, NamedTuple

import msgspec

from majula.errors import (
    DeadlineExceeded,
    InvalidRequest,
    LimitReached,
    MajulaError,
    NotFound,
    Overloaded,
    Unavailable,
    from_code,
)
from majula.gateway.outlets import Outlets
from majula.gateway.permissions import check_operation
from majula.gateway.session import Session
from majula.messages.base import Role
from majula.messages.operations import Caller, Perform, Performed
from majula.operations import Operation, all_operations
from majula.wire.frames import encode_frame
from majula.wire.headers import JSON, MSGPACK, RAW, Ack, Encoding, Reply, Request

# Questions to other actors that have no answer yet, of all clients of this gateway together.
_OPEN = 4_096
# Of them, of one client: more than people and their tools ask at once, and too few to keep the others from asking.
OF_ONE_CLIENT = 64
# What a role may take. A control actor is back within 4 s, whatever happened to it.
ANSWER_S = 10.0
# What cannot be sent waits so long: a role that was killed is back within a second.
AWAY_S = 3.0
# Parameters that are kept for roles that are away: a question can be as large as a message, and there may be 4,096 of them.
_HELD_BYTES = 16 << 20
# A role may be asked to listen for so long (`debug.tap`).
LISTEN_S = 75.0

Answering = Callable[[Session, Any], msgspec.Struct | None]
"""Answers an operation here: the session that asks, and the typed request. Raises what the client is to be told."""

_encode_msgpack = msgspec.msgpack.Encoder().encode
_encode_json = msgspec.json.Encoder().encode
_decode_json = msgspec.json.Decoder().decode
_decode_msgpack = msgspec.msgpack.Decoder().decode

AnsweringLater = Callable[[Session, Request, Any, bytes, float], None]
"""The same where the answer comes later, given by whoever answers: session, header, typed request, body, now."""


class _Asked(NamedTuple):
    """A question that waits for another actor."""

    session: Session
    request: int
    encoding: Encoding
    operation: Operation
    role: Role
    deadline: float


class Questions:
    """What is asked by REQUEST.

    Args:
        out: where answers go.
        here: operations that this gateway answers, by name.
        later: those that it answers when there is an answer.
    """

    def __init__(self, *, out: Outlets, here: Mapping[str, Answering], later: Mapping[str, AnsweringLater] | None = None) -> None:
        self._out = out
        self._here = here
        self._later = later or {}
        self._operations = {
            operation.name: operation
            for operation in all_operations()
            if operation.frame is Request or operation.name in self._later
        }
        self._asked: dict[int, _Asked] = {}
        self._due_at = inf  # no later than the first deadline: one that was answered in time stays until it comes
        self._last = 0
        self._to_send: list[tuple[Role, Perform]] = []
        self._held: dict[int, Perform] = {}  # those that could not be sent, as their role is away
        self._held_bytes = 0

    def request(self, session: Session, header: Request, body: bytes, now: float) -> None:
        """Raises what the client is to be told."""
        operation = self._operations.get(header.operation)
        if operation is None:
            raise NotFound(f"there is no operation {header.operation[:128]!r} for REQUEST", operation=header.operation[:128])
        request = _decode(operation, header.encoding, body)
        if session.grants is not None and operation.scope:
            check_operation(session.grants, operation.scope, operation.scope_object(request))
        if operation.name in self._later:
            self._later[operation.name](session, header, request, body, now)
            return
        role = operation.role_of(request)
        encoding: Encoding = JSON if header.encoding == JSON else MSGPACK
        if not role:
            self._answer(session, header.request, encoding, self._here[operation.name](session, request), now)
            return
        if len(self._asked) >= _OPEN:
            raise Overloaded("too many questions are under way", retry_after_s=1.0)
        if len(self._asked) >= OF_ONE_CLIENT and self._count(session) >= OF_ONE_CLIENT:
            raise LimitReached("this client has too many questions without an answer", limit="questions")
        self._last += 1
        listen_s = getattr(request, "for_s", 0.0) if operation.name == "debug.tap" else 0.0
        deadline = now + min(ANSWER_S + listen_s, LISTEN_S)
        self._asked[self._last] = _Asked(session, header.request, encoding, operation, role, deadline)
        self._due_at = min(self._due_at, deadline)
        caller = Caller(session.who, session.client_id, session.identity.address)
        self._to_send.append((role, Perform(self._last, operation.name, _encode_msgpack(request), caller)))

    def take(self) -> list[tuple[Role, Perform]]:
        """What is to be sent to other actors. Say `hold` where a role is away."""
        found, self._to_send = self._to_send, []
        return found

    def hold(self, number: int, question: Perform, now: float) -> None:
        """The role is away, or its queue is full: it is asked when it is back, or takes more, if that is soon."""
        asked = self._asked.get(number)
        if asked is None:
            return
        if self._held_bytes + len(question.parameters) > _HELD_BYTES:
            del self._asked[number]
            self._refuse_away(asked, now)
        else:
            self._held[number] = question
            self._held_bytes += len(question.parameters)
            self._asked[number] = asked._replace(deadline=min(asked.deadline, now + AWAY_S))
            self._due_at = min(self._due_at, now + AWAY_S)

    def role_here(self, role: Role) -> None:
        """The role is here (again), or takes more: what was kept for it can be asked."""
        for number in [number for number in self._held if self._asked[number].role == role]:
            question = self._held.pop(number)
            self._held_bytes -= len(question.parameters)
            self._to_send.append((role, question))

    def has_waiting(self) -> bool:
        """Whether `take` would give anything."""
        return bool(self._to_send)

    def performed(self, message: Performed, now: float) -> None:
        """A role has answered."""
        asked = self._asked.pop(message.number, None)
        if asked is None or not asked.session.is_open:
            return
        if message.code:
            self._refuse(asked, from_code(message.code, message.message, message.detail), now)
            return
        answer = asked.operation.answer
        try:
            typed = msgspec.msgpack.decode(message.answer, type=answer) if answer is not None else None
            self._answer(asked.session, asked.request, asked.encoding, typed, now)
        except MajulaError as error:
            self._refuse(asked, error, now)

    def role_gone(self, role: Role, now: float) -> None:
        """Whoever has asked it will hear nothing. What has not been sent yet waits for its next life."""
        for number in [number for number, asked in self._asked.items() if asked.role == role and number not in self._held]:
            asked = self._asked.pop(number)
            reason = f"{role} went away before it answered; whether this was carried out is not known"
            self._refuse(asked, Unavailable(reason, retry_after_s=1.0, role=role), now)

    def next_deadline(self) -> float:
        """When to call `tick`, each turn of the loop: it may then find nothing to do."""
        return self._due_at

    def tick(self, now: float) -> None:
        """The deadline came."""
        for number in [number for number, asked in self._asked.items() if asked.deadline <= now]:
            asked = self._asked.pop(number)
            held = self._held.pop(number, None)
            if held is not None:
                self._held_bytes -= len(held.parameters)
                self._refuse_away(asked, now)
            else:
                self._refuse(asked, DeadlineExceeded(f"{asked.role} gave no answer in time"), now)
        self._due_at = min((asked.deadline for asked in self._asked.values()), default=inf)

    def _count(self, session: Session) -> int:
        return sum(asked.session is session for asked in self._asked.values())

    def _answer(self, session: Session, request: int, encoding: Encoding, answer: msgspec.Struct | None, now: float) -> None:
        if not request:
            return
        if answer is None:
            self._out.answer(session, encode_frame(Ack(request)), now)
            return
        data = _encode_json(answer) if encoding == JSON else _encode_msgpack(answer)
        self._out.answer(session, encode_frame(Reply(request, encoding), data), now)

    def _refuse_away(self, asked: _Asked, now: float) -> None:
        self._refuse(asked, Unavailable(f"{asked.role} is away just now", retry_after_s=1.0, role=asked.role), now)

    def _refuse(self, asked: _Asked, error: MajulaError, now: float) -> None:
        if asked.session.is_open:
            self._out.refuse(asked.session, asked.request, "REQUEST", error, now)


def _decode(operation: Operation, encoding: Encoding, body: bytes) -> msgspec.Struct:
    """The typed request.

    Raises:
        InvalidRequest: the body is not this operation's request.
    """
    try:
        if not body:
            return msgspec.convert({}, operation.request)
        if encoding == RAW:
            raise InvalidRequest("the parameters of a REQUEST are MessagePack or JSON")
        value = _decode_json(body) if encoding == JSON else _decode_msgpack(body)
        return msgspec.convert(value, operation.request, strict=False)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidRequest(f"{operation.name}: {error}") from None
