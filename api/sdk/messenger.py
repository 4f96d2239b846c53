"""Both ends of a client's private messages: `majula.flow` on its event loop."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable
from random import Random
from typing import cast

import msgspec

from majula.api.sdk.inbox import Inbox
from majula.api.sdk.message import split_run
from majula.api.sdk.private import messages_of
from majula.errors import InvalidRequest, Overloaded
from majula.flow import MAX_TTL_S, RUN_BYTES, Arrived, Receiver, Sender, Verdict
from majula.wire.frames import MESSAGE_PREFIX_BYTES, encode_frame
from majula.wire.headers import Encoding, Receipt, Send

UNKNOWN = "unknown"
"""State of a message whose client was closed before there was a verdict."""

_FLUSH_BYTES = 1 << 20
"""Handed to the transport at once; what is more follows in the next turn of the loop, or when the gateway has read that."""

_URGED_BYTES = 32_768
"""So much is written without waiting for the end of the loop's turn: a program that fills a flow at one go would otherwise let
gateway and receiver wait while it does, and wait itself while they work."""


class _Turn(msgspec.Struct, eq=False):
    """A message that waits for room; `taken` is done when it has some."""

    future: asyncio.Future[str]
    data: bytes
    encoding: Encoding
    headers: dict[str, str] | None
    deadline: float
    taken: asyncio.Future[None]


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
        self.inbox = Inbox(spawn=spawn, on_room=self._make_room)
        self._wake, self._urge = wake, urge
        self._waiting_bytes = 0  # of messages since the last `take`
        self.named: set[str] = set()
        """Receivers whose names have been checked."""
        self._client_id = self._node_id = ""
        self.is_woken = False
        """Something waits for `take`, or may."""
        self.turns: dict[tuple[str, str], deque[_Turn]] = {}
        """By target and node, who waits for room to send, and is not to be overtaken."""

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

    async def send_in_turn(
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
        """`send` that waits for room, behind all that waits for it already: what is said first is sent first.

        Raises:
            InvalidRequest: `ttl_s` is none.
            Overloaded: there was no room in `ttl_s`.
        """
        key = (target, node)
        if key not in self.turns:
            try:
                self.send(future, target, data, now, node=node, encoding=encoding, headers=headers, ttl_s=ttl_s)
            except Overloaded:
                pass
            else:
                return
        if not 0.0 < ttl_s <= MAX_TTL_S:
            raise InvalidRequest(f"ttl_s is more than 0 and at most {MAX_TTL_S:g}")
        turn = _Turn(future, data, encoding, headers, now + ttl_s, asyncio.get_running_loop().create_future())
        queue = self.turns.setdefault(key, deque())
        queue.append(turn)
        try:
            async with asyncio.timeout(ttl_s):
                await turn.taken
        except TimeoutError:
            raise Overloaded(f"the messages to {target!r} before this one have no receipts", retry_after_s=1.0) from None
        finally:
            with contextlib.suppress(ValueError):  # it was taken
                queue.remove(turn)
            if not queue and self.turns.get(key) is queue:
                del self.turns[key]

    def _take_turns(self, now: float) -> None:
        """Send what has waited for room, as far as there is some now."""
        for (target, node), queue in list(self.turns.items()):
            while queue:
                turn = queue[0]
                if turn.deadline > now and not turn.taken.done():
                    try:
                        self.send(
                            turn.future,
                            target,
                            turn.data,
                            now,
                            node=node,
                            encoding=turn.encoding,
                            headers=turn.headers,
                            ttl_s=turn.deadline - now,
                        )
                    except Overloaded:
                        break
                    turn.taken.set_result(None)
                queue.popleft()
            if not queue:
                del self.turns[(target, node)]

    def receive(self, receipt: Receipt, now: float) -> None:
        """A RECEIPT came."""
        self._sender.receive(receipt, now)
        self._tell(now)
        self._note()

    def _tell(self, now: float) -> None:
        for verdict in self._sender.verdicts():
            state = state_of(verdict)
            for future in cast("tuple[asyncio.Future[str], ...]", verdict.tickets):
                if not future.done():
                    future.set_result(state)
        if self.turns:
            self._take_turns(now)

    # --- receiving

    def arrive(self, header: Send, chunk: bytes, body: int, end: int, now: float) -> None:
        """A SEND came, its run of messages in `chunk[body:end]`.

        Raises:
            ProtocolError: it is no run.
        """
        for arrived in self._receiver.receive(header, split_run(chunk, body, end), now):
            self._hand_on(arrived)
        self._note()

    def _make_room(self) -> None:
        """The program has taken some of what was too much for it."""
        for arrived in self._receiver.resume(asyncio.get_running_loop().time()):
            self._hand_on(arrived)
        self._note()

    def _hand_on(self, arrived: Arrived) -> None:
        self.inbox.add(messages_of(arrived))
        if self.inbox.is_full:
            self._receiver.pause()

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
        frames = [encode_frame(receipt) for receipt in self._receiver.receipts(self._client_id, self._node_id)]
        frames += [encode_frame(header, body) for header, body in self._sender.frames(now, room_bytes=_FLUSH_BYTES)]
        self._note()
        return b"".join(frames)

    def close(self) -> None:
        """Nothing more is sent or received."""
        self.inbox.close()
        for future in cast("list[asyncio.Future[str]]", self._sender.close()):
            if not future.done():
                future.set_result(UNKNOWN)
        for queue in self.turns.values():
            for turn in queue:
                if not turn.taken.done():
                    turn.future.set_result(UNKNOWN)
                    turn.taken.set_result(None)

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
        self._tell(now)
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
            "private_queued": len(self.inbox),
            "private_failures": self.inbox.failures,
        }


def state_of(verdict: Verdict) -> str:
    """A verdict as one word: `delivered`, `written`, `expired`, `no_route`, or the code of the refusal."""
    return verdict.code if verdict.code and verdict.state in ("refused", "no_route") else verdict.state
