"""What decides by what was read: sequences of frames and messages that are right in form and wrong in everything else."""

from __future__ import annotations

import pickle
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from random import Random

import msgspec

from majula.actorsystem import frames as actor_frames
from majula.actorsystem import pickling
from majula.api.sdk import events
from majula.api.sdk.session import SessionCore
from majula.api.sdk.trust import Hidden
from majula.auth import grants_of
from majula.errors import MajulaError
from majula.flow import FlowLimits, Receiver, Sender
from majula.gateway.accounts import ANYBODY, Identity
from majula.gateway.settings import GatewayLimits
from majula.messages import actorsystem, auth, config, operations, routing, supervision, telemetry, topics
from majula.messages import tables as table_messages
from majula.messages.base import Message, decode
from majula.rpc.services import ServiceMerge, Services
from majula.tables import Merge, TableExchange
from majula.topics.interest import InterestMerge, Interests
from majula.topics.retained import RetainedCopy
from majula.wire.frames import FrameReader, encode_frame, encode_run, split_run
from majula.wire.headers import Call, Cancel, Publish, Receipt, Request, Result, Send, Slow, Subscribe
from tests.fuzz import shapes
from tests.fuzz.engine import Decoder
from tests.fuzz.wire import HEADERS, PACKED_WORDS, grow_frames, readable
from tests.unit.gateway.world import Client, Node

_ROOMS = (actorsystem, auth, config, operations, routing, supervision, telemetry, topics, table_messages)


def messages_of(room: object) -> list[type[Message]]:
    """The messages that a room declares."""
    return [kind for kind in vars(room).values() if isinstance(kind, type) and issubclass(kind, Message) and kind is not Message]


MESSAGES = [kind for room in _ROOMS for kind in messages_of(room)]


# --- both ends of flows


def grow_flow(random: Random) -> bytes:
    """SENDs and RECEIPTs, most of one flow."""
    found = []
    for _ in range(random.choice((1, 3, 10, 30))):
        head: Send | Receipt
        if random.random() < 0.6:
            number, oldest = random.choice(shapes.NUMBERS[:12]), random.choice((1, 1, 2, 7, 2**53 - 1))
            source = random.choice(("ann", ""))
            ttl_ms = random.choice((1, 60_000, 0, -1))
            head = Send("bob", "", random.choice((7, 7, 7, 8)), number, oldest, ttl_ms, source=source, source_node="n1")
            body = encode_run([b"x" * random.choice((0, 1, 100))] * random.choice((0, 1, 2, 40)))
        else:
            received = tuple(random.choices(shapes.NUMBERS, k=random.choice((0, 0, 1, 9))))
            state = random.choice(("delivered", "written", "x"))
            code = random.choice(("", "", "no_route", "overloaded", "forbidden", "x" * 300))
            flow, up_to = random.choice((7, 8)), random.choice(shapes.NUMBERS)
            head = Receipt("ann", "", flow, up_to, received, state, code, random.choice(("bob", "", "eve")), "n1")
            body = b""
        data = shapes.packed(head)
        found.append((2 + len(data) + len(body)).to_bytes(4, "little") + len(data).to_bytes(2, "little") + data + body)
    return b"".join(found)


def feed_flow(data: bytes) -> None:
    """A receiver and a sender hear what is no flow of theirs, or too much of it: bounds hold, each message has one verdict."""
    limits = FlowLimits(flows=4, messages=16, bytes=4_096, total_bytes=8_192)
    receiver, sender = Receiver(limits=limits), Sender(random=_Sevens(1), limits=limits)
    tickets = {("bob", number) for number in range(5)}
    now = 0.0
    for number in range(5):
        sender.send("bob", b"hello", now, ticket=("bob", number))
    sender.frames(now)
    told: list[object] = []
    for header, body in readable(data):
        now += 0.5
        if isinstance(header, Send):
            try:
                arrived = receiver.receive(header, split_run(body), now)
            except MajulaError:
                continue
            assert all(run.messages for run in arrived)
        elif isinstance(header, Receipt):
            sender.receive(header, now)
        while receiver.next_deadline() <= now:
            receiver.timer(now)
        sender.timer(now)
        sender.frames(now)
        told += [ticket for verdict in sender.verdicts() for ticket in verdict.tickets]
        receiver.receipts()
        held = receiver.statistics()
        assert held["flows"] <= limits.flows
        assert held["waiting_bytes"] <= limits.total_bytes + 65_536 and held["waiting_bytes"] >= 0
    while (at := sender.next_deadline()) < float("inf"):
        now = max(at, now)
        sender.timer(now)
        sender.frames(now)
        told += [ticket for verdict in sender.verdicts() for ticket in verdict.tickets]
    assert len(told) == len(set(told)) and set(told) == tickets, "a message without a verdict, or with two"
    assert sender.statistics()["waiting_bytes"] == 0


