"""The node's own functions, as a client calls them."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from majula.wire.headers import JSON, MSGPACK, RAW, Call, Register, Reply, Request, Result

from .world import Client, Node, value


def call(function: str, arguments: Any = None, *, client: Client | None = None) -> Any:
    """The result, or the code of the fault."""
    client = client or Node().client("c")
    client.send(Call(1, function, MSGPACK, provider="init"), msgspec.msgpack.encode(arguments))
    header, body = client.only()
    assert isinstance(header, Result)
    return header.fault.code if header.fault else value(body)


@pytest.mark.parametrize(
    ("function", "arguments", "result"),
    [
        ("add", {"a": 2, "b": 3}, {"sum": 5}),
        ("add", {"a": "2", "b": "3.5"}, {"sum": 5.5}),
        ("echo", {"x": [1, None]}, {"echo": {"x": [1, None]}}),
        ("time", {}, {"time": "2023-11-14T22:13:20.000000Z"}),
        ("whoami", None, {"id": "n1"}),
        ("longtext", None, {"data": "HelloWorld " * 100}),
        ("randint", {"min": 4, "max": 4}, {"value": 4}),
        ("reverse", {"s": "añ🙂"}, {"reversed": "🙂ña"}),
    ],
)
def test_what_it_answers(function: str, arguments: object, result: object) -> None:
    assert call(function, arguments) == result


@pytest.mark.parametrize(
    ("function", "arguments"),
    [
        ("add", {"a": 1}),
        ("add", {"a": True, "b": 1}),
        ("add", {"a": "x", "b": 1}),
        ("add", {"a": 1e300, "b": 1}),
        ("add", {"a": float("nan"), "b": 1}),
        ("add", [1, 2]),
        ("randint", {"min": 2, "max": 1}),
        ("randint", {"min": 1.5, "max": 3}),
        ("reverse", {"s": 5}),
    ],
)
def test_arguments_that_do_not_fit_are_the_callers_fault(function: str, arguments: object) -> None:
    assert call(function, arguments) == "invalid_request"


def test_an_unknown_function_of_the_node_is_no_provider() -> None:
    assert call("nothing") == "no_provider"


def test_randint_gives_both_ends() -> None:
    client = Node().client("c")
    assert {call("randint", {"min": 1, "max": 2}, client=client)["value"] for _ in range(64)} == {1, 2}


def test_allrpcs_lists_the_functions_of_one_provider() -> None:
    node = Node()
    serves = node.client("p")
    serves.send(Register(0, "f", note="what f does"))
    assert call("allrpcs", {"rpc_provider": "p"}, client=node.client("c")) == [{"name": "f", "note": "what f does"}]


def test_allrpcs_of_the_node_itself_lists_all_of_these() -> None:
    names = [entry["name"] for entry in call("allrpcs", {"rpc_provider": "init"})]
    assert names == ["add", "allrpcs", "echo", "longtext", "node_info", "randint", "reverse", "time", "whoami"]


def test_allrpcs_without_a_provider_says_so_in_its_result() -> None:
    assert list(call("allrpcs", {})) == ["error"]


def test_node_info_tells_of_the_node() -> None:
    answer = call("node_info", client=Node(2).client("c"))
    assert (answer["id"], answer["gateways"], answer["clients"]) == ("n1", ["gateway:1", "gateway:2"], 1)


def test_a_call_in_json_is_answered_in_json() -> None:
    client = Node().client("c")
    client.send(Call(1, "add", JSON, provider="init"), b'{"a":1,"b":2}')
    assert client.only() == (Result(1, JSON), b'{"sum":3}')


def test_raw_arguments_are_refused_and_none_at_all_are_taken() -> None:
    client = Node().client("c")
    client.send(Call(1, "whoami", RAW, provider="init"))
    assert client.only()[0] == Result(1, MSGPACK)
    client.send(Call(2, "whoami", RAW, provider="init"), b"x")
    (header,) = client.headers()
    assert isinstance(header, Result)
    assert header.fault is not None
    assert header.fault.code == "invalid_request"


def test_the_nodes_own_function_is_called_only_where_its_provider_is_named() -> None:
    """A caller of a program's `add` must not get the node's while the program is away."""
    node = Node()
    serves, caller = node.client("p"), node.client("c")
    serves.send(Register(0, "add"))
    serves.frames()
    serves.leave()
    caller.send(Call(1, "add"))
    (header,) = caller.headers()
    assert isinstance(header, Result)
    assert header.fault is not None
    assert header.fault.code == "no_provider"


def services(client: Client, **asked: str) -> list[tuple[str, str]]:
    client.send(Request(3, "rpc.services", MSGPACK), msgspec.msgpack.encode(asked))
    header, body = client.only()
    assert header == Reply(3, MSGPACK)
    answer = msgspec.msgpack.decode(body)
    return [(service["provider"], service["name"]) for service in answer["services"]]


@pytest.mark.parametrize("gateway", [1, 2])
def test_services_of_all_gateways_are_listed_by_provider_and_name(gateway: int) -> None:
    node = Node(2)
    serves = node.client("p", gateway)
    serves.send(Register(0, "g"))
    serves.send(Register(0, "f"))
    client = node.client("c")
    assert services(client, provider="p") == [("p", "f"), ("p", "g")]
    assert services(client, function="f") == [("p", "f")]
    assert ("init", "add") in services(client)
    assert services(client, node="n2") == []


def test_a_request_for_an_unknown_operation_is_not_found() -> None:
    client = Node().client("c")
    client.send(Request(3, "no.such", MSGPACK))
    (answer,) = client.headers()
    assert (getattr(answer, "code", ""), getattr(answer, "request", 0)) == ("not_found", 3)


def test_a_request_that_cannot_be_read_is_the_clients_fault() -> None:
    client = Node().client("c")
    client.send(Request(3, "rpc.services", MSGPACK), b"\xc1")
    (answer,) = client.headers()
    assert getattr(answer, "code", "") == "invalid_request"
