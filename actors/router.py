"""The router: who is where. On one node it owns the client ids: one id, one session, whatever the gateway.

Gateways claim an id for a client and get a verdict; what they serve they tell by their slices `sessions`, which become the
table `clients`. While the router is away they admit by that table; when it is back it settles what they decided differently.
The rules are in `majula.tables` and `majula.routing`.
"""

from __future__ import annotations

import secrets
from math import inf

from majula.actorsystem.actor import MajulaActor, NoConfig
from majula.messages.base import Address, Message, Role
from majula.messages.routing import Claim, Release
from majula.routing.clients import ClientDirectory
from majula.routing.readers import READERS, READING, ReaderMerge
from majula.routing.sessions import CLIENTS, SESSIONS
from majula.tables import Changes, Effect, TableExchange

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
            case Release(client_id=client_id, session=session):
                self._change(self._directory.release(gateway, client_id, session))

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
        self._tables.carry_out(effects, self.send, now)
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
        self._arm()

    def _arm(self) -> None:
        deadline = min(self._tables.next_deadline(), self._directory.next_deadline())
        self.arm(deadline if deadline < inf else None)