class _Sevens(Random):
    """Whose flows have the number that the inputs have."""

    def randint(self, a: int, b: int) -> int:
        return 7


# --- a gateway

_LIMITS = GatewayLimits(subscriptions=20, registrations=10, pending_calls=20, queue_messages=200, message_bytes=4_096)
_NARROW = Identity("tok-1", grants_of(("publish:a.>", "subscribe:a.>", "call:f", "register:f", "send:bob", "-publish:a.secret")))


def feed_gateway(data: bytes) -> None:
    """Frames of two clients, one of whom may do little, at one of two gateways: neither ends the gateway, what the second may not
    do does not happen, and its frames tell nobody another name."""
    node = Node(gateways=2, limits=_LIMITS)
    clients = (
        node.client("ann", identity=ANYBODY),
        node.client("eve", identity=_NARROW),
        node.client("bob", gateway=2, speaks_flows=False),
    )
    watcher = node.client("watcher")
    watcher.send_bytes(_SUBSCRIBE_ALL)
    for number, frame in enumerate(_frames_of(data)):
        client = clients[number % 2]
        if client.session.is_open:
            _serve(node, client, frame)
            for end in (*clients, watcher):
                _look(end.frames(), by=("ann", "eve")[number % 2])
    node.advance(70.0)
    for client in clients:
        if client.session.is_open:
            client.leave()
    for switch in node.switches:
        assert not [session for session in switch.sessions.values() if session.client_id != "watcher"]
        found = switch.statistics()
        assert not found.get("pending_calls", 0)


_SUBSCRIBE_ALL = b"".join(
    (2 + len(data)).to_bytes(4, "little") + len(data).to_bytes(2, "little") + data
    for data in (shapes.packed([4, 0, ">", True]), shapes.packed([4, 0, "$SYS.>", True]))
)


def _serve(node: Node, client: Client, frame: bytes) -> None:
    """One frame, and what it asks of other actors, who are all away."""
    client.switch.receive(client.session, frame, ((0, 6 + int.from_bytes(frame[4:6], "little"), len(frame)),), node.now)
    for _, asked in client.switch.questions.take():
        client.switch.questions.hold(asked.number, asked, node.now)
    node.settle()


def _look(frames: Sequence[tuple[object, bytes]], *, by: str) -> None:
    for header, _ in frames:
        if isinstance(header, Send):
            assert header.source in ("ann", "eve", "bob", "watcher") and header.source_node == "n1"
            assert not header.via or header.via.startswith("gateway:")
        topic = getattr(header, "topic", "")
        assert not topic.startswith("$SYS"), "a client has published for the node"
        if by == "eve" and topic:
            assert topic.startswith("a.") or topic == "", f"{topic} is beyond the scopes of who published it"


def _frames_of(data: bytes) -> list[bytes]:
    try:
        chunk, spans = FrameReader(limit_bytes=1 << 20).feed(data)
    except MajulaError:
        return []
    return [chunk[start:end] for start, _, end in spans]


# --- a client whose gateway lies

_NOT_FOR_THE_CORE = (Publish, Call, Result, Cancel, Slow)


