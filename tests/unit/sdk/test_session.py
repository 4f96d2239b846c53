"""The life of a session, told by events and effects."""

from __future__ import annotations

from math import inf
from random import Random
from typing import Any, TypeVar

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

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
    TimerFired,
    Unwant,
    Want,
    Withdrawn,
)
from majula.api.sdk.session import PING_S, Phase, SessionCore, wish_key
from majula.api.sdk.trust import Hidden
from majula.errors import ConnectionLost, DeadlineExceeded, PermissionDenied, ProtocolError, Unauthorized
from majula.wire import headers
from majula.wire.headers import Ack, Header, Hello, Register, Subscribe, Welcome

E = TypeVar("E")

WELCOME = Welcome(1, "n1", "c1", "s3cret", "gateway:1", {})


class Life:
    """A core with its clock; keeps everything it said."""

    def __init__(self, *, client_id: str = "") -> None:
        self.now = 100.0
        self.said: list[Effect] = []
        self.core = SessionCore(client_id=client_id, token=Hidden(""), agent="test", random=Random(1))

    def tell(self, event: Event) -> list[Effect]:
        effects = self.core.handle(event, self.now)
        self.said += effects
        return effects

    def hear(self, header: Header, body: bytes = b"") -> list[Effect]:
        self.core.heard(self.now)
        return self.tell(Received(header, body))

    def fire(self) -> list[Effect]:
        """Jump to the deadline and fire; the deadline must then have moved."""
        at = self.core.next_deadline()
        assert at < inf
        self.now = max(self.now, at)
        effects = self.tell(TimerFired())
        assert self.core.next_deadline() > at
        return effects

    def open(self) -> Life:
        """As far as greeting goes; wishes still have to be acknowledged."""
        self.tell(Start())
        self.tell(Opened())
        self.hear(WELCOME)
        return self

    def acknowledge_all(self, effects: list[Effect]) -> list[Effect]:
        found: list[Effect] = []
        for header in sent(effects):
            if isinstance(header, Subscribe | Register):
                found += self.hear(Ack(header.request, "gateway"))
        return found


def of(kind: type[E], effects: list[Effect]) -> list[E]:
    return [effect for effect in effects if isinstance(effect, kind)]


def sent(effects: list[Effect]) -> list[Header]:
    return [effect.header for effect in of(Send, effects)]


def names(effects: list[Effect]) -> list[str]:
    return [effect.state.name for effect in of(Announce, effects)]


def want(topic: str = "t", ticket: Any = "w", *, deadline: float = inf, again: bool = False, **more: Any) -> Want:
    return Want(Subscribe(0, topic, **more), ticket, deadline, again)


# --- coming up


def test_it_dials_then_greets_then_is_connected() -> None:
    life = Life(client_id="me")
    assert of(Dial, life.tell(Start())) == [Dial(0)]
    assert sent(life.tell(Opened())) == [Hello(1, "me", "", "", "test")]
    effects = life.hear(WELCOME)
    assert of(Resume, effects) == [Resume(WELCOME)]
    assert names(life.said) == ["connecting", "connected"]


def test_it_is_connected_only_when_every_wish_is_in_force() -> None:
    life = Life()
    life.tell(want("a", 1))
    life.tell(Want(Register(0, "f"), 2, inf))
    life.open()
    assert life.core.phase is Phase.RESTORING
    first, second = (header for header in sent(life.said) if isinstance(header, Subscribe | Register))
    assert names(life.hear(Ack(first.request, "gateway"))) == []
    assert names(life.hear(Ack(second.request, "gateway"))) == ["connected"]
    assert [settle.ticket for settle in of(Settle, life.said)] == [1, 2]


def test_a_wish_in_an_open_session_is_sent_at_once() -> None:
    life = Life().open()
    (header,) = sent(life.tell(want("a.*", "w", pattern=True)))
    assert isinstance(header, Subscribe)
    assert (header.topic, header.pattern) == ("a.*", True)
    assert of(Settle, life.hear(Ack(header.request, "gateway"))) == [Settle("w", guarantee="gateway")]


def test_a_second_wish_for_the_same_is_answered_without_asking() -> None:
    life = Life().open()
    life.acknowledge_all(life.tell(want("t", 1)))
    assert life.tell(want("t", 2)) == [Settle(2, guarantee="gateway")]


