"""The topic manager: who wants what, and what a topic's last value is.

It is on nobody's path. It merges the gateways' slices `subscriptions` into the table `interest`, and puts retained values in
order and publishes them as the table `retained`. While it is away the gateways act by the last tables; when it is back it
gathers both from them. The rules are in `majula.tables` and `majula.topics`.
"""

from __future__ import annotations

import asyncio
import secrets
from math import inf

import msgspec

from majula.actorsystem.actor import MajulaActor
from majula.errors import InvalidRequest, MajulaError, NotFound, Overloaded
from majula.messages.base import Address, Message, Role
from majula.messages.operations import Perform, answered, refused
from majula.messages.topics import Retain, Retained
from majula.tables import Changed, Effect, InForce, TableExchange, Unconfirmed
from majula.topics.interest import INTEREST, SUBSCRIPTIONS, InterestMerge
from majula.topics.listing import TopicListing
from majula.topics.operations import LIST, TopicsRequest
from majula.topics.retained import RETAINED, RetainedOrder, RetainedSettings

GATEWAYS = "gateway:"

# Retained publishes that come while the values are regained. Each gateway sends at most 256 before the first is settled.
EARLY = 4_096

# Each holds the keys of all topics while it is made.
LISTS = 4

# A gateway that does not confirm is hung and ended by its supervisor within 4 s; then it is waited for no longer.
SETTLE_S = 10.0


class TopicManagerActor(MajulaActor):
    """Role `topic_manager`."""

    config_type = RetainedSettings

    async def on_start(self, config: RetainedSettings) -> None:
        self._tables = TableExchange(
            role=self.role, incarnation=self.incarnation, random32=secrets.randbits(32), now=self.loop.time()
        )
        self._interest = InterestMerge()
        self._tables.gather(SUBSCRIPTIONS, of=GATEWAYS, into=INTEREST, merge=self._interest)
        self._retained = self._tables.regain(RETAINED, of=GATEWAYS)
        self._order = RetainedOrder(epoch=self._tables.epoch, limit_bytes=config.limit_bytes)
        self._early: list[tuple[Retain, Address]] = []
        self._settling: dict[int, tuple[Address, int]] = {}
        self._tokens = 0
        self._refused = 0
        self._lists = 0
        self._arm()

    def on_settings(self, config: RetainedSettings) -> None:
        """The limit holds for what is retained from now on; what is there stays."""
        self._order.limit_bytes = config.limit_bytes

    def on_role(self, role: Role, address: Address | None, incarnation: int) -> None:
        self._step(self._tables.role_changed(role, address, incarnation, self.loop.time()))

    def on_message(self, message: Message, sender: Address) -> None:
        effects = self._tables.receive(message, sender, self.loop.time())
        if effects is not None:
            self._step(effects)
        elif isinstance(message, Perform):
            self._perform(message, sender)
        elif isinstance(message, Retain):
            if self._retained.is_open:
                self._retain(message, sender)
            elif len(self._early) < EARLY:
                self._early.append((message, sender))
            else:
                self.send(sender, Retained(number=message.number, code="overloaded"))

    def on_writable(self, target: Address) -> None:
        self._step(self._tables.writable(target, self.loop.time()))

    def on_deadline(self, deadline: float) -> None:
        self._step(self._tables.timer(max(deadline, self.loop.time())))

    def statistics(self) -> dict[str, int | float | str]:
        return {**self._tables.statistics(), "retained_bytes": self._order.size_bytes, "retained_refused": self._refused}

    def _step(self, effects: list[Effect]) -> None:
        for news in self._tables.carry_out(effects, self.send, self.loop.time()):
            match news:
                case Changed(table=table, entries=entries) if table == RETAINED:
                    self._order.load(entries)
                    early, self._early = self._early, []
                    for message, sender in early:
                        self._retain(message, sender)
                case InForce(token=token):
                    self._settle(token, "")
                case Unconfirmed(token=token):
                    self._settle(token, "unavailable")
        self._arm()

    def _retain(self, message: Retain, sender: Address) -> None:
        now = self.loop.time()
        if message.is_removal:
            self._order.remove(message.topic)
            self._retained.remove(message.topic, now)
        else:
            value = self._order.put(message.topic, message.frame)
            if value is None:
                self._refused += 1
                self.send(sender, Retained(number=message.number, code="limit_reached"))
                return
            self._retained.put(message.topic, value, now)
        self._tokens += 1
        self._settling[self._tokens] = (sender, message.number)
        self._step(self._tables.confirm(RETAINED, self._tokens, now, timeout_s=SETTLE_S))

    def _settle(self, token: int, code: str) -> None:
        sender, number = self._settling.pop(token)
        self.send(sender, Retained(number=number, code=code))

    def _perform(self, message: Perform, sender: Address) -> None:
        try:
            if message.operation != LIST.name:
                raise NotFound(f"{message.operation} is not served here", operation=message.operation)
            if self._lists >= LISTS:
                raise Overloaded("too many lists are being made", retry_after_s=1.0)
            asked = msgspec.msgpack.decode(message.parameters, type=TopicsRequest)
            listing = TopicListing(self._interest, self._order, asked)
        except MajulaError as error:
            self.send(sender, refused(message, error))
            return
        except msgspec.DecodeError as error:
            self.send(sender, refused(message, InvalidRequest(f"{message.operation}: {error}")))
            return
        self._lists += 1
        self.spawn(self._list(listing, message, sender), name="topics.list")

    async def _list(self, listing: TopicListing, message: Perform, sender: Address) -> None:
        answer = listing.step()
        while answer is None:
            await asyncio.sleep(0)  # what else has come is served between two portions
            answer = listing.step()
        self._lists -= 1
        self.send(sender, answered(message, answer))

    def _arm(self) -> None:
        deadline = self._tables.next_deadline()
        self.arm(deadline if deadline < inf else None)
