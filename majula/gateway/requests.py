"""What changes a session: subscriptions, functions, retained values.

A change is in force here at once. It is also written into this gateway's slice of a table, by which the other gateways learn
of it; with `sync` the answer waits until all of them act by it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Protocol

from majula.errors import (
    InvalidRequest,
    LimitReached,
    NotFound,
    Overloaded,
    Unavailable,
    from_code,
)
from majula.gateway.calls import Calls
from majula.gateway.outlets import Outlets
from majula.gateway.routes import Routes
from majula.gateway.session import Session, SubscriptionKey
from majula.gateway.settings import GatewayLimits
from majula.messages.base import Role
from majula.rpc.services import REGISTRATIONS, check_name
from majula.topics.interest import SUBSCRIPTIONS
from majula.topics.retained import RetainedCopy, Retaining
from majula.topics.subjects import check_subject, matches
from majula.wire.frames import encode_frame, encode_run, last_of_run
from majula.wire.headers import (
    RETAINED,
    Ack,
    Publish,
    Register,
    Subscribe,
    Unregister,
    Unsubscribe,
)

# Answers that wait for a confirmation from everywhere, of all clients together. Each is given up after two seconds.
_CONFIRMATIONS = 65_536

# The topic manager has put a value into its order and the table within milliseconds, or is back within a second.
_WATCH_S = 5.0
# Subscriptions watched at a time; a change of a retained value looks at each of them.
_WATCHES = 1_024
# Retained values that are announced to one client and not sent yet; of more it is told by SLOW. Each is a reference to a topic
# that exists anyway.
_BACKLOG = 1 << 18
# Topics that are looked at in one turn of the loop: 1 ms.
_WALK_STEPS = 2_048


class Slices(Protocol):
    """This gateway's part of the tables, as the switch writes it."""

    def put(self, table: str, key: str, value: bytes | None) -> None:
        """Set an entry of this gateway's slice, or with None remove it."""

    def confirm(self, table: str, token: int) -> None:
        """Call `Requests.in_force(token)` when all that was put before is in force at every gateway, or `unconfirmed(token)`."""

    def session_ended(self, session: Session) -> None:
        """A session that had claimed its id is over."""


class _Watch:
    """A subscription that was made a moment ago and asked for retained values.

    A value may have been published just before it, and so have missed it, and reach the table of retained values just after it.
    So whatever changes in that table for some seconds is sent to it too.
    """

    __slots__ = ("_key", "session", "until")

    def __init__(self, session: Session, header: Subscribe, until: float) -> None:
        self.session = session
        self.until = until
        self._key = (header.topic, header.pattern, header.queue)

    def wants(self, topic: str) -> bool:
        subject, pattern, _ = self._key
        if self._key not in self.session.subscriptions:  # it has ended, or the whole session has
            return False
        return matches(subject, topic) if pattern else subject == topic


