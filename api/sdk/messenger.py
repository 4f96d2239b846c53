"""Both ends of a client's private messages: `majula.flow` on its event loop."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from random import Random
from typing import Any, cast

from majula.api.sdk.message import split_run
from majula.api.sdk.private import PrivateMessage, Queue, messages_of
from majula.errors import InvalidRequest, Overloaded
from majula.flow import RUN_BYTES, Arrived, Receiver, Sender, Verdict
from majula.wire.frames import MESSAGE_PREFIX_BYTES, encode_frame
from majula.wire.headers import Encoding, Receipt, Send

_log = logging.getLogger("majula.sdk")

Callback = Callable[[PrivateMessage], object] | Callable[[PrivateMessage], Awaitable[object]]

UNKNOWN = "unknown"
"""State of a message whose client was closed before there was a verdict."""

_FLUSH_BYTES = 1 << 20
"""Handed to the transport at once; what is more follows in the next turn of the loop, or when the gateway has read that."""

_URGED_BYTES = 32_768
"""So much is written without waiting for the end of the loop's turn: a program that fills a flow at one go would otherwise let
gateway and receiver wait while it does, and wait itself while they work."""

_TURN = 256
"""Messages that an async callback handles before the loop gets a turn: a callback that never waits must not stop the reading."""


class Messenger:
    """What a client sends to others, and gets from them.

    Args:
        random: for the flows.
        spawn: runs a task that ends with the client.
        wake: asks for `take` at the end of this turn of the loop; called once until then.
        urge: asks for it now, as much is waiting; may call it.
    """

    def __init__(
        self,
        *,
        random: Random,
        spawn: Callable[..., asyncio.Task[None]],
        wake: Callable[[], None],
        urge: Callable[[], None],
    ) -> None:
        self._sender = Sender(random=random, is_connected=False)
        self._receiver = Receiver()
        self._spawn, self._wake, self._urge = spawn, wake, urge
        self._waiting_bytes = 0  # of messages since the last `take`
        self.named: set[str] = set()
        """Receivers whose names have been checked."""
        self._client_id = self._node_id = ""
        self.is_woken = False
        """Something waits for `take`, or may."""
        self._is_closed = False
        self._queue = Queue()
        self._callback: Callable[[PrivateMessage], Any] | None = None
        self._is_direct = False  # the callback is a plain function: called as messages are read
        self._consumer: asyncio.Task[None] | None = None
        self._readers: deque[asyncio.Future[None]] = deque()  # who waits for a message
        self._writers: deque[asyncio.Future[None]] = deque()  # who waits for room to send
        self._failures = 0

    # --- sending

    def send(
        self,
        future: asyncio.Future[str],
        target: str,
        data: bytes,
        now: float,
        *,
        node: str,
        encoding: Encoding,
        headers: dict[str, str] | None,
        ttl_s: float,
    ) -> None:
        """Take one message; `future` gets its state.

        Raises:
            InvalidRequest: `ttl_s` is none.
            Overloaded: too many wait for their receipts already; nothing was taken.
        """
        # Source and node as the gateway would write them: then it need not write the header anew.
        self._sender.send(
            target,
            data,
            now,
            node=node or self._node_id,
            source=self._client_id,
            encoding=encoding,
            headers=headers,
            ttl_s=ttl_s,
            ticket=future,
        )
        if not self.is_woken:
            self.is_woken = True
            self._wake()
        self._waiting_bytes += len(data)
        if self._waiting_bytes >= _URGED_BYTES:
            self._waiting_bytes = 0
            self._urge()

    async def room(self, timeout_s: float) -> None:
        """Return when a message has its verdict, and its place is free.

        Raises:
            Overloaded: that did not happen in `timeout_s`.
        """
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._writers.append(waiter)
        try:
            async with asyncio.timeout(timeout_s):
                await waiter
        except TimeoutError:
            raise Overloaded("the messages before this one have no receipts", retry_after_s=1.0) from None
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled():
                _release(self._writers, 1)  # it was this one's turn, and it does not take it
            raise
        finally:
            with contextlib.suppress(ValueError):
                self._writers.remove(waiter)

    def receive(self, receipt: Receipt, now: float) -> None:
        """A RECEIPT came."""
        self._sender.receive(receipt, now)
        self._tell()
        self._note()

    def _tell(self) -> None:
        for verdict in self._sender.verdicts():
            state = state_of(verdict)
            for future in cast("tuple[asyncio.Future[str], ...]", verdict.tickets):
                if not future.done():
                    future.set_result(state)
            _release(self._writers, len(verdict.tickets))

    # --- receiving

    def arrive(self, header: Send, chunk: bytes, body: int, end: int, now: float) -> None:
        """A SEND came, its run of messages in `chunk[body:end]`.

        Raises:
            ProtocolError: it is no run.
        """
        for arrived in self._receiver.receive(header, split_run(chunk, body, end), now):
            self._hand_on(arrived)
        self._note()

    def set_callback(self, callback: Callback | None) -> None:
        """Who gets each message from now on; None: whoever iterates."""
        if callback is not None and not callable(callback):
            raise InvalidRequest("a callback is something that can be called with a message")
        if self._consumer is not None:
            self._consumer.cancel()
            self._consumer = None
        self._callback = callback
        self._is_direct = callback is not None and not _is_async(callback)
        if self._is_direct:
            while self._queue and self._is_direct:
                self._call(self._pop())
        elif callback is not None:
            self._consumer = self._spawn(self._consume(callback), name="majula messages")

    async def next(self) -> PrivateMessage | None:
        """The next message that waits; None: the client is closed and all were taken."""
        if self._callback is not None:
            raise InvalidRequest("this client has a callback for its messages; take it back to iterate")
        while not self._queue:
            if self._is_closed:
                return None
            await self._arrival()
        return self._pop()

    def _hand_on(self, arrived: Arrived) -> None:
        messages = messages_of(arrived)
        if self._is_direct:
            for message in messages:
                self._call(message)
            return
        self._queue.add(messages)
        if self._queue.is_full:
            self._receiver.pause()
        _release(self._readers, len(messages))

    def _pop(self) -> PrivateMessage:
        was_full = self._queue.is_full
        message = self._queue.pop()
        if was_full and not self._queue.is_full:
            for arrived in self._receiver.resume(asyncio.get_running_loop().time()):
                self._hand_on(arrived)
            self._note()
        return message

    def _call(self, message: PrivateMessage) -> None:
        callback = self._callback
        if callback is None:  # taken back by the call before
            self._queue.add([message])
            return
        try:
            callback(message)
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
                _release(self._readers, 1)
            raise
        finally:
            with contextlib.suppress(ValueError):
                self._readers.remove(waiter)

    def _failed(self, error: Exception) -> None:
        self._failures += 1
        _log.error("callback.failed messages", exc_info=error)

    # --- the connection

    def resume(self, client_id: str, node_id: str, *, run_bytes: int, now: float) -> None:
        """There is a session, perhaps with another gateway: what has no receipt is sent again."""
        self._client_id, self._node_id = client_id, node_id
        self._sender.run_bytes = min(RUN_BYTES, run_bytes + MESSAGE_PREFIX_BYTES)
        self._sender.resume(now)
        self._receiver.announce(now)
        self._note()

    def suspend(self) -> None:
        """The session is over; what was sent waits for the next one."""
        self._sender.suspend()

    def take(self, now: float) -> bytes:
        """The frames to write now, receipts first."""
        self.is_woken = False
        self._waiting_bytes = 0
        frames = [encode_frame(receipt) for receipt in self._receiver.receipts()]
        frames += [encode_frame(header, body) for header, body in self._sender.frames(now, room_bytes=_FLUSH_BYTES)]
        self._note()
        return b"".join(frames)

    def close(self) -> None:
        """Nothing more is sent or received."""
        self._is_closed = True
        for future in cast("list[asyncio.Future[str]]", self._sender.close()):
            if not future.done():
                future.set_result(UNKNOWN)
        _release(self._readers, len(self._readers))
        _release(self._writers, len(self._writers))

    def _note(self) -> None:
        if not self.is_woken and (self._receiver.owes_receipts() or self._sender.waits()):
            self.is_woken = True
            self._wake()

    # --- time

    def next_deadline(self) -> float:
        return min(self._sender.next_deadline(), self._receiver.next_deadline())

    def timer(self, now: float) -> None:
        """The deadline came."""
        self._sender.timer(now)
        self._receiver.timer(now)
        self._tell()
        self._note()

    def statistics(self) -> dict[str, int]:
        sender, receiver = self._sender.statistics(), self._receiver.statistics()
        return {
            "private_sent": sender["sent"],
            "private_delivered": sender["delivered"] + sender["written"],
            "private_undelivered": sender["expired"] + sender["no_route"] + sender["refused"],
            "private_unacknowledged": sender["waiting_messages"],
            "private_received": receiver["received"],
            "private_repeated": receiver["duplicates"],
            "private_queued": len(self._queue),
            "private_failures": self._failures,
        }


def state_of(verdict: Verdict) -> str:
    """A verdict as one word: `delivered`, `written`, `expired`, `no_route`, or the code of the refusal."""
    return verdict.code if verdict.code and verdict.state in ("refused", "no_route") else verdict.state


def _release(waiters: deque[asyncio.Future[None]], number: int) -> None:
    """Wake so many, the longest waiting first."""
    while number > 0 and waiters:
        waiter = waiters.popleft()
        if not waiter.done():
            waiter.set_result(None)
            number -= 1


def _is_async(callback: Callable[..., object]) -> bool:
    return inspect.iscoroutinefunction(callback) or inspect.iscoroutinefunction(getattr(callback, "__call__", None))  # noqa: B004  # the method is inspected, not tested for
