"""Gateways and a router give out client ids while everything dies and comes back.

Clients of few ids come and go, some with a secret of their own, some with one that they share, some without. What must hold:

- every claim gets exactly one verdict while its gateway lives;
- a gateway never serves two sessions of one id;
- when all is quiet, an id has one session on the node, the tables of all gateways name it, the router knows exactly those that
  are
  served, and no timer is armed.
"""

from __future__ import annotations

from math import inf

from majula.messages.base import Message
from majula.messages.routing import Claim, CloseSession, Granted, Refused, Release
from majula.routing.admission import Admission, Admitted, AskRouter, Close, Effect, Rejected
from majula.routing.clients import ClientDirectory
from majula.routing.sessions import CLIENTS, SESSIONS, Session, decode_session
from majula.tables import Changed, Changes
from tests.simulation import node
from tests.simulation.network import Network
from tests.simulation.node import Actor, Outcome, Plan, World

ROUTER = "router"
SECRETS = (b"", b"", b"one", b"two")


class _Gateway(Actor["_World"]):
    """A gateway whose clients come and go at random."""

    def __init__(self, world: _World, role: str, incarnation: int) -> None:
        super().__init__(world, role, incarnation)
        self.slice = self.exchange.publish(SESSIONS, to=ROUTER, needs_holder=True)
        self.exchange.hold(CLIENTS, of=ROUTER)
        self.admission = Admission(role)
        self.claims: dict[int, Session] = {}
        self.opening: dict[int, Session] = {}
        self.served: dict[str, Session] = {}  # by the session's name
        self.router: str | None = None
        world.net.at(world.net.now + 0.01, self.change)

    def on_role(self, role: str, address: str | None) -> None:
        if role == ROUTER and address != self.router:
            if self.router is not None:
                self.act(self.admission.router_changed(False))
            self.router = address
            if address is not None:
                self.act(self.admission.router_changed(True))
        elif role != self.role and address is None:
            self.admission.gateway_gone(role)

    def on_message(self, message: Message, sender: str) -> None:
        if isinstance(message, Granted | Refused | CloseSession) and sender == self.router:
            self.act(self.admission.receive(message))

    def on_changed(self, effect: Changed) -> None:
        self.admission.apply(effect.entries, effect.removed)

    def on_timer(self) -> None:
        self.act(self.admission.timer(self.world.net.now))

    def next_deadline(self) -> float:
        return min(super().next_deadline(), self.admission.next_deadline())

    def change(self) -> None:
        """A client comes, leaves, or gives up."""
        net = self.world.net
        if not net.is_alive(self.address) or self.world.is_quiet:
            return
        wakes = net.paused_until(self.address)
        if wakes > net.now:
            net.at(wakes, self.change)
            return
        choice = net.random.random()
        if choice < 0.6:
            self.world.sessions += 1
            client = net.random.choice(("ann", "bob", "cid", "dan"))
            secret = net.random.choice(SECRETS)
            session = Session(client, f"s{self.world.sessions}", secret, self.role, net.now)
            request, effects = self.admission.claim(session, net.now)
            self.claims[request] = session
            self.act(effects)
        elif choice < 0.7 and self.claims:
            request = next(iter(self.claims))
            del self.claims[request]
            self.act(self.admission.abandon(request))
        elif self.served:
            self.close(net.random.choice(sorted(self.served)))
        self.arm()
        net.at(net.now + net.random.expovariate(1 / (5 * self.world.plan.changes)), self.change)

    def open(self, request: int) -> None:
        session = self.opening.pop(request, None)
        if session is None or not self.world.net.is_alive(self.address):
            return
        if self.world.net.random.random() < 0.1:
            self.act(self.admission.abandon(request))
            self.arm()
            return
        older = [name for name, other in self.served.items() if other.client_id == session.client_id]
        for name in older:
            self.close(name)
        self.served[session.session] = session
        key, value = self.admission.opened(session)
        self.slice.put(key, value, self.world.net.now)
        self.world.score += 1
        self.arm()

    def close(self, name: str) -> None:
        session = self.served.pop(name, None)
        if session is None:
            return
        key, effects = self.admission.closed(session.client_id, name)
        if key is not None:
            self.slice.remove(key, self.world.net.now)
        self.act(effects)

    def act(self, effects: list[Effect]) -> None:
        for effect in effects:
            match effect:
                case AskRouter(message=message):
                    if self.router is not None:
                        self.world.net.send(self.address, self.router, message)
                case Admitted(request=request):
                    session = self.claims.pop(request, None)
                    if session is None:
                        self.world.fail(f"{self.address}: a second verdict for claim {request}")
                        return
                    # As in a gateway, which answers the client in a task of its own: a little later, and the client may have
                    # left.
                    later = self.world.net.random.choice((0.0, 0.0, 0.002))
                    self.opening[request] = session
                    self.world.net.at(self.world.net.now + later, lambda request=request: self.open(request))  # type: ignore[misc] # a default binds the loop's value
                case Rejected(request=request):
                    if self.claims.pop(request, None) is None:
                        self.world.fail(f"{self.address}: a second verdict for claim {request}")
                case Close(session=name):
                    self.close(name)


