"""`Client`: what a program can do with its session."""

from __future__ import annotations

from collections.abc import Generator
from types import TracebackType
from typing import Any

from majula.api.sdk.administration import Administration
from majula.api.sdk.calling import Calling
from majula.api.sdk.messaging import Messaging
from majula.api.sdk.observation import Observation
from majula.api.sdk.states import State
from majula.api.sdk.statistics import Statistics


class Client(Messaging, Calling, Observation, Administration):
    """One program's session with a node; made by `majula.connect`.

    It reconnects by itself: subscriptions and functions are in force again before `connected` is told. Every method may be
    cancelled. Use it from the event loop that connected it.
    """

    def __await__(self) -> Generator[Any, None, Client]:
        return self.__aenter__().__await__()

    async def __aenter__(self) -> Client:
        await self._connect()
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self.close()

    @property
    def state(self) -> State:
        """The last change that `on_state` was told, but for `slow`."""
        return self._state

    @property
    def client_id(self) -> str:
        """The id that the gateway knows this client by; others name it as `provider`."""
        return self._core.welcome.client_id if self._core.welcome else ""

    @property
    def node_id(self) -> str:
        """The node that this client is attached to."""
        return self._core.welcome.node_id if self._core.welcome else ""

    @property
    def gateway(self) -> str:
        """The gateway that serves it, for messages to people."""
        return self._core.welcome.gateway if self._core.welcome else ""

    def statistics(self) -> Statistics:
        """What this connection has done, as it is now."""
        core = self._core
        return Statistics(
            phase=core.phase.value,
            connections=self._connections,
            reconnects=max(0, self._connections - 1),
            rtt_ms=round(self._rtt_s * 1e3, 3),
            published_messages=self._outbox.published + self._acknowledged,
            received_messages=self._received_messages,
            sent_bytes=self._sent_bytes,
            received_bytes=self._received_bytes,
            waiting_bytes=self._outbox.waiting_bytes,
            slow_notices=self._slow_notices,
            dropped_messages=self._dropped,
            refused=self._refused,
            wishes=core.wishes,
            requests=core.requests,
            open_calls=self._caller.sent + self._caller.kept,
            running_calls=self._provider.running,
            served_calls=self._provider.served,
            failed_calls=self._provider.failed,
            **self._messenger.statistics(),
        )