def test_a_second_wish_while_the_first_is_on_its_way_shares_its_answer() -> None:
    life = Life().open()
    effects = life.tell(want("t", 1))
    assert sent(life.tell(want("t", 2))) == []
    assert [settle.ticket for settle in of(Settle, life.acknowledge_all(effects))] == [1, 2]


def test_retained_values_are_asked_for_again() -> None:
    life = Life().open()
    life.acknowledge_all(life.tell(want("t", 1)))
    (header,) = sent(life.tell(want("t", 2, again=True, retained=True)))
    assert isinstance(header, Subscribe)
    assert header.retained


def test_a_refused_wish_is_not_wanted_any_more() -> None:
    life = Life().open()
    (header,) = sent(life.tell(want("t", "w")))
    assert isinstance(header, Subscribe)
    (settle,) = of(Settle, life.hear(headers.Error(header.request, "permission_denied", "no")))
    assert isinstance(settle.error, PermissionDenied)
    life.tell(Lost("gone"))
    life.fire()
    life.tell(Opened())
    assert sent(life.hear(WELCOME)) == []


# --- refusals and violations


def test_a_refused_greeting_of_a_new_client_is_final() -> None:
    life = Life()
    life.tell(Start())
    life.tell(Opened())
    effects = life.hear(headers.Error(0, "conflict", "the id is taken"))
    assert [type(failed.error).code for failed in of(Failed, effects)] == ["conflict"]
    assert names(effects) == ["closed"]


def test_a_refused_receipt_is_no_news() -> None:
    # After a reconnection all flows are acknowledged again; a gateway that has not carried them refuses that of who may not send.
    life = Life().open()
    refused = headers.Error(0, "permission_denied", "the token does not grant send:ann", {}, "RECEIPT")
    assert life.hear(refused) == []


def test_a_conflict_after_a_lost_connection_is_tried_again() -> None:
    life = Life().open()
    life.tell(Lost("gone"))
    life.fire()
    life.tell(Opened())
    effects = life.hear(headers.Error(0, "conflict", "the old session is still there"))
    assert of(Failed, effects) == []
    assert life.core.phase is Phase.WAITING


def test_a_gateway_that_is_not_ready_is_tried_again() -> None:
    life = Life()
    life.tell(Start())
    life.tell(Opened())
    assert names(life.hear(headers.Error(0, "draining", "stopping"))) == ["disconnected"]


def test_an_unauthorized_transport_is_final() -> None:
    life = Life()
    life.tell(Start())
    assert isinstance(of(Failed, life.tell(Lost("401", Unauthorized())))[0].error, Unauthorized)


def test_another_protocol_version_is_final() -> None:
    life = Life()
    life.tell(Start())
    life.tell(Opened())
    effects = life.hear(msgspec.structs.replace(WELCOME, version=2))
    assert isinstance(of(Failed, effects)[0].error, ProtocolError)


@pytest.mark.parametrize("header", [WELCOME, Hello(1), Subscribe(1, "t"), headers.Bye()])
def test_what_a_gateway_may_not_send_ends_the_connection(header: Header) -> None:
    life = Life().open()
    effects = life.hear(header)
    assert of(HangUp, effects)
    assert life.core.phase is Phase.WAITING


def test_a_refusal_that_nobody_waits_for_is_told() -> None:
    life = Life().open()
    effects = life.hear(headers.Error(0, "permission_denied", "no", {}, "PUBLISH"))
    assert [(type(refused.error), refused.method) for refused in of(Refused, effects)] == [(PermissionDenied, "PUBLISH")]


def test_what_a_gateway_said_before_it_closed_is_the_reason() -> None:
    life = Life().open()
    life.hear(headers.Error(0, "overloaded", "read faster"))
    life.tell(Lost("closed"))
    assert "read faster" in of(Announce, life.said)[-1].state.reason


# --- losing the connection and coming back


def test_a_lost_connection_ends_requests_and_keeps_wishes() -> None:
    life = Life().open()
    life.tell(want("t", "wish"))
    life.tell(Ask(headers.Request(0, "rpc.services"), "request", inf))
    effects = life.tell(Lost("gone"))
    assert [settle.ticket for settle in of(Settle, effects)] == ["request"]
    assert isinstance(of(Settle, effects)[0].error, ConnectionLost)
    assert of(SessionEnded, effects)
    life.fire()
    life.tell(Opened())
    restored = life.acknowledge_all(life.hear(WELCOME))
    assert [settle.ticket for settle in of(Settle, restored)] == ["wish"]


