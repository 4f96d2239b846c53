"""Clients send each other private messages while frames are lost, doubled and overtaken, ways break, and clients die.

Between them stands what gateways are to a flow: a way that takes a frame to the client that has the id just now, or says that
nobody has it. What must hold:

- every ticket has one verdict, not before its time, and when all is quiet none is missing;
- while sender and receiver live, each message comes once, and in order;
- what was told to be delivered has come;
- what still had time when the faults ended is delivered;
- what is held stays within the limits, and a timer that has fired has moved.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import inf
from random import Random

from majula.errors import Overloaded
from majula.flow import FlowLimits, Receiver, Sender
from majula.flow.sender import PASSING
from majula.wire.frames import PREFIX_BYTES, decode_header, encode_frame, split_run
from majula.wire.headers import Receipt, Send
from tests.simulation.network import Faults, Network, SimulationFailure
from tests.simulation.node import Outcome, Plan

CLIENTS = ("ann", "bob", "cid")
QUIET_S = 400.0
"""Longer than the largest TTL here."""
SETTLING_S = 20.0
"""A message that has so much time left when the faults end is delivered."""
ASKED_AGAIN_S = 3.0
"""A receiver that has come back is found by then, if its sender knows of nobody who ever was there."""
_TTLS = (0.05, 1.0, 8.0, 60.0, 300.0)


@dataclass
class _Sent:
    """A message, by its ticket. `heard`: the lives of receivers that have it."""

    sender: str
    target: str
    at: float
    deadline: float
    heard: set[str] = field(default_factory=set)
    verdict: str = ""


class _Client:
    """One life of one client: both ends of flows, and a way to the others that breaks at times."""

    def __init__(self, world: _World, name: str, life: int) -> None:
        self.world, self.name, self.address = world, name, f"{name}@{life}"
        random = world.net.random
        limits = FlowLimits(
            messages=random.choice((3, 20, 1_024)),
            bytes=random.choice((200, 4_000, 1 << 22)),
            total_bytes=random.choice((500, 1 << 26)),
        )
        self.limits = limits
        self.sender = Sender(random=Random(random.getrandbits(32)), limits=limits)
        total_bytes = random.choice((1_000, 1 << 26))
        self.receiver = Receiver(
            limits=FlowLimits(messages=random.choice((4, 30, 1_024)), bytes=1 << 20, total_bytes=total_bytes)
        )
        self.is_connected = True
        self.connection = 0
        self.is_dead = False
        self.is_paused = False
        self.last: dict[str, int] = {}  # by sender's life: the highest ticket that came
        self._armed = inf
        world.net.at(world.net.now + 0.01, self.talk)

    def talk(self) -> None:
        """Send a few, be busy for a while, or take what waited."""
        world, net = self.world, self.world.net
        if self.is_dead or world.is_quiet:
            return
        choice = net.random.random()
        if choice < 0.8:
            for _ in range(net.random.choice((1, 1, 3, 30))):
                self.send()
        elif choice < 0.9:
            self.receiver.pause()
            self.is_paused = True
            net.at(net.now + net.random.uniform(0.0, 3.0), self.go_on)
        self.flush()
        net.at(net.now + net.random.expovariate(1 / (5 * world.plan.changes)), self.talk)

    def go_on(self) -> None:
        if not self.is_dead and self.is_paused:
            self.is_paused = False
            for arrived in self.receiver.resume(self.world.net.now):
                self.take(arrived.header, arrived.messages)
            self.flush()

    def send(self) -> None:
        world, net = self.world, self.world.net
        target = net.random.choice((*CLIENTS, "nobody"))
        ticket = world.tickets = world.tickets + 1
        ttl_s = net.random.choice(_TTLS)
        data = str(ticket).encode() + b" " * net.random.choice((0, 0, 100))
        try:
            self.sender.send(
                target, data, net.now, ttl_s=ttl_s, ticket=ticket, headers=net.random.choice((None, None, {"a": "b"}))
            )
        except Overloaded:
            return
        world.sent[ticket] = _Sent(self.address, target, net.now, net.now + ttl_s)

    def flush(self) -> None:
        """What a turn of the loop ends with."""
        now = self.world.net.now
        for verdict in self.sender.verdicts():
            for ticket in verdict.tickets:
                self.world.judge(self, int(str(ticket)), verdict.state)
        if self.is_connected:
            frames = [encode_frame(header, body) for header, body in self.sender.frames(now)]
            frames += [encode_frame(receipt) for receipt in self.receiver.receipts()]
            for frame in frames:
                self.world.pass_on(self, frame)
        self.arm()

    def receive(self, header: Send | Receipt, body: bytes) -> None:
        now = self.world.net.now
        if isinstance(header, Receipt):
            self.sender.receive(header, now)
        else:
            for arrived in self.receiver.receive(header, split_run(body), now):
                if self.is_paused:
                    self.world.fail(f"{self.address} is handed messages though it has no room")
                self.take(arrived.header, arrived.messages)
        self.flush()

    def take(self, header: Send, messages: list[bytes]) -> None:
        for message in messages:
            sent = self.world.sent[int(message)]
            if sent.target != self.name or sent.sender.partition("@")[0] != header.source:
                self.world.fail(f"{self.address} gets a message from {sent.sender} to {sent.target}")
            if int(message) <= self.last.get(sent.sender, 0):
                self.world.fail(f"{self.address} gets message {int(message)} of {sent.sender} after {self.last[sent.sender]}")
            self.last[sent.sender] = int(message)
            sent.heard.add(self.address)
            self.world.score += 1

    # --- faults

    def connect(self) -> None:
        if not self.is_dead and not self.is_connected:
            now = self.world.net.now
            self.world.net.trace(f"CONNECT {self.address}")
            self.is_connected = True
            self.connection += 1
            self.sender.resume(now)
            self.receiver.announce(now)
            self.flush()

    def disconnect(self) -> None:
        if self.is_connected:
            self.world.net.trace(f"BREAK   {self.address}")
            self.is_connected = False
            self.connection += 1
            self.sender.suspend()
            self.arm()

    # --- time

    def timer(self) -> None:
        net = self.world.net
        if self.is_dead or self._armed > net.now:
            return
        self._armed = inf
        self.sender.timer(net.now)
        self.receiver.timer(net.now)
        self.flush()
        if min(self.sender.next_deadline(), self.receiver.next_deadline()) <= net.now:
            self.world.fail(f"the timer of {self.address} stands still")

    def arm(self) -> None:
        deadline = min(self.sender.next_deadline(), self.receiver.next_deadline())
        if deadline < self._armed:
            self._armed = deadline
            self.world.net.at(deadline, self.timer)


class _World:
    """All clients and the ways between them."""

    def __init__(self, plan: Plan, net: Network) -> None:
        self.plan, self.net = plan, net
        self.is_quiet = False
        self.quiet_at = inf
        self.tickets = self.score = self.lives = 0
        self.sent: dict[int, _Sent] = {}
        self.clients: dict[str, _Client] = {}
        for name in CLIENTS:
            self.start(name)

    def start(self, name: str) -> None:
        self.lives += 1
        self.clients[name] = _Client(self, name, self.lives)
        self.net.trace(f"START   {self.clients[name].address}")

    def pass_on(self, source: _Client, frame: bytes) -> None:
        """A frame on its way, by its bytes, as between processes."""
        net = self.net
        while True:
            if net.random.random() >= net.faults.loss:
                # Doubled and overtaken frames do not happen between gateways; a core that stands them has less to rely on.
                late = net.random.random() < net.faults.loss
                net.at(net.now + net.random.uniform(0.0001, 0.5 if late else 0.002), lambda: self.arrive(source, frame))
            if net.random.random() >= net.faults.loss / 2:
                return

    def arrive(self, source: _Client, frame: bytes) -> None:
        head_end = PREFIX_BYTES + int.from_bytes(frame[4:6], "little")
        header, body = decode_header(frame[PREFIX_BYTES:head_end]), frame[head_end:]
        assert isinstance(header, Send | Receipt)
        to = self.clients.get(header.target)
        if to is None or not to.is_connected:
            self.net.trace(f"NOBODY  {source.address} -> {header.target} {header}")
            if isinstance(header, Send) and self.net.random.random() < 0.7:
                last = header.sequence + len(split_run(body)) - 1
                code = self.net.random.choice(("no_route", "no_route", "overloaded")) if to is not None else "no_route"
                assert code in PASSING
                self.deliver(source.name, Receipt(source.name, "", header.flow, last, code=code, source=header.target), b"")
            return
        if isinstance(header, Send):
            told: Send | Receipt = Send(
                header.target,
                "",
                header.flow,
                header.sequence,
                header.oldest,
                header.ttl_ms,
                source=source.name,
                headers=header.headers,
            )
        else:
            told = Receipt(header.target, "", header.flow, header.up_to, header.received, source=source.name)
        self.deliver(header.target, told, body)

    def deliver(self, name: str, header: Send | Receipt, body: bytes) -> None:
        """To whoever has the name when it comes, unless the connection breaks meanwhile."""
        to = self.clients.get(name)
        if to is None or not to.is_connected:
            return
        connection = to.connection

        def read() -> None:
            if to.is_connected and to.connection == connection and not to.is_dead:
                self.net.trace(f"        -> {to.address} {header}")
                to.receive(header, body)

        self.net.at(self.net.now + self.net.random.uniform(0.0001, 0.001), read)

    def fault(self) -> None:
        if self.is_quiet:
            return
        net = self.net
        name = net.random.choice(CLIENTS)
        client = self.clients.get(name)
        if client is not None:
            if net.random.random() < 0.3:
                net.trace(f"KILL    {client.address}")
                client.is_dead = True
                client.is_connected = False
                del self.clients[name]
                net.at(net.now + net.random.uniform(0.0, 2.0), lambda: self.start(name))
            else:
                client.disconnect()
                net.at(net.now + net.random.choice((0.01, 0.3, 3.0, 20.0)) * net.random.random(), client.connect)
        net.at(net.now + net.random.expovariate(1 / self.plan.kills), self.fault)

    # --- what must hold

    def judge(self, client: _Client, ticket: int, verdict: str) -> None:
        sent = self.sent[ticket]
        now = self.net.now
        if sent.verdict:
            self.fail(f"message {ticket} is {verdict} after it was {sent.verdict}")
        if sent.sender != client.address:
            self.fail(f"{client.address} is told of message {ticket} of {sent.sender}")
        sent.verdict = verdict
        match verdict:
            case "delivered":
                if not sent.heard:
                    self.fail(f"message {ticket} to {sent.target} is delivered, but nobody has it")
            case "expired":
                if not sent.deadline <= now <= sent.deadline + 0.001:
                    self.fail(f"message {ticket} has expired at {now}, its time was {sent.deadline}")
            case "no_route":
                if now < min(sent.at + 5.0, sent.deadline) - 0.001:
                    self.fail(f"message {ticket} has no route after {now - sent.at} s")
            case _:
                self.fail(f"message {ticket} is {verdict}")
        had_time = sent.deadline > self.quiet_at + SETTLING_S and now > self.quiet_at + ASKED_AGAIN_S
        if verdict != "delivered" and had_time and sent.target != "nobody":
            self.fail(f"message {ticket} to {sent.target} is {verdict}, though nothing was in its way")

    def check_often(self) -> None:
        for client in self.clients.values():
            statistics = client.sender.statistics()
            if statistics["waiting_messages"] > client.limits.messages * (len(CLIENTS) + 1):
                self.fail(f"{client.address} holds {statistics['waiting_messages']} messages")
            if statistics["waiting_bytes"] < 0 or client.receiver.statistics()["waiting_bytes"] < 0:
                self.fail(f"{client.address} has counted its bytes wrong")
            if client.receiver.statistics()["waiting_messages"] > 1_024 * self.lives:
                self.fail(f"{client.address} holds {client.receiver.statistics()['waiting_messages']} messages out of order")

    def check_quiet(self) -> None:
        living = {client.address for client in self.clients.values()}
        for ticket, sent in self.sent.items():
            if not sent.verdict and sent.sender in living:
                self.fail(f"message {ticket} of {sent.sender} has no verdict")
        for client in self.clients.values():
            for end in (client.sender, client.receiver):
                statistics = end.statistics()
                if statistics["waiting_messages"] or statistics["waiting_bytes"]:
                    self.fail(f"{client.address} holds {statistics} when all is quiet")
            if client.sender.next_deadline() < inf:
                self.fail(f"{client.address} has a timer armed though nothing is to be done")

    def fail(self, what: str) -> None:
        plan = self.plan
        raise SimulationFailure(
            f"FAILED flow: {what} at step {self.net.steps:,}, t = {self.net.now:.3f} s\n"
            f"replay:  python -m tests.simulation flow --seed {plan.seed:#x} --loss {plan.loss} --steps {plan.steps} "
            f"--until {self.net.steps} --trace"
        )


def run(plan: Plan, *, until: int | None = None, trace: bool = False) -> Outcome:
    """One run: faults for `plan.steps` events, then quiet, in which every message gets its verdict.

    Raises:
        SimulationFailure: an invariant does not hold.
    """
    net = Network(seed=plan.seed, faults=Faults(loss=plan.loss), trace=print if trace else None)
    world = _World(plan, net)
    net.at(0.5, world.fault)
    while net.steps < plan.steps and net.step():
        if net.steps % 64 == 0:
            world.check_often()
        if net.steps == until:
            return Outcome(net.steps, net.now, world.score, world.lives)
    world.is_quiet, world.quiet_at = True, net.now
    net.faults.loss = 0.0
    for client in list(world.clients.values()):
        client.connect()
        client.go_on()
    end = net.now + QUIET_S
    while net.next_at() <= end:
        net.step()
        if net.steps == until:
            break
        if net.steps > plan.steps + 1_000_000:
            world.fail("the flows do not come to rest")
    else:
        world.check_quiet()
    return Outcome(net.steps, net.now, world.score, world.lives)
