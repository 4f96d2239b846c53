"""`Publishing`: what a client does with topics."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

from majula.api.sdk import events
from majula.api.sdk.attachment import REQUEST_S, Attachment
from majula.api.sdk.calls import check_timeout
from majula.api.sdk.interests import is_pattern
from majula.api.sdk.outbox import QUEUED, REFUSED, URGED, Verdict, check_topic
from majula.api.sdk.shape import Shape
from majula.api.sdk.subscription import MAX_QUEUED, Callback, ErrorCallback, Subscription
from majula.errors import ConnectionLost, DeadlineExceeded, InvalidRequest, Overloaded
from majula.wire import headers as wire
from majula.wire.frames import encode_run
from majula.wire.headers import RETAIN


class Publishing(Attachment):
    """Publish, and subscribe."""

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
        type: Any = None,
        on_error: ErrorCallback | None = None,
        timeout_s: float = REQUEST_S,
    ) -> Subscription:
        """Receive what is published to a topic; returns when the subscription is in force at this gateway.

        Args:
            topic: a topic, or a pattern: `*` is any one level, `>` as the last level all that follow.
            callback: called with each `Message`, plain or async; None: iterate over the subscription.
            queue: name of a queue group; each message goes to one member of it.
            retained: the retained values that match are sent first.
            sync: return only when it is in force at every gateway of every reachable node.
            pattern: None: it is one if it holds `*` or `>`; False takes these literally.
            max_queued: messages that may wait for an iterator or async callback.
            type: what payloads have to be: `message.payload` is then a value of it, and a message that does not fit is given to
                `on_error` instead. None: whatever was sent.
            on_error: called, plain, with each `Message` that does not fit, or that the callback raised for, and the error. None:
                such errors are logged. Both are counted in the subscription's `failures`.
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
            self,
            topic,
            callback,
            pattern=is_wild,
            queue=queue,
            retained=retained,
            max_queued=max_queued,
            shape=None if type is None else Shape(type),
            on_error=on_error,
            loop=loop,
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
        encoding, data = self._encode(payload)
        self._outbox.check_size(data)
        header = wire.Publish(topic, encoding, RETAIN if retain else 0, headers=headers)
        deadline = self._running_loop().time() + REQUEST_S
        await self._settled(lambda ticket: events.Ask(header, ticket, deadline, encode_run([data])))
        self._acknowledged += 1
