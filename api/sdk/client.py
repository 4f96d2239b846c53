"""`Client`: one program's session with a node."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Generator
from itertools import repeat
from math import inf
from random import Random
from types import TracebackType
from typing import Any, Literal, TypeVar, assert_never, cast, overload

import msgspec

from majula import __version__
from majula.api.sdk import session
from majula.api.sdk.address import Address
from majula.api.sdk.caller import Caller
from majula.api.sdk.calls import Call, check_name, check_timeout
from majula.api.sdk.connection import Connection
from majula.api.sdk.functions import Function, describe
from majula.api.sdk.interests import Interests, Route, is_pattern
from majula.api.sdk.message import Message, split_run
from majula.api.sdk.native import open_native
from majula.api.sdk.outbox import QUEUED, REFUSED, URGED, Outbox, Verdict, check_topic
from majula.api.sdk.provider import Provider
from majula.api.sdk.session import Phase, SessionCore, wish_key
from majula.api.sdk.states import State
from majula.api.sdk.subscription import MAX_QUEUED, Callback, Subscription
from majula.errors import (
    ConnectionLost,
    InvalidRequest,
    MajulaError,
    Overloaded,
    ProtocolError,
)
from majula.rpc.operations import SERVICES, Service, ServicesAnswer, ServicesRequest
from majula.wire import headers as wire
from majula.wire.frames import Span, decode_header, encode_frame, encode_run
from majula.wire.headers import RETAIN
from majula.wire.values import decode_value, encode_value

_log = logging.getLogger("majula.sdk")

CONNECT_S = 5.0
REQUEST_S = 30.0
CLOSE_S = 2.0
"""How long `close` waits for bytes to leave before it cuts the connection."""

BUFFER_BYTES = 8 << 20

F = TypeVar("F", bound=Callable[..., Any])
StateCallback = Callable[[State], object]


class Client:
    """One program's session with a node; made by `majula.connect`.

    It reconnects by itself: subscriptions and functions are in force again before `connected` is told. Every method may be
    cancelled. Use it from the event loop that connected it.
    """

    def __init__(
        self,
        addresses: tuple[Address, ...],
        *,
        client_id: str = "",
        token: str | None = None,
        on_state: StateCallback | None = None,
        encoding: Literal["msgpack", "json"] = "msgpack",
        timeout_s: float = CONNECT_S,
        buffer_bytes: int = BUFFER_BYTES,
        concurrency: int = 1_024,
        random: Random | None = None,
    ) -> None:
        self._addresses = addresses
        self._encoding = encoding
        self._token = token or ""
        self._on_state = on_state
        self._timeout_s = timeout_s
        self._core = SessionCore(
            client_id=client_id,
            token=self._token,
            agent=f"majula-python/{__version__}",
            random=random or Random(),  # noqa: S311  # jitter, no secret
        )
        self._outbox = Outbox(limit_bytes=buffer_bytes, wake=self._wake, urge=self._flush)
        self._caller = Caller(outbox=self._outbox, send=self._send, arm=self._arm)
        self._interests: Interests[Subscription] = Interests()
        self._provider = Provider(send=self._answer, spawn=self.spawn, concurrency=concurrency)
        self._tasks: set[asyncio.Task[Any]] = set()
        self._space: list[asyncio.Future[None]] = []  # publishers that wait for room
        self._loop: asyncio.AbstractEventLoop | None = None
        self._connection: Connection | None = None
        self._dialling: asyncio.Task[None] | None = None
        self._is_reading = False  # frames are being taken; what they cause is written behind the last of them
        self._is_open = False  # calls and messages may be written
        self._ready: asyncio.Future[None] | None = None  # `connect` waits for it
        self._state = State("connecting")
        self._timer: asyncio.TimerHandle | None = None
        self._armed_at = inf
        self._dropped = 0
        self._refused = 0
        self._connections = 0

    # --- coming and going

    def __await__(self) -> Generator[Any, None, Client]:
        return self._connect().__await__()

    async def __aenter__(self) -> Client:
        return await self._connect()

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

    async def close(self) -> None:
        """End the session for good: what was published is written, open calls end with ConnectionLost, handlers are cancelled."""
        try:
            await self._drain_outbox()
        finally:
            connection = self._connection
            tasks = self._shut()
            if connection is not None:
                try:
                    await asyncio.wait_for(connection.wait_closed(), CLOSE_S)
                except TimeoutError:
                    connection.abort()
            own = asyncio.current_task()
            await asyncio.gather(*(task for task in tasks if task is not own), return_exceptions=True)

    async def flush(self, *, timeout_s: float = 10.0) -> None:
        """Return when the gateway has read all that this client has sent so far.

        Raises:
            ConnectionLost: the connection broke, or there is none.
            DeadlineExceeded: it did not answer in time.
        """
        loop = self._running_loop()
        await self._settled(lambda ticket: session.Ask(wire.Ping(), ticket, loop.time() + check_timeout(timeout_s)))

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
            await self._settled(lambda ticket: session.Want(template, ticket, deadline, again))
        except BaseException:
            self._withdraw(subscription)
            raise
        return subscription

    async def end_subscription(self, subscription: Subscription) -> None:
        """`Subscription.unsubscribe`."""
        if self._withdraw(subscription) and self._is_open:
            await self.flush()  # what the gateway had sent before it heard of it has come in by then

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
            self._step(session.Want(self._offer(described), None, inf, again=True))
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
            await self._settled(lambda ticket: session.Want(template, ticket, deadline, again=True))
        except BaseException:
            if self._provider.functions.get(described.name) is described:
                del self._provider.functions[described.name]
                self._step(session.Unwant(wish_key(template)))
            raise

    async def unregister(self, name: str, *, timeout_s: float = REQUEST_S) -> None:
        """Take a function back; nothing happens where it is not offered. Calls that run go on."""
        loop = self._running_loop()
        if self._provider.functions.pop(name, None) is not None:
            deadline = loop.time() + check_timeout(timeout_s)
            await self._settled(lambda ticket: session.Unwant(("function", name), ticket, deadline))

    async def services(
        self, provider: str = "", function: str = "", *, node: str = "", timeout_s: float = 10.0
    ) -> tuple[Service, ...]:
        """The functions that can be called now, ordered by provider and name; empty arguments match everything.

        Raises:
            ConnectionLost: there is no connection, or it broke.
            DeadlineExceeded: no answer in `timeout_s`.
        """
        answer = await self._request(SERVICES.name, ServicesRequest(provider, node, function), timeout_s)
        return msgspec.convert(answer, ServicesAnswer, strict=False).services

    # --- what runs in the client

    def spawn(self, coroutine: Coroutine[Any, Any, None], *, name: str) -> asyncio.Task[None]:
        """A task that ends with the client."""
        task = self._running_loop().create_task(coroutine, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._task_ended)
        return task

    def tell_slow(self, topic: str, dropped: int) -> None:
        """Messages were dropped; empty topic: by the gateway."""
        self._dropped += dropped
        reason = "this program does not take its messages fast enough"
        self._tell(State("slow", reason=reason, dropped=dropped, topic=topic))

    def _task_ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            _log.error("task.failed name=%s", task.get_name(), exc_info=task.exception())

    def _running_loop(self) -> asyncio.AbstractEventLoop:
        if self._loop is None:
            raise ConnectionLost("the client is not connected: use `async with majula.connect(...)` or await it")
        return self._loop

    async def _connect(self) -> Client:
        if self._loop is not None:
            raise InvalidRequest("this client was connected before; make another")
        loop = self._loop = asyncio.get_running_loop()
        self._ready = loop.create_future()
        self._step(session.Start())
        try:
            await asyncio.wait_for(asyncio.shield(self._ready), self._timeout_s)
        except TimeoutError:
            reason = self._state.reason or "no answer"
            await self.close()
            where = ", ".join(address.text for address in self._addresses)
            raise ConnectionLost(f"no connection to {where} within {self._timeout_s:g} s: {reason}") from None
        except BaseException:
            await self.close()
            raise
        return self

    async def _dial(self, attempt: int) -> None:
        address = self._addresses[attempt % len(self._addresses)]
        try:
            if address.kind == "websocket":
                # Loaded where it is used: the WebSocket client brings a whole HTTP library along.
                from majula.api.sdk.websocket import open_websocket  # noqa: PLC0415

                connection: Connection = await open_websocket(address, self, token=self._token, encoding=self._encoding)
            else:
                connection = await open_native(address, self)
        except (OSError, MajulaError) as error:
            self._dialling = None
            self._step(session.Lost(f"{address.text}: {error}", error if isinstance(error, MajulaError) else None))
            return
        self._dialling = None
        self._connection = connection
        self._connections += 1
        self._step(session.Opened())

    def _shut(self, error: MajulaError | None = None) -> list[asyncio.Task[Any]]:
        """All of closing that needs no waiting; the tasks that are ending."""
        self._step(session.Close())
        self._provider.close()
        for subscription in list(self._interests):
            subscription.end(error)
        self._outbox.close()
        if self._ready is not None:
            self._ready.cancel()
        if self._timer is not None:
            self._timer.cancel()
            self._timer, self._armed_at = None, inf
        tasks = list(self._tasks)
        own = asyncio.current_task() if self._loop else None
        for task in tasks:
            if task is not own:
                task.cancel()
        return tasks

    async def _drain_outbox(self) -> None:
        """Hand what was published to the transport, as long as it takes bytes."""
        self._flush()
        if self._is_open and self._outbox.waiting_bytes:
            try:
                await asyncio.wait_for(self._room(), CLOSE_S)
            except TimeoutError:
                _log.warning("publish.lost bytes=%d", self._outbox.waiting_bytes)

    # --- the session

    def _step(self, event: session.Event) -> None:
        """The one place where the session's effects turn into writes, futures and a timer."""
        loop = self._loop
        for effect in self._core.handle(event, loop.time() if loop else 0.0):
            match effect:
                case session.Send(header, body):
                    self._send(encode_frame(header, body))
                case session.Settle(ticket):
                    self._settle(ticket, effect)
                case session.Dial(attempt):
                    self._dialling = self.spawn(self._dial(attempt), name="majula dial")
                case session.HangUp():
                    self._hang_up()
                case session.SessionEnded(error):
                    self._end_session(error)
                case session.Resume(welcome):
                    self._resume(welcome)
                case session.Finish():
                    self._flush()
                    self._is_open = self._caller.is_open = False
                    self._finish_if_quiet()
                case session.Withdrawn(key, error):
                    self._withdrawn(key, error)
                case session.Refused(error, method):
                    self._refused += 1
                    _log.warning("request.refused method=%s code=%s error=%s", method, error.code, error)
                case session.Announce(state):
                    self._state = state
                    self._tell(state)
                case session.Failed(error):
                    if self._ready is not None and not self._ready.done():
                        self._ready.set_exception(error)
                    self._shut(error)
                case _:
                    assert_never(effect)
        self._arm()

    def _send(self, frame: bytes) -> None:
        connection = self._connection
        if connection is None:
            return
        if self._is_open:
            if not self._outbox.put(frame, reserve=True):
                self._break("this program sends faster than the gateway reads")
        else:
            connection.write(frame)  # greeting, restoring, leaving: what the program publishes waits for the next session

    def _answer(self, frame: bytes) -> None:
        """A result of this client's provider."""
        self._send(frame)
        if not self._is_open:
            self._finish_if_quiet()

    def _break(self, reason: str) -> None:
        """From inside of anything: end this connection at the next turn of the loop."""
        connection = self._connection
        if connection is not None:
            connection.abort()
            self._running_loop().call_soon(self.connection_lost, connection, reason)

    def _hang_up(self) -> None:
        if self._dialling is not None:
            self._dialling.cancel()
            self._dialling = None
        if self._connection is not None:
            self._flush()  # BYE, or what was said last, waits behind what was published
            self._connection.close()
            self._connection = None

    def _end_session(self, error: MajulaError) -> None:
        self._is_open = False
        self._connection = None
        self._outbox.end_session()
        self._provider.end_session()
        self._caller.end_session(error, for_good=self._core.phase is Phase.CLOSED)
        self._release_space()  # each tries again: there may be room, or there is the error for it

    def _resume(self, welcome: wire.Welcome) -> None:
        limits = welcome.limits
        self._outbox.message_bytes = self._provider.message_bytes = limits.get("message_bytes", 1 << 20)
        self._is_open = True
        if self._ready is not None and not self._ready.done():
            self._ready.set_result(None)
        self._caller.resume(self._running_loop().time(), limit=limits.get("pending_calls", 4_096))
        self._flush()

    def _withdrawn(self, key: session.WishKey, error: MajulaError) -> None:
        """The gateway did not take back what had been in force before the connection broke."""
        _log.error("session.withdrawn what=%s code=%s error=%s", key, error.code, error)
        match key:
            case ("topic", str(topic), bool(pattern), str(queue)):
                for subscription in self._interests.same(topic, pattern, queue):
                    self._interests.remove(subscription)
                    subscription.end(error)
            case ("function", str(name)):
                self._provider.functions.pop(name, None)

    def _withdraw(self, subscription: Subscription) -> bool:
        """Take a subscription out; True: the gateway has to hear of it and was told."""
        if subscription not in self._interests.same(subscription.topic, subscription.pattern, subscription.queue):
            return False
        self._interests.remove(subscription)
        subscription.end()
        if self._interests.same(subscription.topic, subscription.pattern, subscription.queue):
            return False
        self._step(session.Unwant(("topic", subscription.topic, subscription.pattern, subscription.queue)))
        return True

    def _offer(self, described: Function, *, sync: bool = False) -> wire.Register:
        check_name("function", described.name)
        self._provider.functions[described.name] = described
        return wire.Register(
            0, described.name, described.parameters, described.results, described.note, described.idempotent, sync
        )

    def _tell(self, state: State) -> None:
        if self._on_state is not None:
            try:
                self._on_state(state)
            except Exception:
                _log.exception("callback.failed state=%s", state.name)

    # --- requests

    async def _settled(self, event_of: Callable[[asyncio.Future[session.Settle]], session.Event]) -> session.Settle:
        ticket: asyncio.Future[session.Settle] = self._running_loop().create_future()
        self._step(event_of(ticket))
        try:
            return await ticket
        except asyncio.CancelledError:
            self._step(session.Forget(ticket))
            raise

    def _settle(self, ticket: session.Ticket, effect: session.Settle) -> None:
        if not isinstance(ticket, asyncio.Future):
            if effect.error is not None and self._core.phase is not Phase.CLOSED:
                _log.error("register.refused code=%s error=%s", effect.error.code, effect.error)
        elif not ticket.done():
            if effect.error is None:
                ticket.set_result(effect)
            else:
                ticket.set_exception(effect.error)

    async def _request(self, operation: str, parameters: msgspec.Struct, timeout_s: float) -> Any:
        deadline = self._running_loop().time() + check_timeout(timeout_s)
        body = msgspec.msgpack.encode(parameters)
        reply = await self._settled(lambda ticket: session.Ask(wire.Request(0, operation), ticket, deadline, body))
        return decode_value(reply.encoding, reply.body)

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
        await self._settled(lambda ticket: session.Ask(header, ticket, deadline, encode_run([data])))

    async def _room(self) -> None:
        """Return when the outbox was emptied, or the connection was lost."""
        waiter: asyncio.Future[None] = self._running_loop().create_future()
        self._space.append(waiter)
        try:
            await waiter
        finally:
            if waiter in self._space:
                self._space.remove(waiter)

    def _check_not_closed(self) -> None:
        if self._core.phase is Phase.CLOSED:
            raise ConnectionLost("the client is closed")

    def _give_up(self, future: asyncio.Future[Any], number: int) -> None:
        self._caller.give_up(future, number)
        if not self._is_open:
            self._finish_if_quiet()

    def _give_up_call(self, call: Call) -> None:
        self._give_up(call, call.number)

    def _finish_if_quiet(self) -> None:
        """The gateway has asked to go: nothing new starts, and when the last call has ended the connection may."""
        if self._core.phase is Phase.LEAVING and not self._caller.sent and not self._provider.running:
            self._running_loop().call_soon(self._step, session.Quiet())

    def _wake(self) -> None:
        if self._loop is not None and not self._is_reading:
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        """Write what waits, all of it at once."""
        connection = self._connection
        if connection is None or connection.paused or not self._is_open:
            return
        data = self._outbox.take()
        if data:
            connection.write(data)
        if self._space:
            self._release_space()

    def _release_space(self) -> None:
        waiters, self._space = self._space, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)

    # --- what a connection tells

    def frames_received(self, chunk: bytes, spans: list[Span]) -> None:
        """Hot path: a run of a known header costs one dict look-up, and each of its messages two loops in C and the callback."""
        assert self._loop is not None
        self._core.heard(self._loop.time())
        routes = self._interests.routes
        self._is_reading = True
        try:
            for start, body, end in spans:
                head = chunk[start + 6 : body]
                route = routes.get(head)
                if route is not None:
                    self._deliver(route, split_run(chunk, body, end))
                else:
                    self._frame(head, chunk, body, end)
        except ProtocolError as error:
            self._break(f"the gateway sent what is no frame: {error}")
        finally:
            self._is_reading = False
            self._flush()  # results of plain functions, what callbacks published: no turn of the loop later

    def connection_lost(self, connection: Connection, reason: str) -> None:
        if connection is self._connection:
            self._connection = None
            self._step(session.Lost(reason))

    def writable(self) -> None:
        self._flush()

    def _frame(self, head: bytes, chunk: bytes, body: int, end: int) -> None:
        header = decode_header(head)
        kind = type(header)
        if kind is wire.Result:
            self._caller.result(cast(wire.Result, header), chunk[body:end])
            if not self._is_open:
                self._finish_if_quiet()
        elif kind is wire.Call:
            self._provider.receive(cast(wire.Call, header), chunk[body:end])
        elif kind is wire.Publish:
            self._deliver(self._interests.route(head, cast(wire.Publish, header)), split_run(chunk, body, end))
        elif kind is wire.Cancel:
            self._provider.cancel(cast(wire.Cancel, header).call)
        elif kind is wire.Slow:
            self.tell_slow("", cast(wire.Slow, header).dropped_messages)
        else:
            self._step(session.Received(header, chunk[body:end]))

    def _deliver(self, route: Route[Subscription], payloads: list[bytes]) -> None:
        targets = route.targets()
        if not targets:
            return
        header = route.header
        messages = list(
            map(Message, payloads, repeat(header.topic), repeat(header.encoding), repeat(header.headers), repeat(route.retained))
        )
        for target in targets:
            target.take(messages)

    # --- time

    def _arm(self) -> None:
        """One timer for all; one that is merely too early stays."""
        if self._loop is None:
            return
        at = min(self._core.next_deadline(), self._caller.sweep_at)
        if at < self._armed_at:
            if self._timer is not None:
                self._timer.cancel()
            self._armed_at = at
            self._timer = self._loop.call_at(at, self._timer_fired)

    def _timer_fired(self) -> None:
        # The loop may fire a clock tick early; the core must see its deadline as reached.
        now = max(self._running_loop().time(), self._armed_at)
        self._timer, self._armed_at = None, inf
        if now >= self._caller.sweep_at:
            self._caller.sweep(now)
            self._finish_if_quiet()
        self._step(session.TimerFired())