def grow_answers(random: Random) -> bytes:
    """A WELCOME and what may follow it, with the numbers that a client has in use."""
    found = [_frame([2, 1, "n1", shapes.text(random), "s", "gateway:1", {}])] if random.random() < 0.8 else []
    for _ in range(random.choice((1, 3, 9))):
        number = random.choice((0, 1, 2, 3, 4, 5, -1, 2**63))
        head = random.choice(
            (
                [13, number, random.choice(("gateway", "everywhere", "", "x"))],
                [
                    14,
                    number,
                    random.choice(("conflict", "unauthorized", "draining", "overloaded", "x", "")),
                    "m",
                    {"retry_after_s": -1},
                    "",
                ],
                [12, number, random.choice((0, 1, 2))],
                [15, number],
                [16, number],
                [18, random.choice(shapes.NUMBERS), "r"],
                [2, 1, "n1", "c", "s", "g", {}],
            )
        )
        found.append(_frame(head))
    return b"".join(found) if random.random() < 0.8 else grow_frames(random)


def _frame(head: Sequence[object]) -> bytes:
    data = shapes.packed(head)
    return (2 + len(data)).to_bytes(4, "little") + len(data).to_bytes(2, "little") + data


def feed_client_session(data: bytes) -> None:
    """The session of the Python client: nothing that comes raises, no ticket is settled twice, and each in the end."""
    core = SessionCore(client_id="", token=Hidden("t"), agent="", random=Random(1))
    settled: list[object] = []
    tickets: set[object] = set()
    now = 0.0

    def step(event: events.Event) -> None:
        for effect in core.handle(event, now):
            match effect:
                case events.Settle(ticket=ticket):
                    settled.append(ticket)
                case events.Send(header=header, body=body):
                    encode_frame(header, body)
                case events.Dial():
                    dialled.append(now)

    dialled: list[float] = []
    step(events.Start())
    for number, (header, body) in enumerate(readable(data)):
        now += 0.3
        if dialled:
            dialled.clear()
            step(events.Opened())
        if number % 3 == 0 and number < 60:
            wish: events.Event = events.Want(Subscribe(0, f"t{number}", sync=True), f"want-{number}", now + 5.0)
            for event in (wish, events.Ask(Request(0, "node.info"), f"ask-{number}", now + 5.0)):
                tickets.add(event.ticket)  # type: ignore[union-attr] # both have one
                step(event)
        if not isinstance(header, _NOT_FOR_THE_CORE):
            core.heard(now)
            step(events.Received(header, body))
        while core.next_deadline() <= now:
            step(events.TimerFired())
    step(events.Close())
    assert len(settled) == len(set(settled)) and set(settled) == tickets, "a ticket without an answer, or with two"


# --- between actors


def grow_messages(random: Random) -> bytes:
    """Messages between actors, each behind its length; most of the tables."""
    found = []
    kinds = messages_of(table_messages)
    for _ in range(random.choice((1, 3, 10))):
        kind = random.choice(kinds) if random.random() < 0.8 else random.choice(MESSAGES)
        data = shapes.packed(shapes.struct(kind, random))
        found.append(len(data).to_bytes(2, "little", signed=False) + data if len(data) < 65_536 else b"")
    return b"".join(found)


class _Merge:
    """Takes what it is told."""

    def apply(self, owner: str, entries: Mapping[str, bytes], removed: Iterable[str]) -> dict[str, bytes | None]:
        return dict(entries) | dict.fromkeys(removed)

    def owner_lost(self, owner: str) -> dict[str, bytes | None]:
        return {}


def feed_messages(data: bytes) -> None:
    """The tables of an actor whose neighbours have gone mad; and what merges and gateways make of their entries."""
    exchange = TableExchange(role="topic_manager", incarnation=1, random32=1, now=0.0)
    exchange.publish("topics", to="gateway:")
    exchange.hold("clients", of="router", gives_back=True)
    exchange.gather("subscriptions", of="gateway:", into="interest", merge=_Merge())
    exchange.regain("retained", of="gateway:")
    now = 0.0
    for role, address in (("topic_manager", "a1"), ("gateway:1", "a2"), ("router", "a3")):
        exchange.role_changed(role, address, 1, now)
    merges: tuple[Merge, Merge] = (InterestMerge(), ServiceMerge())
    interests: Interests[str] = Interests("gateway:1")
    retained, services = RetainedCopy(), Services("gateway:1")
    for number, message in enumerate(_messages_in(data)):
        now += 0.25
        exchange.receive(message, ("a2", "a3", "a9")[number % 3], now)
        if exchange.next_deadline() <= now:
            exchange.timer(now)
        if isinstance(message, table_messages.Snapshot | table_messages.Delta):
            # What a merge makes of it is what a gateway reads: a slice may be nonsense, a table is not.
            for merge, take in zip(merges, (interests.apply, services.apply), strict=True):
                changes = merge.apply("gateway:1", message.entries, message.removed)
                removed = [key for key, value in changes.items() if value is None]
                take({key: value for key, value in changes.items() if value is not None}, removed)
            retained.apply(message.entries, message.removed)
    for role in ("gateway:1", "router"):
        exchange.role_changed(role, None, 1, now)
    for merge in merges:
        merge.owner_lost("gateway:1")
    exchange.timer(now + 60.0)
    exchange.statistics()