class Requests:
    """Everything but publications and calls.

    Args:
        limits: `subscriptions`, `registrations`.
        out: where frames go.
        routes, calls: what is changed.
        slices: where the changes are written to.
        role: of this gateway.
    """

    def __init__(self, *, limits: GatewayLimits, out: Outlets, routes: Routes, calls: Calls, slices: Slices, role: Role) -> None:
        self.retained = RetainedCopy()
        self.retaining = Retaining()
        self._limits = limits
        self._out = out
        self._routes = routes
        self._calls = calls
        self._slices = slices
        self._role = role
        self._last_token = 0
        self._confirmations: dict[int, tuple[Session, int]] = {}
        self._watches: deque[_Watch] = deque()
        self._walks: dict[Session, deque[tuple[SubscriptionKey, Iterator[str | None]]]] = {}  # topics still to be looked for
        self._retaining: dict[int, tuple[Session, int]] = {}  # unsettled retained publishes: number -> publisher, its request

    def renew(self, limits: GatewayLimits) -> None:
        """Other limits; who has more already keeps it."""
        self._limits = limits

    # --- topics

    def subscribe(self, session: Session, header: Subscribe, now: float) -> None:
        """Raises what the client is to be told."""
        check_subject(header.topic, pattern=header.pattern)
        if header.queue:
            check_name(header.queue, what="queue group")
        if header.retained and len(self._walks.get(session, ())) >= self._limits.subscriptions:
            raise LimitReached("this client asks for retained values faster than they are looked up", limit="subscriptions")
        self._check_confirmation(header)
        key = (header.topic, header.pattern, header.queue)
        if key not in session.subscriptions:
            if len(session.subscriptions) >= self._limits.subscriptions:
                raise LimitReached("this client has too many subscriptions", limit="subscriptions")
            session.subscriptions[key] = None
            self._put(
                SUBSCRIPTIONS,
                self._routes.interests.subscribe(session, header.topic, pattern=header.pattern, queue=header.queue),
            )
        self._acknowledge(session, header.request, SUBSCRIPTIONS, header.sync, now)
        if header.retained:
            self._send_retained(session, header, now)

    def retained_changed(self, entries: Mapping[str, bytes], removed: Iterable[str], now: float) -> None:
        """The table of retained values has changed."""
        self.retained.apply(entries, removed)
        watches = self._watches
        while watches and watches[0].until <= now:
            watches.popleft()
        for watch in watches:
            for topic in entries:
                if watch.wants(topic):
                    frame = self.retained.get(topic)
                    if frame is not None:
                        self._out.publish(watch.session, frame, 1, now)

    def unsubscribe(self, session: Session, header: Unsubscribe, now: float) -> None:
        """Raises NotFound where there is no such subscription."""
        key = (header.topic, header.pattern, header.queue)
        if key not in session.subscriptions:
            raise NotFound("this client has no such subscription", topic=header.topic)
        del session.subscriptions[key]
        self._forget_subscription(session, key)
        if header.request:
            self._out.answer(session, encode_frame(Ack(header.request)), now)

    def retain(self, session: Session, header: Publish, run: bytes, now: float) -> None:
        """Keep the last message of a run as the topic's value; the topic manager decides the order.

        Where the publisher wants an answer it comes when every gateway has the value.
        """
        message = last_of_run(run)
        frame = encode_frame(Publish(header.topic, header.encoding, RETAINED, 0, "", header.headers), encode_run([message]))
        number = self.retaining.add(header.topic, frame, is_removal=not message)
        if number is None:
            raise Overloaded("the message was published but not retained: too many values are under way", retry_after_s=1.0)
        self._retaining[number] = (session, header.request)

    def retained_settled(self, number: int, code: str, now: float) -> None:
        """The topic manager has answered: `code` is empty, or says why it was refused."""
        self.retaining.settled(number)
        found = self._retaining.pop(number, None)
        if found is None or not found[0].is_open:
            return
        session, request = found
        if code:
            self._out.refuse(session, request, "PUBLISH", from_code(code, "the message was published but not retained"), now)
        elif request:
            self._out.answer(session, encode_frame(Ack(request, "accepted")), now)

    def _send_retained(self, session: Session, header: Subscribe, now: float) -> None:
        key = (header.topic, header.pattern, header.queue)
        walk = self.retained.matching(header.topic, pattern=header.pattern)
        self._walks.setdefault(session, deque()).append((key, walk))
        if len(self._watches) < _WATCHES:
            self._watches.append(_Watch(session, header, now + _WATCH_S))

    def has_walks(self) -> bool:
        """Whether `walk` has something to do."""
        return bool(self._walks)

    def walk(self) -> None:
        """Look for the retained values that new subscriptions asked for: some steps in each turn of the loop, of one session
        after the other, so that nobody's subscriptions hold up the others."""
        left = _WALK_STEPS
        for _ in range(len(self._walks)):
            session, walks = next(iter(self._walks.items()))
            del self._walks[session]
            if not session.is_open:
                continue
            found: list[str] = []
            while walks and left > 0:
                key, walk = walks[0]
                if key in session.subscriptions:
                    for topic in islice(walk, left):
                        left -= 1
                        if topic is not None:
                            found.append(topic)
                if left > 0:  # the walk is at its end, or nobody waits for it any more
                    walks.popleft()
                    left -= 1
            if walks:
                self._walks[session] = walks
            if found:
                if session.outbox.backlog + len(found) <= _BACKLOG:
                    session.outbox.feed(self._newest(found), len(found))
                else:
                    session.outbox.lose(len(found))
                if not session.is_dirty:
                    self._out.mark(session)
            if left <= 0:
                return

    def _newest(self, topics: list[str]) -> Iterator[bytes]:
        """The values of these topics, each looked up when it is sent: the newest that there is then."""
        for topic in topics:
            frame = self.retained.get(topic)
            if frame is not None:
                yield frame

    # --- functions

    def register(self, session: Session, header: Register, now: float) -> None:
        """Raises what the client is to be told."""
        if not session.is_claimed:
            raise InvalidRequest("only a session that owns its client id can offer functions")
        if header.function not in session.functions and len(session.functions) >= self._limits.registrations:
            raise LimitReached("this client offers too many functions", limit="registrations")
        self._check_confirmation(header)
        entry = self._calls.services.register(
            header.function,
            session.client_id,
            parameters=header.parameters,
            results=header.results,
            note=header.note,
            idempotent=header.idempotent,
        )
        session.functions[header.function] = header
        self._put(REGISTRATIONS, entry)
        self._acknowledge(session, header.request, REGISTRATIONS, header.sync, now)

    def unregister(self, session: Session, header: Unregister, now: float) -> None:
        """Raises NotFound where this client offers no such function."""
        if header.function not in session.functions:
            raise NotFound(f"this client does not offer {header.function!r}", function=header.function)
        del session.functions[header.function]
        self._forget_function(session, header.function)
        if header.request:
            self._out.answer(session, encode_frame(Ack(header.request)), now)

    # --- the rest

    def confirm(self, session: Session, request: int, table: str) -> None:
        """ACK this request when what this gateway has put into its slice of `table` is in force at every gateway; ERROR where
        that is not known after two seconds.

        Raises:
            Overloaded: too many wait for that.
        """
        if len(self._confirmations) >= _CONFIRMATIONS:
            raise Overloaded("too many confirmations are under way", retry_after_s=1.0)
        self._last_token += 1
        self._confirmations[self._last_token] = (session, request)
        self._slices.confirm(table, self._last_token)

    def in_force(self, token: int, now: float) -> None:
        """What was confirmed by `token` is in force everywhere."""
        found = self._confirmations.pop(token, None)
        if found is not None and found[0].is_open:
            self._out.answer(found[0], encode_frame(Ack(found[1], "everywhere")), now)

    def unconfirmed(self, token: int, reason: str, now: float) -> None:
        """The confirmation was given up."""
        found = self._confirmations.pop(token, None)
        if found is not None and found[0].is_open:
            error = Unavailable(
                "in force at this gateway; whether it is everywhere is not known", guarantee="gateway", reason=reason
            )
            self._out.refuse(found[0], found[1], "", error, now)

    def end(self, session: Session, now: float) -> None:
        """The session is over: all that it had asked for ends."""
        for key in session.subscriptions:
            self._forget_subscription(session, key)
        session.subscriptions.clear()
        for function in session.functions:
            self._forget_function(session, function)
        session.functions.clear()

    def statistics(self) -> dict[str, int]:
        return {
            "retained": len(self.retained),
            "retaining": len(self.retaining),
            "confirmations": len(self._confirmations),
        }

    def _acknowledge(self, session: Session, request: int, table: str, sync: bool, now: float) -> None:
        if not request:
            return
        if not sync:
            self._out.answer(session, encode_frame(Ack(request, "gateway")), now)
            return
        self.confirm(session, request, table)

    def _check_confirmation(self, header: Subscribe | Register) -> None:
        """Before anything is changed: what is refused must not be in force."""
        if header.sync and header.request and len(self._confirmations) >= _CONFIRMATIONS:
            raise Overloaded("too many confirmations are under way", retry_after_s=1.0)

    def _forget_subscription(self, session: Session, key: tuple[str, bool, str]) -> None:
        topic, pattern, queue = key
        self._put(SUBSCRIPTIONS, self._routes.interests.unsubscribe(session, topic, pattern=pattern, queue=queue))

    def _forget_function(self, session: Session, function: str) -> None:
        key = self._calls.services.unregister(function, session.client_id)
        if key is not None:
            self._slices.put(REGISTRATIONS, key, None)

    def _put(self, table: str, entry: tuple[str, bytes] | tuple[str, bytes | None] | None) -> None:
        if entry is not None:
            self._slices.put(table, entry[0], entry[1])
