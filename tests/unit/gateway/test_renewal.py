"""Limits that change while the gateway runs."""

from __future__ import annotations

import pytest

from majula.errors import Overloaded
from majula.gateway.settings import GatewayLimits
from majula.wire.headers import Ack, Call, Error, Register, Result, Subscribe

from .world import Client, Node


def last_code(client: Client) -> str:
    """The code of the last answer, `ack` where it was none."""
    header = client.headers()[-1]
    if isinstance(header, Error):
        return header.code
    assert isinstance(header, Ack), header
    return "ack"


def renew(node: Node, **limits: object) -> None:
    for switch in node.switches:
        switch.renew(GatewayLimits(**limits))  # type: ignore[arg-type] # by name


def test_lower_number_of_clients_holds_for_those_that_come() -> None:
    node = Node()
    first = node.client()
    renew(node, connections=1)
    with pytest.raises(Overloaded):
        node.client()
    assert first.session.is_open


def test_higher_number_of_clients_lets_more_in() -> None:
    node = Node(limits=GatewayLimits(connections=1))
    node.client()
    renew(node, connections=2)
    node.client()


def test_number_of_subscriptions_changes_for_clients_that_are_there() -> None:
    node = Node(limits=GatewayLimits(subscriptions=1))
    client = node.client()
    client.send(Subscribe(1, "a"))
    client.send(Subscribe(2, "b"))
    assert last_code(client) == "limit_reached"
    renew(node, subscriptions=2)
    client.send(Subscribe(3, "b"))
    assert last_code(client) == "ack"


def test_client_that_has_more_than_the_new_limit_keeps_it() -> None:
    node = Node()
    client = node.client()
    for number, topic in enumerate(("a", "b"), start=1):
        client.send(Subscribe(number, topic))
    renew(node, subscriptions=1)
    client.frames()
    client.publish("b", b"1")
    assert client.messages() == [b"1"]


def test_number_of_functions_changes_for_clients_that_are_there() -> None:
    node = Node()
    client = node.client()
    renew(node, registrations=0)
    client.send(Register(1, "f"))
    assert last_code(client) == "limit_reached"


def test_number_of_calls_under_way_changes_for_clients_that_are_there() -> None:
    node = Node()
    provider, caller = node.client(), node.client()
    provider.send(Register(1, "f"))
    renew(node, pending_calls=1)
    for number in (1, 2):
        caller.send(Call(number, "f", timeout_ms=1_000))
    header = caller.headers()[-1]
    assert isinstance(header, Result) and header.fault is not None and header.fault.code == "overloaded"


def test_size_of_a_message_changes_for_clients_that_are_there() -> None:
    node = Node()
    client = node.client()
    renew(node, message_bytes=1_024)
    client.publish("a", bytes(2_000), request=1)
    assert last_code(client) == "too_large"


def test_welcome_says_the_limits_of_now() -> None:
    node = Node()
    client = node.client()
    renew(node, subscriptions=7)
    assert b"subscriptions\x07" in client.switch.welcome(client.session)
