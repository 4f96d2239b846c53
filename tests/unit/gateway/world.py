"""Gateways without sockets, actors and a clock: a `Node` of several switches, its tables in force at once, clients as lists of
frames.

Time stands still until a test moves `node.now`. Frames between gateways are carried by `node.settle`, in order, as batches.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from random import Random

import msgspec

from majula.errors import MajulaError
from majula.gateway.accounts import ANYBODY, Identity
from majula.gateway.session import Session
from majula.gateway.settings import GatewayLimits, GatewaySettings
from majula.gateway.switch import Switch
from majula.messages.operations import Perform
from majula.rpc.services import REGISTRATIONS, ServiceMerge
from majula.tables import Merge
from majula.topics.interest import SUBSCRIPTIONS, InterestMerge
from majula.wire.frames import PREFIX_BYTES, FrameReader, decode_header, encode_frame, encode_run, split_run
from majula.wire.headers import AnyHeader, Header, Publish

WALL = 1_700_000_000.0
Frame = tuple[AnyHeader, bytes]


@dataclass
class Node:
    """Gateways `gateway:1`, `gateway:2` ... of one node."""

    gateways: int = 1
    limits: GatewayLimits = field(default_factory=GatewayLimits)
    now: float = 100.0

    def __post_init__(self) -> None:
        self.tables: list[Merge] = [InterestMerge(), ServiceMerge()]
        self.places: dict[str, str] = {}  # client id -> gateway, as the table `clients` says it
        self.switches = [self._make(number) for number in range(1, self.gateways + 1)]
        self.incarnations = {switch.role: 1 for switch in self.switches}
        self.ended: list[Session] = []
        self.asked: list[tuple[str, Perform]] = []  # of other actors
        self.holds_confirmations = False
        self.confirmations: list[tuple[Switch, int]] = []
        for switch in self.switches:
            self._introduce(switch)

    def client(
        self,
        client_id: str = "",
        gateway: int = 1,
        *,
        reads: bool = True,
        speaks_flows: bool = True,
        identity: Identity = ANYBODY,
        is_claimed: bool = True,
    ) -> Client:
        """A client that is attached. `reads` False: it leaves everything in its outbox until `frames` is called."""
        switch = self.switches[gateway - 1]
        client = Client(self, switch, reads=reads)
        client.session = switch.open(
            client,
            client_id=client_id or f"client-{len(switch.sessions)}-{gateway}",
            secret="secret",
            surface="native",
            is_claimed=is_claimed,
            identity=identity,
            now=self.now,
        )
        client.session.speaks_flows = speaks_flows
        self.places[client.session.client_id] = switch.role
        return client

    def settle(self) -> None:
        """Turn the loops until nothing waits anywhere."""
        while sum(self._turn(switch) for switch in self.switches):
            pass

    def advance(self, seconds: float) -> None:
        """Move the clock, firing each deadline exactly when it is due."""
        until = self.now + seconds
        while True:
            due = min(switch.next_deadline() for switch in self.switches)
            if due > until:
                break
            self.now = max(self.now, due)
            for switch in self.switches:
                switch.tick(self.now)
            assert min(switch.next_deadline() for switch in self.switches) > due
            self.settle()
        self.now = until

    def kill(self, gateway: int) -> None:
        """The gateway dies; the others hear of it, its tables go."""
        dead = self.switches[gateway - 1]
        for table, merge in zip((SUBSCRIPTIONS, REGISTRATIONS), self.tables, strict=True):
            self._apply(table, merge.owner_lost(dead.role))
        for switch in self.switches:
            switch.set_peer(dead.role, None, self.now)
        self.settle()

    # --- Slices, one object for all: the role tells whose

    def put(self, role: str, table: str, key: str, value: bytes | None) -> None:
        if table not in (SUBSCRIPTIONS, REGISTRATIONS):
            return
        merge = self.tables[0 if table == SUBSCRIPTIONS else 1]
        self._apply(table, merge.apply(role, {key: value} if value is not None else {}, [key] if value is None else []))

    def confirm(self, switch: Switch, token: int) -> None:
        self.confirmations.append((switch, token))

    # --- Places

    def gateway_of(self, client_id: str) -> str | None:
        return self.places.get(client_id)

    def clients(self) -> Iterable[str]:
        return self.places

    def readers_of(self, client_id: str) -> Sequence[str]:
        return sorted(switch.role for switch in self.switches if switch.messages.inboxes.has_readers(client_id))

    def read_ids(self) -> Iterable[str]:
        return [client_id for switch in self.switches for client_id in switch.messages.inboxes.read_ids()]

    # --- inside

    def _make(self, number: int) -> Switch:
        role = f"gateway:{number}"
        slices = _Slices(self, role)
        slices.switch = Switch(
            node_id="n1",
            role=role,
            settings=GatewaySettings(port=number, limits=self.limits),
            slices=slices,
            places=self,
            wall_clock=lambda: WALL,
            random=Random(7),
            now=self.now,
        )
        return slices.switch

    def _introduce(self, switch: Switch) -> None:
        for other in self.switches:
            if other is not switch:
                other.set_peer(switch.role, self.incarnations[switch.role], self.now)

    def _apply(self, table: str, changes: dict[str, bytes | None]) -> None:
        entries = {key: value for key, value in changes.items() if value is not None}
        removed = [key for key, value in changes.items() if value is None]
        for switch in self.switches:
            if table == SUBSCRIPTIONS:
                switch.routes.interests.apply(entries, removed)
            else:
                switch.calls.services.apply(entries, removed)

    def _turn(self, switch: Switch) -> bool:
        dirty, peers, ended = switch.take_dirty(self.now)
        for session in dirty:
            session.connection.flush()
        for session in ended:
            session.connection.end(session.ended_by)
        for peer in peers:
            other = next(found for found in self.switches if found.role == peer.role)
            while frames := peer.outbox.take(1 << 20, self.now):
                chunk, spans = FrameReader(limit_bytes=1 << 30).feed(b"".join(frames))
                other.receive_from_peer(switch.role, chunk, spans, self.now)
        if self.confirmations and not self.holds_confirmations:
            confirmations, self.confirmations = self.confirmations, []
            for at, token in confirmations:
                at.requests.in_force(token, self.now)
        self.asked += switch.questions.take()
        return bool(dirty or peers or ended) or switch.has_waiting()


class _Slices:
    switch: Switch

    def __init__(self, node: Node, role: str) -> None:
        self._node = node
        self._role = role

    def put(self, table: str, key: str, value: bytes | None) -> None:
        self._node.put(self._role, table, key, value)

    def confirm(self, table: str, token: int) -> None:
        self._node.confirm(self.switch, token)

    def session_ended(self, session: Session) -> None:
        self._node.places.pop(session.client_id, None)
        self._node.ended.append(session)


class Client:
    """The connection of one client: what it sends, and what it got."""

    session: Session

    def __init__(self, node: Node, switch: Switch, *, reads: bool) -> None:
        self.node = node
        self.switch = switch
        self.reads = reads
        self.raw: list[bytes] = []
        self.was_ended = False
        self.end_error: MajulaError | None = None

    def send(self, header: Header, body: bytes = b"") -> None:
        """One frame, then everything settles."""
        self.send_bytes(encode_frame(header, body))

    def send_bytes(self, data: bytes) -> None:
        chunk, spans = FrameReader(limit_bytes=1 << 24).feed(data)
        self.switch.receive(self.session, chunk, spans, self.node.now)
        self.node.settle()

    def publish(self, topic: str, *messages: bytes, flags: int = 0, request: int = 0) -> None:
        self.send(Publish(topic, 0, flags, request), encode_run(list(messages)))

    def leave(self) -> None:
        """The connection is lost."""
        self.switch.end(self.session, self.node.now)
        self.node.settle()

    def frames(self) -> list[Frame]:
        """What came since the last time."""
        if not self.reads:
            self.raw += self.session.outbox.take(1 << 30, self.node.now)
        raw, self.raw = self.raw, []
        found: list[Frame] = []
        for frame in raw:
            body_at = PREFIX_BYTES + int.from_bytes(frame[4:6], "little")
            found.append((decode_header(frame[PREFIX_BYTES:body_at]), frame[body_at:]))
        return found

    def headers(self) -> list[AnyHeader]:
        return [header for header, _ in self.frames()]

    def only(self) -> Frame:
        """The one frame that came."""
        (frame,) = self.frames()
        return frame

    def messages(self) -> list[bytes]:
        """The messages of all PUBLISH frames that came; nothing else may have come."""
        found: list[bytes] = []
        for header, body in self.frames():
            assert isinstance(header, Publish), header
            found += split_run(body)
        return found

    def flush(self) -> None:
        if self.reads:
            while frames := self.session.outbox.take(1 << 20, self.node.now):
                self.raw += frames

    def end(self, error: MajulaError | None) -> None:
        self.was_ended = True
        self.end_error = error
        self.flush()


def value(body: bytes) -> object:
    """A msgpack payload."""
    return msgspec.msgpack.decode(body)