def test_it_takes_its_id_over_with_its_secret() -> None:
    life = Life().open()
    life.tell(Lost("gone"))
    life.fire()
    assert sent(life.tell(Opened())) == [Hello(1, "c1", "s3cret", "", "test")]


def test_attempts_are_spread_out_and_bounded() -> None:
    life = Life()
    life.tell(Start())
    delays = []
    for _ in range(12):
        before = life.now
        life.tell(Lost("refused"))
        life.fire()
        delays.append(life.now - before)
    assert 0.025 <= delays[0] <= 0.05
    assert all(2.5 <= delay <= 5.0 for delay in delays[-3:])
    assert [dial.attempt for dial in of(Dial, life.said)] == list(range(13))


def test_a_steady_session_is_followed_by_a_first_attempt() -> None:
    life = Life().open()
    life.now += 10.0
    life.tell(Lost("gone"))
    assert of(Announce, life.said)[-1].state.retry_in_s <= 0.05


def test_a_gateway_that_welcomes_and_closes_at_once_is_not_dialled_in_a_loop() -> None:
    life = Life()
    life.tell(Start())
    for _ in range(10):
        life.tell(Opened())
        life.hear(WELCOME)
        life.tell(Lost("closed"))
        life.fire()
    assert life.now > 110.0


def test_what_cannot_be_restored_yet_is_a_reason_to_try_again() -> None:
    life = Life().open()
    life.acknowledge_all(life.tell(want("t", "w")))
    life.tell(Lost("gone"))
    life.fire()
    life.tell(Opened())
    (header,) = sent(life.hear(WELCOME))
    assert isinstance(header, Subscribe)
    assert names(life.hear(headers.Error(header.request, "unavailable", "not yet"))) == ["disconnected"]


def test_what_is_refused_at_the_return_is_withdrawn_and_the_rest_goes_on() -> None:
    life = Life().open()
    life.acknowledge_all(life.tell(want("t", "w")))
    life.tell(Lost("gone"))
    life.fire()
    life.tell(Opened())
    (header,) = sent(life.hear(WELCOME))
    assert isinstance(header, Subscribe)
    effects = life.hear(headers.Error(header.request, "permission_denied", "no"))
    assert [withdrawn.key for withdrawn in of(Withdrawn, effects)] == [("topic", "t", False, "")]
    assert names(effects) == ["connected"]


def test_a_gateway_that_does_not_answer_the_greeting_is_left() -> None:
    life = Life()
    life.tell(Start())
    life.tell(Opened())
    effects = life.fire()
    assert of(HangUp, effects)
    assert names(effects) == ["disconnected"]


# --- heartbeats


def test_a_silent_gateway_is_pinged_twice_and_then_left() -> None:
    life = Life().open()
    assert [type(header) for header in sent(life.fire())] == [headers.Ping]
    assert [type(header) for header in sent(life.fire())] == [headers.Ping]
    assert names(life.fire()) == ["disconnected"]
    assert life.now == 100.0 + 3 * PING_S


def test_any_sign_of_life_is_enough() -> None:
    life = Life().open()
    for _ in range(10):
        life.fire()
        life.core.heard(life.now)
    assert life.core.phase is Phase.OPEN


def test_a_ping_of_the_gateway_is_answered() -> None:
    assert sent(Life().open().hear(headers.Ping(7))) == [headers.Pong(7)]


# --- requests


def test_a_flush_is_answered_by_its_own_pong() -> None:
    life = Life().open()
    (ping,) = sent(life.tell(Ask(headers.Ping(), "flush", inf)))
    assert isinstance(ping, headers.Ping)
    assert life.hear(headers.Pong(ping.number + 1)) == []
    assert [settle.ticket for settle in of(Settle, life.hear(headers.Pong(ping.number)))] == ["flush"]


def test_a_request_without_a_connection_fails_at_once() -> None:
    (settle,) = of(Settle, Life().tell(Ask(headers.Ping(), "t", inf)))
    assert isinstance(settle.error, ConnectionLost)


def test_a_request_and_a_wish_end_at_their_deadline() -> None:
    life = Life().open()
    life.tell(Ask(headers.Request(0, "x"), "request", life.now + 1.0))
    life.tell(want("t", "wish", deadline=life.now + 1.0))
    while life.now < 101.5:
        life.fire()
    assert {settle.ticket: type(settle.error) for settle in of(Settle, life.said)} == {
        "request": DeadlineExceeded,
        "wish": DeadlineExceeded,
    }


