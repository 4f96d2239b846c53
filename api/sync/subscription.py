"""One subscription of a synchronous program."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterator
from types import TracebackType
from typing import Self

from majula.api.sdk.message import Message
from majula.api.sdk.subscription import Subscription as AsyncSubscription
from majula.api.sync.thread import LoopThread
from majula.errors import ConnectionLost, DeadlineExceeded, MajulaError

_BATCH = 256
"""Messages that are fetched at one time where they wait already: a change of threads costs as much as twenty of them."""


class Subscription:
    """What `Client.subscribe` gives. With a callback, each message is handed over in a callback thread, one after the other.
    Without one, iterate: `for message in subscription`. Several threads may iterate over one; each message goes to one of them.
    """

    def __init__(self, subscription: AsyncSubscription, thread: LoopThread) -> None:
        self._async = subscription
        self._thread = thread
        self._fetched: deque[Message] = deque()
        self._turn = threading.Lock()

    @property
    def topic(self) -> str:
        """As subscribed."""
        return self._async.topic

    @property
    def queued(self) -> int:
        """Messages that wait to be taken."""
        return self._async.queued + len(self._fetched)

    @property
    def received(self) -> int:
        """Messages that came, dropped ones included."""
        return self._async.received

    @property
    def dropped(self) -> int:
        """Messages that this subscription's own queue had no room for."""
        return self._async.dropped

    @property
    def failures(self) -> int:
        """Exceptions that the callback raised, and messages that do not fit the type."""
        return self._async.failures

    def __iter__(self) -> Iterator[Message]:
        return self

    def __next__(self) -> Message:
        try:
            return self._take(None)
        except ConnectionLost:
            raise StopIteration from None

    def receive(self, *, timeout_s: float | None = None) -> Message:
        """The next message, for those who do not iterate.

        Args:
            timeout_s: seconds to wait for it; None: as long as it takes.
        Raises:
            DeadlineExceeded: none came in time.
            ConnectionLost: unsubscribed or closed, and all that had come was taken.
            MajulaError: the gateway took the subscription back.
        """
        return self._take(timeout_s)

    def unsubscribe(self) -> None:
        """End it. Messages already queued can still be iterated over; a callback is not called again."""
        self._thread.wait(self._async.unsubscribe())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        try:
            self.unsubscribe()
        except MajulaError:
            if error is None:  # else it would hide what happened in the block
                raise

    def _take(self, timeout_s: float | None) -> Message:
        began_at = time.monotonic()
        if not self._turn.acquire(timeout=-1 if timeout_s is None else timeout_s):
            raise DeadlineExceeded(f"no message on {self.topic} in time")
        try:
            if not self._fetched:
                left_s = None if timeout_s is None else max(0.0, timeout_s - (time.monotonic() - began_at))
                self._fetched.extend(self._thread.wait(self._async.receive_some(_BATCH, timeout_s=left_s)))
            return self._fetched.popleft()
        finally:
            self._turn.release()
