"""`Messaging`: what a client says to another one, and who is there."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from majula.api.sdk.asking import ASK_S, Asking
from majula.api.sdk.calls import check_name
from majula.api.sdk.inbox import Callback
from majula.api.sdk.messenger import UNKNOWN
from majula.api.sdk.private import PrivateMessage
from majula.api.sdk.publishing import Publishing
from majula.api.sdk.subscription import Callback as TopicCallback
from majula.api.sdk.subscription import Subscription
from majula.errors import ConnectionLost, Expired, InvalidRequest, NoRoute, Overloaded, TooLarge, from_code
from majula.flow import DEFAULT_TTL_S
from majula.flow.operations import BROADCAST, BroadcastAnswer, BroadcastRequest
from majula.wire.headers import RAW, Encoding
from majula.wire.values import to_json

_MAX_HEADERS_CHARACTERS = 8_192
"""Of a message, together: in UTF-8 at most half of what the header of a frame holds."""

_MAX_NAMED = 1_024

PRESENCE = "$SYS.client.*"


class Messaging(Publishing, Asking):
    """Private messages and presence."""

    async def send(
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
        is kept and repeated until it is acknowledged or `ttl_s` is over, also while there is no connection. Cancelling the task
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
        loop = self._running_loop()
        encoding, data = self._checked(client, payload, headers)
        future: asyncio.Future[str] = loop.create_future()
        await self._messenger.send_in_turn(
            future, client, data, loop.time(), node=node, encoding=encoding, headers=headers or None, ttl_s=ttl_s
        )
        if not self._is_open:
            self._arm()  # nothing is written now, and it may expire before something is
        if wait_s is None:
            state = await future
        else:
            await asyncio.wait({future}, timeout=wait_s)
            state = future.result() if future.done() else "pending"
        match state:
            case "delivered" | "written" | "pending":
                return state
            case "no_route":
                raise NoRoute(f"there is no client {client!r}" + (f" at {node!r}" if node else ""), client=client)
            case "expired":
                raise Expired(f"{client!r} has not acknowledged the message in {ttl_s:g} s", client=client)
            case str() if state == UNKNOWN:
                raise ConnectionLost("the client was closed before the message was acknowledged")
            case _:
                raise from_code(state, f"the message to {client!r} was refused: {state}", {"client": client})

    def send_nowait(
        self,
        client: str,
        payload: object = b"",
        *,
        node: str = "",
        ttl_s: float = DEFAULT_TTL_S,
        headers: dict[str, str] | None = None,
    ) -> asyncio.Future[str]:
        """`send` that never waits.

        Returns:
            A future of the message's state: `delivered`, `written`, `expired`, `no_route`, the code of a refusal, or `unknown`
            where the client was closed before. It never holds an exception, so it may be dropped.
        Raises:
            Overloaded: 1,024 messages or 4 MiB to that client, or 64 MiB to all, wait for their receipts; nothing was taken.
            InvalidRequest, TooLarge, ConnectionLost: as `send`.
        """
        loop = self._loop
        messenger = self._messenger
        data: bytes
        encoding: Encoding
        if (
            type(payload) is bytes
            and loop is not None
            and self._is_open
            and headers is None
            and client in messenger.named
            and len(payload) <= self._outbox.message_bytes
        ):
            data, encoding = payload, RAW  # nothing is left to check: a third of what it costs to send many
        else:
            loop = self._running_loop()
            encoding, data = self._checked(client, payload, headers)
        if messenger.turns and (client, node) in messenger.turns:
            raise Overloaded(f"other messages to {client!r} wait for room", retry_after_s=0.05)
        future: asyncio.Future[str] = loop.create_future()
        messenger.send(future, client, data, loop.time(), node=node, encoding=encoding, headers=headers or None, ttl_s=ttl_s)
        if not self._is_open:
            self._arm()
        return future

    def _checked(self, client: str, payload: object, headers: dict[str, str] | None) -> tuple[Encoding, bytes]:
        """What can be sent, as bytes."""
        if not self._is_open:
            self._check_not_closed()
        if client not in self._messenger.named:
            self._name(client)
        encoding, data = (RAW, payload) if type(payload) is bytes else self._encode(payload)
        if len(data) > self._outbox.message_bytes:
            self._outbox.check_size(data)
        if self._encoding == "json":
            to_json(encoding, data)  # what has no JSON form is refused here: a flow cannot leave one of its messages out
        if headers is not None:
            _check_headers(headers)
        return encoding, data

    def _name(self, client: str) -> None:
        """Check the name of a receiver that was not named yet."""
        check_name("client", client)
        named = self._messenger.named
        if len(named) >= _MAX_NAMED:
            named.clear()
        named.add(client)

    async def broadcast(
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
        if headers is not None:
            _check_headers(headers)
        request = BroadcastRequest(payload, node, ttl_s, wait_s, headers or None)
        answer: BroadcastAnswer = await self.ask(BROADCAST, request, timeout_s=wait_s + ASK_S)
        return answer

    def on_message(self, callback: Callback | None) -> None:
        """Say who gets each private message: a plain function, called as messages are read, which must not block, or an
        `async def`, awaited for one after the other. What has come before is handed over first. None takes it back.

        Messages that nobody takes wait here, 4,096 or 16 MiB; beyond that they are not acknowledged and wait at their senders.
        """
        self._running_loop()
        self._messenger.inbox.set_callback(callback)

    async def messages(self) -> AsyncIterator[PrivateMessage]:
        """The private messages that come, and those that wait already; ends when the client is closed.

        Several loops over it share the messages.

        Raises:
            InvalidRequest: there is a callback for them.
        """
        self._running_loop()
        while (message := await self._messenger.inbox.next()) is not None:
            yield message

    async def presence(self, callback: TopicCallback | None = None) -> Subscription:
        """Hear of clients that come and go: `$SYS.client.connected` and `$SYS.client.disconnected`, whose payload is a map. Who
        is there now, `clients()` says.

        Args:
            callback: as for `subscribe`; None: iterate.
        """
        return await self.subscribe(PRESENCE, callback)


def _check_headers(headers: dict[str, str]) -> None:
    if not all(isinstance(name, str) and isinstance(value, str) for name, value in headers.items()):
        raise InvalidRequest("headers are pairs of strings")
    if sum(len(name) + len(value) for name, value in headers.items()) > _MAX_HEADERS_CHARACTERS:
        raise TooLarge("the headers of this message are too large", limit_bytes=_MAX_HEADERS_CHARACTERS)
