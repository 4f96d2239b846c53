"""The life of a client's session: greeting, what is in force, heartbeats, losing the connection and coming back.

    IDLE -> DIALLING -> GREETING -> RESTORING -> OPEN -> LEAVING
                ^                                  |        |
                └──── WAITING <────── lost ────────┴────────┘        any -> CLOSED

GREETING waits for WELCOME, RESTORING for the acknowledgement of every subscription and function that the program wants; only then
is the session OPEN and `connected` announced. LEAVING follows a gateway's advice to reconnect: open calls end first.

`handle(event, now)` gives effects, to be carried out in their order. What the gateway sends never raises out of here: it becomes
a `HangUp`. A *ticket* is any hashable object that stands for somebody who waits; it is settled exactly once.
"""

from __future__ import annotations

from enum import Enum
from math import inf
from random import Random
from typing import Any, assert_never

import msgspec

from majula.api.sdk.events import (
    Announce,
    Ask,
    Close,
    Dial,
    Effect,
    Event,
    Failed,
    Finish,
    Forget,
    HangUp,
    Lost,
    Opened,
    Quiet,
    Received,
    Refused,
    Resume,
    Send,
    SessionEnded,
    Settle,
    Start,
    Ticket,
    TimerFired,
    Unwant,
    Want,
    WishKey,
    Withdrawn,
)
from majula.api.sdk.states import State
from majula.api.sdk.trust import Hidden
from majula.errors import (
    CallerError,
    Conflict,
    ConnectionLost,
    DeadlineExceeded,
    LimitReached,
    MajulaError,
    NotNow,
    Overloaded,
    ProtocolError,
    from_code,
)
from majula.wire import headers
from majula.wire.headers import PROTOCOL_VERSION, Header, Register, Subscribe

GREETING_S = 10.0
"""For an attempt as a whole: a gateway answers in milliseconds or is not well."""

RESTORING_S = 30.0
"""For up to 11,000 acknowledgements."""

LEAVING_S = 60.0
"""A gateway that asked its clients to go closes by itself long before."""

PING_S = 20.0
PING_LIMIT = 2

RETRY_FIRST_S = 0.05
RETRY_LIMIT_S = 5.0

STEADY_S = 1.0
"""A session that stood so long was a success: the next attempt after it is a first one. Without it, a gateway that welcomes and
closes at once would be dialled forty times a second."""

SWEEP_S = 0.05
"""How often deadlines of requests are looked at when one passes after the other."""

MAX_REQUESTS = 4_096
MAX_WISHES = 11_000


class Phase(Enum):
    IDLE = "idle"
    DIALLING = "dialling"
    GREETING = "greeting"
    RESTORING = "restoring"
    OPEN = "open"
    LEAVING = "leaving"
    WAITING = "waiting"
    CLOSED = "closed"


class _Wish:
    """Something that is to be in force. `sent`: the gateway of this session was asked; `request`: 0, or the number it is to
    answer; `held`: it was in force once; `tickets`: who waits for it, with their deadlines."""

    __slots__ = ("held", "request", "sent", "template", "tickets")

    def __init__(self, template: Subscribe | Register) -> None:
        self.template = template
        self.sent = False
        self.request = 0
        self.held = False
        self.tickets: dict[Ticket, float] = {}


def wish_key(template: Subscribe | Register) -> WishKey:
    """What the gateway takes for one and the same."""
    match template:
        case Subscribe():
            return ("topic", template.topic, template.pattern, template.queue)
        case Register():
            return ("function", template.function)


