"""Request and answer over a session."""

from __future__ import annotations

from majula.errors import Draining
from majula.gateway.exchange import Exchange
from majula.wire.frames import encode_run
from majula.wire.headers import Ack, AnyHeader, Call, Error, Publish, Register, Result, Subscribe

from .world import Node


def exchange_of(node: Node) -> tuple[Exchange, list[tuple[AnyHeader, bytes]]]:
    switch = node.switches[0]
    delivered: list[tuple[AnyHeader, bytes]] = []
    exchange = Exchange(switch, on_delivery=lambda header, body, _: delivered.append((header, body)))
    exchange.open(switch.open(exchange, client_id="label", secret="", surface="http", is_claimed=False, now=node.now))
    return exchange, delivered


def test_each_answer_comes_to_who_asked() -> None:
    node = Node()
    serves = node.client("p")
    serves.send(Register(0, "f"))
    exchange, _ = exchange_of(node)
    answers: list[tuple[str, AnyHeader, bytes]] = []
    exchange.ask(Subscribe(0, "a"), b"", node.now, lambda header, body: answers.append(("subscribe", header, body)))
    exchange.ask(Call(0, "f"), b"x", node.now, lambda header, body: answers.append(("call", header, body)))
    node.settle()
    (header, _) = serves.only()
    assert isinstance(header, Call)
    serves.send(Result(header.call), b"y")
    assert answers == [("subscribe", Ack(1, "gateway"), b""), ("call", Result(2), b"y")]


def test_what_is_not_an_answer_is_delivered() -> None:
    node = Node()
    exchange, delivered = exchange_of(node)
    exchange.tell(Subscribe(0, "a"), b"", node.now)
    node.client().publish("a", b"x")
    assert delivered == [(Publish("a"), encode_run([b"x"]))]


def test_an_answer_after_cancel_is_thrown_away() -> None:
    node = Node()
    exchange, _ = exchange_of(node)
    answers: list[AnyHeader] = []
    exchange.cancel(exchange.ask(Subscribe(0, "a"), b"", node.now, lambda header, _: answers.append(header)))
    node.settle()
    assert answers == []


def test_when_the_session_ends_nobody_is_left_without_an_answer() -> None:
    node = Node()
    node.client("p").send(Register(0, "f"))
    exchange, _ = exchange_of(node)
    answers: list[AnyHeader] = []
    exchange.ask(Call(0, "f"), b"", node.now, lambda header, _: answers.append(header))
    node.switches[0].close(exchange.session, Draining("stopping"), node.now)
    node.settle()
    assert answers == [Error(0, "connection_lost", "stopping")]


def test_a_session_that_claimed_no_id_cannot_offer_functions() -> None:
    node = Node()
    exchange, _ = exchange_of(node)
    answers: list[AnyHeader] = []
    exchange.ask(Register(0, "f"), b"", node.now, lambda header, _: answers.append(header))
    node.settle()
    (answer,) = answers
    assert isinstance(answer, Error)
    assert answer.code == "invalid_request"
