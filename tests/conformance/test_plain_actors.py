"""What plain Thespian actors get from our base beyond what Thespian's suite asks."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from thespian.actors import (
    Actor,
    ActorAddress,
    ActorSystem,
    ChildActorExited,
    DeadEnvelope,
    InvalidActorSpecification,
    PoisonMessage,
)

from majula.actorsystem.base import BASE_NAME
from majula.actorsystem.transport import PLAIN_MESSAGES, RUN_DIRECTORY

MEGABYTE = 1_000_000


class Counter(Actor):  # type: ignore[misc]  # Thespian has no types
    """Counts dead letters and poison; says its pid; sends much to a child that is stopped; reports a child's end."""

    dead = 0
    poisoned = 0
    asker: ActorAddress = None

    def receiveMessage(self, message: Any, sender: ActorAddress) -> None:
        if isinstance(message, DeadEnvelope):
            self.dead += 1
        elif isinstance(message, PoisonMessage):
            self.poisoned += 1
        elif isinstance(message, ChildActorExited):
            self.send(self.asker, "child exited")
        elif message == "handle":
            self.handleDeadLetters()
            self.send(sender, "handling")
        elif message == "dead":
            self.send(sender, self.dead)
        elif message == "poisoned":
            self.send(sender, self.poisoned)
        elif message == "pid":
            self.send(sender, os.getpid())
        elif message == "child":
            self.asker = sender
            self.send(self.createActor(Counter), ("pid to", sender))
        elif isinstance(message, tuple) and message[0] == "pid to":
            self.send(message[1], os.getpid())
        elif isinstance(message, tuple):
            for _ in range(message[2]):
                self.send(message[1], bytes(MEGABYTE))
            self.send(sender, "sent")


@pytest.fixture
def run_dir() -> Iterator[Path]:
    path = Path(tempfile.mkdtemp(prefix="pl"))
    yield path
    shutil.rmtree(path)


@pytest.fixture
def system(run_dir: Path) -> Iterator[ActorSystem]:
    started = ActorSystem(BASE_NAME, {RUN_DIRECTORY: str(run_dir), PLAIN_MESSAGES: True}, transientUnique=True)
    yield started
    started.shutdown()


def test_what_a_plain_actor_sends_beyond_the_mark_becomes_dead_letters(system: ActorSystem) -> None:
    handler, sender, frozen = (system.createActor(Counter) for _ in range(3))
    assert system.ask(handler, "handle", 10) == "handling"
    frozen_pid = system.ask(frozen, "pid", 10)
    os.kill(frozen_pid, signal.SIGSTOP)
    assert system.ask(sender, ("send", frozen, 40), 10) == "sent"
    while system.ask(handler, "dead", 10) < 10:  # 17 to 19 wait; dead letters have to pass the mark of the admin's outbox, too
        continue
    os.kill(frozen_pid, signal.SIGKILL)


def test_end_of_a_plain_child_is_told_to_its_parent_once(system: ActorSystem) -> None:
    parent = system.createActor(Counter)
    pid = system.ask(parent, "child", 10)
    os.kill(pid, signal.SIGKILL)
    assert system.listen(10) == "child exited"
    assert system.ask(parent, "pid", 10) != pid


def test_plain_message_is_refused_where_the_system_does_not_allow_it(run_dir: Path) -> None:
    system = ActorSystem(BASE_NAME, {RUN_DIRECTORY: str(run_dir)}, transientUnique=True)
    try:
        actor = system.createActor(Counter)
        with pytest.raises(Exception, match="plain_messages"):
            system.ask(actor, "pid", 10)
    finally:
        system.shutdown()


def test_actor_whose_class_does_not_exist_is_refused_with_a_reason(system: ActorSystem) -> None:
    with pytest.raises((InvalidActorSpecification, ImportError)):
        system.createActor("no.such.Actor")
