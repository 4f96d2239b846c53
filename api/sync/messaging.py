"""`Messaging` of the synchronous client."""

# Written by `python api/sync/generate.py` from majula/api/sdk/messaging.py: change that one.

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future

from majula.api.sdk.inbox import Callback
from majula.api.sdk.private import PrivateMessage
from majula.api.sdk.subscription import Callback as TopicCallback
from majula.api.sync.asking import Asking
from majula.api.sync.publishing import Publishing
from majula.api.sync.subscription import Subscription
from majula.flow import DEFAULT_TTL_S
from majula.flow.operations import BroadcastAnswer


class Messaging(Publishing, Asking):
    """Private messages and presence."""

    def send(
        self,
        client: str,
        payload: object = b"",
        *,
        node: str = "",
        ttl_s: float = DEFAULT_TTL_S,
        wait_s: float | None = None,
        headers: dict[str, str] | None = None,
    ) -> str:
        """Send a private message to one client and wait until it is there.

        Messages to one client come in the order of these calls, each once while both sides live, whatever gateway dies. A message
        is kept and repeated until it is acknowledged or `ttl_s` is over, also while there is no connection. Ctrl-C
        only ends the waiting.

        Args:
            client: id of the receiver.
            payload: bytes, sent as they are, or any value that msgpack carries.
            node: the receiver's node, empty: this one.
            ttl_s: seconds in which it may be delivered, more than 0, at most 3,600.
            wait_s: seconds after which it is enough to know that it is under way; None: wait for the verdict. What waits for room
                in the buffer is not under way yet.
            headers: strings for the application.
        Returns:
            `delivered`: the receiver's SDK has it. `written`: it was written to the socket of a receiver that does not
            acknowledge (plain HTTP, the seed protocol). `pending`: neither after `wait_s`.
        Raises:
            NoRoute: nobody had that id for 5 s, or for `ttl_s` where that is less.
            NoSuchNode: no such node can be reached.
            Expired: not acknowledged in `ttl_s`; whether it was received is unknown.
            Overloaded: 1,024 messages or 4 MiB to that client waited for their receipts, and none came in `ttl_s`; not sent.
            PermissionDenied: `scope` names the missing permission.
            InvalidRequest, TooLarge: it cannot be sent.
            ConnectionLost: the client was closed; whether it was received is unknown.
        Promise: docs/promises.md, "private message". Wire: docs/protocol.md, frames SEND, RECEIPT.
        """
        return self._thread.wait(self._async.send(client, payload, node=node, ttl_s=ttl_s, wait_s=wait_s, headers=headers))

    def send_nowait(
        self,
        client: str,
        payload: object = b"",
        *,
        node: str = "",
        ttl_s: float = DEFAULT_TTL_S,
        headers: dict[str, str] | None = None,
    ) -> Future[str]:
        """`send` that never waits.

        Returns:
            A future of the message's state: `delivered`, `written`, `expired`, `no_route`, the code of a refusal, or `unknown`
            where the client was closed before. It never holds an exception, so it may be dropped.
        Raises:
            Overloaded: 1,024 messages or 4 MiB to that client, or 64 MiB to all, wait for their receipts; nothing was taken.
            InvalidRequest, TooLarge, ConnectionLost: as `send`.
        """
        return self._thread.future(self._async.send_nowait, client, payload, node=node, ttl_s=ttl_s, headers=headers)

    def broadcast(
        self,
        payload: object = b"",
        *,
        node: str = "",
        ttl_s: float = DEFAULT_TTL_S,
        wait_s: float = 2.0,
        headers: dict[str, str] | None = None,
    ) -> BroadcastAnswer:
        """Send a private message to every client of a node, or of all nodes, but not to this one.

        Args:
            payload, ttl_s, headers: as `send`.
            node: empty: all nodes.
            wait_s: seconds that the answer may take; who has not acknowledged by then is counted in `of` alone.
        Returns:
            Of `of` clients so many have it (`delivered`), or had it written to their sockets (`written`).
        Raises:
            ConnectionLost: there is no connection, or it broke; who has it is unknown.
            PermissionDenied, InvalidRequest, Overloaded: the gateway's refusal.
        """
        return self._thread.wait(self._async.broadcast(payload, node=node, ttl_s=ttl_s, wait_s=wait_s, headers=headers))

    def on_message(self, callback: Callback | None) -> None:
        """Say who gets each private message: a plain
        function, called for one after the other. What has come before is handed over first. None takes it back.

        Messages that nobody takes wait here, 4,096 or 16 MiB; beyond that they are not acknowledged and wait at their senders.
        """
        self._thread.call(self._async.on_message, self._handed(callback))

    def messages(self) -> Iterator[PrivateMessage]:
        """The private messages that come, and those that wait already; ends when the client is closed.

        Several loops over it share the messages.

        Raises:
            InvalidRequest: there is a callback for them.
        """
        return self._iterated(self._async.messages())

    def presence(self, callback: TopicCallback | None = None) -> Subscription:
        """Hear of clients that come and go: `$SYS.client.connected` and `$SYS.client.disconnected`, whose payload is a map. Who
        is there now, `clients()` says.

        Args:
            callback: as for `subscribe`; None: iterate.
        """
        return self._subscribed(self._thread.wait(self._async.presence(self._run_handed(callback))))
