"""What a gateway tells telemetry of its clients: what has changed, in portions."""

from __future__ import annotations

import itertools

from majula.gateway.teller import Teller
from majula.messages.telemetry import ClientFigures

from .world import Node


def ids(told: ClientFigures | None) -> list[str]:
    return [] if told is None else sorted(figure.client_id for figure in told.changed)


def test_client_is_told_of_when_it_comes_and_when_its_figures_change() -> None:
    node = Node()
    client = node.client("c1")
    telling = Teller(1, node.switches[0].sessions)
    assert ids(telling.next(5.0)) == ["c1"]
    assert telling.next(6.0) is None
    client.publish("a", b"x")
    (figure,) = (telling.next(7.0) or ClientFigures(1, False, ())).changed
    assert (figure.received_messages, figure.since) == (1, 5.0)


def test_client_that_has_gone_is_told_of_once() -> None:
    node = Node()
    client = node.client("c1")
    telling = Teller(1, node.switches[0].sessions)
    telling.next(5.0)
    number = client.session.number
    node.switches[0].end(client.session, 6.0)
    told = telling.next(6.0)
    assert told is not None and told.gone == (number,)
    assert telling.next(7.0) is None


def test_everything_is_told_anew_to_a_telemetry_that_knows_nothing() -> None:
    node = Node()
    node.client("c1")
    telling = Teller(1, node.switches[0].sessions)
    telling.next(5.0)
    telling.restart()
    told = telling.next(6.0)
    assert told is not None and told.is_first and ids(told) == ["c1"]


def test_many_clients_are_told_of_in_portions_each_in_its_turn() -> None:
    node = Node()
    for number in range(5):
        node.client(f"c{number}")
    telling = Teller(1, node.switches[0].sessions, portion=2)
    found = [ids(telling.next(float(turn))) for turn in range(3)]
    assert [len(some) for some in found] == [2, 2, 1] and sorted(itertools.chain(*found)) == [f"c{n}" for n in range(5)]


def test_newcomer_is_told_of_at_once_and_the_others_are_left_for_their_turn() -> None:
    node = Node()
    first = node.client("c1")
    telling = Teller(1, node.switches[0].sessions)
    telling.next(5.0)
    first.publish("a", b"x")
    node.client("c2")
    assert ids(telling.crowd(5.1)) == ["c2"]
    assert telling.crowd(5.2) is None
    assert ids(telling.next(6.0)) == ["c1"]


def test_client_that_leaves_is_told_of_at_once() -> None:
    node = Node()
    client = node.client("c1")
    telling = Teller(1, node.switches[0].sessions)
    telling.next(5.0)
    number = client.session.number
    node.switches[0].end(client.session, 6.0)
    told = telling.crowd(6.0)
    assert told is not None and told.gone == (number,)
    assert telling.next(7.0) is None
