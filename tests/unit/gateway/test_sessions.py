"""Clients come, go, and are told to go."""

from __future__ import annotations

import pytest

from majula.errors import Conflict, Draining, Overloaded
from majula.gateway.settings import GatewayLimits
from majula.wire.frames import decode_header, encode_run
from majula.wire.headers import Bye, Error, Hello, Reconnect, Register, Send, Subscribe, Welcome

from .world import Node


def test_welcome_says_who_and_where_and_what_is_allowed() -> None:
    client = Node().client("c")
    welcome = decode_header(client.switch.welcome(client.session)[6:])
    assert isinstance(welcome, Welcome)
    assert (welcome.node_id, welcome.client_id, welcome.secret, welcome.gateway) == ("n1", "c", "secret", "gateway:1")
    assert welcome.limits["message_bytes"] == 1 << 20


def test_an_id_that_is_held_here_cannot_be_opened_again() -> None:
    node = Node()
    node.client("c")
    with pytest.raises(Conflict):
        node.client("c")


def test_an_id_is_free_again_when_its_session_ends() -> None:
    node = Node()
    node.client("c").leave()
    node.client("c")


def test_more_clients_than_the_limit_are_told_to_come_again() -> None:
    """It is no fault of theirs: a client that connects again must not take it for an end."""
    node = Node(limits=GatewayLimits(connections=1))
    node.client()
    with pytest.raises(Overloaded) as refused:
        node.client()
    assert (refused.value.retry_after_s, refused.value.detail["limit"]) == (1.0, "connections")


def test_while_draining_no_client_is_taken_and_all_are_told() -> None:
    node = Node()
    client = node.client()
    node.switches[0].drain(node.now)
    node.settle()
    assert client.headers() == [Reconnect(0, "this gateway is stopping")]
    with pytest.raises(Draining):
        node.client()


def test_bye_ends_the_session_without_an_error() -> None:
    client = Node().client()
    client.send(Bye())
    assert (client.was_ended, client.end_error, client.frames()) == (True, None, [])


def test_a_client_that_is_closed_is_told_why_in_its_last_frame() -> None:
    node = Node()
    client = node.client()
    client.switch.close(client.session, Conflict("taken over", reason="taken_over"), node.now)
    node.settle()
    (header,) = client.headers()
    assert isinstance(header, Error)
    assert (header.code, header.detail) == ("conflict", {"reason": "taken_over"})
    assert client.was_ended


def test_a_second_hello_breaks_the_protocol() -> None:
    client = Node().client()
    client.send(Hello(1))
    assert client.was_ended


def test_a_session_that_has_ended_leaves_nothing() -> None:
    node = Node(2)
    client = node.client("c")
    client.send(Subscribe(0, "a"))
    client.send(Subscribe(0, "a.>", True, "g"))
    client.send(Register(0, "f"))
    client.leave()
    client.leave()
    statistics = node.switches[0].statistics()
    assert [statistics[name] for name in ("clients", "subscriptions", "functions")] == [0, 0, 0]
    assert [statistics["functions"] for statistics in [node.switches[1].statistics()]] == [0]
    assert node.ended == [client.session]


def test_frames_of_a_session_that_has_ended_are_not_served() -> None:
    node = Node()
    client = node.client("c")
    client.leave()
    client.send(Subscribe(1, "a"))
    assert client.frames() == []
    assert node.switches[0].statistics()["subscriptions"] == 0


def test_figures_of_a_session_count_messages_not_frames() -> None:
    node = Node()
    ann, bob = node.client("ann"), node.client("bob")
    bob.send(Subscribe(1, "a"))
    ann.publish("a", b"1", b"2", b"3")
    ann.send(Send("bob", "", 7, 1, 1, 1_000), encode_run([b"x", b"y"]))
    sent, got = ann.session.statistics(), bob.session.statistics()
    assert (sent.received_messages, sent.sent_messages) == (5, 0)
    assert (got.received_messages, got.sent_messages) == (0, 1 + 3 + 1)  # the ACK, the run of three, the run of private ones
