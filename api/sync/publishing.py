"""`Publishing` of the synchronous client."""

# Written by `python api/sync/generate.py` from majula/api/sdk/publishing.py: change that one.

from __future__ import annotations

from typing import Any

from majula.api.sdk.attachment import REQUEST_S
from majula.api.sdk.subscription import MAX_QUEUED, Callback, ErrorCallback
from majula.api.sync.attached import Attached
from majula.api.sync.subscription import Subscription


class Publishing(Attached):
    """Publish, and subscribe."""

    def publish(
        self, topic: str, payload: object = b"", *, retain: bool = False, ack: bool = False, headers: dict[str, str] | None = None
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
        self._thread.wait(self._async.publish(topic, payload, retain=retain, ack=ack, headers=headers))

    def publish_nowait(
        self, topic: str, payload: object = b"", *, retain: bool = False, headers: dict[str, str] | None = None
    ) -> None:
        """`publish` that never waits.

        Raises:
            Overloaded: the buffer is full; nothing was queued.
            InvalidRequest, TooLarge, ConnectionLost: as `publish`.
        """
        self._thread.call(self._async.publish_nowait, topic, payload, retain=retain, headers=headers)

    def subscribe(
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
            callback: called with each `Message`, a plain function; None: iterate over the subscription.
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
        return self._subscribed(
            self._thread.wait(
                self._async.subscribe(
                    topic,
                    self._run_handed(callback),
                    queue=queue,
                    retained=retained,
                    sync=sync,
                    pattern=pattern,
                    max_queued=max_queued,
                    type=type,
                    on_error=self._told(on_error),
                    timeout_s=timeout_s,
                )
            )
        )
