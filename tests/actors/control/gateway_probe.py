"""A gateway without clients: its tables are real, what it says and hears is the test's."""

from __future__ import annotations

import secrets
from math import inf

from majula.actorsystem.actor import MajulaActor, NoConfig
from majula.auth.book import TOKENS
from majula.messages.base import Address, Message, Role, decode, encode
from majula.messages.operations import Performed
from majula.messages.routing import CloseSession, Granted, Refused
from majula.messages.telemetry import Event, PublishEvent
from majula.messages.topics import Retained
from majula.routing.presence import PRESENCE
from majula.routing.readers import READERS, READING
from majula.routing.sessions import CLIENTS, SESSIONS
from majula.rpc.services import REGISTRATIONS, SERVICES
from majula.tables import Changed, Effect, InForce, TableExchange
from majula.topics.interest import INTEREST, SUBSCRIPTIONS
from majula.topics.retained import RETAINED

SLICES = {SUBSCRIPTIONS: "topic_manager", REGISTRATIONS: "rpc_broker", SESSIONS: "router", READING: "router"}
TABLES = {INTEREST: "topic_manager", SERVICES: "rpc_broker", CLIENTS: "router", READERS: "router", TOKENS: "config"}

TOLD_BYTES = 100_000


class Listen(Message, frozen=True, array_like=True, tag="gateway_probe.Listen"):
    """Report everything to the sender from now on, beginning with what is held."""


class Put(Message, frozen=True, array_like=True, tag="gateway_probe.Put"):
    """Change a slice: `value` None removes the key. `token` over 0: and have it confirmed."""

    table: str
    key: str
    value: bytes | None
    token: int = 0


class Pass(Message, frozen=True, array_like=True, tag="gateway_probe.Pass"):
    """Send this encoded message to a role."""

    role: Role
    message: bytes


class Heard(Message, frozen=True, array_like=True, tag="gateway_probe.Heard"):
    """A message that is not of tables has come."""

    by: Role
    message: bytes


class Holds(Message, frozen=True, array_like=True, tag="gateway_probe.Holds"):
    """A copy has changed, or its publisher has brought it level: what it is now."""

    by: Role
    table: str
    entries: dict[str, bytes]
    is_current: bool


class Confirmation(Message, frozen=True, array_like=True, tag="gateway_probe.Confirmation"):
    """The end of a token."""

    by: Role
    token: int
    is_in_force: bool


class Break(Message, frozen=True, array_like=True, tag="gateway_probe.Break"):
    """Raise, as a bug would."""


class GatewayProbe(MajulaActor):
    """See the messages."""

    async def on_start(self, config: NoConfig) -> None:
        self._reports_to: Address | None = None
        self._tables = TableExchange(
            role=self.role, incarnation=self.incarnation, random32=secrets.randbits(32), now=self.loop.time()
        )
        self._slices = {table: self._tables.publish(table, to=to, needs_holder=True) for table, to in SLICES.items()}
        for table, of in TABLES.items():
            self._tables.hold(table, of=of)
        self._tables.hold(RETAINED, of="topic_manager", gives_back=True)
        self._tables.hold(PRESENCE, of="router", gives_back=True)
        self._current: dict[str, bool] = {}

    def on_role(self, role: Role, address: Address | None, incarnation: int) -> None:
        self._step(self._tables.role_changed(role, address, incarnation, self.loop.time()))

    def on_message(self, message: Message, sender: Address) -> None:
        now = self.loop.time()
        effects = self._tables.receive(message, sender, now)
        if effects is not None:
            self._step(effects)
            return
        match message:
            case Listen():
                self._reports_to = sender
                for table in (*TABLES, RETAINED, PRESENCE):
                    self._tell(table)
            case Put(table=table, key=key, value=value, token=token):
                if value is None:
                    self._slices[table].remove(key, now)
                else:
                    self._slices[table].put(key, value, now)
                self._step(self._tables.confirm(table, token, now, timeout_s=8.0) if token else [])
            case Pass(role=role, message=inner):
                self.send_role(role, decode(inner))
            case Retained() | Granted() | Refused() | CloseSession() | Performed() | PublishEvent():
                self._report(Heard(by=self.role, message=encode(message)))
            case Break():
                raise ValueError("told to break")

    def on_writable(self, target: Address) -> None:
        self._step(self._tables.writable(target, self.loop.time()))

    def on_deadline(self, deadline: float) -> None:
        self._step(self._tables.timer(max(deadline, self.loop.time())))

    def _step(self, effects: list[Effect]) -> None:
        for news in self._tables.carry_out(effects, self.send, self.loop.time()):
            if isinstance(news, Changed):
                self._tell(news.table)
            else:
                self._report(Confirmation(self.role, news.token, isinstance(news, InForce)))
        for table in (*TABLES, RETAINED, PRESENCE):
            if self._tables.is_current(table) != self._current.get(table, False):
                self._current[table] = self._tables.is_current(table)
                self._tell(table)
        deadline = self._tables.next_deadline()
        self.arm(deadline if deadline < inf else None)

    def _report(self, message: Message) -> None:
        if self._reports_to is not None:
            self.send(self._reports_to, message)

    def _tell(self, table: str) -> None:
        # Large values are told by their keys alone: otherwise 64 MiB would travel with every change.
        entries = {key: value if len(value) < TOLD_BYTES else b"" for key, value in self._tables.held(table).items()}
        self._report(Holds(self.role, table, entries, self._tables.is_current(table)))


class TelemetryProbe(MajulaActor):
    """Hears the events of all roles, and passes them on once somebody listens."""

    async def on_start(self, config: NoConfig) -> None:
        self._reports_to: Address | None = None
        self._early: list[Event] = []

    def on_message(self, message: Message, sender: Address) -> None:
        match message:
            case Listen():
                self._reports_to = sender
                early, self._early = self._early, []
                for event in early:
                    self.send(sender, Heard(by=self.role, message=encode(event)))
            case Event():
                if self._reports_to is None:
                    self._early.append(message)
                else:
                    self.send(self._reports_to, Heard(by=self.role, message=encode(message)))