class _Router(Actor["_World"]):
    """The router, as its actor is."""

    def __init__(self, world: _World, role: str, incarnation: int) -> None:
        super().__init__(world, role, incarnation)
        self.directory = ClientDirectory()
        self.clients = self.exchange.gather(SESSIONS, of="gateway:", into=CLIENTS, merge=self.directory)
        self.gateways: dict[str, str] = {}
        self.is_open = False

    def on_role(self, role: str, address: str | None) -> None:
        self.gateways = {at: name for at, name in self.gateways.items() if name != role}
        if address is not None:
            self.gateways[address] = role
        self.tell()

    def on_message(self, message: Message, sender: str) -> None:
        now = self.world.net.now
        gateway = self.gateways.get(sender)
        if gateway is None:
            return
        match message:
            case Claim():
                self.change(self.directory.claim(gateway, message, now))
            case Release(client_id=client_id, session=session):
                self.change(self.directory.release(gateway, client_id, session))

    def on_timer(self) -> None:
        self.change(self.directory.timer(self.world.net.now))

    def next_deadline(self) -> float:
        return min(super().next_deadline(), self.directory.next_deadline())

    def on_step(self) -> None:
        if self.clients.is_open and not self.is_open:
            self.is_open = True
            self.change(self.directory.open(self.world.net.now))
        self.tell()

    def change(self, changes: Changes) -> None:
        for client_id, value in changes.items():
            if value is None:
                self.clients.remove(client_id, self.world.net.now)
            else:
                self.clients.put(client_id, value, self.world.net.now)
        self.tell()

    def tell(self) -> None:
        for order in self.directory.take_orders():
            address = next((at for at, name in self.gateways.items() if name == order.gateway), None)
            if address is not None:
                self.world.net.send(self.address, address, order.message)


class _World(World):
    """What must hold between gateways and the router."""

    def __init__(self, plan: Plan, net: Network) -> None:
        self.sessions = 0
        super().__init__(plan, net, name="claims", control=ROUTER, cast=self._make)

    def _make(self, role: str, incarnation: int) -> _Router | _Gateway:
        return (_Router if role == ROUTER else _Gateway)(self, role, incarnation)

    def check_often(self) -> None:
        super().check_often()
        for gateway in self.actors.values():
            if isinstance(gateway, _Gateway):
                ids = [session.client_id for session in gateway.served.values()]
                if len(ids) > len(set(ids)):
                    self.fail(f"{gateway.address} serves two sessions of one id")

    def check_quiet(self) -> None:
        gateways = [actor for actor in self.actors.values() if isinstance(actor, _Gateway)]
        router = self.actors[ROUTER]
        assert isinstance(router, _Router)
        served: dict[str, list[str]] = {}
        for gateway in gateways:
            if gateway.claims:
                self.fail(f"{gateway.address}: claims {sorted(gateway.claims)} have no verdict")
            for session in gateway.served.values():
                served.setdefault(session.client_id, []).append(session.session)
        for client_id, names in served.items():
            if len(names) > 1:
                self.fail(f"{client_id} has the sessions {names}")
        expected = {client_id: names[0] for client_id, names in served.items()}
        for gateway in gateways:
            known = {client: decode_session(value).session for client, value in gateway.exchange.held(CLIENTS).items()}
            if known != expected:
                self.fail(f"{gateway.address} knows {known}, but {expected} is so")
            if {session.client_id: session.session for session in gateway.admission.sessions()} != expected:
                self.fail(f"{gateway.address} lists other sessions than {expected}")
        if len(router.directory) != len(expected) or router.directory.next_deadline() < inf:
            self.fail(f"the router knows {len(router.directory)} ids, {len(expected)} are served")
        super().check_quiet()


def run(plan: Plan, *, until: int | None = None, trace: bool = False) -> Outcome:
    """One run; see `node.run`."""
    return node.run(plan, _World, until=until, trace=trace)
