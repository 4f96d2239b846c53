"""Only Thespian's own classes are read from a pickle."""

from __future__ import annotations

import logging
import os
import pickle
from datetime import timedelta

import pytest
from thespian.actors import ActorAddress, ActorExitRequest, ChildActorExited, WakeupMessage
from thespian.system.messages.admin import PendingActor

from majula.actorsystem.address import SocketAddress
from majula.actorsystem.pickling import NotAllowed, dumps, loads


class Evil:
    """Runs a command when it is unpickled."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, ("true",)


class Unprintable:
    """Has no text."""

    def __str__(self) -> str:
        raise RuntimeError("no")


def test_thespians_messages_come_back_as_they_were() -> None:
    for message in (
        ActorExitRequest(recursive=False),
        ChildActorExited(ActorAddress(SocketAddress("a1"))),
        WakeupMessage(timedelta(seconds=2), "payload"),
    ):
        assert loads(dumps(message, plain_messages=False), plain_messages=False) == message


def test_a_request_for_an_actor_keeps_its_fields() -> None:
    request = PendingActor("some.Class", None, 3, {"need": True}, "name")
    assert loads(dumps(request, plain_messages=False), plain_messages=False).__dict__ == request.__dict__


def test_a_callable_is_not_looked_up() -> None:
    with pytest.raises(NotAllowed, match="system"):
        loads(pickle.dumps(Evil()), plain_messages=False)


def test_a_callable_within_an_allowed_message_is_not_looked_up() -> None:
    with pytest.raises(NotAllowed, match="system"):
        loads(pickle.dumps(WakeupMessage(timedelta(0), Evil())), plain_messages=False)


@pytest.mark.parametrize("name", ["eval", "exec", "getattr", "__import__", "open"])
def test_builtin_functions_are_not_looked_up(name: str) -> None:
    with pytest.raises(NotAllowed):
        loads(b"cbuiltins\n" + name.encode() + b"\n.", plain_messages=False)


def test_a_plain_actors_own_message_is_refused_at_its_sender() -> None:
    with pytest.raises(NotAllowed, match="plain_messages"):
        dumps({"a": 1}, plain_messages=False)


def test_with_plain_messages_any_class_passes() -> None:
    assert loads(dumps({"a": {1, 2}}, plain_messages=True), plain_messages=True) == {"a": {1, 2}}


def test_a_log_record_travels_as_text_whatever_its_arguments_are() -> None:
    record = logging.LogRecord("n", logging.INFO, "f.py", 1, "got %s", ({"deep": object},), None)
    record.extra = object()
    found = loads(dumps(record, plain_messages=False), plain_messages=False)
    assert found.getMessage().startswith("got {'deep'")
    assert found.args is None and isinstance(found.extra, str)
