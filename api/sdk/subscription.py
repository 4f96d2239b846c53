"""One subscription of a program: a callback, or an async iterator."""

from __future__ import annotations

import asyncio
import logging
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from types import TracebackType
from typing import Any, Protocol

from majula.api.sdk.callbacks import is_async
from majula.api.sdk.message import Message, typed
from majula.api.sdk.shape import Shape
from majula.errors import ConnectionLost, DeadlineExceeded, InvalidRequest, MajulaError

_log = logging.getLogger("majula.sdk")

Callback = Callable[[Message], object] | Callable[[Message], Awaitable[object]]
ErrorCallback = Callable[[Message, Exception], object]


class RunCallback(ABC):
    """An async callback that takes several messages at one time, for whom the way to each costs more than the message."""

    @abstractmethod
    async def __call__(self, message: Message) -> object:
        """One message."""

    @abstractmethod
    async def take_run(self, messages: list[Message], is_over: Callable[[], bool]) -> list[tuple[Message, Exception]]:
        """Each in turn, until `is_over`; the errors that it ended with."""


MAX_QUEUED = 65_536
MAX_QUEUED_BYTES = 64 << 20

_TURN = 256
"""Messages that an async callback handles before the loop gets a turn: a callback that never waits must not stop the reading."""


class Owner(Protocol):
    """What a subscription asks of its client."""

    def spawn(self, coroutine: Coroutine[Any, Any, None], *, name: str) -> asyncio.Task[None]: ...

    def tell_slow(self, topic: str, dropped: int) -> None: ...

    async def end_subscription(self, subscription: Subscription) -> None: ...


