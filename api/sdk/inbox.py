"""Where private messages wait for the program, and how it takes them: a callback, or an async iterator."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any

from majula.api.sdk.callbacks import is_async
from majula.api.sdk.private import PrivateMessage, Queue
from majula.errors import InvalidRequest

_log = logging.getLogger("majula.sdk")

Callback = Callable[[PrivateMessage], object] | Callable[[PrivateMessage], Awaitable[object]]

_TURN = 256
"""Messages that an async callback handles before the loop gets a turn: a callback that never waits must not stop the reading."""


class Inbox:
    """The messages of one client, in order.

    Args:
        spawn: runs a task that ends with the client.
        on_room: called when half of what it could hold was taken, after it had been full.

    Attributes:
        failures: exceptions that the callback raised; each is logged, the messages go on.
    """

    def __init__(self, *, spawn: Callable[..., asyncio.Task[None]], on_room: Callable[[], None]) -> None:
        self.failures = 0
        self._spawn, self._on_room = spawn, on_room
        self._queue = Queue()
        self._callback: Callable[[PrivateMessage], Any] | None = None
        self._is_direct = False  # the callback is a plain function: called as messages are read
        self._consumer: asyncio.Task[None] | None = None
        self._readers: deque[asyncio.Future[None]] = deque()
        self._is_closed = False

    def __len__(self) -> int:
        return len(self._queue)

    @property
    def is_full(self) -> bool:
        """Nothing more is to be acknowledged before `on_room`."""
        return self._queue.is_full

    def add(self, messages: list[PrivateMessage]) -> None:
        """Messages whose turn has come."""
        for at, message in enumerate(messages):
            if not self._is_direct:  # perhaps only since the message before: the program has just said so
                self._queue.add(messages[at:])
                self._wake(len(messages) - at)
                return
            self._call(message)

    def set_callback(self, callback: Callback | None) -> None:
        """Who gets each message from now on, those that wait first; None: whoever iterates.

        Raises:
            InvalidRequest: it cannot be called.
        """
        if callback is not None and not callable(callback):
            raise InvalidRequest("a callback is something that can be called with a message")
        if self._consumer is not None:
            self._consumer.cancel()
            self._consumer = None
        self._callback = callback
        self._is_direct = callback is not None and not is_async(callback)
        if self._is_direct:
            while self._queue and self._is_direct:
                self._call(self._pop())
        elif callback is not None:
            self._consumer = self._spawn(self._consume(callback), name="majula messages")

    async def next(self) -> PrivateMessage | None:
        """The next message; None: the client is closed and all were taken.

        Raises:
            InvalidRequest: there is a callback.
        """
        if self._callback is not None:
            raise InvalidRequest("this client has a callback for its messages; take it back to iterate")
        while not self._queue:
            if self._is_closed:
                return None
            await self._arrival()
        return self._pop()

    def close(self) -> None:
        """Nothing more comes; what waits can still be iterated over."""
        self._is_closed = True
        self._wake(len(self._readers))

    def _pop(self) -> PrivateMessage:
        was_full = self._queue.is_full
        message = self._queue.pop()
        if was_full and not self._queue.is_full:
            self._on_room()
        return message

    def _call(self, message: PrivateMessage) -> None:
        assert self._callback is not None
        try:
            self._callback(message)
        except Exception as error:
            self._failed(error)

    async def _consume(self, callback: Callable[[PrivateMessage], Any]) -> None:
        turn = 0
        while not self._is_closed:
            if not self._queue:
                await self._arrival()
                continue
            turn += 1
            if turn % _TURN == 0:
                await asyncio.sleep(0)
            try:
                await callback(self._pop())
            except Exception as error:
                self._failed(error)

    async def _arrival(self) -> None:
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._readers.append(waiter)
        try:
            await waiter
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled():
                self._wake(1)  # it was this one's message, and it does not take it
            raise
        finally:
            with contextlib.suppress(ValueError):
                self._readers.remove(waiter)

    def _wake(self, number: int) -> None:
        """So many readers, the longest waiting first."""
        while number > 0 and self._readers:
            waiter = self._readers.popleft()
            if not waiter.done():
                waiter.set_result(None)
                number -= 1

    def _failed(self, error: Exception) -> None:
        self.failures += 1
        _log.error("callback.failed messages", exc_info=error)
