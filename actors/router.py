"""The router: who is where. On one node it owns the client ids: one id, one session, whatever the gateway.

Gateways claim an id for a client and get a verdict; what they serve they tell by their slices `sessions`, which become the
table `clients`. While the router is away they admit by that table; when it is back it settles what they decided differently.
It also tells who comes and goes (`client.connected`, `client.disconnected`), and ends a session where an operator wants
it. The rules are in `majula.tables` and `majula.routing`.
"""

from __future__ import annotations

import secrets
from math import inf

from majula.actorsystem.actor import MajulaActor, NoConfig
from majula.errors import NotFound, Unavailable
from majula.messages.auth import Audit
from majula.messages.base import Address, Message, Role
from majula.messages.operations import Caller, Perform, perform
from majula.messages.routing import Claim, Release
from majula.routing.clients import ClientDirectory
from majula.routing.operations import DISCONNECT, DisconnectRequest
from majula.routing.presence import PRESENCE, Came, Move, Presence, Went
from majula.routing.readers import READERS, READING, ReaderMerge
from majula.routing.sessions import CLIENTS, SESSIONS
from majula.tables import Changed, Changes, Effect, TableExchange

GATEWAYS = "gateway:"


class RouterActor(MajulaActor):
    """Role `router`."""

    async def on_start(self, config: NoConfig) -> None:
        now = self.loop.time()
        self._directory = ClientDirectory()
        self._tables = TableExchange(role=self.role, incarnation=self.incarnation, random32=secrets.randbits(32), now=now)
        self._clients = self._tables.gather(SESSIONS, of=GATEWAYS, into=CLIENTS, merge=self._directory)
        self._tables.gather(READING, of=GATEWAYS, into=READERS, merge=ReaderMerge())
        self._gateways: dict[Address, Role] = {}
        self._is_open = False
        self._presence = Presence()
        self._told = self._tables.regain(PRESENCE, of=GATEWAYS)
        self._regained: dict[str, bytes] | None = None
        self._is_telling = False
        self._serving = {DISCONNECT.name: self._disconnect}
        self._arm()

    def on_role(self, role: Role, address: Address | None, incarnation: int) -> None:
        if role.startswith(GATEWAYS):
            self._gateways = {at: name for at, name in self._gateways.items() if name != role}
            if address is not None:
                self._gateways[address] = role
        self._step(self._tables.role_changed(role, address, incarnation, self.loop.time()))

    def on_message(self, message: Message, sender: Address) -> None:
        now = self.loop.time()
        effects = self._tables.receive(message, sender, now)
        if effects is not None:
            self._step(effects)
            return
        gateway = self._gateways.get(sender)
        if gateway is None:
            return  # of a life that has ended, or not in the registry yet: then the gateway decides after 1 s
        match message:
            case Claim():
                self._change(self._directory.claim(gateway, message, now))
            case Release(client_id=client_id, session=session, reason=reason):
                self._change(self._directory.release(gateway, client_id, session, reason))
            case Perform():
                self.send(sender, perform(message, self._serving))
                self._tell()

    def on_writable(self, target: Address) -> None:
        self._step(self._tables.writable(target, self.loop.time()))

    def on_deadline(self, deadline: float) -> None:
        now = max(deadline, self.loop.time())
        self._change(self._directory.timer(now))
        self._step(self._tables.timer(now))

    def statistics(self) -> dict[str, int | float | str]:
        return {**self._tables.statistics(), "clients": len(self._directory)}

    def _step(self, effects: list[Effect]) -> None:
        now = self.loop.time()
        for news in self._tables.carry_out(effects, self.send, now):
            if isinstance(news, Changed) and news.table == PRESENCE:
                self._regained = dict(news.entries)
        if self._clients.is_open and not self._is_open:
            self._is_open = True
            self._change(self._directory.open(now))
        self._tell()

    def _change(self, changes: Changes) -> None:
        now = self.loop.time()
        for client_id, value in changes.items():
            if value is None:
                self._clients.remove(client_id, now)
            else:
                self._clients.put(client_id, value, now)
        self._tell()

    def _tell(self) -> None:
        for order in self._directory.take_orders():
            # A gateway that is away has lost its sessions, and nobody waits there for a verdict.
            self.send_role(order.gateway, order.message)
        moves = self._directory.take_moves()
        if self._is_telling:
            self._announce(moves, self._presence.told(moves))
        elif self._is_open and self._regained is not None:
            # From here on it is known who was there before this router, and who is there now.
            self._is_telling = True
            self._announce(*self._presence.open(self._regained, self._directory.sessions()))
            self._regained = {}
        self._arm()

    def _announce(self, moves: list[Move], changes: Changes) -> None:
        now = self.loop.time()
        for client_id, value in changes.items():
            if value is None:
                self._told.remove(client_id, now)
            else:
                self._told.put(client_id, value, now)
        for move in moves:
            match move:
                case Came(session=session):
                    self.event(
                        "client.connected",
                        client_id=session.client_id,
                        gateway=session.gateway,
                        surface=session.surface,
                        agent=session.agent,
                    )
                case Went(client_id=client_id, gateway=gateway, reason=reason):
                    self.event("client.disconnected", client_id=client_id, gateway=gateway, reason=reason)

    def _disconnect(self, asked: DisconnectRequest, caller: Caller) -> None:
        if not self._is_open:
            raise Unavailable("the router has just started and does not know everybody yet", retry_after_s=0.5)
        if self._directory.disconnect(asked.client) is None:
            raise NotFound(f"no client has the id {asked.client[:128]!r}", client=asked.client[:128])
        self.send_role("config", Audit(caller.who, DISCONNECT.name, {"client": asked.client, "by": caller.client_id}))

    def _arm(self) -> None:
        deadline = min(self._tables.next_deadline(), self._directory.next_deadline())
        self.arm(deadline if deadline < inf else None)
