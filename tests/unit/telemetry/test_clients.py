"""The list of clients: what gateways tell, and what is made of it."""

from __future__ import annotations

from typing import Any

from majula.messages.telemetry import ClientFigure, ClientFigures
from majula.routing.operations import ClientsRequest
from majula.telemetry.clients import ClientBoard

ALL = ClientsRequest()
GATEWAY = "gateway:1"


def told(*changed: ClientFigure, gone: tuple[int, ...] = (), is_first: bool = False) -> ClientFigures:
    return ClientFigures(incarnation=1, is_first=is_first, changed=changed, gone=gone)


def client(number: int = 1, **fields: Any) -> ClientFigure:
    return ClientFigure(number=number, client_id=fields.pop("client_id", f"c{number}"), surface="native", **fields)


def names(board: ClientBoard, request: ClientsRequest = ALL) -> list[str]:
    return [line.client for line in board.answer(request, 0.0).clients]


def test_clients_of_all_gateways_are_listed_by_id() -> None:
    board = ClientBoard("n1")
    board.told("gateway:2", told(client(1, client_id="b"), client(2, client_id="a")), 0.0)
    board.told("gateway:1", told(client(1, client_id="c")), 0.0)
    assert names(board) == ["a", "b", "c"]


def test_client_that_has_gone_is_listed_no_more() -> None:
    board = ClientBoard("n1")
    board.told(GATEWAY, told(client(1), client(2)), 0.0)
    board.told(GATEWAY, told(gone=(1,)), 1.0)
    assert names(board) == ["c2"]


def test_first_telling_of_a_gateway_replaces_what_was_known() -> None:
    board = ClientBoard("n1")
    board.told(GATEWAY, told(client(1)), 0.0)
    board.told(GATEWAY, told(client(2), is_first=True), 1.0)
    assert names(board) == ["c2"]


def test_clients_of_a_gateway_that_is_away_are_not_there() -> None:
    board = ClientBoard("n1")
    board.told(GATEWAY, told(client(1)), 0.0)
    board.gateway_gone(GATEWAY)
    assert names(board) == []


def test_rates_are_what_came_and_went_between_two_tellings() -> None:
    board = ClientBoard("n1")
    board.told(GATEWAY, told(client(received_messages=100, sent_messages=10)), 0.0)
    board.told(GATEWAY, told(client(received_messages=300, sent_messages=11)), 2.0)
    (line,) = board.answer(ALL, 2.5).clients
    assert (line.received_per_s, line.sent_per_s) == (100.0, 0.5)


def test_client_that_is_not_told_of_again_does_nothing_any_more() -> None:
    board = ClientBoard("n1")
    board.told(GATEWAY, told(client(received_messages=100)), 0.0)
    board.told(GATEWAY, told(client(received_messages=300)), 1.0)
    assert board.answer(ALL, 9.0).clients[0].received_per_s == 0.0


def test_pages_say_how_many_there_are() -> None:
    board = ClientBoard("n1")
    board.told(GATEWAY, told(*(client(number, client_id=f"c{number:04}") for number in range(3_000))), 0.0)
    page = board.answer(ClientsRequest(offset=2_999, limit=5_000), 0.0)
    assert ([line.client for line in page.clients], page.of) == (["c2999"], 3_000)
    assert len(board.answer(ClientsRequest(limit=5_000), 0.0).clients) == 1_024


def test_clients_of_another_node_are_none_of_ours() -> None:
    board = ClientBoard("n1")
    board.told(GATEWAY, told(client()), 0.0)
    assert (names(board, ClientsRequest(node="n2")), names(board, ClientsRequest(node="n1"))) == ([], ["c1"])


def test_slow_clients_are_named_the_worst_first() -> None:
    board = ClientBoard("n1")
    board.told(
        GATEWAY, told(client(1), client(2, is_slow=True, dropped_messages=1), client(3, is_slow=True, dropped_messages=9)), 0
    )
    assert [slow.client for slow in board.slow()] == ["c3", "c2"]