def test_a_forgotten_ticket_is_not_settled() -> None:
    life = Life().open()
    (header,) = sent(life.tell(Ask(headers.Request(0, "x"), "t", inf)))
    assert isinstance(header, headers.Request)
    life.tell(Forget("t"))
    assert life.hear(headers.Reply(header.request)) == []


def test_what_is_not_wanted_any_more_is_told_to_the_gateway() -> None:
    life = Life().open()
    life.acknowledge_all(life.tell(want("t", "w", queue="q")))
    assert sent(life.tell(Unwant(("topic", "t", False, "q")))) == [headers.Unsubscribe(0, "t", False, "q")]


def test_what_the_gateway_never_heard_of_is_forgotten_silently() -> None:
    life = Life()
    life.tell(want("t", "w"))
    effects = life.tell(Unwant(("topic", "t", False, ""), "u", inf))
    assert sent(effects) == []
    assert [settle.ticket for settle in of(Settle, effects)] == ["w", "u"]


# --- leaving and closing


def test_advice_to_reconnect_lets_open_calls_end_first() -> None:
    life = Life().open()
    assert of(Finish, life.hear(headers.Reconnect(1_000, "stopping")))
    effects = life.tell(Quiet())
    assert of(HangUp, effects)
    assert of(Announce, effects)[-1].state.retry_in_s >= 1.0


def test_a_closed_session_says_goodbye_and_settles_everybody() -> None:
    life = Life().open()
    life.tell(want("t", "wish"))
    life.tell(Ask(headers.Ping(), "flush", inf))
    effects = life.tell(Close())
    assert sent(effects) == [headers.Bye()]
    assert {settle.ticket for settle in of(Settle, effects)} == {"wish", "flush"}
    assert life.core.next_deadline() == inf
    assert life.tell(Close()) == []


_topics = st.sampled_from(["a", "b"])
_steps = st.one_of(
    st.tuples(st.just("want"), _topics),
    st.tuples(st.just("unwant"), _topics),
    st.tuples(st.sampled_from(["ask", "ping", "forget", "lost", "opened", "welcome", "quiet", "timer", "close"]), st.just("")),
    st.tuples(st.sampled_from(["ack", "error", "reply", "pong", "reconnect"]), st.integers(0, 12).map(str)),
)


@settings(max_examples=300)
@given(st.lists(_steps, max_size=60))
def test_in_any_order_of_events_everybody_who_waits_is_settled_exactly_once(steps: list[tuple[str, str]]) -> None:
    life = Life()
    life.tell(Start())
    tickets = 0
    forgotten: set[int] = set()
    for step, value in steps:
        life.now += 0.1
        match step:
            case "want":
                life.tell(want(value, tickets, deadline=life.now + 3.0))
                tickets += 1
            case "unwant":
                life.tell(Unwant(("topic", value, False, ""), tickets, life.now + 3.0))
                tickets += 1
            case "ask" | "ping":
                template: Header = headers.Ping() if step == "ping" else headers.Request(0, "x")
                life.tell(Ask(template, tickets, life.now + 3.0))
                tickets += 1
            case "forget":
                if tickets and tickets - 1 not in {settle.ticket for settle in of(Settle, life.said)}:
                    forgotten.add(tickets - 1)
                    life.tell(Forget(tickets - 1))
            case "lost":
                life.tell(Lost("gone"))
            case "opened":
                life.tell(Opened())
            case "welcome":
                life.hear(WELCOME)
            case "ack":
                life.hear(Ack(int(value), "gateway"))
            case "error":
                life.hear(headers.Error(int(value), "unavailable", "no"))
            case "reply":
                life.hear(headers.Reply(int(value)))
            case "pong":
                life.hear(headers.Pong(int(value)))
            case "reconnect":
                life.hear(headers.Reconnect(10))
            case "quiet":
                life.tell(Quiet())
            case "timer":
                if life.core.next_deadline() < inf:
                    life.fire()
            case _:
                life.tell(Close())
    life.tell(Close())
    settled = [settle.ticket for settle in of(Settle, life.said)]
    assert len(settled) == len(set(settled))
    assert set(settled) | forgotten == set(range(tickets))
    assert not set(settled) & forgotten
    assert life.core.requests == life.core.wishes == 0


def test_a_wish_is_known_by_what_the_gateway_takes_for_one() -> None:
    assert wish_key(Subscribe(5, "t", True, "q", True)) == ("topic", "t", True, "q")
    assert wish_key(Register(5, "f")) == ("function", "f")
