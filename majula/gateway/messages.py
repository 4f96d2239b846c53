"""Private messages on their way through this gateway: SEND to the receiver, RECEIPT back to the sender.

    client -> SEND     -> a client here            its frame, as it is
                       -> a client elsewhere       the same frame to the gateway that has it, which does as above
                       -> nobody has that id       RECEIPT `no_route`
                       -> its queue is full        RECEIPT `overloaded`: the sender's flow tries again
    client -> RECEIPT  -> the flow's sender, or (`via`) the gateway that runs the flow for it

The body of a SEND is a run of messages, which is checked and not taken apart. Nothing is kept here: the flow at either end
(`majula.flow`) keeps it, so a gateway may die at any moment. For clients that do not run flows `inboxes` and `sending` do, here
beside. Who sends is written by the gateway; a header that says the truth already goes on byte for byte.

Event streams that read the messages of a client id stand beside it: each gateway that has some gets a copy. Where no client has
the id, the oldest stream of the first such gateway is the receiver, and answers `written`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from math import inf
from random import Random
from typing import Protocol

from majula.errors import InvalidRequest, NoSuchNode, Overloaded, PermissionDenied, TooLarge
from majula.flow.operations import BroadcastRequest, SendRequest
from majula.gateway.inboxes import Inboxes
from majula.gateway.outlets import Outlets
from majula.gateway.peers import Peer
from majula.gateway.permissions import check_frame
from majula.gateway.requests import Slices
from majula.gateway.sending import Sending
from majula.gateway.session import Session
from majula.messages.base import Role
from majula.routing.readers import READING
from majula.rpc.services import check_name
from majula.wire.frames import MESSAGE_PREFIX_BYTES, PREFIX_BYTES, Span, count_run, decode_header, encode_frame
from majula.wire.headers import Receipt, Request, Send

SEND_TAG = 20
"""Second byte of a SEND header; see `switch`."""

RECEIPT_TAG = 21

TTL_LIMIT_MS = 3_600_000
"""The longest that a message may be delivered in."""

FLOW_LIMIT = (1 << 53) - 1
"""The largest number that every JSON reader has exactly."""

_CODE_CHARACTERS = 128
_NO_ROUTE = "no_route"
_SWEEP_S = 10.0
# Messages beyond a gap that a receipt may name: as many as a flow has under way.
_RECEIVED = 1_024
# Flows that one session is remembered to have heard of: as many as a receiver keeps.
_HEARD = 4_096


class Places(Protocol):
    """Where the clients of the node are, as this gateway knows it."""

    def gateway_of(self, client_id: str) -> Role | None:
        """The gateway that serves this client; None: nobody has that id."""

    def clients(self) -> Iterable[str]:
        """Every client id of the node."""

    def readers_of(self, client_id: str) -> Sequence[Role]:
        """The gateways with event streams that read for this id, in the order of their names."""

    def read_ids(self) -> Iterable[str]:
        """Every id that such streams read for."""


class Elsewhere:
    """`Places` of a gateway that knows its own clients only."""

    def gateway_of(self, client_id: str) -> Role | None:
        return None

    def clients(self) -> Iterable[str]:
        return ()

    def readers_of(self, client_id: str) -> Sequence[Role]:
        return ()

    def read_ids(self) -> Iterable[str]:
        return ()


class PrivateMessages:
    """The way of private messages.

    Args:
        node_id, role: of this gateway.
        out: where frames go.
        clients: the sessions here that have a client id.
        peers: the other gateways by role, as they are now.
        places: where the other clients are.
        slices: where it is told which ids are read here.
        random: for the numbers of flows.
        message_bytes: the largest message.
        wake: call `turn` soon.
    """

    def __init__(
        self,
        *,
        node_id: str,
        role: Role,
        out: Outlets,
        clients: Mapping[str, Session],
        peers: Mapping[Role, Peer],
        places: Places,
        slices: Slices,
        random: Random,
        message_bytes: int,
        wake: Callable[[], None],
    ) -> None:
        self.inboxes = Inboxes(node_id=node_id, out=out, message_bytes=message_bytes, wake=wake)
        self.sending = Sending(node_id=node_id, role=role, out=out, random=random, message_bytes=message_bytes)
        self._node_id = node_id
        self._role = role
        self._out = out
        self._clients = clients
        self._peers = peers
        self._places = places
        self._slices = slices
        self._limit_bytes = MESSAGE_PREFIX_BYTES + message_bytes
        self._heard: dict[Session, dict[int, None]] = {}  # flows that reached sessions which may not do everything
        self._sweep_at = inf
        self.messages = 0
        """Messages of clients that were sent from here, ever."""
        self._unrouted = 0
        self._refused = 0
        self._lost_receipts = 0

    def renew(self, *, message_bytes: int) -> None:
        """Another largest message."""
        self._limit_bytes = MESSAGE_PREFIX_BYTES + message_bytes
        self.sending.renew(message_bytes=message_bytes)

    # --- from clients

    def send(self, session: Session, chunk: bytes, span: Span, now: float) -> None:
        """A client that runs the flow itself sends. Raises what it is to be told."""
        start, body, end = span
        header = decode_header(chunk[start + PREFIX_BYTES : body])
        if not isinstance(header, Send):
            raise InvalidRequest("this frame is not a SEND")
        check_send(header)
        count = count_run(chunk, body, end) if end > body else 0
        is_true = header.source == session.client_id and header.source_node == self._node_id and not header.via
        if is_true and header.node == self._node_id:
            frame = chunk[start:end]
        else:
            header = with_source(header, session.client_id, self._node_id, via="")
            frame = encode_frame(header, chunk[body:end])
        self.messages += count
        if session.grants is not None:
            try:
                check_frame(session.grants, header)
            except PermissionDenied:
                # The flow hears the code, and whoever reads errors the missing scope.
                self._refuse(header, frame, PermissionDenied.code, now)
                raise
        if end - body > self._limit_bytes:
            self._refuse(header, frame, TooLarge.code, now)
        else:
            self.route(header, frame, now)

    def receipt(self, session: Session, chunk: bytes, span: Span, now: float) -> None:
        """A client that has received says so. Raises what it is to be told."""
        start, body, end = span
        header = decode_header(chunk[start + PREFIX_BYTES : body])
        if not isinstance(header, Receipt):
            raise InvalidRequest("this frame is not a RECEIPT")
        self.acknowledge(session, header, now, frame=chunk[start:end] if body == end else b"")

    def acknowledge(self, session: Session, header: Receipt, now: float, *, frame: bytes = b"") -> None:
        """The same, decoded; `frame`: as it came, which goes on where it says the truth. Raises what the client is to be told."""
        if header.flow <= 0 or header.up_to < 0 or header.state not in ("", "delivered", "written"):
            raise InvalidRequest("this RECEIPT is of no flow")
        if len(header.received) > _RECEIVED:
            raise InvalidRequest(f"a RECEIPT names at most {_RECEIVED} messages beyond `up_to`")
        if session.grants is not None and header.flow not in self._heard.get(session, ()):
            # Who may not send answers those who have sent to it. Any other receipt would be a message after all.
            session.grants.require("send", header.target)
        if (
            frame
            and header.source == session.client_id
            and header.source_node == self._node_id
            and header.node == self._node_id
            and len(header.code) <= _CODE_CHARACTERS
        ):
            self.give_back(header, now, frame=frame)
            return
        self.give_back(
            Receipt(
                header.target,
                header.node or self._node_id,
                header.flow,
                header.up_to,
                header.received,
                header.state,
                header.code[:_CODE_CHARACTERS],
                session.client_id,
                self._node_id,
                header.via,
            ),
            now,
        )

    def ask_send(self, session: Session, header: Request, asked: SendRequest, body: bytes, now: float) -> None:
        """`messages.send`, of a client that does not run flows. Raises what it is to be told."""
        self.sending.send(session, header, asked, body, now)
        self.messages += 1
        self.turn(now)

    def ask_broadcast(self, session: Session, header: Request, asked: BroadcastRequest, body: bytes, now: float) -> None:
        """`messages.broadcast`. Raises what the client is to be told."""
        clients = dict.fromkeys(self._clients)
        for more in (self._places.clients(), self.inboxes.read_ids(), self._places.read_ids()):
            clients |= dict.fromkeys(more)
        self.sending.broadcast(session, header, asked, body, now, clients=clients)
        self.messages += 1
        self.turn(now)

    def read(self, session: Session) -> None:
        """The event stream `session` reads what is sent to its client id, beside the client that has it.

        Raises:
            PermissionDenied: it is not a stream that may.
        """
        if session.grants is not None:
            session.grants.require("observe", f"messages.{session.client_id}")
        if self.inboxes.read(session.client_id, session):
            self._slices.put(READING, session.client_id, b"")

    def end(self, session: Session) -> None:
        """The session is over."""
        self._heard.pop(session, None)
        self.sending.end(session)
        unread = self.inboxes.end(session)
        if unread is not None:
            self._slices.put(READING, unread, None)

    # --- what this gateway does for others

    def turn(self, now: float) -> None:
        """Carry what waits: messages to send, receipts of what was written, verdicts."""
        while self.has_waiting():
            for header, body in self.sending.frames(now):
                true = with_source(header, header.source, self._node_id, via=self._role)
                self.route(true, encode_frame(true, body), now)
            for receipt in self.inboxes.receipts():
                self.give_back(receipt, now)
            self.sending.settle(now)

    def has_waiting(self) -> bool:
        """Whether `turn` has something to carry."""
        return self.sending.has_waiting() or self.inboxes.has_receipts()

    def under_way(self) -> int:
        """Clients that wait for a verdict."""
        return self.sending.under_way()

    def next_deadline(self) -> float:
        """When `tick` has something to do; inf: never."""
        at = self.sending.next_deadline()
        return at if at < self._sweep_at else self._sweep_at

    def tick(self, now: float) -> None:
        """The deadline came."""
        self.sending.tick(now)
        if now >= self._sweep_at:
            self._sweep_at = now + _SWEEP_S if self.inboxes.sweep(now) else inf
        self.turn(now)

    # --- to the receiver, and back

    def route(self, header: Send, frame: bytes, now: float) -> None:
        """Messages with their true source, on their way to their receiver."""
        if header.node != self._node_id:
            self._refuse(header, frame, NoSuchNode.code, now)
            return
        target = header.target
        session = self._clients.get(target)
        streams = self._places.readers_of(target)
        if session is not None:
            self._deliver(session, header, frame, now)
            if not streams and not self.inboxes.has_readers(target):
                return
        readers = [role for role in streams if role == self._role or role in self._peers]
        gateway = self._places.gateway_of(target) if session is None else self._role
        if session is None:
            if gateway is None and self.inboxes.has_readers(target):
                gateway = min((self._role, *readers))
            elif gateway is None and readers:
                gateway = readers[0]
            peer = self._peers.get(gateway) if gateway is not None else None
            if peer is not None:
                if not self._out.call(peer, frame, now):
                    self._refuse(header, frame, Overloaded.code, now)
            elif gateway != self._role or not self.inboxes.has_readers(target):
                if not is_name(target):
                    raise InvalidRequest("the receiver's name is none that a client can have")
                self._refuse(header, frame, _NO_ROUTE, now)
        self._give_to_readers(header, frame, now, is_receiver=session is None and gateway == self._role)
        for role in readers:
            other = self._peers.get(role) if role != gateway else None
            if other is not None:
                self._out.call(other, frame, now)

    def give_back(self, header: Receipt, now: float, *, frame: bytes = b"") -> None:
        """A receipt on its way to the flow's sender, as a frame where there is one already. One that cannot be given is lost: the
        sender's flow asks again."""
        if header.node != self._node_id:
            self._lost_receipts += 1
        elif header.via == self._role:
            self.sending.receipted(header, now)
        else:
            end: Session | Peer | None = None
            if header.via:
                end = self._peers.get(header.via)
            else:
                end = self._clients.get(header.target)
                if end is None and (gateway := self._places.gateway_of(header.target)) is not None:
                    end = self._peers.get(gateway)
            if end is None or (isinstance(end, Session) and not end.speaks_flows):
                self._lost_receipts += 1
            else:
                self._out.call(end, frame or encode_frame(header), now)

    # --- from other gateways

    def send_from_peer(self, header: Send, frame: bytes, now: float) -> None:
        """Another gateway says that the receiver is attached here, or that somebody reads beside it. It is not handed on again:
        two gateways whose tables disagree for a moment must not play ball with it."""
        target = header.target
        session = self._clients.get(target)
        if session is not None:
            self._deliver(session, header, frame, now)
            self._give_to_readers(header, frame, now, is_receiver=False)
            return
        gateway = self._places.gateway_of(target)
        is_elsewhere = gateway is not None and gateway != self._role
        if self.inboxes.has_readers(target):
            is_first = min((self._role, *self._places.readers_of(target))) == self._role
            self._give_to_readers(header, frame, now, is_receiver=is_first and not is_elsewhere)
        elif not is_elsewhere:
            self._refuse(header, frame, _NO_ROUTE, now)

    def receipt_from_peer(self, header: Receipt, frame: bytes, now: float) -> None:
        """A receipt for a client here, or for a flow of this gateway."""
        if header.via == self._role:
            self.sending.receipted(header, now)
            return
        session = None if header.via else self._clients.get(header.target)
        if session is None or not session.speaks_flows:
            self._lost_receipts += 1
        else:
            self._out.call(session, frame, now)

    def statistics(self) -> dict[str, int]:
        return {
            "private_messages_total": self.messages,
            "private_unrouted_total": self._unrouted,
            "private_refused_total": self._refused,
            "private_lost_receipts_total": self._lost_receipts,
            **self.sending.statistics(),
            **self.inboxes.statistics(),
        }

    # --- inside

    def _deliver(self, session: Session, header: Send, frame: bytes, now: float) -> None:
        give = self._hand_on if session.speaks_flows else self._receive_for
        if not give(session, header, frame, now):
            self._refuse(header, frame, Overloaded.code, now)

    def _give_to_readers(self, header: Send, frame: bytes, now: float, *, is_receiver: bool) -> None:
        """`is_receiver`: the oldest stream here answers for the client that nobody is."""
        for reader in self.inboxes.readers(header.target):
            is_taken = self._receive_for(reader, header, frame, now, is_copy=not is_receiver)
            if is_receiver and not is_taken:
                self._refuse(header, frame, Overloaded.code, now)
            is_receiver = False

    def _hand_on(self, session: Session, header: Send, frame: bytes, now: float) -> bool:
        if session.grants is not None:
            heard = self._heard.setdefault(session, {})
            if header.flow not in heard:
                if len(heard) >= _HEARD:
                    del heard[next(iter(heard))]
                heard[header.flow] = None
        return self._out.call(session, frame, now)

    def _receive_for(self, session: Session, header: Send, frame: bytes, now: float, *, is_copy: bool = False) -> bool:
        if self._sweep_at == inf:
            self._sweep_at = now + _SWEEP_S
        return self.inboxes.receive(session, header, frame, now, is_copy=is_copy)

    def _refuse(self, header: Send, frame: bytes, code: str, now: float) -> None:
        """Tell the flow's sender why this run was not taken. One that holds nothing is a word about the past: no answer."""
        count = count_run(_body(frame))
        if not count:
            return
        if code == _NO_ROUTE:
            self._unrouted += 1
        else:
            self._refused += 1
        self.give_back(refusal(header, header.sequence + count - 1, code), now)


