"""Questions that other actors answer: each gets exactly one answer, whatever becomes of the actor."""

from __future__ import annotations

from math import inf

import msgspec

from majula.auth import operations as auth
from majula.gateway.questions import ANSWER_S, AWAY_S, OF_ONE_CLIENT
from majula.messages.operations import Perform, answered
from majula.wire.headers import MSGPACK, Error, Reply, Request

from .world import Client, Node

ASKED = msgspec.msgpack.encode(auth.TokensRequest())
NOTHING = auth.TokensAnswer((), 0)


def ask(client: Client, number: int = 5) -> Perform:
    """A question to `config`, on its way."""
    client.send(Request(number, "tokens.list", MSGPACK), ASKED)
    role, question = client.node.asked.pop()
    assert role == "config"
    return question


def answer(client: Client) -> Reply | Error:
    client.node.settle()
    header, _ = client.only()
    assert isinstance(header, Reply | Error)
    return header


def test_question_goes_to_its_role_on_behalf_of_who_asks() -> None:
    node = Node()
    question = ask(node.client("ann"))
    assert (question.operation, question.caller.client_id) == ("tokens.list", "ann")


def test_answer_goes_to_who_has_asked() -> None:
    node = Node()
    client, other = node.client("ann"), node.client("bob")
    node.switches[0].questions.performed(answered(ask(client), NOTHING), node.now)
    assert answer(client) == Reply(5, MSGPACK)
    assert other.frames() == []


def test_second_answer_changes_nothing() -> None:
    node = Node()
    client = node.client()
    question = ask(client)
    for _ in range(2):
        node.switches[0].questions.performed(answered(question, NOTHING), node.now)
    assert isinstance(answer(client), Reply)


def test_question_to_a_role_that_is_away_waits_for_it() -> None:
    node = Node()
    client = node.client()
    questions = node.switches[0].questions
    question = ask(client)
    questions.hold(question.number, question, node.now)
    assert questions.take() == []
    questions.role_here("config")
    assert questions.take() == [("config", question)]


def test_question_that_waits_does_not_go_to_another_role() -> None:
    node = Node()
    questions = node.switches[0].questions
    question = ask(node.client())
    questions.hold(question.number, question, node.now)
    questions.role_here("telemetry")
    assert questions.take() == []


def test_role_that_stays_away_is_told_after_a_while() -> None:
    node = Node()
    client = node.client()
    questions = node.switches[0].questions
    question = ask(client)
    questions.hold(question.number, question, node.now)
    assert questions.next_deadline() == node.now + AWAY_S
    questions.tick(node.now + AWAY_S)
    told = answer(client)
    assert isinstance(told, Error) and (told.code, told.detail["role"]) == ("unavailable", "config")
    questions.role_here("config")
    assert questions.take() == []


def test_only_so_much_is_kept_for_a_role_that_is_away() -> None:
    node = Node()
    client = node.client()
    questions = node.switches[0].questions
    large = msgspec.structs.replace(ask(client), parameters=bytes(10 << 20))
    questions.hold(large.number, large, node.now)
    another = msgspec.structs.replace(ask(client, 6), parameters=bytes(10 << 20))
    questions.hold(another.number, another, node.now)
    told = answer(client)
    assert isinstance(told, Error) and (told.request, told.code) == (6, "unavailable")
    questions.role_here("config")
    assert questions.take() == [("config", large)]
    questions.hold(large.number, large, node.now)
    questions.role_here("config")
    assert questions.take() == [("config", large)]


def test_role_that_dies_with_the_question_leaves_its_outcome_unknown() -> None:
    node = Node()
    client = node.client()
    ask(client)
    node.switches[0].questions.role_gone("config", node.now)
    told = answer(client)
    assert isinstance(told, Error) and told.code == "unavailable"
    assert "not known" in told.message


def test_question_that_waits_survives_another_death_of_its_role() -> None:
    node = Node()
    questions = node.switches[0].questions
    question = ask(node.client())
    questions.hold(question.number, question, node.now)
    questions.role_gone("config", node.now)
    questions.role_here("config")
    assert questions.take() == [("config", question)]


def test_silent_role_is_given_up_on() -> None:
    node = Node()
    client = node.client()
    ask(client)
    questions = node.switches[0].questions
    assert questions.next_deadline() == node.now + ANSWER_S
    questions.tick(node.now + ANSWER_S)
    told = answer(client)
    assert isinstance(told, Error) and told.code == "deadline_exceeded"
    assert questions.next_deadline() == inf


def test_client_that_has_left_is_not_answered() -> None:
    node = Node()
    client = node.client()
    question = ask(client)
    client.leave()
    node.switches[0].questions.performed(answered(question, NOTHING), node.now)
    assert client.frames() == []


def test_one_client_cannot_keep_the_others_from_asking() -> None:
    node = Node()
    greedy, modest = node.client("greedy"), node.client("modest")
    for number in range(1, OF_ONE_CLIENT + 1):
        ask(greedy, number)
    greedy.send(Request(9_999, "tokens.list", MSGPACK), ASKED)
    told = answer(greedy)
    assert isinstance(told, Error) and told.code == "limit_reached"
    ask(modest)
