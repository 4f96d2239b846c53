"""`Attached`: what the generated verbs of the synchronous client stand on."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable, Iterator
from types import TracebackType
from typing import Any, Self, TypeVar, overload

from majula.api.sdk.client import Client as AsyncClient
from majula.api.sync.subscription import Subscription
from majula.api.sync.thread import LoopThread
from majula.errors import MajulaError

F = TypeVar("F", bound=Callable[..., Any])
T = TypeVar("T")


class Attached:
    """One program's session with a node. Usable from several threads at once.

    Args:
        client: connected in the loop of `thread`.
        thread: ends with this client.
    """

    def __init__(self, client: AsyncClient, thread: LoopThread) -> None:
        self._async = client
        self._thread = thread

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """End the session for good: what was published is written, open calls end with ConnectionLost. Again does no harm."""
        try:
            with contextlib.suppress(MajulaError):  # it is closed already
                self._thread.wait(self._async.close())
        finally:
            self._thread.stop()

    def flush(self, *, timeout_s: float = 10.0) -> None:
        """Return when the gateway has read all that this client has sent so far.

        Raises:
            ConnectionLost: the connection broke, or there is none.
            DeadlineExceeded: it did not answer in time.
        """
        self._thread.wait(self._async.flush(timeout_s=timeout_s))

    @overload
    def rpc(self, function: F, /) -> F: ...

    @overload
    def rpc(self, /, *, name: str = "", note: str = "", idempotent: bool = False) -> Callable[[F], F]: ...

    def rpc(self, function: F | None = None, /, *, name: str = "", note: str = "", idempotent: bool = False) -> Any:
        """Decorator: offer a plain function. Its signature becomes the metadata that `services` lists.

        It runs in a callback thread. It is in force when the gateway has read it: `client.flush()`, or use `register`, which also
        tells a refusal.
        """

        def offer(callable_: F) -> F:
            offered = self._thread.handed(callable_)
            self._thread.call(lambda: self._async.rpc(name=name, note=note, idempotent=idempotent)(offered))
            return callable_

        return offer if function is None else offer(function)

    def _handed(self, callback: Callable[..., Any] | None) -> Any:
        return None if callback is None else self._thread.handed(callback)

    def _run_handed(self, callback: Callable[..., Any] | None) -> Any:
        return None if callback is None else self._thread.run_handed(callback)

    def _told(self, callback: Callable[..., object] | None) -> Any:
        return None if callback is None else self._thread.told(callback)

    def _subscribed(self, subscription: Any) -> Subscription:
        return Subscription(subscription, self._thread)

    def _iterated(self, values: AsyncIterator[T]) -> Iterator[T]:
        while True:
            try:
                yield self._thread.wait(anext(values))
            except StopAsyncIteration:
                return
