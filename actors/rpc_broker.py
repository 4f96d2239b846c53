"""The RPC broker: who provides what.

It is on nobody's path. It merges the gateways' slices `registrations` into the table `services`, by which every gateway chooses a
provider itself. While it is away the gateways act by the last table; when it is back it gathers the slices anew. The rules are in
`majula.tables` and `majula.rpc`.
"""

from __future__ import annotations

import secrets
from math import inf

from majula.actorsystem.actor import MajulaActor, NoConfig
from majula.messages.base import Address, Message, Role
from majula.rpc.services import REGISTRATIONS, SERVICES, ServiceMerge
from majula.tables import Effect, TableExchange

GATEWAYS = "gateway:"


class RpcBrokerActor(MajulaActor):
    """Role `rpc_broker`."""

    async def on_start(self, config: NoConfig) -> None:
        self._tables = TableExchange(
            role=self.role, incarnation=self.incarnation, random32=secrets.randbits(32), now=self.loop.time()
        )
        self._tables.gather(REGISTRATIONS, of=GATEWAYS, into=SERVICES, merge=ServiceMerge())
        self._arm()

    def on_role(self, role: Role, address: Address | None, incarnation: int) -> None:
        self._step(self._tables.role_changed(role, address, incarnation, self.loop.time()))

    def on_message(self, message: Message, sender: Address) -> None:
        self._step(self._tables.receive(message, sender, self.loop.time()) or [])

    def on_writable(self, target: Address) -> None:
        self._step(self._tables.writable(target, self.loop.time()))

    def on_deadline(self, deadline: float) -> None:
        self._step(self._tables.timer(max(deadline, self.loop.time())))

    def statistics(self) -> dict[str, int | float | str]:
        return {**self._tables.statistics()}

    def _step(self, effects: list[Effect]) -> None:
        # What the slices say is merged within the exchange; there is nothing else that the broker would act by.
        self._tables.carry_out(effects, self.send, self.loop.time())
        self._arm()

    def _arm(self) -> None:
        deadline = self._tables.next_deadline()
        self.arm(deadline if deadline < inf else None)
