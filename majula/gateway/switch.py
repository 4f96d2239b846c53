"""The gateway's heart: frames of clients and of other gateways in, frames in their outboxes out.

Everything here is called within one turn of the gateway's loop and never waits. What comes out is *pulled*: whoever has
something waiting stands in a list (`take_dirty`), its frames in its outbox. What a client sends never raises; it becomes an
ERROR to that client, and its end where the rest of what it sends has no meaning.

The hot path is `receive`: the header bytes of a PUBLISH lead to a known route, the run's lengths are checked, the frame is
copied out of its chunk once, and that one bytes object goes into the outbox of every target.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Sequence
from random import Random

from msgspec.structs import asdict

from majula.auth import Grants
from majula.errors import (
    Conflict,
    Draining,
    InvalidRequest,
    MajulaError,
    Overloaded,
    ProtocolError,
    TooLarge,
    Unauthorized,
)
from majula.gateway.accounts import ANYBODY, Accounts, Identity
from majula.gateway.calls import Calls
from majula.gateway.load import Load
from majula.gateway.messages import RECEIPT_TAG, SEND_TAG, Elsewhere, Places, PrivateMessages
from majula.gateway.outlets import Outlets, error_frame
from majula.gateway.peers import Peer
from majula.gateway.permissions import KEPT_HEADER_BYTES, KEPT_HEADERS, check_frame
from majula.gateway.plans import CALL_TAG, RESULT_TAG
from majula.gateway.publishing import Publishing
from majula.gateway.questions import Questions
from majula.gateway.rates import Meter, Rates
from majula.gateway.requests import Requests, Slices
from majula.gateway.routes import Routes
from majula.gateway.session import Connection, Session
from majula.gateway.settings import GatewayLimits, GatewaySettings
from majula.messages.base import Role
from majula.routing.readers import READING
from majula.rpc.operations import ServicesAnswer, ServicesRequest
from majula.telemetry.operations import InfoAnswer, InfoRequest
from majula.wire.frames import (
    MAX_HEADER_BYTES,
    MESSAGE_PREFIX_BYTES,
    PREFIX_BYTES,
    Span,
    count_run,
    decode_header,
    encode_frame,
    encode_run,
)
from majula.wire.headers import (
    JSON,
    PROTOCOL_VERSION,
    RETAIN,
    Ack,
    AnyHeader,
    Bye,
    Call,
    Cancel,
    Header,
    Ping,
    Pong,
    Publish,
    Receipt,
    Reconnect,
    Register,
    Request,
    Result,
    Send,
    Slow,
    Subscribe,
    Unregister,
    Unsubscribe,
    Welcome,
)

PUBLISH_TAG = 3
"""Second byte of a PUBLISH header; the first says "array of so many fields", the second is the frame type."""

_message_bytes = struct.Struct("<I").unpack_from


class Switch:
    """One gateway.

    Args:
        node_id: of the node.
        role: of this gateway, `gateway:<port>`.
        incarnation: which start of the role this is.
        settings: limits, and the other gateways' roles.
        slices: where this gateway's part of the tables goes.
        places: where the other clients of the node are.
        wake: called from within a `take` of an outbox: use `take_dirty` soon.
        wall_clock: seconds since 1970, for the node's function `time`.
        random: for the node's function `randint`.
        now: loop time in seconds.
    """

    def __init__(
        self,
        *,
        node_id: str,
        role: Role,
        incarnation: int = 1,
        settings: GatewaySettings,
        slices: Slices,
        places: Places | None = None,
        wake: Callable[[], None] | None = None,
        wall_clock: Callable[[], float],
        random: Random,
        now: float,
    ) -> None:
        self.node_id = node_id
        self.role = role
        self.incarnation = incarnation
        self.limits = settings.limits
        self.frame_limit_bytes = 2 + MAX_HEADER_BYTES + MESSAGE_PREFIX_BYTES + settings.limits.message_bytes
        self.is_draining = False
        self.sessions: dict[int, Session] = {}
        self.peers: dict[Role, Peer] = {}
        self.routes = Routes(role)
        self._body_limit_bytes = MESSAGE_PREFIX_BYTES + settings.limits.message_bytes
        self._clients: dict[str, Session] = {}  # claimed ids only
        self._version = settings.version
        self._surfaces = tuple(
            name
            for name, socket in (
                ("http", settings.http_socket),
                ("websocket", settings.http_socket),
                ("native", settings.native_socket),
                ("native-tcp", settings.native_tcp_socket),
            )
            if socket
        )
        self._slices = slices
        self._out = Outlets(cuts_slow=settings.limits.slow_policy == "disconnect")
        self._publishing = Publishing(role=role, out=self._out, peers=self.peers)
        self._ended: list[Session] = []
        self._last_number = 0
        self._received_frames = 0
        self._refused_frames = 0
        self.calls = Calls(
            node_id=node_id,
            role=role,
            limits=self.limits,
            out=self._out,
            session_of=self._clients.get,
            peers=self.peers,
            wall_clock=wall_clock,
            random=random,
            node_info=self._node_info,
        )
        self.requests = Requests(
            limits=self.limits, out=self._out, routes=self.routes, calls=self.calls, slices=slices, role=role
        )
        self.messages = PrivateMessages(
            node_id=node_id,
            role=role,
            out=self._out,
            clients=self._clients,
            peers=self.peers,
            places=places or Elsewhere(),
            slices=slices,
            random=Random(random.getrandbits(64)),  # noqa: S311 - numbers that need to be different, not secret
            message_bytes=self.limits.message_bytes,
            wake=wake or _sleep_on,
        )
        self.accounts = Accounts(is_open=settings.auth == "none", wall_clock=wall_clock)
        self.load = Load(self.limits)
        self.rates = Rates(self.limits)
        self.questions = Questions(
            out=self._out,
            here={"rpc.services": self._services, "node.info": self._info},
            later={"messages.send": self.messages.ask_send, "messages.broadcast": self.messages.ask_broadcast},
        )

    # --- sessions

    def renew(self, limits: GatewayLimits) -> None:
        """Other limits than at the start. What a client may have (subscriptions, calls, the size of a message) and may send
        changes at once, its queue with its next session."""
        self.limits = limits
        self.frame_limit_bytes = 2 + MAX_HEADER_BYTES + MESSAGE_PREFIX_BYTES + limits.message_bytes
        self._body_limit_bytes = MESSAGE_PREFIX_BYTES + limits.message_bytes
        self._out.renew(cuts_slow=limits.slow_policy == "disconnect")
        self.calls.renew(limits)
        self.requests.renew(limits)
        self.messages.renew(message_bytes=limits.message_bytes)
        self.load.renew(limits)
        self.rates.renew(limits)
        for session in self.sessions.values():
            session.meter = self._meter(session.identity, is_stream=session.is_claimed)

    def open(
        self,
        connection: Connection,
        *,
        client_id: str,
        secret: str,
        surface: str,
        agent: str = "",
        is_claimed: bool,
        name: str = "",
        identity: Identity = ANYBODY,
        now: float,
    ) -> Session:
        """A new session. The router (or the clients table) has agreed already where the id is claimed.

        Raises:
            Draining, Overloaded: no more clients are taken.
            LimitReached: the session is a plain request, and who makes it has sent more than he may.
            Conflict: the id is held by a session of this very gateway.
        """
        if self.is_draining:
            raise Draining("this gateway is stopping; connect again")
        if len(self.sessions) >= self.limits.connections:
            raise Overloaded("this gateway takes no more clients", retry_after_s=1.0, limit="connections")
        if is_claimed and client_id in self._clients:
            raise Conflict(f"the client id {client_id!r} is in use", client_id=client_id)
        self._last_number += 1
        session = Session(
            number=self._last_number,
            name=name,
            client_id=client_id,
            secret=secret,
            surface=surface,
            agent=agent,
            connection=connection,
            is_claimed=is_claimed,
            identity=identity,
            meter=self._meter(identity, is_stream=is_claimed),
            limits=self.limits,
            now=now,
        )
        if not is_claimed:
            session.meter.check(now)
        self.sessions[session.number] = session
        if is_claimed:
            self._clients[client_id] = session
        return session

    def welcome(self, session: Session) -> bytes:
        """The WELCOME frame of a session."""
        limits = self.limits
        allowed = {
            "message_bytes": limits.message_bytes,
            "subscriptions": limits.subscriptions,
            "registrations": limits.registrations,
            "pending_calls": limits.pending_calls,
            "queue_bytes": limits.queue_bytes,
            "queue_messages": limits.queue_messages,
        }
        return encode_frame(Welcome(PROTOCOL_VERSION, self.node_id, session.client_id, session.secret, self.role, allowed))

    def withdraw(self, tokens: Iterable[str], now: float) -> None:
        """These tokens (ids) open nothing any more: their sessions end."""
        ended = frozenset(tokens)
        if not ended:
            return
        for session in list(self.sessions.values()):
            if session.who in ended:
                self.close(session, Unauthorized("the token of this session is not valid any more", reason="token_ended"), now)

    def session_of(self, client_id: str) -> Session | None:
        """The session here that holds the id."""
        return self._clients.get(client_id)

    def close(self, session: Session, error: MajulaError, now: float) -> None:
        """End a session and say why: an ERROR is the last frame in its outbox, and its connection hears `end`."""
        if not session.is_open:
            return
        method = "" if isinstance(error, ProtocolError) else "CLOSE"
        session.outbox.push(error_frame(error, method=method), now)
        session.ended_by = error
        self._ended.append(session)
        self.end(session, now)

    def end(self, session: Session, now: float) -> None:
        """The session is over: its subscriptions, functions and calls are. Again does nothing."""
        if not session.is_open:
            return
        session.is_open = False
        del self.sessions[session.number]
        if session.is_claimed:
            del self._clients[session.client_id]
            self._slices.session_ended(session)
        self.requests.end(session, now)
        self.calls.end(session, now)
        self.messages.end(session)

    def read_messages(self, session: Session, request: int) -> None:
        """The event stream `session` reads what is sent to its client id, beside the client that has it. It does so from now on
        where the message comes by this gateway; ACK says when it does everywhere, ERROR that this is not known.

        Raises:
            PermissionDenied: it is not a stream that may.
            Overloaded: too many confirmations are under way.
        """
        self.messages.read(session)
        self.requests.confirm(session, request, READING)

    # --- frames of clients

    def receive(self, session: Session, chunk: bytes, spans: Sequence[Span], now: float) -> None:
        """Frames of one client, in order."""
        session.received_frames += len(spans)
        self._received_frames += len(spans)
        routes = self.routes.by_header()
        out = self._out
        calls, publishing = self.calls, self._publishing
        limit = self._body_limit_bytes
        allowed = session.allowed
        fast = sent = receipts = controls = 0
        for span in spans:
            start, body, end = span
            if not session.is_open:
                break
            tag = chunk[start + 7]
            if tag == PUBLISH_TAG:
                header_bytes = chunk[start + PREFIX_BYTES : body]
                route = routes.get(header_bytes)
                size = end - body
                if route is not None and route.is_plain and 0 < size <= limit and (allowed is None or header_bytes in allowed):
                    if size >= MESSAGE_PREFIX_BYTES and _message_bytes(chunk, body)[0] + MESSAGE_PREFIX_BYTES == size:
                        count = 1
                    else:
                        try:
                            count = count_run(chunk, body, end)
                        except ProtocolError as error:
                            self.close(session, error, now)
                            break
                    fast += count
                    frame = chunk[start:end]
                    for target in route.sessions:
                        if target.outbox.offer(frame, count, now):
                            if not target.is_dirty:
                                target.is_dirty = True
                                out.dirty.append(target)
                        else:
                            out.dropped(target, count)
                    for peer in route.peers:
                        out.publish(peer, frame, count, now)
                    continue
                before = publishing.messages
                controls += self._serve(session, self._publish, chunk, span, now)
                sent += publishing.messages - before
            elif tag == CALL_TAG:
                sent += 1
                if end - body <= limit and calls.call_planned(session, chunk, span, now):
                    continue
                controls += self._serve(session, self._other, chunk, span, now)
            elif tag == RESULT_TAG:
                sent += 1
                if end - body <= limit and calls.result_plain(session, chunk, span, now):
                    continue
                controls += self._serve(session, self._other, chunk, span, now)
            elif tag == SEND_TAG:
                before = self.messages.messages
                controls += self._serve(session, self.messages.send, chunk, span, now)
                sent += self.messages.messages - before
            elif tag == RECEIPT_TAG:
                # An answer, and no question: who receives much must not be slowed for acknowledging it.
                receipts += 1
                controls += self._serve(session, self.messages.receipt, chunk, span, now)
            else:
                controls += 1 + self._serve(session, self._other, chunk, span, now)
            routes = self.routes.by_header()
        publishing.messages += fast
        sent += fast
        session.received_messages += sent
        meter = session.meter
        if controls or meter.counts_messages:
            size = spans[-1][2] - spans[0][0] if spans else 0
            session.ready_at = now + meter.charge(messages=sent + receipts, size=size, controls=controls, now=now)

    def submit(self, session: Session, header: AnyHeader, body: bytes, now: float) -> None:
        """One frame of a client whose edge speaks another encoding."""
        if isinstance(header, Publish | Send):
            try:
                frame = encode_frame(header, body)
            except MajulaError as error:
                self._refuse(session, header, error, now)
                return
            self.receive(session, frame, ((0, len(frame) - len(body), len(frame)),), now)
            return
        if not session.is_open:
            return
        self._received_frames += 1
        session.received_frames += 1
        is_message = isinstance(header, Call | Result | Receipt)
        wait_s = session.meter.charge(messages=is_message, size=len(body), controls=not is_message, now=now)
        session.ready_at = now + wait_s
        try:
            self._dispatch(session, header, body, now)
        except MajulaError as error:
            self._refuse(session, header, error, now)

    # --- frames of other gateways

    def set_peer(self, role: Role, incarnation: int | None, now: float) -> None:
        """The gateway that has `role` lives (again) or, with None, is away. Calls to it and from it end when it does."""
        if role == self.role:
            return
        old = self.peers.get(role)
        if old is not None:
            if old.incarnation == incarnation:
                return
            old.is_open = False
            del self.peers[role]
            self.routes.set_peer(role, None)
            self.calls.end(old, now)
        if incarnation is not None:
            peer = self.peers[role] = Peer(role, incarnation, limits=self.limits, now=now)
            self.routes.set_peer(role, peer)

    def receive_from_peer(self, role: Role, chunk: bytes, spans: Iterable[Span], now: float) -> None:
        """Frames of another gateway of this node. Raises for what our own code would never send."""
        peer = self.peers.get(role)
        if peer is None:
            return  # its last words; whoever waits for them has been told that it is gone
        routes = self.routes.by_peer_header()
        for start, body, end in spans:
            if chunk[start + 7] == PUBLISH_TAG:
                header_bytes = chunk[start + PREFIX_BYTES : body]
                route = routes.get(header_bytes)
                if route is None:
                    route = self.routes.find_for_peer(header_bytes)
                self._publishing.deliver(route, chunk, (start, body, end), now)
                continue
            header = decode_header(chunk[start + PREFIX_BYTES : body])
            match header:
                case Call():
                    self.calls.call_from_peer(peer, header, chunk[body:end], now)
                case Result():
                    self.calls.result(peer, header, chunk[body:end], now)
                case Cancel():
                    self.calls.cancel(peer, header, now)
                case Send():
                    self.messages.send_from_peer(header, chunk[start:end], now)
                case Receipt():
                    self.messages.receipt_from_peer(header, chunk[start:end], now)
                case Slow():
                    # What did not get from there to here is missing in some of these streams; which ones, nobody knows.
                    for session in self.sessions.values():
                        if session.subscriptions:
                            self._out.answer(session, chunk[start:end], now)
                case _:
                    raise ProtocolError(f"{type(header).__name__} does not travel between gateways")

    def publish_own(self, topic: str, payload: bytes, now: float) -> None:
        """Publish a JSON text of the node's own, on a topic below `$SYS.`, to every subscriber of the node."""
        header = Publish(topic, JSON)
        body = encode_run([payload])
        frame = encode_frame(header, body)
        self._publishing.deliver(self.routes.find_own(header), frame, (0, len(frame) - len(body), len(frame)), now)

    # --- what waits

    def take_dirty(self, now: float) -> tuple[list[Session], list[Peer], list[Session]]:
        """Who has something waiting: clients, gateways, and the sessions that have been ended since the last time (whose
        connections are to hear `end(session.ended_by)` after their last flush)."""
        out = self._out
        self.messages.turn(now)
        self.requests.walk()
        while out.overrun:
            overrun, out.overrun = out.overrun, []
            for session in overrun:
                self.close(session, Overloaded("this client read too slowly and was cut off"), now)
        dirty, out.dirty = out.dirty, []
        peers, out.dirty_peers = out.dirty_peers, []
        ended, self._ended = self._ended, []
        for session in dirty:
            session.is_dirty = False
        for peer in peers:
            peer.is_dirty = False
        return dirty, peers, ended

    def take_slow(self) -> list[Session | Peer]:
        """Who has lost its first message since it came, because it reads too slowly: to be named in the log, once each."""
        slow, self._out.slow = self._out.slow, []
        return slow

    def has_waiting(self) -> bool:
        """Whether `take_dirty` would give anything."""
        out = self._out
        return bool(
            out.dirty
            or out.dirty_peers
            or out.overrun
            or self._ended
            or self.requests.has_walks()
            or self.questions.has_waiting()
            or self.messages.has_waiting()
        )

    def is_idle(self) -> bool:
        """Nothing is in flight: no call waits for its answer, no frame for its client or for another gateway. What a drain
        waits for."""
        if (
            self.calls.under_way()
            or self.messages.under_way()
            or self.has_waiting()
            or any(len(s.outbox) for s in self.sessions.values())
        ):
            return False
        return not any(peer.held or len(peer.outbox) for peer in self.peers.values())

    def next_deadline(self) -> float:
        """When `tick` has something to do; inf: never."""
        return min(self.calls.next_deadline(), self.questions.next_deadline(), self.messages.next_deadline())

    def tick(self, now: float) -> None:
        """The deadline came."""
        self.calls.tick(now)
        self.questions.tick(now)
        self.messages.tick(now)

    def drain(self, now: float, *, after_ms: int = 0) -> None:
        """Take no new clients, and tell those who are here to connect again."""
        self.is_draining = self.calls.is_draining = True
        frame = encode_frame(Reconnect(after_ms, "this gateway is stopping"))
        for session in self.sessions.values():
            self._out.answer(session, frame, now)

    def statistics(self) -> dict[str, int | float | str]:
        """What `status` shows of a gateway; `slow_clients` names the first of those that do not read."""
        slow = [session.client_id for session in self.sessions.values() if session.outbox.is_full]
        found: dict[str, int | float | str] = {
            "clients": len(self.sessions),
            "peers": len(self.peers),
            "received_frames_total": self._received_frames,
            "received_messages_total": self._publishing.messages,
            "dropped_messages_total": self._out.dropped_messages,
            "refused_frames_total": self._refused_frames,
            "slow_clients": len(slow),
        }
        if slow:
            found["slow_client_names"] = " ".join(sorted(slow)[:8])
        found |= self.accounts.statistics() | self.rates.statistics()
        found |= self.load.statistics()
        found |= self.routes.statistics() | self.calls.statistics()
        return found | self.requests.statistics() | self.messages.statistics()

    # --- inside

    def _serve(
        self, session: Session, serve: Callable[[Session, bytes, Span, float], None], chunk: bytes, span: Span, now: float
    ) -> bool:
        """The boundary at which what one client sent ends as its own trouble. Returns whether it was refused, which counts as a
        control frame: a refusal costs more than what it refuses."""
        try:
            serve(session, chunk, span, now)
        except ProtocolError as error:
            self._refused_frames += 1
            self.close(session, error, now)
        except MajulaError as error:
            self._refuse(session, decode_header(chunk[span[0] + PREFIX_BYTES : span[1]]), error, now)
        else:
            return False
        return True

    def _refuse(self, session: Session, header: AnyHeader, error: MajulaError, now: float) -> None:
        self._refused_frames += 1
        if isinstance(error, ProtocolError):
            self.close(session, error, now)
        elif isinstance(header, Call) and header.call > 0:
            self._out.fail(session, header.call, error, now)
        else:
            if isinstance(header, Result):
                self.calls.result_refused(session, header, error, now)
            request = getattr(header, "request", 0)
            self._out.refuse(session, request, type(header).__name__.upper(), error, now)

    def _publish(self, session: Session, chunk: bytes, span: Span, now: float) -> None:
        """A PUBLISH whose header is not known, or that is more than handed on."""
        start, body, end = span
        publishing = self._publishing
        header_bytes = chunk[start + PREFIX_BYTES : body]
        route = self.routes.by_header().get(header_bytes)
        if route is None:
            route, header = self.routes.find(header_bytes)
        else:
            header = route.header
        if session.grants is not None:
            self._check_publish(session, session.grants, header, header_bytes)
        if end - body > self._body_limit_bytes:
            raise TooLarge("this message is over the limit", limit_bytes=self.limits.message_bytes)
        if body == end:
            raise InvalidRequest("a PUBLISH holds at least one message")
        if header.request:
            # The frame that goes on has no number, see `Routes.find`.
            frame = encode_frame(route.header, chunk[body:end])
            publishing.messages += publishing.deliver(route, frame, (0, len(frame) - (end - body), len(frame)), now)
        else:
            publishing.messages += publishing.deliver(route, chunk, span, now)
        if header.flags & RETAIN:
            self.requests.retain(session, header, chunk[body:end], now)
        elif header.request:
            self._out.answer(session, encode_frame(Ack(header.request, "accepted")), now)

    def _check_publish(self, session: Session, grants: Grants, header: Publish, header_bytes: bytes) -> None:
        check_frame(grants, header)
        allowed = session.allowed
        if allowed is not None and len(header_bytes) <= KEPT_HEADER_BYTES:
            if len(allowed) >= KEPT_HEADERS:
                allowed.clear()
            allowed.add(header_bytes)

    def _meter(self, identity: Identity, *, is_stream: bool) -> Meter:
        token = identity.token
        return self.rates.meter(
            key="" if is_stream else identity.who or identity.address,
            token=identity.who,
            token_messages_per_s=token.messages_per_s if token is not None else 0.0,
            token_bytes_per_s=token.bytes_per_s if token is not None else 0.0,
        )

    def _other(self, session: Session, chunk: bytes, span: Span, now: float) -> None:
        start, body, end = span
        header = decode_header(chunk[start + PREFIX_BYTES : body])
        if isinstance(header, Publish):  # an encoder that does not write the shortest form: its second byte is no frame type
            self._publish(session, chunk, span, now)
        elif isinstance(header, Send):
            self.messages.send(session, chunk, span, now)
        else:
            self._dispatch(session, header, chunk[body:end], now)

    def _dispatch(self, session: Session, header: Header, body: bytes, now: float) -> None:
        if len(body) > self._body_limit_bytes:
            raise TooLarge("this payload is over the limit", limit_bytes=self.limits.message_bytes)
        if session.grants is not None:
            check_frame(session.grants, header)
        match header:
            case Call():
                self.calls.call(session, header, body, now)
            case Result():
                self.calls.result(session, header, body, now)
            case Cancel():
                self.calls.cancel(session, header, now)
            case Subscribe():
                self.requests.subscribe(session, header, now)
            case Unsubscribe():
                self.requests.unsubscribe(session, header, now)
            case Register():
                self.requests.register(session, header, now)
            case Unregister():
                self.requests.unregister(session, header, now)
            case Receipt():
                self.messages.acknowledge(session, header, now)
            case Request():
                self.questions.request(session, header, body, now)
            case Ping():
                self._out.answer(session, encode_frame(Pong(header.number)), now)
            case Pong():
                pass
            case Bye():
                self._ended.append(session)
                self.end(session, now)
            case _:
                raise ProtocolError(f"a client does not send {type(header).__name__.upper()} here")

    def _services(self, session: Session, asked: ServicesRequest) -> ServicesAnswer:
        if asked.node not in ("", self.node_id):
            return ServicesAnswer(())
        return ServicesAnswer(tuple(self.calls.list_services(provider=asked.provider, function=asked.function)))

    def _info(self, session: Session, asked: InfoRequest) -> InfoAnswer:
        return InfoAnswer(
            node=self.node_id,
            version=self._version,
            protocol=PROTOCOL_VERSION,
            gateway=self.role,
            surfaces=self._surfaces,
            limits={name: value for name, value in asdict(self.limits).items() if not isinstance(value, str)},
        )

    def _node_info(self) -> dict[str, object]:
        return {
            "gateways": sorted({self.role, *self.peers}),
            "gateway": self.role,
            "clients": len(self.sessions),
        }


def _sleep_on() -> None:
    """For a switch whose owner turns it anyway."""
