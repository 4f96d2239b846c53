"""Private messages on their way through this gateway: SEND to the receiver, RECEIPT back to the sender.

    client -> SEND     -> a client here            its frame, as it is
                       -> a client elsewhere       the same frame to the gateway that has it, which does as above
                       -> nobody has that id       RECEIPT `no_route`
                       -> its queue is full        RECEIPT `overloaded`: the sender's flow tries again
    client -> RECEIPT  -> the flow's sender, or (`via`) the gateway that runs the flow for it

The body of a SEND is a run of messages, which is checked and not taken apart. Nothing is kept here: the flow at either end
(`majula.flow`) keeps it, so a gateway may die at any moment. For clients that do not speak flows `flows` runs them. Who sends is
written by the gateway; a header that says the truth already goes on byte for byte.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Protocol

from majula.errors import InvalidRequest, NoSuchNode, Overloaded, TooLarge
from majula.gateway.outlets import Outlets
from majula.gateway.peers import Peer
from majula.gateway.session import Session
from majula.messages.base import Role
from majula.rpc.services import check_name
from majula.wire.frames import PREFIX_BYTES, Span, count_run, decode_header, encode_frame
from majula.wire.headers import Receipt, Send

SEND_TAG = 20
"""Second byte of a SEND header; see `switch`."""

TTL_LIMIT_MS = 3_600_000
"""The longest that a message may be delivered in."""

FLOW_LIMIT = (1 << 53) - 1
"""The largest number that every JSON reader has exactly."""

_CODE_CHARACTERS = 128
_NO_ROUTE = "no_route"


class Places(Protocol):
    """Where the clients of the node are, as this gateway knows it."""

    def gateway_of(self, client_id: str) -> Role | None:
        """The gateway that serves this client; None: nobody has that id."""

    def clients(self) -> Iterable[tuple[str, Role]]:
        """Every client of the node with its gateway."""


class Elsewhere:
    """`Places` of a gateway that knows its own clients only."""

    def gateway_of(self, client_id: str) -> Role | None:
        return None

    def clients(self) -> Iterable[tuple[str, Role]]:
        return ()


class FlowEnds(Protocol):
    """The flows that this gateway runs for others; see `majula.gateway.flows`."""

    def takes(self, client_id: str) -> bool:
        """Whether it receives for this client."""

    def sent(self, header: Send, body: bytes, now: float) -> None:
        """A message for a client that it receives for."""

    def receipted(self, header: Receipt, now: float) -> None:
        """A receipt for a flow that it sends."""


class NoFlows:
    """`FlowEnds` of a gateway that runs none."""

    def takes(self, client_id: str) -> bool:
        return False

    def sent(self, header: Send, body: bytes, now: float) -> None:
        """Nobody receives here."""

    def receipted(self, header: Receipt, now: float) -> None:
        """Nothing was sent from here."""


class PrivateMessages:
    """The way of private messages.

    Args:
        node_id, role: of this gateway.
        out: where frames go.
        session_of: the session here that has a client id.
        peers: the other gateways by role, as they are now.
        places: where the other clients are.
        ends: the flows that are run here.
        limit_bytes: of one run.
    """

    def __init__(
        self,
        *,
        node_id: str,
        role: Role,
        out: Outlets,
        session_of: Callable[[str], Session | None],
        peers: Mapping[Role, Peer],
        places: Places,
        ends: FlowEnds,
        limit_bytes: int,
    ) -> None:
        self._node_id = node_id
        self._role = role
        self._out = out
        self._session_of = session_of
        self._peers = peers
        self._places = places
        self._ends = ends
        self._limit_bytes = limit_bytes
        self._messages = 0
        self._unrouted = 0
        self._refused = 0
        self._lost_receipts = 0

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
        self._messages += count
        if end - body > self._limit_bytes:
            self._refuse(header, frame, TooLarge.code, now)
        else:
            self.route(header, frame, now)

    def receipt(self, session: Session, header: Receipt, now: float) -> None:
        """A client that has received says so."""
        if header.flow <= 0 or header.up_to < 0 or header.state not in ("", "delivered", "written"):
            raise InvalidRequest("this RECEIPT is of no flow")
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

    # --- from here

    def route(self, header: Send, frame: bytes, now: float) -> None:
        """Messages with their true source, on their way to their receiver."""
        if header.node and header.node != self._node_id:
            self._refuse(header, frame, NoSuchNode.code, now)
            return
        session = self._session_of(header.target)
        if session is not None:
            self._deliver(session, header, frame, now)
            return
        gateway = self._places.gateway_of(header.target)
        peer = self._peers.get(gateway) if gateway is not None and gateway != self._role else None
        if peer is not None:
            if not self._out.call(peer, frame, now):
                self._refuse(header, frame, Overloaded.code, now)
        elif self._ends.takes(header.target):
            self._ends.sent(header, _body(frame), now)
        else:
            if not is_known(header.target):
                raise InvalidRequest("the receiver's name is none that a client can have")
            self._refuse(header, frame, _NO_ROUTE, now)

    def give_back(self, header: Receipt, now: float) -> None:
        """A receipt on its way to the flow's sender. One that cannot be given is lost: the sender's flow asks again."""
        if header.node != self._node_id:
            self._lost_receipts += 1
        elif header.via == self._role:
            self._ends.receipted(header, now)
        else:
            end: Session | Peer | None = None
            if header.via:
                end = self._peers.get(header.via)
            else:
                end = self._session_of(header.target)
                if end is None and (gateway := self._places.gateway_of(header.target)) is not None:
                    end = self._peers.get(gateway)
            if end is None or (isinstance(end, Session) and not end.speaks_flows):
                self._lost_receipts += 1
            else:
                self._out.call(end, encode_frame(header), now)

    # --- from other gateways

    def send_from_peer(self, header: Send, frame: bytes, now: float) -> None:
        """Another gateway says that the receiver is attached here. It is not handed on again: two gateways whose tables
        disagree for a moment must not play ball with it."""
        session = self._session_of(header.target)
        if session is not None:
            self._deliver(session, header, frame, now)
        elif self._ends.takes(header.target):
            self._ends.sent(header, _body(frame), now)
        else:
            self._refuse(header, frame, _NO_ROUTE, now)

    def receipt_from_peer(self, header: Receipt, frame: bytes, now: float) -> None:
        """A receipt for a client here, or for a flow of this gateway."""
        if header.via == self._role:
            self._ends.receipted(header, now)
            return
        session = None if header.via else self._session_of(header.target)
        if session is None or not session.speaks_flows:
            self._lost_receipts += 1
        else:
            self._out.call(session, frame, now)

    def statistics(self) -> dict[str, int]:
        return {
            "private_messages_total": self._messages,
            "private_unrouted_total": self._unrouted,
            "private_refused_total": self._refused,
            "private_lost_receipts_total": self._lost_receipts,
        }

    # --- inside

    def _deliver(self, session: Session, header: Send, frame: bytes, now: float) -> None:
        if not session.speaks_flows:
            self._ends.sent(header, _body(frame), now)
        elif not self._out.call(session, frame, now):
            self._refuse(header, frame, Overloaded.code, now)

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


def is_known(name: str) -> bool:
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
