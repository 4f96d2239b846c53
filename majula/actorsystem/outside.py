"""Talking to actors from a process that is not one: the node's runner, a test, a benchmark."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from majula.actorsystem.address import outside_name
from majula.actorsystem.connection import listen
from majula.actorsystem.endpoint import Endpoint
from majula.errors import DeadlineExceeded, Unavailable
from majula.messages.base import Address, Message

_UNREAD_LIMIT: Final = 10_000


class Outside:
    """A place in the run directory to send from and to be answered at. Use it as an async context manager on a running loop.

    Args:
        run_dir: of the node.
        on_message: called with each message that answers no `ask`; without it they wait for `receive`, the newest 10,000 of them.
    """

    def __init__(self, run_dir: Path | str, on_message: Callable[[Message, Address], None] | None = None) -> None:
        self._run_dir = str(run_dir)
        self._on_message = on_message
        self._questions = itertools.count(1)
        self._unread: asyncio.Queue[tuple[Message, Address]] = asyncio.Queue()
        self._endpoint: Endpoint | None = None
        self.dropped = 0
        """Messages that nobody has read in time."""

    async def __aenter__(self) -> Self:
        name = outside_name()
        self._endpoint = Endpoint(asyncio.get_running_loop(), self._run_dir, name, listen(self._run_dir, name))
        self._endpoint.mailboxes[0] = _Letterbox(self)
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        assert self._endpoint is not None
        await self._endpoint.flushed(1.0)
        self._endpoint.close()

    @property
    def address(self) -> Address:
        """Where unsolicited messages come to."""
        return self._open().name

    @property
    def is_open(self) -> bool:
        """Whether it is being used as a context manager just now."""
        return self._endpoint is not None and not self._endpoint.stopped

    def _open(self) -> Endpoint:
        if self._endpoint is None:
            raise RuntimeError("Outside is an async context manager: use it inside `async with`")
        return self._endpoint

    def send(self, target: Address, message: Message) -> bool:
        """Queue a message. False: not queued, the target is gone or its outbox is at the mark."""
        return self._open().send_message(target, 0, message)

    def send_frames(self, target: Address, frames: bytes | list[bytes]) -> bool:
        """Queue an opaque batch; False as for `send`."""
        return self._open().send_frames(target, 0, frames)

    async def ask(self, target: Address, message: Message, timeout_s: float) -> Message:
        """Send, and wait for what the target sends back to this question's own address.

        Raises:
            Unavailable: the target is gone; known at once.
            DeadlineExceeded: no answer within `timeout_s`.
        """
        endpoint = self._open()
        number = next(self._questions)
        question = _Question(endpoint.loop.create_future())
        endpoint.mailboxes[number] = question
        try:
            endpoint.send_message(target, number, message)
            async with asyncio.timeout(timeout_s):
                return await question.answer
        except TimeoutError:
            raise DeadlineExceeded(f"{target} did not answer {type(message).__name__} within {timeout_s} s") from None
        finally:
            del endpoint.mailboxes[number]

    async def receive(self) -> tuple[Message, Address]:
        """The next message that answers no `ask`, and its sender."""
        return await self._unread.get()

    async def messages(self) -> AsyncIterator[tuple[Message, Address]]:
        """What `receive` gives, for ever."""
        while True:
            yield await self._unread.get()

    def _take(self, message: Message, sender: Address) -> None:
        if self._on_message is not None:
            self._on_message(message, sender)
            return
        if self._unread.qsize() >= _UNREAD_LIMIT:
            self._unread.get_nowait()
            self.dropped += 1
        self._unread.put_nowait((message, sender))


class _Letterbox:
    """The mailbox for what nobody asked for."""

    def __init__(self, outside: Outside) -> None:
        self._outside = outside

    def receive(self, message: Message, sender: Address) -> None:
        self._outside._take(message, sender)

    def receive_frames(self, frames: bytes, sender: Address) -> None:
        self._outside.dropped += 1

    def returned(self, message: Message, target: Address) -> None:
        self._outside.dropped += 1

    def writable(self, target: Address) -> None:
        return None


class _Question:
    """The mailbox of one question."""

    def __init__(self, answer: asyncio.Future[Message]) -> None:
        self.answer = answer

    def receive(self, message: Message, sender: Address) -> None:
        if not self.answer.done():
            self.answer.set_result(message)

    def receive_frames(self, frames: bytes, sender: Address) -> None:
        return None

    def returned(self, message: Message, target: Address) -> None:
        if not self.answer.done():
            self.answer.set_exception(Unavailable(f"{target} is gone, {type(message).__name__} was not delivered"))

    def writable(self, target: Address) -> None:
        return None
