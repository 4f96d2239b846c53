"""The gateway: clients on one side, tables and other gateways on the other. `majula.gateway` decides and moves; this connects
it to sockets (the edges), to the other actors (tables, claims, batches of frames) and to the loop's time.

Once per loop turn in which anything came, `_pump` hands out what waits: frames to clients, one batch to each other gateway.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import logging
import secrets
import time
from collections.abc import Coroutine, Iterable, Sequence
from math import inf
from random import Random
from typing import Any, assert_never

from majula.actors.reception import Reception
from majula.actorsystem.actor import MajulaActor
from majula.actorsystem.memory import keep_freed_memory, resident_bytes
from majula.actorsystem.sockets import take_sockets
from majula.auth.book import TOKENS
from majula.errors import (
    Draining,
    InvalidRequest,
    MajulaError,
    from_code,
)
from majula.gateway.accounts import Identity
from majula.gateway.edge import Edge
from majula.gateway.load import SAMPLE_S
from majula.gateway.peers import Peer
from majula.gateway.session import Connection, Session
from majula.gateway.settings import GatewaySettings
from majula.gateway.switch import Switch
from majula.gateway.teller import Teller
from majula.messages import auth, operations, routing, telemetry, topics
from majula.messages.base import Address, Message, Role
from majula.routing.presence import PRESENCE
from majula.routing.readers import READERS, READING, Readers
from majula.routing.sessions import CLIENTS, SESSIONS
from majula.rpc.services import REGISTRATIONS, SERVICES
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
# Samples of the load (four a second) between two looks at who is over, and between two reports of which tokens were used.
_LOOK_SAMPLES = 4
_REPORT_SAMPLES = 120
_TELL_S = 1.0
_CROWD_S = 0.05


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
        self._reception = Reception(self)
        self._streams = Readers()
        self._samples = 0
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
        self._crowd = asyncio.Event()
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
        """What telemetry shows of the clients here: who comes and goes at once, figures each second. What it does not take is
        told anew when it is back."""
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_TELL_S):
                    while True:
                        await self._crowd.wait()
                        self._crowd.clear()
                        self._told(self._teller.crowd(time.time()))
                        await asyncio.sleep(_CROWD_S)  # many that come at once are told of together
            self._told(self._teller.next(time.time()))

    def _told(self, figures: telemetry.ClientFigures | None) -> None:
        if figures is not None and not self.send_role("telemetry", figures):
            self._teller.restart()

    def _socket_names(self) -> list[str]:
        config = self.settings
        return [name for name in (config.http_socket, config.native_socket, config.native_tcp_socket) if name]

    # --- what comes from other actors

    def on_role(self, role: Role, address: Address | None, incarnation: int) -> None:
        now = self.loop.time()
        self._carry(self._exchange.role_changed(role, address, incarnation, now), now)
        self._reception.role_changed(role, is_here=address is not None)
        if address is None:
            self.switch.questions.role_gone(role, now)
        else:
            self.switch.questions.role_here(role)
        if role == "telemetry":
            self._teller.restart()
        if role == "topic_manager":
            self.switch.requests.retaining.restart()
        elif role.startswith(_GATEWAYS):
            self._gateways = {known: its for known, its in self._gateways.items() if its != role}
            if address is not None:
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
                case routing.Granted() | routing.Refused() | routing.CloseSession() | auth.Spent():
                    self._reception.receive(message)
                case topics.Retained(number=number, code=code):
                    self.switch.requests.retained_settled(number, code, now)
                case operations.Performed():
                    self.switch.questions.performed(message, now)
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
        for role, address in self.roles().items():
            if address == target:
                self.switch.questions.role_here(role)
        self._settle()

    def on_deadline(self, deadline: float) -> None:
        # The loop may fire a clock tick early; the cores must see their deadline as reached.
        now = max(deadline, self.loop.time())
        self._armed_at = inf
        self._carry(self._exchange.timer(now), now)
        self._reception.timer(now)
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
        return await self._reception.admit(
            connection,
            surface=surface,
            client_id=client_id,
            secret=secret,
            agent=agent,
            newest_wins=newest_wins,
            identity=identity,
        )

    def attach(
        self, connection: Connection, *, surface: str, label: str = "", agent: str = "", identity: Identity | None = None
    ) -> Session:
        return self._reception.attach(connection, surface=surface, label=label, agent=agent, identity=identity)

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
        if table == SESSIONS:
            self._crowd.set()
        self.arm_at(self._slices[table].next_deadline())

    def confirm(self, table: str, token: int) -> None:
        now = self.loop.time()
        self._carry(self._exchange.confirm(table, token, now), now)
        self.arm_at(self._slices[table].next_deadline())

    def session_ended(self, session: Session) -> None:
        self._reception.session_ended(session)

    # --- Places

    def gateway_of(self, client_id: str) -> Role | None:
        return self._reception.gateway_of(client_id)

    def clients(self) -> Iterable[str]:
        return self._reception.clients()

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
                self._reception.apply(changed.entries, changed.removed)
            case "readers":
                self._streams.apply(changed.entries, changed.removed)
            case "tokens":
                switch.withdraw(switch.accounts.update(changed.entries, changed.removed).ended, self.loop.time())

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
        if self._samples % _REPORT_SAMPLES == 0:
            self._reception.report_used()

    def _arm(self) -> None:
        self.arm_at(min(self._exchange.next_deadline(), self._reception.next_deadline(), self.switch.next_deadline()))

    def arm_at(self, deadline: float) -> None:
        """Be woken by then, as `arm`, without making a later time of an earlier one."""
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
                self.switch.questions.hold(question.number, question, now)
        self.arm_at(self.switch.next_deadline())
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


def _internal(error: Exception) -> MajulaError:
    return from_code("internal", f"this connection broke inside the gateway ({type(error).__name__})")