def _messages_in(data: bytes) -> list[Message]:
    found: list[Message] = []
    at = 0
    while at + 2 <= len(data) and len(found) < 64:
        size = int.from_bytes(data[at : at + 2], "little")
        with suppress(msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            found.append(decode(data[at + 2 : at + 2 + size]))
        at += 2 + size
    return found


class _Armed:
    """A pickle of this would set the mark."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return exec, ("import tests.fuzz.cores as c; c.HIT.append(1)",)


HIT: list[int] = []
_ARMED_TEXT = b"cbuiltins\nexec\n(S'import tests.fuzz.cores as c; c.HIT.append(1)'\ntR."
_ARMED = tuple(pickle.dumps(_Armed(), protocol) for protocol in range(6))


def grow_actor_frames(random: Random) -> bytes:
    """Frames as they pass between the sockets of actors."""
    found = []
    for _ in range(random.choice((1, 3, 8))):
        kind = random.choice((0, 1, 2, 3, 4, 9))
        message = shapes.packed(shapes.struct(random.choice(MESSAGES), random))
        payload = random.choice(
            (b"a1", b"\xff", message, random.choice(_ARMED), b"\x80\x04N.", _ARMED_TEXT, b"cbuiltins\nset\n)R.")
        )
        found.append(actor_frames.encode(kind, random.choice((0, 1, 2**32 - 1)), 0, payload))
    return b"".join(found)


def feed_actor_frames(data: bytes) -> None:
    """Bytes on the socket of an actor: frames or a refusal, and no pickle runs anything."""
    reader = actor_frames.FrameReader(memoryview(bytearray(actor_frames.SCRATCH_BYTES)), limit_bytes=1 << 20)
    at = 0
    while at < len(data):
        buffer = reader.buffer()
        part = data[at : at + min(len(buffer), 4_096)]
        buffer[: len(part)] = part
        at += len(part)
        try:
            for kind, _, _, payload in reader.frames(len(part)):
                _feed_payload(kind, bytes(payload))
        except actor_frames.FrameError:
            return


def _feed_payload(kind: int, payload: bytes) -> None:
    try:
        if kind == actor_frames.PLAIN:
            if (
                b"bytearray" not in payload and b"range" not in payload
            ):  # a pickle may ask for memory; only the own user can send it
                pickling.loads(payload, plain_messages=False)
        else:
            decode(payload)
    except Exception:  # whoever reads from a connection closes it then, whatever it was
        pass
    assert not HIT, "a pickle has run code"


DECODERS = (
    Decoder("flow", feed_flow, grow_flow, PACKED_WORDS, input_bytes=8_192),
    # Frames are served in parts of a chunk, between which the loop turns: an input is one such part.
    Decoder(
        "gateway",
        feed_gateway,
        grow_frames,
        (*PACKED_WORDS, *(shapes.packed([number]) for number in range(1, len(HEADERS) + 1))),
        input_bytes=2_048,
    ),
    Decoder("client_session", feed_client_session, grow_answers, PACKED_WORDS, input_bytes=8_192),
    Decoder("tables", feed_messages, grow_messages, PACKED_WORDS, input_bytes=16_384),
    Decoder(
        "actor_frames",
        feed_actor_frames,
        grow_actor_frames,
        (*PACKED_WORDS, *_ARMED, b"\x80\x04", b"R.", b"b.", b"cos\nsystem\n", b"\x93", b"\x8c\x04exec"),
    ),
)