def check_send(header: Send) -> None:
    """Whether a client may write this header.

    Raises:
        InvalidRequest: it may not.
    """
    if not 0 < header.flow <= FLOW_LIMIT or header.sequence <= 0 or not 0 < header.oldest <= FLOW_LIMIT:
        raise InvalidRequest("a SEND has a flow, a sequence and an oldest one, each 1 or more")
    if not 0 < header.ttl_ms <= TTL_LIMIT_MS:
        raise InvalidRequest(f"ttl_ms is 1 to {TTL_LIMIT_MS}", limit_ms=TTL_LIMIT_MS)
    if not header.target:
        raise InvalidRequest("a SEND names its receiver; messages.broadcast is for all of them")


def is_name(name: str) -> bool:
    """Whether a client can be called so at all."""
    try:
        check_name(name, what="client")
    except InvalidRequest:
        return False
    return True


def with_source(header: Send, source: str, node_id: str, *, via: str) -> Send:
    """The same message with who really sends it."""
    return Send(
        header.target,
        header.node or node_id,
        header.flow,
        header.sequence,
        header.oldest,
        header.ttl_ms,
        header.encoding,
        source,
        node_id,
        via,
        header.headers,
    )


def refusal(header: Send, up_to: int, code: str) -> Receipt:
    """RECEIPT of a run that was not taken."""
    return Receipt(header.source, header.source_node, header.flow, up_to, (), "", code, header.target, header.node, header.via)


def _body(frame: bytes) -> bytes:
    return frame[PREFIX_BYTES + int.from_bytes(frame[4:6], "little") :]