class SessionCore:
    """One client's session.

    Args:
        client_id: the id wanted, empty: the gateway makes one, kept from then on.
        token: bearer token, empty: none.
        agent: shown by the node's `status`.
        random: for the jitter of reconnection and numbering.
    """

    def __init__(self, *, client_id: str, token: Hidden, agent: str, random: Random, heartbeat: bool = True) -> None:
        self.phase = Phase.IDLE
        self.welcome: headers.Welcome | None = None
        self._client_id, self._token, self._agent = client_id, token, agent
        self._secret = ""
        self._random = random
        self._heartbeat = heartbeat
        self._attempt = 0
        self._was_open = False
        self._wishes: dict[WishKey, _Wish] = {}
        self._wish_requests: dict[int, WishKey] = {}
        self._requests: dict[int, tuple[Ticket, float]] = {}
        self._pings: dict[int, tuple[Ticket, float]] = {}
        self._last_request = 0
        self._phase_until = inf  # when the present phase has taken too long, or WAITING ends
        self._heard_at = 0.0
        self._pinged = 0  # pings without an answer since `_heard_at`
        self._opened_at = inf
        self._sweep_at = inf
        self._reconnect_after_s = 0.0
        self._last_words: MajulaError | None = None

    # What the gateway sends is heard once a chunk, far more often than it matters: no event for it.
    def heard(self, now: float) -> None:
        """Bytes came in."""
        self._heard_at, self._pinged = now, 0

    def next_deadline(self) -> float:
        """When `TimerFired` is due; infinity: not at all."""
        ping_at = inf
        if self._heartbeat and self.phase in (Phase.OPEN, Phase.LEAVING):
            ping_at = self._ping_at()
        return min(self._phase_until, ping_at, self._sweep_at)

    @property
    def wishes(self) -> int:
        """Subscriptions and functions that are, or are to be, in force."""
        return len(self._wishes)

    @property
    def requests(self) -> int:
        """Questions that wait for an answer."""
        return len(self._requests) + len(self._pings)

    def handle(self, event: Event, now: float) -> list[Effect]:
        match event:
            case Start():
                return self._dial(now) if self.phase is Phase.IDLE else []
            case Opened():
                return self._greet(now) if self.phase is Phase.DIALLING else []
            case Lost():
                if self.phase is Phase.DIALLING and isinstance(event.error, CallerError):
                    return self._give_up(event.error, now)
                return self._lost(self._story(event.reason), now)
            case Received():
                return self._received(event.header, event.body, now)
            case Want():
                return self._want(event, now)
            case Unwant():
                return self._unwant(event, now)
            case Ask():
                return self._ask(event, now)
            case Forget():
                self._forget(event.ticket)
                return []
            case Quiet():
                return [HangUp(), *self._lost("the gateway asked to reconnect", now)] if self.phase is Phase.LEAVING else []
            case TimerFired():
                return self._timer(now)
            case Close():
                return self._close(ConnectionLost("the client is closed"), now)
            case _:
                assert_never(event)

    # --- coming up

    def _dial(self, now: float) -> list[Effect]:
        self.phase = Phase.DIALLING
        self._phase_until = now + GREETING_S
        self._last_words = None
        return [Announce(State("connecting")), Dial(self._attempt)]

    def _greet(self, now: float) -> list[Effect]:
        self.phase = Phase.GREETING
        self._phase_until = now + GREETING_S
        return [Send(headers.Hello(PROTOCOL_VERSION, self._client_id, self._secret, self._token.reveal(), self._agent))]

    def _welcomed(self, welcome: headers.Welcome, now: float) -> list[Effect]:
        self.welcome = welcome
        self._client_id, self._secret = welcome.client_id, welcome.secret
        self.phase = Phase.RESTORING
        self._phase_until = now + RESTORING_S
        effects: list[Effect] = [self._send_wish(key, wish) for key, wish in self._wishes.items()]
        return effects or self._restored(now)

    def _send_wish(self, key: WishKey, wish: _Wish) -> Send:
        wish.sent = True
        wish.request = self._next_request()
        self._wish_requests[wish.request] = key
        # Whoever waited for `sync` has been answered once; after a reconnection, in force at this gateway is enough to go on.
        sync = wish.template.sync and bool(wish.tickets)
        return Send(msgspec.structs.replace(wish.template, request=wish.request, sync=sync))

    def _restored(self, now: float) -> list[Effect]:
        assert self.welcome is not None
        self.phase = Phase.OPEN
        self._phase_until = inf
        self._was_open = True
        self._opened_at = now
        self.heard(now)
        return [Resume(self.welcome), Announce(State("connected"))]

    # --- going down

    def _story(self, reason: str) -> str:
        return f"{reason} ({self._last_words})" if self._last_words else reason

    def _lost(self, reason: str, now: float) -> list[Effect]:
        if self.phase in (Phase.IDLE, Phase.WAITING, Phase.CLOSED):
            return []
        if now - self._opened_at >= STEADY_S:
            self._attempt = 0
        self._opened_at = inf
        delay_s = min(RETRY_LIMIT_S, RETRY_FIRST_S * 2.0 ** min(self._attempt, 16)) * self._random.uniform(0.5, 1.0)
        delay_s += self._reconnect_after_s * self._random.uniform(1.0, 1.5)
        self._reconnect_after_s = 0.0
        self._attempt += 1
        effects = self._end_session(ConnectionLost(f"the connection to the node broke: {reason}"))
        self.phase = Phase.WAITING
        self._phase_until = now + delay_s
        return [*effects, Announce(State("disconnected", reason=reason, retry_in_s=delay_s))]

    def _end_session(self, error: MajulaError) -> list[Effect]:
        effects: list[Effect] = [SessionEnded(error)]
        waiting = [*self._requests.values(), *self._pings.values()]
        effects += [Settle(ticket, error=error) for ticket, _ in waiting]
        self._requests.clear()
        self._pings.clear()
        self._wish_requests.clear()
        for wish in self._wishes.values():
            wish.sent, wish.request = False, 0
        return effects

    def _close(self, error: MajulaError, now: float) -> list[Effect]:
        if self.phase is Phase.CLOSED:
            return []
        effects: list[Effect] = [Send(headers.Bye())] if self.phase in (Phase.RESTORING, Phase.OPEN, Phase.LEAVING) else []
        effects.append(HangUp())
        effects += self._end_session(error)
        for wish in self._wishes.values():
            effects += [Settle(ticket, error=error) for ticket in wish.tickets]
        self._wishes.clear()
        self.phase = Phase.CLOSED
        self._phase_until = self._sweep_at = inf
        return [*effects, Announce(State("closed", reason=str(error)))]

    def _give_up(self, error: MajulaError, now: float) -> list[Effect]:
        """The gateway does not want this client, and asking again would not change that."""
        return [*self._close(error, now), Failed(error)]

    # --- what the gateway says

    def _received(self, header: Header, body: bytes, now: float) -> list[Effect]:
        if self.phase in (Phase.IDLE, Phase.DIALLING, Phase.WAITING, Phase.CLOSED):
            return []  # the last words of a connection that has ended
        match header:
            case headers.Welcome():
                if self.phase is not Phase.GREETING:
                    return self._violated("a second WELCOME", now)
                if header.version != PROTOCOL_VERSION:
                    error = ProtocolError(f"the gateway speaks protocol version {header.version}, this client {PROTOCOL_VERSION}")
                    return self._give_up(error, now)
                return self._welcomed(header, now)
            case headers.Error():
                return self._refused(header, now)
            case headers.Ack():
                if header.request in self._wish_requests:
                    return self._in_force(header.request, header.guarantee, now)
                ticket = self._settled(header.request)
                return [] if ticket is None else [Settle(ticket, guarantee=header.guarantee)]
            case headers.Reply():
                ticket = self._settled(header.request)
                return [] if ticket is None else [Settle(ticket, encoding=header.encoding, body=body)]
            case headers.Ping():
                return [Send(headers.Pong(header.number))]
            case headers.Pong():
                entry = self._pings.pop(header.number, None)
                return [] if entry is None else [Settle(entry[0])]
            case headers.Reconnect():
                self._reconnect_after_s = min(max(header.after_ms, 0) / 1000.0, RETRY_LIMIT_S * 12)
                if self.phase is Phase.OPEN:
                    self.phase = Phase.LEAVING
                    self._phase_until = now + LEAVING_S
                    return [Finish()]
                return []
            case _:
                return self._violated(f"a {type(header).__name__.upper()} that only a client may send", now)

    def _violated(self, what: str, now: float) -> list[Effect]:
        return [HangUp(), *self._lost(f"the gateway sent {what}", now)]

    def _refused(self, header: headers.Error, now: float) -> list[Effect]:
        error = from_code(header.code, header.message, header.detail)
        if self.phase is Phase.GREETING:
            fatal = isinstance(error, CallerError | ProtocolError) and not (self._was_open and isinstance(error, Conflict))
            if fatal:
                return self._give_up(error, now)
            return [HangUp(), *self._lost(str(error), now)]
        if header.request in self._wish_requests:
            return self._wish_refused(header.request, error, now)
        ticket = self._settled(header.request)
        if ticket is not None:
            return [Settle(ticket, error=error)]
        self._last_words = error
        # The end of the session is told by the state that follows. A gateway that has not carried a flow refuses receipts of who
        # may not send, which are said again after each reconnection; the sender repeats what he misses. All else is worth a line.
        return [] if header.method in ("CLOSE", "RECEIPT") else [Refused(error, header.method)]

    def _in_force(self, request: int, guarantee: str, now: float) -> list[Effect]:
        wish = self._wishes.get(self._wish_requests.pop(request))
        effects: list[Effect] = []
        if wish is not None and wish.request == request:
            wish.request, wish.held = 0, True
            effects += [Settle(ticket, guarantee=guarantee) for ticket in wish.tickets]
            wish.tickets.clear()
        if self.phase is Phase.RESTORING and not self._wish_requests:
            effects += self._restored(now)
        return effects

    def _wish_refused(self, request: int, error: MajulaError, now: float) -> list[Effect]:
        key = self._wish_requests.pop(request)
        wish = self._wishes.get(key)
        effects: list[Effect] = []
        if wish is not None and wish.request == request:
            if self.phase is Phase.RESTORING and wish.held and isinstance(error, NotNow):
                return [HangUp(), *self._lost(f"a subscription or function cannot be restored yet: {error}", now)]
            effects += [Settle(ticket, error=error) for ticket in wish.tickets]
            wish.tickets.clear()
            wish.request = 0
            # A second request for what is in force (`sync`, retained values) that fails takes nothing away.
            if not wish.held or self.phase is Phase.RESTORING:
                del self._wishes[key]
                if wish.held:
                    effects.append(Withdrawn(key, error))
        if self.phase is Phase.RESTORING and not self._wish_requests:
            effects += self._restored(now)
        return effects

    def _settled(self, request: int) -> Ticket | None:
        entry = self._requests.pop(request, None)
        return None if entry is None else entry[0]

    # --- what the program wants

    def _want(self, event: Want, now: float) -> list[Effect]:
        if self.phase is Phase.CLOSED:
            return [Settle(event.ticket, error=ConnectionLost("the client is closed"))]
        key = wish_key(event.template)
        wish = self._wishes.get(key)
        if wish is None:
            if len(self._wishes) >= MAX_WISHES:
                error = LimitReached(f"a client has at most {MAX_WISHES} subscriptions and functions", limit="subscriptions")
                return [Settle(event.ticket, error=error)]
            wish = self._wishes[key] = _Wish(event.template)
        elif event.again:
            wish.template = event.template
        elif wish.held and not wish.request:
            return [Settle(event.ticket, guarantee="gateway")]
        else:
            wish.tickets[event.ticket] = event.deadline
            self._watch(event.deadline)
            return []
        wish.tickets[event.ticket] = event.deadline
        self._watch(event.deadline)
        if self.phase in (Phase.OPEN, Phase.RESTORING, Phase.LEAVING):
            return [self._send_wish(key, wish)]
        return []

    def _unwant(self, event: Unwant, now: float) -> list[Effect]:
        wish = self._wishes.pop(event.key, None)
        gone = ConnectionLost("given up before it was in force")
        effects: list[Effect] = [] if wish is None else [Settle(ticket, error=gone) for ticket in wish.tickets]
        if wish is None or not wish.sent:
            return effects if event.ticket is None else [*effects, Settle(event.ticket)]
        request = 0
        if event.ticket is not None:
            request = self._next_request()
            self._requests[request] = (event.ticket, event.deadline)
            self._watch(event.deadline)
        header: Header
        match wish.template:
            case Subscribe() as wanted:
                header = headers.Unsubscribe(request, wanted.topic, wanted.pattern, wanted.queue)
            case Register() as wanted:
                header = headers.Unregister(request, wanted.function)
        return [*effects, Send(header)]

    def _ask(self, event: Ask, now: float) -> list[Effect]:
        if self.phase not in (Phase.OPEN, Phase.LEAVING):
            return [Settle(event.ticket, error=ConnectionLost("there is no connection to the node"))]
        if len(self._requests) + len(self._pings) >= MAX_REQUESTS:
            return [Settle(event.ticket, error=Overloaded(f"{MAX_REQUESTS} requests wait for their answers"))]
        number = self._next_request()
        self._watch(event.deadline)
        if isinstance(event.template, headers.Ping):
            self._pings[number] = (event.ticket, event.deadline)
            return [Send(headers.Ping(number))]
        self._requests[number] = (event.ticket, event.deadline)
        header: Any = msgspec.structs.replace(event.template, request=number)
        return [Send(header, event.body)]

    def _forget(self, ticket: Ticket) -> None:
        for table in (self._requests, self._pings):
            for number, (waiting, _) in table.items():
                if waiting == ticket:
                    del table[number]
                    return
        for wish in self._wishes.values():
            if wish.tickets.pop(ticket, None) is not None:
                return

    def _next_request(self) -> int:
        self._last_request = self._last_request + 1 if self._last_request < 0xFFFFFFFF else 1
        return self._last_request

    # --- time

    def _watch(self, deadline: float) -> None:
        self._sweep_at = min(self._sweep_at, deadline)

    def _ping_at(self) -> float:
        return self._heard_at + PING_S * (self._pinged + 1)

    def _timer(self, now: float) -> list[Effect]:
        effects: list[Effect] = []
        if now >= self._sweep_at:
            effects += self._sweep(now)
        if now >= self._phase_until:
            if self.phase is Phase.WAITING:
                return effects + self._dial(now)
            return [*effects, HangUp(), *self._lost(f"no answer from the gateway while {self.phase.value}", now)]
        if self._heartbeat and self.phase in (Phase.OPEN, Phase.LEAVING) and now >= self._ping_at():
            if self._pinged >= PING_LIMIT:
                return [*effects, HangUp(), *self._lost(f"nothing heard for {now - self._heard_at:.0f} s", now)]
            self._pinged += 1
            effects.append(Send(headers.Ping(0)))
        return effects

    def _sweep(self, now: float) -> list[Effect]:
        error = DeadlineExceeded("the gateway did not answer in time")
        effects: list[Effect] = []
        next_at = inf
        for table in (self._requests, self._pings):
            late = [number for number, (_, deadline) in table.items() if deadline <= now]
            effects += [Settle(table.pop(number)[0], error=error) for number in late]
            next_at = min(next_at, *(deadline for _, deadline in table.values()), inf)
        for wish in self._wishes.values():
            if wish.tickets:
                for ticket in [ticket for ticket, deadline in wish.tickets.items() if deadline <= now]:
                    del wish.tickets[ticket]
                    effects.append(Settle(ticket, error=error))
                next_at = min(next_at, *wish.tickets.values(), inf)
        self._sweep_at = max(next_at, now + SWEEP_S)
        return effects
