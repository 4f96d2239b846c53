"""The gateway: clients on one side, tables and other gateways on the other. `majula.gateway` decides and moves; this connects
it to sockets (the edges), to the other actors (tables, claims, batches of frames) and to the loop's time.

Once per loop turn in which anything came, `_pump` hands out what waits: frames to clients, one batch to each other gateway.
"""

from __future__ import annotations

import asyncio
import hashlib
import importlib
import logging
import secrets
import time
from collections.abc import Coroutine, Iterable, Sequence
from math import inf
from random import Random
from typing import Any, assert_never

from majula.actorsystem.actor import MajulaActor
from majula.actorsystem.memory import keep_freed_memory, resident_bytes
from majula.actorsystem.sockets import take_sockets
from majula.auth.book import TOKENS
from majula.errors import (
    Conflict,
    ConnectionLost,
    Draining,
    InvalidRequest,
    MajulaError,
    Overloaded,
    PermissionDenied,
    Unauthorized,
    Unavailable,
    from_code,
)
from majula.gateway.accounts import Identity, refusal
from majula.gateway.builtin import PROVIDER
from majula.gateway.edge import Edge
from majula.gateway.load import SAMPLE_S
from majula.gateway.peers import Peer
from majula.gateway.session import Connection, Session
from majula.gateway.settings import GatewaySettings
from majula.gateway.switch import Switch
from majula.gateway.teller import Teller
from majula.messages import auth, operations, routing, telemetry, topics
from majula.messages.base import Address, Message, Role
from majula.routing import admission
from majula.routing.admission import Admission, Admitted, AskRouter, Close, Rejected
from majula.routing.presence import PRESENCE
from majula.routing.readers import READERS, READING, Readers
from majula.routing.sessions import CLIENTS, SESSIONS
from majula.routing.sessions import Session as Claimant
from majula.rpc.services import REGISTRATIONS, SERVICES, check_name
from majula.tables import Changed, Effect, InForce, Send, TableExchange, Unconfirmed
from majula.topics.interest import INTEREST, SUBSCRIPTIONS
from majula.topics.retained import RETAINED
from majula.wire.frames import FrameReader

_log = logging.getLogger(__name__)

_GATEWAYS = "gateway:"
# A gateway that starts waits so long for the tables before it serves: a restarted one shall miss no subscriber elsewhere.
_TABLES_S = 1.0
# Frames for another gateway in one batch.
_BATCH_BYTES = 1 << 20
# A single-use token is spent when it is on disk: some 10 ms. A config actor that dies is back within two seconds.
_SPEND_S = 5.0
# Samples of the load (four a second) between two looks at who is over, and between two reports of which tokens were used.
_LOOK_SAMPLES = 4
_REPORT_SAMPLES = 120
_TELL_S = 1.0
# Names that stand for the node itself.
_RESERVED = frozenset((PROVIDER, "raft"))


