"""One client of this gateway: who it is, what it asked for, what waits for it."""

from __future__ import annotations

from typing import Protocol

from msgspec import Struct

from majula.errors import MajulaError
from majula.gateway.accounts import ANYBODY, Identity
from majula.gateway.outbox import Outbox
from majula.gateway.plans import CallPlan
from majula.gateway.rates import UNMETERED, Meter
from majula.gateway.settings import GatewayLimits
from majula.wire.headers import Register

SubscriptionKey = tuple[str, bool, str]
"""(topic, pattern, queue): what SUBSCRIBE names and UNSUBSCRIBE repeats."""


class Connection(Protocol):
    """What an edge puts behind a session. Called at the end of a loop turn, never from within a use of the switch."""

    def flush(self) -> None:
        """Something waits in `session.outbox`: take it and write it, unless the client does not read just now."""

    def end(self, error: MajulaError | None) -> None:
        """The gateway has ended the session (an ERROR that says why is in the outbox): write what is left and close.
        None: the session ended because the client asked for it."""


class SessionStatistics(Struct, frozen=True):
    """One session, as `status` and the list of clients show it. Messages are those of topics, calls and private ones: by this
    gateway from it, and written to it."""

    client_id: str
    surface: str
    agent: str
    subscriptions: int
    functions: int
    received_frames: int
    received_messages: int
    sent_messages: int
    waiting_bytes: int
    dropped_messages: int
    is_slow: bool


class Session:
    """State of one client, for as long as its connection (or HTTP session) stands.

    Args:
        number: of this session in this gateway's life; never used again.
        name: of this session, never used before in this node; empty where it claimed no id.
        client_id: its name on this node.
        secret: takes the id over after a lost connection; empty where the session claimed no id.
        surface: `native`, `websocket`, `seed` (a WebSocket without subprotocol), `http`, `sse`.
        agent: what the client says it is.
        connection: the edge's side.
        is_claimed: the id is this session's alone; False: it is a label (plain HTTP).
        identity: on whose behalf it acts.
        meter: how much it may send.

    Attributes:
        grants: what it may do, None: everything, so that the hot path asks nothing.
        allowed: headers of PUBLISH frames that it is known to be allowed, by their bytes; None: all of them.
        ready_at: loop time before which its connection is not to be read: it has sent more than it may.
    """

    __slots__ = (
        "agent",
        "allowed",
        "client_id",
        "connection",
        "ended_by",
        "functions",
        "grants",
        "identity",
        "is_claimed",
        "is_dirty",
        "is_open",
        "meter",
        "name",
        "number",
        "outbox",
        "plans",
        "ready_at",
        "received_frames",
        "received_messages",
        "secret",
        "speaks_flows",
        "subscriptions",
        "surface",
        "was_slow",
        "who",
    )

    def __init__(
        self,
        *,
        number: int,
        name: str = "",
        client_id: str,
        secret: str,
        surface: str,
        agent: str,
        connection: Connection,
        is_claimed: bool,
        identity: Identity = ANYBODY,
        meter: Meter = UNMETERED,
        limits: GatewayLimits,
        now: float,
    ) -> None:
        self.number = number
        self.name = name
        self.client_id = client_id
        self.secret = secret
        self.surface = surface
        self.agent = agent
        self.connection = connection
        self.is_claimed = is_claimed
        self.identity = identity
        self.who = identity.who
        self.grants = None if identity.grants.is_all else identity.grants
        self.allowed: set[bytes] | None = None if identity.grants.is_all else set()
        self.meter = meter
        self.ready_at = 0.0
        # It numbers, acknowledges and orders private messages itself (`majula.flow`); else this gateway does it for it. Set by
        # the edge, which knows what was agreed with the client.
        self.speaks_flows = False
        self.outbox = Outbox(limits, now)
        self.is_open = True
        self.is_dirty = False  # it is in the switch's list of sessions to flush
        self.was_slow = False  # it has been named in the log
        self.ended_by: MajulaError | None = None
        self.subscriptions: dict[SubscriptionKey, None] = {}
        self.functions: dict[str, Register] = {}
        self.plans: dict[bytes, CallPlan] = {}  # by the bytes of a CALL header behind its number
        self.received_frames = 0
        self.received_messages = 0

    def statistics(self) -> SessionStatistics:
        outbox = self.outbox.statistics()
        return SessionStatistics(
            client_id=self.client_id,
            surface=self.surface,
            agent=self.agent,
            subscriptions=len(self.subscriptions),
            functions=len(self.functions),
            received_frames=self.received_frames,
            received_messages=self.received_messages,
            sent_messages=self.outbox.given,
            waiting_bytes=outbox.bytes,
            dropped_messages=outbox.dropped_messages,
            is_slow=outbox.is_full,
        )
