"""What an actor shows of itself when it is asked: stacks, tasks, queues, the messages that pass. Never what is in a message.

Answered by the base of every actor (`Look`), in any state, as long as its loop turns. All answers are bounded.
"""

from __future__ import annotations

import asyncio
import sys
import threading
import traceback
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

import msgspec

from majula.actorsystem.taps import Tap
from majula.messages.base import Address
from majula.messages.telemetry import Look, Looked
from majula.telemetry.operations import QueueLine, QueuesAnswer, StacksAnswer, TaskLine, TasksAnswer

if TYPE_CHECKING:
    from majula.actorsystem.mailbox import ActorMailbox

_THREADS: Final = 64
_FRAMES: Final = 64
_STACK_CHARACTERS: Final = 16_384
_TASKS: Final = 256
_QUEUES: Final = 256
_TAP_S: Final = 60.0
_TAPS: Final = 4
"""At once on one actor, as each costs a little with every message; one more ends the oldest early."""

_encode = msgspec.msgpack.Encoder().encode


def stacks(role: str, pid: int) -> StacksAnswer:
    """Where each thread of this process is. The first is the one that asks, in the middle of answering."""
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    found = []
    for number, frame in list(sys._current_frames().items())[:_THREADS]:
        text = "".join(traceback.format_stack(frame, limit=_FRAMES))
        found.append(f"{names.get(number, number)}\n{text[-_STACK_CHARACTERS:]}")
    return StacksAnswer(role=role, pid=pid, threads=tuple(found))


def tasks(role: str, loop: asyncio.AbstractEventLoop) -> TasksAnswer:
    """The tasks of the loop, the first 256 by name, with the line at which each waits."""
    everything = sorted(asyncio.all_tasks(loop), key=lambda task: task.get_name())
    lines = []
    for task in everything[:_TASKS]:
        coroutine = task.get_coro()
        name = getattr(coroutine, "__qualname__", type(coroutine).__name__)
        lines.append(TaskLine(name=task.get_name()[:200], state=f"waits in {name}"[:200], where=_where(task)))
    return TasksAnswer(role=role, tasks=tuple(lines), of=len(everything))


def _where(task: asyncio.Task[object]) -> str:
    """The innermost of our frames: a coroutine's chain of awaits, not the Python stack, which a waiting task has none of."""
    at: object = task.get_coro()
    where = ""
    while at is not None:
        frame = getattr(at, "cr_frame", None) or getattr(at, "gi_frame", None) or getattr(at, "ag_frame", None)
        if frame is not None:
            where = f"{frame.f_code.co_filename}:{frame.f_lineno} {frame.f_code.co_name}"
        at = getattr(at, "cr_await", None) or getattr(at, "gi_yieldfrom", None) or getattr(at, "ag_await", None)
    return where[-300:]


class Glass:
    """Answers Look for one actor.

    Args:
        mailbox: of the actor.
        on_taps: called with the taps that listen from now on; empty when none does, so that nothing is paid for them.
    """

    def __init__(self, mailbox: ActorMailbox, on_taps: Callable[[tuple[Tap, ...]], None]) -> None:
        self._mailbox = mailbox
        self._on_taps = on_taps
        self._taps: tuple[Tap, ...] = ()

    def look(self, question: Look, sender: Address) -> None:
        """Answer, for `tap` when its time is over."""
        mailbox = self._mailbox
        role = mailbox.actor.role
        match question.what:
            case "stacks":
                self._answer(question, sender, stacks(role, mailbox.pid))
            case "tasks":
                self._answer(question, sender, tasks(role, mailbox.loop))
            case "queues":
                self._answer(question, sender, QueuesAnswer(role=role, queues=self._queues()))
            case "tap":
                self._tap(question, sender)

    def _queues(self) -> tuple[QueueLine, ...]:
        names = self._names()
        lines = [
            QueueLine(name=f"{names.get(peer, peer)} ({lane})", bytes=size, messages=count, limit_bytes=mark)
            for peer, lane, size, count, mark in self._mailbox.endpoint.lanes()
        ]
        return tuple(sorted(lines, key=lambda line: (-line.bytes, line.name))[:_QUEUES])

    def _tap(self, question: Look, sender: Address) -> None:
        loop = self._mailbox.loop
        if len(self._taps) >= _TAPS:
            self._end(self._taps[0])
        tap = Tap(loop, question, sender)
        self._set_taps((*self._taps, tap))
        loop.call_later(min(max(question.for_s, 0.0), _TAP_S), self._end, tap)

    def _end(self, tap: Tap) -> None:
        if tap in self._taps:
            self._set_taps(tuple(other for other in self._taps if other is not tap))
            self._answer(tap.question, tap.sender, tap.answer(self._mailbox.actor.role, self._names()))

    def _set_taps(self, taps: tuple[Tap, ...]) -> None:
        self._taps = taps
        self._on_taps(taps)

    def _names(self) -> dict[Address, str]:
        return {address: role for role, address in self._mailbox.role_addresses.items()}

    def _answer(self, question: Look, sender: Address, answer: msgspec.Struct) -> None:
        mailbox = self._mailbox
        mailbox.endpoint.send_message(sender, mailbox.local_id, Looked(question.number, _encode(answer)))