class Subscription:
    """What `Client.subscribe` gives.

    With a plain callback, each message is handed over as it is read: the callback must not block. With an `async def` callback,
    one task calls it for one message after the other. Without a callback, iterate: `async for message in subscription`. In the
    last two cases up to `max_queued` messages wait; beyond, the newest are dropped, counted in `dropped` and told by the state
    callback.

    Attributes:
        topic, pattern, queue: as subscribed.
        received: messages that came, dropped ones included.
        dropped: messages that this subscription's own queue had no room for.
        failures: exceptions that the callback raised, and messages that do not fit the type; the subscription goes on.
    """

    def __init__(
        self,
        owner: Owner,
        topic: str,
        callback: Callback | None,
        *,
        pattern: bool,
        queue: str,
        retained: bool,
        max_queued: int,
        shape: Shape | None = None,
        on_error: ErrorCallback | None = None,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        if callback is not None and not callable(callback):
            raise InvalidRequest("a callback is something that can be called with a message")
        if on_error is not None and (not callable(on_error) or is_async(on_error)):
            raise InvalidRequest("on_error is a plain function: it must not wait")
        self.topic, self.pattern, self.queue = topic, pattern, queue
        self.wants_retained = retained
        self.received = self.dropped = self.failures = 0
        self._owner = owner
        self._shape, self._on_error = shape, on_error
        self._loop = loop
        self._max_queued = max_queued
        self._queue: deque[Message] = deque()
        self._queued_bytes = 0
        self._unreported = 0  # dropped since the last report
        self._is_slow = False
        self._waiters: list[asyncio.Future[None]] = []
        self._ended = False
        self._error: MajulaError | None = None
        self._consumer: asyncio.Task[None] | None = None
        self._callback: Callable[[Message], Any] | None = callback
        self._is_direct = callback is not None and not is_async(callback)
        if callback is not None and not self._is_direct:
            taking = self._consume_runs(callback) if isinstance(callback, RunCallback) else self._consume(callback)
            self._consumer = owner.spawn(taking, name=f"majula subscription {topic}")

    @property
    def queued(self) -> int:
        """Messages that wait to be taken."""
        return len(self._queue)

    def __aiter__(self) -> AsyncIterator[Message]:
        if self._callback is not None:
            raise InvalidRequest("this subscription has a callback; subscribe without one to iterate")
        return self

    async def __anext__(self) -> Message:
        """The next message.

        Raises:
            StopAsyncIteration: unsubscribed or closed, and all that had come was taken.
            MajulaError: the gateway took the subscription back.
        """
        while not self._queue:
            if self._error is not None:
                raise self._error
            if self._ended:
                raise StopAsyncIteration
            await self._arrival()
        return self._pop()

    async def receive(self, *, timeout_s: float | None = None) -> Message:
        """The next message, for those who do not iterate.

        Args:
            timeout_s: seconds to wait for it; None: as long as it takes.
        Raises:
            DeadlineExceeded: none came in time.
            ConnectionLost: unsubscribed or closed, and all that had come was taken.
            MajulaError: the gateway took the subscription back.
        """
        (message,) = await self.receive_some(1, timeout_s=timeout_s)
        return message

    async def receive_some(self, limit: int, *, timeout_s: float | None = None) -> list[Message]:
        """All messages that wait, `limit` at most; where none does, the next one. Raises what `receive` raises."""
        try:
            async with asyncio.timeout(timeout_s):
                messages = [await anext(aiter(self))]
        except TimeoutError:
            raise DeadlineExceeded(f"no message on {self.topic} in time") from None
        except StopAsyncIteration:
            raise ConnectionLost(f"the subscription to {self.topic} has ended") from None
        while self._queue and len(messages) < limit:
            messages.append(self._pop())
        return messages

    async def __aenter__(self) -> Subscription:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self.unsubscribe()

    async def unsubscribe(self) -> None:
        """End it. Messages already queued can still be iterated over; an async callback is not called again."""
        await self._owner.end_subscription(self)

    def take(self, messages: list[Message]) -> None:
        """The client hands over what came for this subscription."""
        self.received += len(messages)
        if self._shape is not None:
            messages = self._fitting(messages, self._shape)
        if self._is_direct:
            callback = self._callback
            assert callback is not None
            for message in messages:
                if self._ended:
                    return
                try:
                    callback(message)
                except Exception as error:
                    self._failed(message, error)
            return
        room = self._max_queued - len(self._queue)
        if len(messages) > room or self._queued_bytes > MAX_QUEUED_BYTES:
            room = max(room, 0) if self._queued_bytes <= MAX_QUEUED_BYTES else 0
            self._drop(len(messages) - room)
            messages = messages[:room]
        self._queue.extend(messages)
        for message in messages:
            self._queued_bytes += len(message.data)
        if self._waiters:
            self._wake()

    def end(self, error: MajulaError | None = None) -> asyncio.Task[None] | None:
        """Nothing more comes. The task of an async callback is cancelled and returned."""
        self._ended = True
        self._error = self._error or error
        self._wake()
        consumer = self._consumer
        if consumer is not None and consumer is not asyncio.current_task(self._loop):
            consumer.cancel()
            return consumer
        return None

    async def _consume(self, callback: Callable[[Message], Any]) -> None:
        turn = 0
        while not self._ended:
            if not self._queue:
                await self._arrival()
                continue
            turn += 1
            if turn % _TURN == 0:
                await asyncio.sleep(0)
            message = self._pop()
            try:
                await callback(message)
            except Exception as error:
                self._failed(message, error)

    async def _consume_runs(self, callback: RunCallback) -> None:
        while not self._ended:
            if not self._queue:
                await self._arrival()
                continue
            run = [self._pop() for _ in range(min(len(self._queue), _TURN))]
            for message, error in await callback.take_run(run, lambda: self._ended):
                self._failed(message, error)

    def _pop(self) -> Message:
        message = self._queue.popleft()
        self._queued_bytes -= len(message.data)
        if self._is_slow and not self._queue:
            self._is_slow = False
            if self._unreported:
                self._report()
        return message

    async def _arrival(self) -> None:
        waiter = self._loop.create_future()
        self._waiters.append(waiter)
        try:
            await waiter
        finally:
            if waiter in self._waiters:
                self._waiters.remove(waiter)

    def _wake(self) -> None:
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)

    def _drop(self, count: int) -> None:
        """Told when it begins and, with the rest, when the program has caught up: not once a message."""
        self.dropped += count
        self._unreported += count
        if not self._is_slow:
            self._is_slow = True
            self._report()

    def _report(self) -> None:
        count, self._unreported = self._unreported, 0
        self._owner.tell_slow(self.topic, count)

    def _fitting(self, messages: list[Message], shape: Shape) -> list[Message]:
        fitting: list[Message] = []
        for message in messages:
            try:
                fitting.append(typed(message, shape))
            except InvalidRequest as error:
                self._failed(message, error)
        return fitting

    def _failed(self, message: Message, error: Exception) -> None:
        self.failures += 1
        if self._on_error is not None:
            try:
                self._on_error(message, error)
            except Exception:
                _log.exception("callback.failed topic=%s", self.topic)
        elif isinstance(error, InvalidRequest):
            _log.error("message.unfit topic=%s error=%s", message.topic, error)  # no trace: it is the publisher's mistake
        else:
            _log.error("callback.failed topic=%s", self.topic, exc_info=error)
