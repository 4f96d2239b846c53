"""Private messages of clients that do not run flows: this gateway is their sender, and tells them the verdict.

They ask by REQUEST `messages.send` or `messages.broadcast` (HTTP and the packages SEND and BROADCAST become such). What was taken
is sent until its receipt comes or its time is over, whether its client stays or not; it lives in this gateway, and dies with it.
A broadcast is a message to each client, a part of them at a time, so that one large message to ten thousand clients never stands
in all their outboxes at once.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator
from math import inf
from random import Random

import msgspec

from majula.errors import InvalidRequest, MajulaError, NoSuchNode, Overloaded, TooLarge, from_code
from majula.flow import FlowLimits, Sender, Verdict, headers_size, message_id
from majula.flow.operations import BroadcastAnswer, BroadcastRequest, SendAnswer, SendRequest
from majula.gateway.outlets import Outlets
from majula.gateway.session import Session
from majula.messages.base import Role
from majula.rpc.services import check_name
from majula.wire.frames import encode_frame
from majula.wire.headers import JSON, MSGPACK, Encoding, Receipt, Reply, Request, Send

# A client that is just connecting again is there within a second; a caller who waits 2 s shall hear that nobody has the id.
_UNKNOWN_S = 1.5
_FLOWS = 16_384
# What one client may have under way, of the 64 MiB of all.
_SOURCE_BYTES = 16 << 20
_WAIT_LIMIT_S = 60.0
# Answers that wait for a verdict: of all clients together, and of one.
_WAITING = 16_384
_WAITING_OF_ONE = 1_024
_HEADERS_BYTES = 16_384
# Of one broadcast under way at a time.
_BROADCAST_CLIENTS = 256
_BROADCAST_BYTES = 8 << 20
_BROADCASTS = 64
# A broadcast for which there is no room tries again after this.
_RETRY_S = 0.05

_encode_json = msgspec.json.Encoder().encode
_encode_msgpack = msgspec.msgpack.Encoder().encode


class _Body(msgspec.Struct):
    """The message of a request, as the bytes that came."""

    message: msgspec.Raw = msgspec.Raw(b"")


_body_of_json = msgspec.json.Decoder(_Body).decode
_body_of_msgpack = msgspec.msgpack.Decoder(_Body).decode


class _Waiting:
    """A client that waits for what becomes of its message or broadcast. `is_over`: it has been told."""

    __slots__ = ("answer", "deadline", "is_over", "request", "session")

    def __init__(self, session: Session, request: Request, answer: SendAnswer, deadline: float) -> None:
        self.session = session
        self.request = request
        self.answer = answer  # what it is told at the deadline
        self.deadline = deadline
        self.is_over = False


class _Broadcast:
    """A message to many. `left`: the clients that it has not been sent to yet."""

    __slots__ = (
        "clients",
        "data",
        "deadline",
        "delivered",
        "encoding",
        "headers",
        "left",
        "of",
        "settled",
        "source",
        "under_way",
        "waiting",
        "written",
    )

    def __init__(self, source: str, data: bytes, encoding: Encoding, headers: dict[str, str] | None, clients: list[str]) -> None:
        self.source = source
        self.data = data
        self.encoding: Encoding = encoding
        self.headers = headers
        self.of = len(clients)
        self.left: Iterator[str] = iter(clients)
        self.clients: list[str] = []  # taken from `left`, and refused for want of room
        self.deadline = inf
        self.under_way = self.settled = self.delivered = self.written = 0
        self.waiting: _Waiting | None = None


class _Ticket:
    """One message in the sender."""

    __slots__ = ("broadcast", "size", "source", "waiting")

    def __init__(self, source: str, size: int, *, waiting: _Waiting | None = None, broadcast: _Broadcast | None = None) -> None:
        self.source = source
        self.size = size
        self.waiting = waiting
        self.broadcast = broadcast


class Sending:
    """All flows that this gateway sends.

    Args:
        node_id, role: of this gateway.
        out: where answers go.
        random: for the numbers of flows.
        message_bytes: the largest message.
    """

    def __init__(self, *, node_id: str, role: Role, out: Outlets, random: Random, message_bytes: int) -> None:
        self._node_id = node_id
        self._out = out
        self._random = random
        self._limit_bytes = message_bytes
        self._sender = Sender(random=random, limits=FlowLimits(flows=_FLOWS, unknown_s=_UNKNOWN_S), via=role)
        self._held: dict[str, int] = {}  # bytes under way, by source
        self._waiting: list[tuple[float, int, _Waiting]] = []
        self._waits = 0
        self._waits_of: dict[Session, dict[_Waiting, None]] = {}
        self._broadcasts: list[_Broadcast] = []
        self._retry_at = inf
        self._order = 0
        self._has_news = False  # there may be verdicts

    def renew(self, *, message_bytes: int) -> None:
        """Another largest message."""
        self._limit_bytes = message_bytes

    # --- what is asked

    def send(self, session: Session, header: Request, asked: SendRequest, body: bytes, now: float) -> None:
        """`messages.send`. Raises what the client is to be told."""
        check_name(asked.client, what="client")
        self._check(session, header, asked)
        encoding, data = self._message(header.encoding, body)
        source = session.client_id
        size = len(data) + headers_size(asked.headers)
        held = self._held.get(source, 0)
        if held and held + size > _SOURCE_BYTES:
            raise Overloaded(f"{held} bytes of this client's messages wait for their receipts", retry_after_s=_RETRY_S)
        ticket = _Ticket(source, size)
        flow, sequence = self._sender.send(
            asked.client,
            data,
            now,
            node=self._node_id,
            source=source,
            encoding=encoding,
            headers=asked.headers,
            ttl_s=asked.ttl_s,
            ticket=ticket,
        )
        self._held[source] = held + size
        answer = SendAnswer(message_id(flow, sequence), "pending")
        ticket.waiting = self._wait(session, header, answer, asked.wait_s, now)

    def broadcast(
        self, session: Session, header: Request, asked: BroadcastRequest, body: bytes, now: float, *, clients: Iterable[str]
    ) -> None:
        """`messages.broadcast`, to these clients. Raises what the client is to be told."""
        self._check(session, header, asked)
        if not 0.0 < asked.ttl_s <= 3_600.0:
            raise InvalidRequest("ttl_s is more than 0 and at most 3600")
        if len(self._broadcasts) >= _BROADCASTS:
            raise Overloaded("too many broadcasts are under way", retry_after_s=1.0)
        encoding, data = self._message(header.encoding, body)
        source = session.client_id
        wanted = [client for client in clients if client != source or not session.is_claimed]
        broadcast = _Broadcast(source, data, encoding, asked.headers, wanted)
        broadcast.deadline = now + asked.ttl_s
        self._broadcasts.append(broadcast)
        named = f"{self._random.randint(1, (1 << 53) - 1):x}"
        broadcast.waiting = self._wait(session, header, SendAnswer(named, "pending"), asked.wait_s, now, broadcast=broadcast)
        self._advance(now)

    def end(self, session: Session) -> None:
        """The session is over and waits for nothing; what it has sent goes on."""
        for waiting in list(self._waits_of.get(session, ())):
            self._over(waiting)

    # --- once a turn

    def frames(self, now: float) -> list[tuple[Send, bytes]]:
        """What is to be sent."""
        return self._sender.frames(now) if self._sender.waits() else []

    def receipted(self, receipt: Receipt, now: float) -> None:
        """A receipt for one of these flows."""
        self._sender.receive(receipt, now)
        self._has_news = True

    def settle(self, now: float) -> None:
        """Tell the verdicts, and go on with the broadcasts."""
        self._has_news = False
        verdicts = self._sender.verdicts()
        for verdict in verdicts:
            for ticket in verdict.tickets:
                assert isinstance(ticket, _Ticket)
                self._settled(ticket, verdict, now)
        if verdicts and self._broadcasts:
            self._advance(now)

    def has_waiting(self) -> bool:
        """Whether `frames` or `settle` have something to do."""
        return self._has_news or self._sender.waits()

    def under_way(self) -> int:
        """Clients that wait for an answer."""
        return self._waits

    def next_deadline(self) -> float:
        """When `tick` has something to do; inf: never."""
        at = self._sender.next_deadline()
        if self._waiting and self._waiting[0][0] < at:
            at = self._waiting[0][0]
        return at if at < self._retry_at else self._retry_at

    def tick(self, now: float) -> None:
        """The deadline came."""
        self._sender.timer(now)
        self._has_news = True
        while self._waiting and (self._waiting[0][0] <= now or self._waiting[0][2].is_over):
            _, _, waiting = heapq.heappop(self._waiting)
            if not waiting.is_over:
                self._over(waiting)
                self._reply(waiting, self._found(waiting), now)
        if self._retry_at <= now:
            self._retry_at = inf
            self._advance(now)

    def statistics(self) -> dict[str, int]:
        found = self._sender.statistics()
        return {
            "private_flows": found["flows"],
            "private_waiting_messages": found["waiting_messages"],
            "private_waiting_bytes": found["waiting_bytes"],
            "private_expired_total": found["expired"],
            "private_waits": self._waits,
            "private_wait_timers": len(self._waiting),
            "broadcasts": len(self._broadcasts),
        }

    # --- inside

    def _check(self, session: Session, header: Request, asked: SendRequest | BroadcastRequest) -> None:
        if asked.node not in ("", self._node_id):
            raise NoSuchNode(f"no node {asked.node[:128]!r} can be reached from here", node=asked.node[:128])
        if not 0.0 <= asked.wait_s <= _WAIT_LIMIT_S:
            raise InvalidRequest(f"wait_s is 0 to {_WAIT_LIMIT_S:g}")
        if asked.headers and sum(len(text.encode()) for pair in asked.headers.items() for text in pair) > _HEADERS_BYTES:
            raise TooLarge("the headers of this message are over the limit", limit_bytes=_HEADERS_BYTES)
        if (
            header.request
            and asked.wait_s > 0
            and (self._waits >= _WAITING or len(self._waits_of.get(session, ())) >= _WAITING_OF_ONE)
        ):
            raise Overloaded("too many messages wait for their verdicts", retry_after_s=1.0)

    def _message(self, encoding: Encoding, body: bytes) -> tuple[Encoding, bytes]:
        if encoding == JSON:
            data = (bytes(_body_of_json(body).message) if body else b"") or b"null"
        else:
            encoding, data = MSGPACK, bytes(_body_of_msgpack(body).message) if body else b"\xc0"
            data = data or b"\xc0"
        if len(data) > self._limit_bytes:
            raise TooLarge("this message is over the limit", limit_bytes=self._limit_bytes)
        return encoding, data

    def _wait(
        self,
        session: Session,
        request: Request,
        answer: SendAnswer,
        wait_s: float,
        now: float,
        *,
        broadcast: _Broadcast | None = None,
    ) -> _Waiting | None:
        if not request.request:
            return None
        waiting = _Waiting(session, request, answer, now + wait_s)
        if not wait_s and broadcast is None:
            self._reply(waiting, answer, now)
            return None
        self._waits += 1
        self._waits_of.setdefault(session, {})[waiting] = None
        self._order += 1
        heapq.heappush(self._waiting, (waiting.deadline, self._order, waiting))
        if len(self._waiting) > 2 * self._waits + 64:
            # Who was told stays in the heap until his wait would have been over, which may be a minute.
            self._waiting = [waits for waits in self._waiting if not waits[2].is_over]
            heapq.heapify(self._waiting)
        return waiting

    def _over(self, waiting: _Waiting) -> None:
        waiting.is_over = True
        self._waits -= 1
        left = self._waits_of[waiting.session]
        del left[waiting]
        if not left:
            del self._waits_of[waiting.session]

    def _found(self, waiting: _Waiting) -> SendAnswer | BroadcastAnswer:
        """What is known when the wait is over."""
        for broadcast in self._broadcasts:
            if broadcast.waiting is waiting:
                return _counts(broadcast, waiting)
        return waiting.answer

    def _settled(self, ticket: _Ticket, verdict: Verdict, now: float) -> None:
        broadcast, waiting = ticket.broadcast, ticket.waiting
        if broadcast is not None:
            broadcast.under_way -= 1
            self._count(broadcast, verdict.state)
            return
        left = self._held[ticket.source] - ticket.size
        if left:
            self._held[ticket.source] = left
        else:
            del self._held[ticket.source]
        if waiting is None or waiting.is_over:
            return
        self._over(waiting)
        if verdict.state == "refused":
            self._refuse(waiting, from_code(verdict.code, "the message was refused on its way"), now)
        else:
            self._reply(waiting, SendAnswer(waiting.answer.message_id, verdict.state), now)

    def _count(self, broadcast: _Broadcast, state: str) -> None:
        broadcast.settled += 1
        broadcast.delivered += state == "delivered"
        broadcast.written += state == "written"

    def _advance(self, now: float) -> None:
        """Send the next parts of the broadcasts; who has all its verdicts is done."""
        for broadcast in list(self._broadcasts):
            self._send_part(broadcast, now)
            if broadcast.settled == broadcast.of:
                self._broadcasts.remove(broadcast)
                waiting = broadcast.waiting
                if waiting is not None and not waiting.is_over:
                    self._over(waiting)
                    self._reply(waiting, _counts(broadcast, waiting), now)

    def _send_part(self, broadcast: _Broadcast, now: float) -> None:
        size = len(broadcast.data)
        while broadcast.under_way < _BROADCAST_CLIENTS and (
            not broadcast.under_way or broadcast.under_way * size < _BROADCAST_BYTES
        ):
            client = broadcast.clients.pop() if broadcast.clients else next(broadcast.left, None)
            if client is None:
                return
            ttl_s = broadcast.deadline - now
            if ttl_s <= 0:
                self._count(broadcast, "expired")
                continue
            try:
                self._sender.send(
                    client,
                    broadcast.data,
                    now,
                    node=self._node_id,
                    source=broadcast.source,
                    encoding=broadcast.encoding,
                    headers=broadcast.headers,
                    ttl_s=ttl_s,
                    ticket=_Ticket(broadcast.source, 0, broadcast=broadcast),
                )
            except Overloaded:
                broadcast.clients.append(client)
                self._retry_at = min(self._retry_at, now + _RETRY_S)
                return
            broadcast.under_way += 1

    def _reply(self, waiting: _Waiting, answer: SendAnswer | BroadcastAnswer, now: float) -> None:
        if not waiting.session.is_open:
            return
        encoding: Encoding = JSON if waiting.request.encoding == JSON else MSGPACK
        data = _encode_json(answer) if encoding == JSON else _encode_msgpack(answer)
        self._out.answer(waiting.session, encode_frame(Reply(waiting.request.request, encoding), data), now)

    def _refuse(self, waiting: _Waiting, error: MajulaError, now: float) -> None:
        if waiting.session.is_open:
            self._out.refuse(waiting.session, waiting.request.request, "REQUEST", error, now)


def _counts(broadcast: _Broadcast, waiting: _Waiting) -> BroadcastAnswer:
    return BroadcastAnswer(waiting.answer.message_id, broadcast.delivered, broadcast.written, broadcast.of)
