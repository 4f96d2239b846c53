"""A call whose header is known goes a short way; it must mean the same as the long one."""

from __future__ import annotations

import msgspec
import pytest

from majula.gateway.settings import GatewayLimits
from majula.wire.headers import JSON, Call, Cancel, Error, Fault, Register, Result

from .world import Client, Node

NUMBERS = [1, 127, 128, 255, 256, 65_535, 65_536, (1 << 32) - 1, 1 << 32, (1 << 63) - 1]


def warm(node: Node, gateway: int = 1, *, idempotent: bool = False) -> tuple[Client, Client]:
    """A provider and a caller that has called it before."""
    serves, caller = node.client("p", gateway), node.client("c")
    serves.send(Register(0, "f", idempotent=idempotent))
    caller.send(Call(1, "f", 1), b"first")
    answer(serves)
    caller.frames()
    return serves, caller


def answer(serves: Client, body: bytes = b"result") -> Call:
    header, _ = serves.only()
    assert isinstance(header, Call)
    serves.send(Result(header.call, 1), body)
    return header


def fault(client: Client) -> tuple[int, str]:
    header, _ = client.only()
    assert isinstance(header, Result)
    assert header.fault is not None
    return header.call, header.fault.code


@pytest.mark.parametrize("gateway", [1, 2])
@pytest.mark.parametrize("number", NUMBERS)
def test_any_number_comes_back_with_its_result(number: int, gateway: int) -> None:
    serves, caller = warm(Node(2), gateway)
    caller.send(Call(number, "f", 1), b"second")
    answer(serves, b"result")
    assert caller.only() == (Result(number, 1), b"result")


@pytest.mark.parametrize("gateway", [1, 2])
def test_the_provider_sees_what_it_saw_the_long_way(gateway: int) -> None:
    node = Node(2)
    serves, caller = warm(node, gateway)
    seen = []
    for number in (2, 3):
        caller.send(Call(number, "f", JSON, 5_000, "", "", True, "forged"), b"{}")
        seen.append(answer(serves))
        caller.frames()
    assert seen[0] == Call(seen[0].call, "f", JSON, 5_000, "p", "", True, "c")
    assert seen[1] == Call(seen[1].call, "f", JSON, 5_000, "p", "", True, "c")
    assert seen[0].call != seen[1].call


@pytest.mark.parametrize("fields", [b"\x93\x09%b\x01", b"\x94\x09%b\x01\xc0", b"\xdc\x00\x03\x09%b\x01"])
def test_a_result_may_be_written_in_any_form(fields: bytes) -> None:
    serves, caller = warm(Node())
    caller.send(Call(2, "f", 1))
    header, _ = serves.only()
    assert isinstance(header, Call)
    head = fields % msgspec.msgpack.encode(header.call)
    serves.send_bytes((2 + len(head) + 1).to_bytes(4, "little") + len(head).to_bytes(2, "little") + head + b"r")
    assert caller.only() == (Result(2, 1), b"r")


def test_another_client_is_not_taken_for_the_first() -> None:
    node = Node()
    serves, _ = warm(node)
    other = node.client("other")
    other.send(Call(1, "f", 1))
    assert answer(serves).source == "other"


def test_when_the_provider_is_gone_that_is_known_at_once() -> None:
    serves, caller = warm(Node())
    serves.leave()
    caller.send(Call(2, "f", 1))
    assert fault(caller) == (2, "no_provider")


def test_a_provider_that_joins_gets_its_share() -> None:
    node = Node()
    serves, caller = warm(node)
    joins = node.client("q")
    joins.send(Register(0, "f"))
    for number in range(2, 8):
        caller.send(Call(number, "f", 1))
    assert (len(serves.frames()), len(joins.frames())) == (3, 3)


def test_the_deadline_holds() -> None:
    node = Node()
    serves, caller = warm(node)
    for number in (2, 3):
        caller.send(Call(number, "f", 1, 1_000))
    numbers = [header.call for header in serves.headers() if isinstance(header, Call)]
    node.advance(1.1)
    assert [header.call for header in caller.headers() if isinstance(header, Result)] == [2, 3]
    assert serves.headers() == [Cancel(number) for number in numbers]


def test_the_limit_of_calls_holds() -> None:
    node = Node(limits=GatewayLimits(pending_calls=2))
    _, caller = warm(node)
    node.client("q").send(Register(0, "f"))
    for number in (2, 3, 4):
        caller.send(Call(number, "f", 1))
    assert fault(caller) == (4, "limit_reached")


def test_a_number_under_way_is_refused() -> None:
    _, caller = warm(Node())
    caller.send(Call(2, "f", 1))
    caller.send(Call(2, "f", 1))
    header, _ = caller.only()
    assert isinstance(header, Error)
    assert header.method == "CALL"


def test_a_full_provider_is_overloaded() -> None:
    node = Node(limits=GatewayLimits(queue_bytes=300, message_bytes=1_000))
    serves, caller = warm(node)
    serves.reads = False
    for number in (2, 3, 4):
        caller.send(Call(number, "f", 1), b"x" * 120)
    assert fault(caller) == (4, "overloaded")


def test_arguments_over_the_limit_are_refused() -> None:
    _, caller = warm(Node(limits=GatewayLimits(message_bytes=100)))
    caller.send(Call(2, "f", 1), b"x" * 105)
    assert fault(caller) == (2, "too_large")


def test_an_idempotent_function_is_tried_again_elsewhere() -> None:
    node = Node()
    serves, caller = warm(node, idempotent=True)
    other = node.client("q")
    other.send(Register(0, "f", idempotent=True))
    caller.send(Call(2, "f", 1), b"arguments")
    first, second = (serves, other) if serves.frames() else (other, serves)
    first.leave()
    (_, body) = second.frames()[0]
    assert body == b"arguments"


def test_a_fault_takes_the_long_way_and_arrives() -> None:
    serves, caller = warm(Node())
    caller.send(Call(2, "f", 1))
    header, _ = serves.only()
    assert isinstance(header, Call)
    serves.send(Result(header.call, 0, Fault("remote_error", "m", "T")))
    assert caller.headers() == [Result(2, 0, Fault("remote_error", "m", "T"))]


@pytest.mark.parametrize("header", [b"\x92\x09", b"\x94\x09\xce", b"\x91\x09", b"\x93\x08\xce\x00", b"\x92\x08"])
def test_a_header_that_is_cut_off_ends_its_connection_only(header: bytes) -> None:
    _, caller = warm(Node())
    for behind in (b"", b"\x01" * 9):
        caller.send_bytes(
            (2 + len(header) + len(behind)).to_bytes(4, "little") + len(header).to_bytes(2, "little") + header + behind
        )
    assert caller.was_ended


def test_a_caller_cannot_make_its_plans_large_by_a_source_of_its_own() -> None:
    node = Node()
    serves, caller = node.client("p"), node.client("c")
    serves.send(Register(0, "f"))
    caller.send(Call(1, "f", source="x" * 60_000))
    assert answer(serves).source == "c"
    assert caller.session.plans == {}
