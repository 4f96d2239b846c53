"""`Client`: what a program can do with its session."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Generator
from math import inf
from types import TracebackType
from typing import Any, TypeVar, overload

from majula.api.sdk import events
from majula.api.sdk.administration import Administration
from majula.api.sdk.attachment import REQUEST_S
from majula.api.sdk.calls import Call, check_name, check_timeout
from majula.api.sdk.functions import Function, describe
from majula.api.sdk.interests import is_pattern
from majula.api.sdk.observation import Observation
from majula.api.sdk.outbox import QUEUED, REFUSED, URGED, Verdict, check_topic
from majula.api.sdk.session import wish_key
from majula.api.sdk.states import State
from majula.api.sdk.subscription import MAX_QUEUED, Callback, Subscription
from majula.errors import (
    ConnectionLost,
    DeadlineExceeded,
    InvalidRequest,
    Overloaded,
)
from majula.wire import headers as wire
from majula.wire.frames import encode_run
from majula.wire.headers import RETAIN
from majula.wire.values import encode_value

F = TypeVar("F", bound=Callable[..., Any])


class Client(Observation, Administration):
    """One program's session with a node; made by `majula.connect`.

    It reconnects by itself: subscriptions and functions are in force again before `connected` is told. Every method may be
    cancelled. Use it from the event loop that connected it.
    """

    # --- coming and going

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

    def statistics(self) -> dict[str, int | str]:
        """Counters since the start."""
        return {
            **self._core.statistics(),
            "connections": self._connections,
            "published": self._outbox.published,
            "waiting_bytes": self._outbox.waiting_bytes,
            "open_calls": self._caller.sent + self._caller.kept,
            "running_calls": self._provider.running,
            "served": self._provider.served,
            "failed": self._provider.failed,
            "dropped": self._dropped,
            "refused": self._refused,
        }

    async def flush(self, *, timeout_s: float = 10.0) -> None:
        """Return when the gateway has read all that this client has sent so far.

        Raises:
            ConnectionLost: the connection broke, or there is none.
            DeadlineExceeded: it did not answer in time.
        """
        loop = self._running_loop()
        await self._settled(lambda ticket: events.Ask(wire.Ping(), ticket, loop.time() + check_timeout(timeout_s)))

    # --- topics

    async def publish(
        self,
        topic: str,
        payload: object = b"",
        *,
        retain: bool = False,
        ack: bool = False,
        headers: dict[str, str] | None = None,
    ) -> None:
        """Publish a message to all subscribers of a topic, at most once each, in order.

        Returns when the message is in this client's buffer, which is written at once; waits while that is full. Without a
        connection it is kept and sent later, as long as the buffer has room.

        Args:
            topic: dotted levels, at most 256 bytes.
            payload: bytes, sent as they are, or any value that msgpack carries.
            retain: keep it as the topic's last value; an empty payload removes that.
            ack: return only when the gateway has taken it.
            headers: strings for the application.
        Raises:
            InvalidRequest: the topic, payload or headers cannot be sent.
            TooLarge: over the gateway's `message_bytes` (default 1 MiB).
            Overloaded: the buffer is full and there is no connection.
            ConnectionLost: with `ack`, the connection broke before the answer; or the client is closed.
        Promise: docs/promises.md, "topic publish". Wire: docs/protocol.md, frame PUBLISH.
        """
        if ack:
            await self._publish_acknowledged(topic, payload, retain, headers)
            return
        verdict = self._outbox.add(topic, payload, retain, headers)
        if verdict != QUEUED:
            await self._publish(verdict, topic, payload, retain, headers)

    def publish_nowait(
        self, topic: str, payload: object = b"", *, retain: bool = False, headers: dict[str, str] | None = None
    ) -> None:
        """`publish` that never waits.

        Raises:
            Overloaded: the buffer is full; nothing was queued.
            InvalidRequest, TooLarge, ConnectionLost: as `publish`.
        """
        if self._outbox.add(topic, payload, retain, headers) == REFUSED:
            self._check_not_closed()
            raise Overloaded("the buffer of this client is full", retry_after_s=0.01)

    async def subscribe(
        self,
        topic: str,
        callback: Callback | None = None,
        *,
        queue: str = "",
        retained: bool = False,
        sync: bool = False,
        pattern: bool | None = None,
        max_queued: int = MAX_QUEUED,
        timeout_s: float = REQUEST_S,
    ) -> Subscription:
        """Receive what is published to a topic; returns when the subscription is in force at this gateway.

        Args:
            topic: a topic, or a pattern: `*` is any one level, `>` as the last level all that follow.
            callback: called with each `Message`, plain or async; None: iterate over the subscription.
            queue: name of a queue group; each message goes to one member of it.
            retained: the retained values that match are sent first.
            sync: return only when it is in force at every gateway of every reachable node.
            pattern: None: recognised by its wildcards; False takes `*` and `>` literally.
            max_queued: messages that may wait for an iterator or async callback.
            timeout_s: seconds until the attempt is given up, a lost connection included.
        Raises:
            DeadlineExceeded: not in force in time; it is taken back.
            InvalidRequest, PermissionDenied, LimitReached, Unavailable: the gateway's refusal.
        Wire: docs/protocol.md, frame SUBSCRIBE.
        """
        loop = self._running_loop()
        check_topic(topic)
        if max_queued < 1:
            raise InvalidRequest("max_queued is at least 1")
        deadline = loop.time() + check_timeout(timeout_s)
        is_wild = is_pattern(topic) if pattern is None else pattern
        subscription = Subscription(
            self, topic, callback, pattern=is_wild, queue=queue, retained=retained, max_queued=max_queued, loop=loop
        )
        template = wire.Subscribe(0, topic, is_wild, queue, retained, sync)
        again = (retained or sync) and bool(self._interests.same(topic, is_wild, queue))
        self._interests.add(subscription)
        try:
            await self._settled(lambda ticket: events.Want(template, ticket, deadline, again))
        except BaseException:
            self._withdraw(subscription)
            raise
        return subscription

    async def end_subscription(self, subscription: Subscription) -> None:
        """`Subscription.unsubscribe`."""
        if self._withdraw(subscription) and self._is_open:
            # What the gateway had sent before it heard of it has come in by then. Without an answer it is over all the same.
            with contextlib.suppress(ConnectionLost, DeadlineExceeded):
                await self.flush()

    # --- functions

    async def call(
        self,
        function: str,
        arguments: object = None,
        *,
        timeout_s: float = 10.0,
        provider: str = "",
        node: str = "",
        idempotent: bool = False,
        headers: dict[str, str] | None = None,
    ) -> Any:
        """Call a function and return its one answer. The deadline travels with the call: whoever holds it when it passes drops
        it. Cancelling the task sends CANCEL on; the handler may have run by then.

        Args:
            function: its registered name.
            arguments: a map is passed as keyword arguments, any other value as the one argument.
            timeout_s: seconds from now, more than 0, at most 3,600. Without a connection, the call waits for one within it.
            provider: client id of who is to answer, `init` for the node's own functions; empty: the gateway chooses.
            node: node id, empty: any.
            idempotent: another provider may be tried when one is lost.
            headers: strings for the application.
        Raises:
            DeadlineExceeded: no answer in `timeout_s`; whether the handler ran is unknown.
            NoProvider: nobody offers `function`; known at once.
            RemoteError: the handler raised; `type` and `message` are its own.
            ProviderLost: the provider went away before it answered.
            ConnectionLost: the connection broke before the answer came; whether the handler ran is unknown.
            Overloaded: the provider, or this client's buffer, is full.
            LimitReached: too many calls are open.
        Promise: docs/promises.md, "RPC". Wire: docs/protocol.md, frames CALL, RESULT, CANCEL.
        """
        loop = self._running_loop()
        if not self._is_open:
            self._check_not_closed()
        future: asyncio.Future[Any] = loop.create_future()
        number = self._caller.start(
            future,
            function,
            arguments,
            loop.time(),
            timeout_s=timeout_s,
            provider=provider,
            node=node,
            idempotent=idempotent,
            headers=headers,
        )
        try:
            return await future
        except asyncio.CancelledError:
            self._give_up(future, number)
            raise

    def start_call(
        self,
        function: str,
        arguments: object = None,
        *,
        timeout_s: float = 10.0,
        provider: str = "",
        node: str = "",
        idempotent: bool = False,
        headers: dict[str, str] | None = None,
    ) -> Call:
        """`call` that returns at once: a future to await, to pass to `asyncio.wait`, or to cancel."""
        loop = self._running_loop()
        self._check_not_closed()
        call = Call(self._give_up_call, loop=loop)
        call.number = self._caller.start(
            call,
            function,
            arguments,
            loop.time(),
            timeout_s=timeout_s,
            provider=provider,
            node=node,
            idempotent=idempotent,
            headers=headers,
        )
        return call

    @overload
    def rpc(self, function: F, /) -> F: ...

    @overload
    def rpc(self, /, *, name: str = "", note: str = "", idempotent: bool = False) -> Callable[[F], F]: ...

    def rpc(self, function: F | None = None, /, *, name: str = "", note: str = "", idempotent: bool = False) -> Any:
        """Decorator: offer a function, plain or async. Its signature becomes the metadata that `services` lists.

        It is in force when the gateway has read it: `await client.flush()`, or use `register`, which also tells a refusal.
        """

        def offer(callable_: F) -> F:
            described = describe(callable_, name=name, note=note, idempotent=idempotent)
            self._step(events.Want(self._offer(described), None, inf, again=True))
            return callable_

        return offer if function is None else offer(function)

    async def register(
        self,
        name: str,
        function: Callable[..., Any],
        *,
        note: str = "",
        idempotent: bool = False,
        sync: bool = False,
        timeout_s: float = REQUEST_S,
    ) -> None:
        """Offer a function; again with the same name replaces it. Returns when it can be called at this gateway.

        Args:
            name: 1-128 bytes without control characters.
            function: plain (must not block the loop) or async.
            note: one sentence for people; empty: the first line of its docstring.
            idempotent: running it twice does no harm.
            sync: return only when it can be called at every gateway of every reachable node.
            timeout_s: seconds until the attempt is given up.
        Raises:
            DeadlineExceeded: not in force in time; it is taken back.
            InvalidRequest, PermissionDenied, LimitReached, Unavailable: the gateway's refusal.
        """
        deadline = self._running_loop().time() + check_timeout(timeout_s)
        described = describe(function, name=name, note=note, idempotent=idempotent)
        template = self._offer(described, sync=sync)
        try:
            await self._settled(lambda ticket: events.Want(template, ticket, deadline, again=True))
        except BaseException:
            if self._provider.functions.get(described.name) is described:
                del self._provider.functions[described.name]
                self._step(events.Unwant(wish_key(template)))
            raise

    async def unregister(self, name: str, *, timeout_s: float = REQUEST_S) -> None:
        """Take a function back; nothing happens where it is not offered. Calls that run go on."""
        loop = self._running_loop()
        if self._provider.functions.pop(name, None) is not None:
            deadline = loop.time() + check_timeout(timeout_s)
            await self._settled(lambda ticket: events.Unwant(("function", name), ticket, deadline))

    def _withdraw(self, subscription: Subscription) -> bool:
        """Take a subscription out; True: the gateway has to hear of it and was told."""
        if subscription not in self._interests.same(subscription.topic, subscription.pattern, subscription.queue):
            return False
        self._interests.remove(subscription)
        subscription.end()
        if self._interests.same(subscription.topic, subscription.pattern, subscription.queue):
            return False
        self._step(events.Unwant(("topic", subscription.topic, subscription.pattern, subscription.queue)))
        return True

    def _offer(self, described: Function, *, sync: bool = False) -> wire.Register:
        check_name("function", described.name)
        self._provider.functions[described.name] = described
        return wire.Register(
            0, described.name, described.parameters, described.results, described.note, described.idempotent, sync
        )

    async def _publish(self, verdict: Verdict, topic: str, payload: object, retain: bool, headers: dict[str, str] | None) -> None:
        """What `publish` cannot do without waiting."""
        if verdict == URGED:
            await asyncio.sleep(0)  # a program that publishes in a loop and never waits would stop its own reading
            return
        while verdict == REFUSED:
            self._check_not_closed()
            if not self._is_open:
                raise Overloaded(f"no connection to the node, and {self._outbox.waiting_bytes} bytes wait for one")
            await self._room()
            verdict = self._outbox.add(topic, payload, retain, headers)

    async def _publish_acknowledged(self, topic: str, payload: object, retain: bool, headers: dict[str, str] | None) -> None:
        check_topic(topic)
        encoding, data = encode_value(payload)
        self._outbox.check_size(data)
        header = wire.Publish(topic, encoding, RETAIN if retain else 0, headers=headers)
        deadline = self._running_loop().time() + REQUEST_S
        await self._settled(lambda ticket: events.Ask(header, ticket, deadline, encode_run([data])))
