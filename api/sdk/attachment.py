"""What stands between a client's verbs and its gateway: the connection, the session's effects, the hot path of what comes in."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine
from itertools import repeat
from math import inf
from random import Random
from typing import Any, Literal, assert_never, cast

from majula import __version__
from majula.api.sdk import events
from majula.api.sdk.address import Address
from majula.api.sdk.caller import Caller
from majula.api.sdk.calls import Call, check_timeout
from majula.api.sdk.connection import Connection
from majula.api.sdk.dialling import dial, verdict
from majula.api.sdk.interests import Interests, Route
from majula.api.sdk.message import Message, split_run
from majula.api.sdk.messenger import Messenger
from majula.api.sdk.outbox import Outbox
from majula.api.sdk.provider import Provider
from majula.api.sdk.session import Phase, SessionCore
from majula.api.sdk.shape import Codec, encoder
from majula.api.sdk.states import State
from majula.api.sdk.subscription import Subscription
from majula.api.sdk.trust import Hidden, Trust
from majula.errors import (
    ConnectionLost,
    InvalidRequest,
    MajulaError,
    ProtocolError,
)
from majula.wire import headers as wire
from majula.wire.frames import Span, decode_header, encode_frame

_log = logging.getLogger("majula.sdk")

_REFUSALS_S = 1.0

CONNECT_S = 5.0
REQUEST_S = 30.0
CLOSE_S = 2.0
"""How long `close` waits for bytes to leave before it cuts the connection."""

BUFFER_BYTES = 8 << 20

_TRUST = Trust()

StateCallback = Callable[[State], object]


class Attachment:
    """One program's connection to a node, kept up; `Client` puts the verbs on it.

    Args: those of `connect`.
    """

    def __init__(
        self,
        addresses: tuple[Address, ...],
        *,
        client_id: str = "",
        token: str = "",
        trust: Trust = _TRUST,
        on_state: StateCallback | None = None,
        encoding: Literal["msgpack", "json"] = "msgpack",
        timeout_s: float = CONNECT_S,
        buffer_bytes: int = BUFFER_BYTES,
        concurrency: int = 1_024,
        codec: Codec = "msgpack",
        random: Random | None = None,
    ) -> None:
        self._addresses = addresses
        self._encoding = encoding
        self._token = Hidden(token)
        self._trust = trust
        self._on_state = on_state
        self._timeout_s = timeout_s
        self._random = random or Random()  # noqa: S311  # jitter, no secret
        self._core = SessionCore(
            client_id=client_id,
            token=self._token,
            agent=f"majula-python/{__version__}",
            random=self._random,
        )
        self._encode = encoder(codec)
        self._outbox = Outbox(limit_bytes=buffer_bytes, wake=self._wake, urge=self._flush, encode=self._encode)
        self._caller = Caller(outbox=self._outbox, send=self._send, arm=self._arm, encode=self._encode)
        self._interests: Interests[Subscription] = Interests()
        self._provider = Provider(send=self._answer, spawn=self.spawn, concurrency=concurrency, encode=self._encode)
        self._messenger = Messenger(
            random=random or Random(),  # noqa: S311  # as above
            spawn=self.spawn,
            wake=self._wake,
            urge=self._flush,
        )
        self._tasks: set[asyncio.Task[Any]] = set()
        self._space: list[asyncio.Future[None]] = []  # publishers that wait for room
        self._loop: asyncio.AbstractEventLoop | None = None
        self._connection: Connection | None = None
        self._dialling: asyncio.Task[None] | None = None
        self._is_reading = False  # frames are being taken; what they cause is written behind the last of them
        self._is_open = False  # calls and messages may be written
        self._ready: asyncio.Future[None] | None = None  # `connect` waits for it
        self._state = State("connecting")
        self._reason = ""  # the last one that a state gave
        self._timer: asyncio.TimerHandle | None = None
        self._armed_at = inf
        self._connections = 0
        self._pinged = (-1, 0.0)  # number of the last PING, and when it went out
        self._rtt_s = 0.0
        self._acknowledged = 0  # messages that were published beside the outbox
        self._received_messages = self._sent_bytes = self._received_bytes = 0
        self._slow_notices = self._dropped = self._refused = self._unlogged = 0
        self._refusals_from = 0.0  # loop time before which no further refusal is logged

    # --- what runs in the client

    def spawn(self, coroutine: Coroutine[Any, Any, None], *, name: str) -> asyncio.Task[None]:
        """A task that ends with the client."""
        task = self._running_loop().create_task(coroutine, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._task_ended)
        return task

    def tell_slow(self, topic: str, dropped: int) -> None:
        """Messages were dropped; empty topic: by the gateway."""
        self._slow_notices += 1
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

    async def flush(self, *, timeout_s: float = 10.0) -> None:
        """Return when the gateway has read all that this client has sent so far.

        Raises:
            ConnectionLost: the connection broke, or there is none.
            DeadlineExceeded: it did not answer in time.
        """
        loop = self._running_loop()
        await self._settled(lambda ticket: events.Ask(wire.Ping(), ticket, loop.time() + check_timeout(timeout_s)))

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
            ending = [task for task in tasks if task is not own]
            if ending:
                _, stuck = await asyncio.wait(ending, timeout=CLOSE_S)
                for task in stuck:  # a callback or handler that swallows its cancellation; closing does not wait for it
                    _log.warning("task.stuck name=%s", task.get_name())

    async def _connect(self) -> None:
        if self._loop is not None:
            raise InvalidRequest("this client was connected before; make another")
        loop = self._loop = asyncio.get_running_loop()
        self._ready = loop.create_future()
        self._step(events.Start())
        try:
            await asyncio.wait_for(asyncio.shield(self._ready), self._timeout_s)
        except TimeoutError:
            reason = self._reason or "no answer"
            await self.close()
            where = ", ".join(address.text for address in self._addresses)
            raise ConnectionLost(f"no connection to {where} within {self._timeout_s:g} s: {reason}") from None
        except BaseException:
            await self.close()
            raise

    async def _dial(self, attempt: int) -> None:
        address = self._addresses[attempt % len(self._addresses)]
        try:
            connection = await dial(address, self, trust=self._trust, token=self._token, encoding=self._encoding)
        except (OSError, MajulaError) as error:
            self._dialling = None
            told = verdict(address, error, was_connected=self._connections > 0)
            self._step(events.Lost(f"{address.text}: {error}", told))
            return
        self._dialling = None
        self._connection = connection
        self._connections += 1
        self._step(events.Opened())

    def _shut(self, error: MajulaError | None = None) -> list[asyncio.Task[Any]]:
        """All of closing that needs no waiting; the tasks that are ending."""
        self._step(events.Close())
        self._provider.close()
        self._messenger.close()
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

    def _step(self, event: events.Event) -> None:
        """The one place where the session's effects turn into writes, futures and a timer."""
        loop = self._loop
        for effect in self._core.handle(event, loop.time() if loop else 0.0):
            match effect:
                case events.Send(header, body):
                    if type(header) is wire.Ping:
                        self._pinged = (header.number, time.perf_counter())  # the time of uvloop stands still within a turn
                    self._send(encode_frame(header, body))
                case events.Settle(ticket):
                    self._settle(ticket, effect)
                case events.Dial(attempt):
                    self._dialling = self.spawn(self._dial(attempt), name="majula dial")
                case events.HangUp():
                    self._hang_up()
                case events.SessionEnded(error):
                    self._end_session(error)
                case events.Resume(welcome):
                    self._resume(welcome)
                case events.Finish():
                    self._flush()
                    self._is_open = self._caller.is_open = False
                    self._finish_if_quiet()
                case events.Withdrawn(key, error):
                    self._withdrawn(key, error)
                case events.Refused(error, method):
                    self._refused += 1
                    self._log_refusal(error, method)
                case events.Announce(state):
                    self._state = state
                    self._reason = state.reason or self._reason
                    self._tell(state)
                case events.Failed(error):
                    if self._ready is not None and not self._ready.done():
                        self._ready.set_exception(error)
                    self._shut(error)
                case _:
                    assert_never(effect)
        self._arm()

    def _log_refusal(self, error: MajulaError, method: str) -> None:
        """One line a second at most: a program that is refused once is often refused thousands of times. `statistics` has all."""
        now = self._running_loop().time()
        if now < self._refusals_from:
            self._unlogged += 1
            return
        more = f" ({self._unlogged} more since the last of these lines)" if self._unlogged else ""
        self._refusals_from, self._unlogged = now + _REFUSALS_S, 0
        _log.warning("request.refused method=%s code=%s error=%s%s", method, error.code, error, more)

    def _send(self, frame: bytes) -> None:
        connection = self._connection
        if connection is None:
            return
        if self._is_open:
            if not self._outbox.put(frame, reserve=True):
                self._break("this program sends faster than the gateway reads")
        else:
            self._sent_bytes += len(frame)
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
        self._messenger.suspend()
        self._provider.end_session()
        self._caller.end_session(error, for_good=self._core.phase is Phase.CLOSED)
        self._release_space()  # each tries again: there may be room, or there is the error for it

    def _resume(self, welcome: wire.Welcome) -> None:
        limits = welcome.limits
        self._outbox.message_bytes = self._provider.message_bytes = limits.get("message_bytes", 1 << 20)
        self._messenger.resume(
            welcome.client_id, welcome.node_id, run_bytes=self._outbox.message_bytes, now=self._running_loop().time()
        )
        self._is_open = True
        if self._ready is not None and not self._ready.done():
            self._ready.set_result(None)
        self._caller.resume(self._running_loop().time(), limit=limits.get("pending_calls", 4_096))
        self._flush()

    def _withdrawn(self, key: events.WishKey, error: MajulaError) -> None:
        """The gateway did not take back what had been in force before the connection broke."""
        _log.error("session.withdrawn what=%s code=%s error=%s", key, error.code, error)
        match key:
            case ("topic", str(topic), bool(pattern), str(queue)):
                for subscription in self._interests.same(topic, pattern, queue):
                    self._interests.remove(subscription)
                    subscription.end(error)
            case ("function", str(name)):
                self._provider.functions.pop(name, None)

    def _tell(self, state: State) -> None:
        if self._on_state is not None:
            try:
                self._on_state(state)
            except Exception:
                _log.exception("callback.failed state=%s", state.name)

    # --- requests

    async def _settled(self, event_of: Callable[[asyncio.Future[events.Settle]], events.Event]) -> events.Settle:
        ticket: asyncio.Future[events.Settle] = self._running_loop().create_future()
        self._step(event_of(ticket))
        try:
            return await ticket
        except asyncio.CancelledError:
            self._step(events.Forget(ticket))
            raise

    def _settle(self, ticket: events.Ticket, effect: events.Settle) -> None:
        if not isinstance(ticket, asyncio.Future):
            if effect.error is not None and self._core.phase is not Phase.CLOSED:
                _log.error("register.refused code=%s error=%s", effect.error.code, effect.error)
        elif not ticket.done():
            if effect.error is None:
                ticket.set_result(effect)
            else:
                ticket.set_exception(effect.error)

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
            closed, reason = "the client is closed", self._state.reason
            raise ConnectionLost(closed if reason in ("", closed) else f"{closed}: {reason}")

    def _give_up(self, future: asyncio.Future[Any], number: int) -> None:
        self._caller.give_up(future, number)
        if not self._is_open:
            self._finish_if_quiet()

    def _give_up_call(self, call: Call) -> None:
        self._give_up(call, call.number)

    def _finish_if_quiet(self) -> None:
        """The gateway has asked to go: nothing new starts, and when the last call has ended the connection may."""
        if self._core.phase is Phase.LEAVING and not self._caller.sent and not self._provider.running:
            self._running_loop().call_soon(self._step, events.Quiet())

    def _wake(self) -> None:
        if self._loop is not None and not self._is_reading:
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        """Write what waits, all of it at once."""
        connection = self._connection
        if connection is None or connection.paused or not self._is_open:
            return
        data = self._outbox.take()
        if self._messenger.is_woken:
            data += self._messenger.take(self._running_loop().time())
            self._arm()
        if data:
            self._sent_bytes += len(data)
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
        self._received_bytes += len(chunk)
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
            self._step(events.Lost(reason))

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
        elif kind is wire.Send:
            self._messenger.arrive(cast(wire.Send, header), chunk, body, end, self._running_loop().time())
        elif kind is wire.Receipt:
            self._messenger.receive(cast(wire.Receipt, header), self._running_loop().time())
        elif kind is wire.Cancel:
            self._provider.cancel(cast(wire.Cancel, header).call)
        elif kind is wire.Pong:
            number, pinged_at = self._pinged
            if cast(wire.Pong, header).number == number:
                self._rtt_s = time.perf_counter() - pinged_at
            self._step(events.Received(header, b""))
        elif kind is wire.Slow:
            self.tell_slow("", cast(wire.Slow, header).dropped_messages)
        else:
            self._step(events.Received(header, chunk[body:end]))

    def _deliver(self, route: Route[Subscription], payloads: list[bytes]) -> None:
        self._received_messages += len(payloads)
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
        at = min(self._core.next_deadline(), self._caller.sweep_at, self._messenger.next_deadline())
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
        self._messenger.timer(now)
        self._step(events.TimerFired())