class GatewayActor(MajulaActor):
    """Role `gateway:<port>`. Is the `EdgeContext` of its edges, the `Slices` and the `Places` of its switch."""

    config_type = GatewaySettings

    settings: GatewaySettings
    switch: Switch

    async def on_start(self, config: GatewaySettings) -> None:
        keep_freed_memory()
        now = self.loop.time()
        self.settings = config
        self.switch = Switch(
            node_id=self.node_id,
            role=self.role,
            incarnation=self.incarnation,
            settings=config,
            slices=self,
            places=self,
            wake=self.wake,
            wall_clock=time.time,
            random=Random(secrets.randbits(64)),  # noqa: S311 - for the public function `randint`, not for a secret
            now=now,
        )
        self._exchange = TableExchange(role=self.role, incarnation=self.incarnation, random32=secrets.randbits(32), now=now)
        self._slices = {
            SUBSCRIPTIONS: self._exchange.publish(SUBSCRIPTIONS, to="topic_manager", needs_holder=True),
            REGISTRATIONS: self._exchange.publish(REGISTRATIONS, to="rpc_broker", needs_holder=True),
            SESSIONS: self._exchange.publish(SESSIONS, to="router", needs_holder=True),
            READING: self._exchange.publish(READING, to="router", needs_holder=True),
        }
        self._exchange.hold(INTEREST, of="topic_manager")
        self._exchange.hold(SERVICES, of="rpc_broker")
        self._exchange.hold(CLIENTS, of="router")
        self._exchange.hold(READERS, of="router")
        self._exchange.hold(PRESENCE, of="router", gives_back=True)
        self._exchange.hold(RETAINED, of="topic_manager", gives_back=True)
        self._exchange.hold(TOKENS, of="config")
        self._exchange.role_changed(self.role, self.address, self.incarnation, now)
        self._admission = Admission(self.role)
        self._streams = Readers()
        self._verdicts: dict[int, asyncio.Future[None]] = {}
        self._spending: dict[int, tuple[auth.Spend, asyncio.Future[auth.Spent]]] = {}
        self._last_spend = 0
        self._used: dict[str, float] = {}  # ids of tokens since the last report, at most as many as there are
        self._samples = 0
        self._names: dict[str, Session] = {}
        self._last_name = 0
        self._gateways: dict[Address, Role] = {}
        self._readers: dict[Role, FrameReader] = {}
        self._edges: list[Edge] = []
        self._is_awake = False
        self._is_serving = False
        self._armed_at = inf
        self._idle: asyncio.Event | None = None
        self._are_tables_here = asyncio.Event()
        self._needed = (INTEREST, SERVICES) if config.auth == "none" else (INTEREST, SERVICES, TOKENS)
        self._bad_batches = 0
        self._stray_batches = 0
        self._sockets = await take_sockets(self.run_dir, self._socket_names())
        for path in config.edges:
            module, _, name = path.partition(":")
            self._edges.append(getattr(importlib.import_module(module), name)())
        self.spawn(self._serve(), name="gateway.serve")
        self._teller = Teller(self.incarnation, self.switch.sessions)
        self.spawn(self._tell(), name="gateway.tell")
        self._sampling = self.loop.call_later(SAMPLE_S, self._sample, now + SAMPLE_S)
        self._arm()

    def on_settings(self, config: GatewaySettings) -> None:
        """Limits, host names, origins, addresses and certificates are obeyed at once."""
        self.settings = config
        self.switch.renew(config.limits)
        for edge in self._edges:
            edge.renew(config)

    async def _serve(self) -> None:
        """Open the doors once the tables are here. Clients wait in the sockets' queues until then."""
        try:
            async with asyncio.timeout(_TABLES_S):
                await self._are_tables_here.wait()
        except TimeoutError:
            _log.warning("gateway.tables_late", extra={"role": self.role, "wait_s": _TABLES_S})
        for edge in self._edges:
            await edge.start(self, self._sockets)
        self._is_serving = True

    async def _tell(self) -> None:
        """Once a second, what telemetry shows of the clients here. What it does not take is told anew when it is back."""
        while True:
            await asyncio.sleep(_TELL_S)
            told = self._teller.next(time.time())
            if told is not None and not self.send_role("telemetry", told):
                self._teller.restart()

    def _socket_names(self) -> list[str]:
        config = self.settings
        return [name for name in (config.http_socket, config.native_socket, config.native_tcp_socket) if name]

    # --- what comes from other actors

    def on_role(self, role: Role, address: Address | None, incarnation: int) -> None:
        now = self.loop.time()
        self._carry(self._exchange.role_changed(role, address, incarnation, now), now)
        if role == "router":
            self._carry_admission(self._admission.router_changed(False))
            if address is not None:
                self._carry_admission(self._admission.router_changed(True))
        if address is None:
            self.switch.questions.role_gone(role, now)
        if role == "config" and address is not None:
            for question, _ in self._spending.values():
                self.send(address, question)
        if role == "telemetry":
            self._teller.restart()
        if role == "topic_manager":
            self.switch.requests.retaining.restart()
        elif role.startswith(_GATEWAYS):
            self._gateways = {known: its for known, its in self._gateways.items() if its != role}
            if address is None:
                self._admission.gateway_gone(role)
            else:
                self._gateways[address] = role
            self._readers[role] = FrameReader(limit_bytes=1 << 30)  # between gateways the batch is the limit
            self.switch.set_peer(role, None if address is None else incarnation, now)
        self._settle()

    def on_message(self, message: Message, sender: Address) -> None:
        now = self.loop.time()
        effects = self._exchange.receive(message, sender, now)
        if effects is not None:
            self._carry(effects, now)
        else:
            match message:
                case routing.Granted() | routing.Refused() | routing.CloseSession():
                    self._carry_admission(self._admission.receive(message))
                case topics.Retained(number=number, code=code):
                    self.switch.requests.retained_settled(number, code, now)
                case operations.Performed():
                    self.switch.questions.performed(message, now)
                case auth.Spent(number=number):
                    spending = self._spending.get(number)
                    if spending is not None and not spending[1].done():
                        spending[1].set_result(message)
                case telemetry.PublishEvent(topic=topic, payload=payload):
                    self.switch.publish_own(topic, payload, now)
                case _:
                    _log.warning("gateway.unknown_message", extra={"kind": type(message).__name__, "sender": sender})
        self._settle()

    def on_frames(self, frames: bytes, sender: Address) -> None:
        role = self._gateways.get(sender)
        if role is None:  # of a life that has ended, or one that the registry has not named yet
            self._stray_batches += 1
            return
        reader = self._readers[role]
        try:
            chunk, spans = reader.feed(frames)
            if reader.held_bytes:
                raise InvalidRequest("a batch ends inside a frame")
            self.switch.receive_from_peer(role, chunk, spans, self.loop.time())
        except MajulaError as error:
            self._bad_batches += 1
            self._readers[role] = FrameReader(limit_bytes=1 << 30)
            _log.error("gateway.bad_batch", extra={"peer": role, "reason": str(error)})
        self.wake()

    def on_writable(self, target: Address) -> None:
        now = self.loop.time()
        self._carry(self._exchange.writable(target, now), now)
        role = self._gateways.get(target)
        peer = self.switch.peers.get(role) if role is not None else None
        if peer is not None:
            self._flush_peer(peer, now)
        self._settle()

    def on_deadline(self, deadline: float) -> None:
        # The loop may fire a clock tick early; the cores must see their deadline as reached.
        now = max(deadline, self.loop.time())
        self._armed_at = inf
        self._carry(self._exchange.timer(now), now)
        self._carry_admission(self._admission.timer(now))
        self.switch.tick(now)
        self._settle()

    async def on_drain(self, deadline: float) -> None:
        self.switch.drain(self.loop.time())
        self._idle = asyncio.Event()
        self.wake()
        # Each edge has its own in-flight work; calls and outboxes are the switch's.
        await asyncio.gather(self._idle.wait(), *(edge.drain(deadline) for edge in self._edges))

    async def on_stop(self) -> None:
        self._sampling.cancel()
        now = self.loop.time()
        for session in list(self.switch.sessions.values()):
            self.switch.close(session, Draining("this gateway has stopped"), now)
        self._pump()
        for edge in self._edges:
            await edge.stop()

    def statistics(self) -> dict[str, int | float | str]:
        found: dict[str, int | float | str] = dict(self.switch.statistics())
        for edge in self._edges:
            found |= edge.statistics()
        found |= self._exchange.statistics()
        found["serving"] = int(self._is_serving)
        found["bad_batches_total"] = self._bad_batches
        found["stray_batches_total"] = self._stray_batches
        return found

    # --- EdgeContext

    async def admit(
        self,
        connection: Connection,
        *,
        surface: str,
        client_id: str = "",
        secret: str = "",
        agent: str = "",
        newest_wins: bool = False,
        identity: Identity | None = None,
    ) -> Session:
        accounts = self.switch.accounts
        identity = identity or accounts.anybody()
        client_id = client_id or identity.client_id()
        client_id = check_name(client_id, what="client") if client_id else f"client-{secrets.token_hex(6)}"
        if client_id in _RESERVED:
            raise InvalidRequest(f"the client id {client_id!r} stands for the node itself")
        identity.check_client(client_id)
        if self.switch.is_draining:
            raise Draining("this gateway is stopping; connect again")
        self.switch.load.check()
        secret = "" if newest_wins else secret or secrets.token_urlsafe(18)
        # An id belongs to whoever has claimed it: with another token even the secret takes nothing over.
        proof = secret if accounts.is_open else f"{secret}\0{identity.who}"
        self._last_name += 1
        claimant = Claimant(
            client_id=client_id,
            session=f"{self.settings.port}.{self.incarnation}.{self._last_name}",
            secret_hash=hashlib.sha256(proof.encode()).digest() if proof else b"",
            gateway=self.role,
            claimed_at=self.loop.time(),
            surface=surface,
            agent=_printable(agent),
        )
        request, effects = self._admission.claim(claimant, claimant.claimed_at)
        verdict = self._verdicts[request] = self.loop.create_future()
        self._carry_admission(effects)
        self._arm_at(self._admission.next_deadline())
        try:
            await verdict
            await self._spend(identity, claimant)
            return self._open(connection, claimant, secret, identity)
        except BaseException:
            # Refused, full, or the client has gone: whatever the router has noted is taken back.
            if verdict.done() and not verdict.cancelled() and verdict.exception() is None:
                self.send_role("router", routing.Release(claimant.client_id, claimant.session))
            self._carry_admission(self._admission.abandon(request))
            raise
        finally:
            self._verdicts.pop(request, None)

    async def _spend(self, identity: Identity, claimant: Claimant) -> None:
        """A single-use token becomes this session's own."""
        token = identity.token
        if token is None or not token.single_use:
            return
        owner = claimant.secret_hash.hex() or claimant.session
        if token.used_by == owner:
            return
        self._last_spend += 1
        question = auth.Spend(self._last_spend, token.id, owner, claimant.client_id)
        answer: asyncio.Future[auth.Spent] = self.loop.create_future()
        self._spending[question.number] = (question, answer)
        try:
            self.send_role("config", question)
            async with asyncio.timeout(_SPEND_S):
                spent = await answer
        except TimeoutError:
            raise Unavailable("a single-use token cannot be spent just now", retry_after_s=1.0) from None
        finally:
            del self._spending[question.number]
        if spent.code == Unauthorized.code:
            raise refusal()
        if spent.code:
            raise from_code(spent.code, spent.message)

    def _open(self, connection: Connection, claimant: Claimant, secret: str, identity: Identity) -> Session:
        now = self.loop.time()
        self._note_use(identity)
        older = self.switch.session_of(claimant.client_id)
        if older is not None:
            self.switch.close(older, Conflict("the client has connected again", reason="taken_over"), now)
            self.wake()
        session = self.switch.open(
            connection,
            client_id=claimant.client_id,
            secret=secret,
            surface=claimant.surface,
            agent=claimant.agent,
            is_claimed=True,
            name=claimant.session,
            identity=identity,
            now=now,
        )
        self._names[claimant.session] = session
        self.put(SESSIONS, *self._admission.opened(claimant))
        return session

    def attach(
        self, connection: Connection, *, surface: str, label: str = "", agent: str = "", identity: Identity | None = None
    ) -> Session:
        identity = identity or self.switch.accounts.anybody()
        if label:
            identity.check_client(check_name(label, what="client"))
        if identity.token is not None and identity.token.single_use:
            raise PermissionDenied("a single-use token opens one session that owns its client id; this request opens none")
        self.switch.load.check()
        self._note_use(identity)
        return self.switch.open(
            connection,
            client_id=label or f"{surface}-{secrets.token_hex(6)}",
            secret="",
            surface=surface,
            agent=_printable(agent),
            is_claimed=False,
            identity=identity,
            now=self.loop.time(),
        )

    def _note_use(self, identity: Identity) -> None:
        if identity.token is not None:
            self._used[identity.token.id] = time.time()

    def wake(self) -> None:
        if not self._is_awake:
            self._is_awake = True
            self.loop.call_soon(self._turn)

    def spawn(self, coroutine: Coroutine[Any, Any, Any], *, name: str) -> asyncio.Task[Any]:
        return super().spawn(coroutine, name=name)

    def health(self) -> dict[str, object]:
        roles = dict.fromkeys(sorted(self.roles()), "running")
        return {"live": True, "ready": self._is_serving and not self.switch.is_draining, "roles": roles}

    # --- Slices

    def put(self, table: str, key: str, value: bytes | None) -> None:
        now = self.loop.time()
        if value is None:
            self._slices[table].remove(key, now)
        else:
            self._slices[table].put(key, value, now)
        self._arm_at(self._slices[table].next_deadline())

    def confirm(self, table: str, token: int) -> None:
        now = self.loop.time()
        self._carry(self._exchange.confirm(table, token, now), now)
        self._arm_at(self._slices[table].next_deadline())

    def session_ended(self, session: Session) -> None:
        self._names.pop(session.name, None)
        key, effects = self._admission.closed(session.client_id, session.name, _reason(session.ended_by))
        if key is not None:
            self.put(SESSIONS, key, None)
        self._carry_admission(effects)

    # --- Places

    def gateway_of(self, client_id: str) -> Role | None:
        found = self._admission.where(client_id)
        return None if found is None else found.gateway

    def clients(self) -> Iterable[str]:
        return (session.client_id for session in self._admission.sessions())

    def readers_of(self, client_id: str) -> Sequence[Role]:
        return self._streams.of(client_id)

    def read_ids(self) -> Iterable[str]:
        return self._streams.ids()

    # --- inside

    def _carry(self, effects: Iterable[Effect], now: float) -> None:
        """The one place where what the tables want is done."""
        for effect in effects:
            match effect:
                case Send(to=to, message=message):
                    if not self.send(to, message):
                        self._exchange.refused(effect, now)
                case Changed():
                    self._apply(effect)
                case InForce(token=token):
                    self.switch.requests.in_force(token, now)
                case Unconfirmed(token=token, reason=reason):
                    self.switch.requests.unconfirmed(token, reason, now)
                case _:
                    assert_never(effect)

    def _apply(self, changed: Changed) -> None:
        switch = self.switch
        match changed.table:
            case "interest":
                switch.routes.interests.apply(changed.entries, changed.removed)
            case "services":
                switch.calls.services.apply(changed.entries, changed.removed)
            case "retained":
                switch.requests.retained_changed(changed.entries, changed.removed, self.loop.time())
            case "clients":
                self._admission.apply(changed.entries, changed.removed)
            case "readers":
                self._streams.apply(changed.entries, changed.removed)
            case "tokens":
                switch.withdraw(switch.accounts.update(changed.entries, changed.removed).ended, self.loop.time())

    def _carry_admission(self, effects: Iterable[admission.Effect]) -> None:
        for effect in effects:
            match effect:
                case AskRouter(message=message):
                    self.send_role("router", message)
                case Admitted(request=request):
                    verdict = self._verdicts.get(request)
                    if verdict is not None and not verdict.done():
                        verdict.set_result(None)
                case Rejected(request=request, code=code):
                    verdict = self._verdicts.get(request)
                    if verdict is not None and not verdict.done():
                        verdict.set_exception(_rejection(code))
                case Close(client_id=client_id, session=name, reason=reason):
                    session = self._names.get(name)
                    if session is not None:
                        self.switch.close(session, _ending(client_id, reason), self.loop.time())
                case _:
                    assert_never(effect)

    def _settle(self) -> None:
        """After each event: hand out what waits, and be woken in time."""
        self.wake()
        self._arm()
        if not self._are_tables_here.is_set() and all(map(self._exchange.is_current, self._needed)):
            self._are_tables_here.set()
        if not self.switch.accounts.is_known and self._exchange.is_current(TOKENS):
            self.switch.accounts.update({}, ())  # there are none

    def _sample(self, due: float) -> None:
        """Four times a second: is it late, is it large; now and then also whose time is over. The loop would only log what is
        raised here; the crash rule wants more."""
        now = self.loop.time()
        self._sampling = self.loop.call_later(SAMPLE_S, self._sample, now + SAMPLE_S)
        try:
            self._look(now - due, now)
        except Exception as error:
            self.crash(error)

    def _look(self, lag_s: float, now: float) -> None:
        load, accounts = self.switch.load, self.switch.accounts
        memory_bytes = resident_bytes()
        if load.measured(lag_s=lag_s, memory_bytes=memory_bytes):
            found: dict[str, int | float | str] = {"lag_ms": round(1_000 * lag_s), "memory_bytes": memory_bytes}
            if load.reason:
                self.event("gateway.overloaded", gateway=self.role, reason=load.reason, **found)
            else:
                self.event("gateway.relieved", gateway=self.role, **found)
        self._samples += 1
        if self._samples % _LOOK_SAMPLES == 0:
            self.switch.withdraw(accounts.over(), now)
            for address, times in accounts.take_news(now):
                why = "it is not known, or no more"
                self.event("auth.failed", address=address, gateway=self.role, reason=why, repeated=times - 1)
            self.wake()
        if self._samples % _REPORT_SAMPLES == 0 and self._used:
            used, self._used = self._used, {}
            self.send_role("config", auth.Used(used))

    def _arm(self) -> None:
        self._arm_at(min(self._exchange.next_deadline(), self._admission.next_deadline(), self.switch.next_deadline()))

    def _arm_at(self, deadline: float) -> None:
        # Too early does no harm, so a deadline that went away stays armed: no timer is made anew for each call.
        if deadline < self._armed_at:
            self._armed_at = deadline
            self.arm(deadline)

    def _turn(self) -> None:
        """`_pump` at the end of a loop turn. The loop would only log what is raised here; the crash rule wants more."""
        try:
            self._pump()
        except Exception as error:
            self.crash(error)

    def _pump(self) -> None:
        self._is_awake = False
        now = self.loop.time()
        dirty, peers, ended = self.switch.take_dirty(now)
        for session in dirty:
            try:
                session.connection.flush()
            except Exception as error:
                # One client's trouble (crash rule): it is closed, everybody else goes on.
                _log.exception("gateway.flush_failed", extra={"client_id": session.client_id, "surface": session.surface})
                self.switch.close(session, _internal(error), now)
                self.wake()
        for session in ended:
            try:
                session.connection.end(session.ended_by)
            except Exception:
                _log.exception("gateway.end_failed", extra={"client_id": session.client_id, "surface": session.surface})
        for peer in peers:
            self._flush_peer(peer, now)
        for end in self.switch.take_slow():
            name = end.client_id if isinstance(end, Session) else end.role
            happened = "client.slow" if isinstance(end, Session) else "gateway.slow"
            self.event(happened, client_id=name, gateway=self.role, dropped="newest", waiting_bytes=end.outbox.bytes)
        self._send_retained()
        for role, question in self.switch.questions.take():
            if not self.send_role(role, question):
                self.switch.questions.undelivered(question.number, now)
        self._arm_at(self.switch.next_deadline())
        if self.switch.has_waiting():
            self.wake()
        if self._idle is not None and self.switch.is_idle():
            self._idle.set()

    def _flush_peer(self, peer: Peer, now: float) -> None:
        address = self.roles().get(peer.role)
        while address is not None and (frames := peer.held or peer.outbox.take(_BATCH_BYTES, now)):
            if not self.send_frames(address, frames):
                peer.held = frames  # `on_writable` follows
                return
            peer.held = []

    def _send_retained(self) -> None:
        if "topic_manager" not in self.roles():
            return
        for number, topic, frame, is_removal in self.switch.requests.retaining.to_send():
            if not self.send_role("topic_manager", topics.Retain(number, topic, frame, is_removal)):
                return


def _printable(agent: str) -> str:
    """What a client says it is, fit for a table on a terminal."""
    return "".join(character for character in agent[:128] if character.isprintable())


def _rejection(code: str) -> MajulaError:
    if code == Conflict.code:
        return Conflict("the client id is in use by another session")
    if code == Overloaded.code:
        return Overloaded("too many clients ask for their id just now", retry_after_s=1.0)
    return from_code(code, "the client id was refused")


def _ending(client_id: str, reason: str) -> MajulaError:
    """What a client is told whose session the router has closed."""
    if reason == "disconnected":
        return ConnectionLost("an operator has ended this session; it may connect again", reason=reason)
    return Conflict(f"the client id {client_id!r} has gone to another session", reason=reason)


def _reason(error: MajulaError | None) -> str:
    """Why a session has ended, in a word; empty: its client, or its connection."""
    return "" if error is None else str(error.detail.get("reason") or error.code)


def _internal(error: Exception) -> MajulaError:
    return from_code("internal", f"this connection broke inside the gateway ({type(error).__name__})")
