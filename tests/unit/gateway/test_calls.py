"""RPC through the gateway: one answer or one clear fault, whatever happens."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from majula.gateway.settings import GatewayLimits
from majula.wire.frames import FrameReader, encode_frame, encode_run
from majula.wire.headers import (
    Ack,
    Call,
    Cancel,
    Error,
    Fault,
    Publish,
    Register,
    Result,
    Subscribe,
    Unregister,
)

from .world import Client, Node


def provider(node: Node, client_id: str, gateway: int = 1, *, function: str = "f", idempotent: bool = False) -> Client:
    client = node.client(client_id, gateway)
    client.send(Register(0, function, idempotent=idempotent))
    return client


def called(client: Client) -> tuple[Call, bytes]:
    header, body = client.only()
    assert isinstance(header, Call)
    return header, body


def fault(client: Client) -> tuple[int, str]:
    header, _ = client.only()
    assert isinstance(header, Result)
    assert header.fault is not None
    return header.call, header.fault.code


@pytest.mark.parametrize("gateway", [1, 2])
class TestOnEitherGateway:
    """The caller is attached to gateway 1, the provider to 1 or 2."""

    def test_a_call_reaches_the_provider_and_its_result_the_caller(self, gateway: int) -> None:
        node = Node(2)
        serves, caller = provider(node, "p", gateway), node.client("c")
        caller.send(Call(5, "f", 1), b"arguments")
        call, body = called(serves)
        assert body == b"arguments"
        serves.send(Result(call.call, 1), b"result")
        assert caller.only() == (Result(5, 1), b"result")

    def test_the_source_is_the_caller_whatever_it_wrote(self, gateway: int) -> None:
        node = Node(2)
        serves, caller = provider(node, "p", gateway), node.client("c")
        caller.send(Call(5, "f", source="somebody else", headers={"k": "v"}))
        call, _ = called(serves)
        assert (call.source, call.headers) == ("c", {"k": "v"})

    def test_a_handlers_error_reaches_the_caller_with_type_and_message(self, gateway: int) -> None:
        node = Node(2)
        serves, caller = provider(node, "p", gateway), node.client("c")
        caller.send(Call(5, "f"))
        failure = Fault("remote_error", "no such key", "KeyError")
        serves.send(Result(called(serves)[0].call, 0, failure))
        assert caller.headers() == [Result(5, 0, failure)]

    def test_a_call_that_is_not_answered_fails_at_its_deadline_and_is_cancelled(self, gateway: int) -> None:
        node = Node(2)
        serves, caller = provider(node, "p", gateway), node.client("c")
        caller.send(Call(5, "f", timeout_ms=1_000))
        call, _ = called(serves)
        assert 0 < call.timeout_ms <= 1_000
        node.advance(0.999)
        assert caller.frames() == []
        node.advance(0.002)
        assert fault(caller) == (5, "deadline_exceeded")
        assert serves.headers() == [Cancel(call.call)]

    def test_a_result_after_the_deadline_is_ignored(self, gateway: int) -> None:
        node = Node(2)
        serves, caller = provider(node, "p", gateway), node.client("c")
        caller.send(Call(5, "f", timeout_ms=1_000))
        call, _ = called(serves)
        node.advance(2.0)
        caller.frames()
        serves.send(Result(call.call), b"late")
        assert caller.frames() == []

    def test_cancel_is_passed_on_and_not_answered(self, gateway: int) -> None:
        node = Node(2)
        serves, caller = provider(node, "p", gateway), node.client("c")
        caller.send(Call(5, "f"))
        call, _ = called(serves)
        caller.send(Cancel(5))
        assert serves.headers() == [Cancel(call.call)]
        assert caller.frames() == []

    def test_when_the_caller_leaves_the_provider_is_told(self, gateway: int) -> None:
        node = Node(2)
        serves, caller = provider(node, "p", gateway), node.client("c")
        caller.send(Call(5, "f"))
        call, _ = called(serves)
        caller.leave()
        assert serves.headers() == [Cancel(call.call)]

    def test_when_the_provider_leaves_the_caller_is_told(self, gateway: int) -> None:
        node = Node(2)
        serves, caller = provider(node, "p", gateway), node.client("c")
        caller.send(Call(5, "f"))
        serves.leave()
        assert fault(caller) == (5, "provider_lost")

    def test_an_idempotent_call_is_tried_on_another_provider(self, gateway: int) -> None:
        node = Node(2)
        one, two = provider(node, "p1", gateway), provider(node, "p2", gateway)
        caller = node.client("c")
        caller.send(Call(5, "f", idempotent=True), b"arguments")
        first, second = (one, two) if one.frames() else (two, one)
        first.leave()
        call, body = called(second)
        assert body == b"arguments"
        second.send(Result(call.call), b"result")
        assert caller.only() == (Result(5), b"result")

    def test_a_call_that_is_not_idempotent_is_not_tried_again(self, gateway: int) -> None:
        node = Node(2)
        one, two = provider(node, "p1", gateway), provider(node, "p2", gateway)
        caller = node.client("c")
        caller.send(Call(5, "f"))
        first, second = (one, two) if one.frames() else (two, one)
        first.leave()
        assert fault(caller) == (5, "provider_lost")
        assert second.frames() == []

    def test_a_call_is_tried_again_once_only(self, gateway: int) -> None:
        node = Node(2)
        clients = [provider(node, f"p{number}", gateway) for number in range(3)]
        caller = node.client("c")
        caller.send(Call(5, "f", idempotent=True))
        for _ in range(2):
            next(client for client in clients if client.session.is_open and client.frames()).leave()
        assert fault(caller) == (5, "provider_lost")

    def test_a_named_provider_gets_the_call(self, gateway: int) -> None:
        node = Node(2)
        clients = [provider(node, f"p{number}", gateway) for number in range(3)]
        caller = node.client("c")
        for number in range(1, 4):
            caller.send(Call(number, "f", provider="p1"))
        assert [len(client.frames()) for client in clients] == [0, 3, 0]

    def test_calls_without_a_named_provider_are_shared_by_who_has_least_to_answer(self, gateway: int) -> None:
        node = Node(2)
        clients = [provider(node, f"p{number}", gateway) for number in range(3)]
        caller = node.client("c")
        for number in range(1, 10):
            caller.send(Call(number, "f"))
        assert [len(client.frames()) for client in clients] == [3, 3, 3]

    def test_after_unregister_nobody_is_there(self, gateway: int) -> None:
        node = Node(2)
        serves, caller = provider(node, "p", gateway), node.client("c")
        serves.send(Unregister(0, "f"))
        caller.send(Call(5, "f"))
        assert fault(caller) == (5, "no_provider")

    def test_a_provider_whose_queue_is_full_is_overloaded(self, gateway: int) -> None:
        node = Node(2, limits=GatewayLimits(queue_bytes=300, message_bytes=1_000))
        serves, caller = node.client("p", gateway, reads=False), node.client("c")
        serves.send(Register(0, "f"))
        for number in range(1, 4):
            caller.send(Call(number, "f"), b"x" * 120)
        header, _ = caller.frames()[0]
        assert isinstance(header, Result)
        assert header.fault is not None
        assert (header.fault.code, header.fault.retry_after_s > 0) == ("overloaded", True)


def test_nobody_who_offers_it_is_known_at_once() -> None:
    caller = Node().client("c")
    caller.send(Call(5, "nothing"))
    assert fault(caller) == (5, "no_provider")


def test_a_named_provider_that_does_not_offer_it_is_known_at_once() -> None:
    node = Node()
    provider(node, "p")
    caller = node.client("c")
    caller.send(Call(5, "f", provider="q"))
    assert fault(caller) == (5, "no_provider")


def test_another_node_cannot_be_reached_yet() -> None:
    node = Node()
    provider(node, "p")
    caller = node.client("c")
    caller.send(Call(5, "f", node="n2"))
    assert fault(caller) == (5, "no_such_node")


def test_the_own_node_may_be_named() -> None:
    node = Node()
    serves, caller = provider(node, "p"), node.client("c")
    caller.send(Call(5, "f", node="n1"))
    called(serves)


def test_a_deadline_that_has_passed_already_fails_at_once() -> None:
    node = Node()
    serves, caller = provider(node, "p"), node.client("c")
    caller.send(Call(5, "f", timeout_ms=0))
    assert fault(caller) == (5, "deadline_exceeded")
    assert serves.frames() == []


def test_a_client_may_call_itself() -> None:
    node = Node()
    client = provider(node, "p")
    client.send(Call(1, "f"), b"x")
    call, _ = called(client)
    client.send(Result(call.call), b"y")
    assert client.only() == (Result(1), b"y")


def test_a_number_that_is_under_way_is_refused_without_answering_the_older_call() -> None:
    node = Node()
    serves, caller = provider(node, "p"), node.client("c")
    caller.send(Call(5, "f"))
    call, _ = called(serves)
    caller.send(Call(5, "f"))
    header, _ = caller.only()
    assert isinstance(header, Error)
    assert (header.method, header.code) == ("CALL", "invalid_request")
    serves.send(Result(call.call), b"x")
    assert caller.only() == (Result(5), b"x")


def test_a_number_may_be_used_again_after_its_answer() -> None:
    node = Node()
    serves, caller = provider(node, "p"), node.client("c")
    for _ in range(2):
        caller.send(Call(5, "f"))
        serves.send(Result(called(serves)[0].call))
        assert caller.headers() == [Result(5)]


def test_a_call_number_of_zero_breaks_the_protocol() -> None:
    client = Node().client()
    client.send(Call(0, "f"))
    assert client.was_ended


def test_a_stray_result_is_ignored() -> None:
    client = Node().client()
    client.send(Result(99), b"x")
    assert client.frames() == []
    assert client.session.is_open


def test_nobody_can_answer_a_call_that_another_was_given() -> None:
    node = Node()
    serves, caller, stranger = provider(node, "p"), node.client("c"), node.client("s")
    caller.send(Call(5, "f"))
    call, _ = called(serves)
    stranger.send(Result(call.call), b"forged")
    assert caller.frames() == []


def test_more_calls_under_way_than_the_limit_are_refused() -> None:
    node = Node(limits=GatewayLimits(pending_calls=2))
    provider(node, "p")
    provider(node, "q")
    caller = node.client("c")
    for number in range(1, 4):
        caller.send(Call(number, "f"))
    assert fault(caller) == (3, "limit_reached")


def test_a_provider_with_too_much_to_answer_is_overloaded() -> None:
    node = Node(limits=GatewayLimits(pending_calls=2))
    provider(node, "p")
    for number in range(2):
        node.client(f"c{number}").send(Call(1, "f"))
    caller = node.client("c")
    caller.send(Call(1, "f"))
    assert fault(caller) == (1, "overloaded")


def test_a_provider_that_does_not_read_is_passed_over_while_there_is_another() -> None:
    node = Node(limits=GatewayLimits(queue_bytes=200, message_bytes=1_000))
    stuck = node.client("stuck", reads=False)
    stuck.send(Register(0, "f"))
    stuck.send(Subscribe(0, "t"))
    reads = provider(node, "reads")
    caller = node.client("c")
    for _ in range(4):
        caller.publish("t", b"x" * 100)
    for number in range(1, 6):
        caller.send(Call(number, "f"))
    assert len(reads.frames()) == 5


def test_registering_again_replaces_what_was_said() -> None:
    node = Node()
    serves = provider(node, "p")
    serves.send(Register(1, "f", note="newer"))
    assert serves.headers() == [Ack(1, "gateway")]
    assert [service.note for service in node.switches[0].calls.list_services(provider="p")] == ["newer"]


def test_more_functions_than_the_limit_are_refused() -> None:
    client = Node(limits=GatewayLimits(registrations=1)).client()
    client.send(Register(1, "f"))
    client.send(Register(2, "g"))
    *_, last = client.headers()
    assert isinstance(last, Error)
    assert last.code == "limit_reached"


def test_taking_back_what_was_not_offered_is_an_error() -> None:
    client = Node().client()
    client.send(Unregister(1, "f"))
    (answer,) = client.headers()
    assert isinstance(answer, Error)
    assert answer.code == "not_found"


def test_a_table_that_is_behind_costs_no_call_where_another_provider_is_left() -> None:
    node = Node(2)
    gone, stays = provider(node, "p1", 2), provider(node, "p2", 2)
    caller = node.client("c")
    # Gateway 2 knows already that p1 has taken it back; gateway 1 does not.
    gone.switch.calls.services.unregister("f", "p1")
    for number in range(1, 5):
        caller.send(Call(number, "f"))
        call, _ = called(stays)
        stays.send(Result(call.call), b"x")
        assert caller.only() == (Result(number), b"x")


def test_when_a_gateway_dies_calls_to_it_fail_and_calls_from_it_are_cancelled() -> None:
    node = Node(2)
    far, near = provider(node, "far", 2), provider(node, "near", 1, function="g")
    caller, remote_caller = node.client("c", 1), node.client("r", 2)
    caller.send(Call(5, "f"))
    remote_caller.send(Call(6, "g"))
    call, _ = called(near)
    far.frames()
    node.kill(2)
    assert fault(caller) == (5, "provider_lost")
    assert near.headers() == [Cancel(call.call)]


def test_while_draining_new_calls_are_refused_and_old_ones_answered() -> None:
    node = Node()
    serves, caller = provider(node, "p"), node.client("c")
    caller.send(Call(1, "f"))
    call, _ = called(serves)
    node.switches[0].drain(node.now)
    node.settle()
    caller.frames()
    caller.send(Call(2, "f"))
    assert fault(caller) == (2, "draining")
    assert not node.switches[0].is_idle()
    serves.frames()
    serves.send(Result(call.call), b"x")
    assert caller.only() == (Result(1), b"x")
    assert node.switches[0].is_idle()


_steps = st.lists(
    st.one_of(
        st.tuples(st.just("call"), st.integers(0, 2), st.booleans()),
        st.tuples(st.just("answer"), st.integers(0, 3), st.booleans()),
        st.tuples(st.just("cancel"), st.integers(0, 2), st.booleans()),
        st.tuples(st.just("leave"), st.integers(0, 3), st.booleans()),
        st.tuples(st.just("wait"), st.integers(1, 700), st.booleans()),
    ),
    max_size=40,
)


@settings(max_examples=60, deadline=None)
@given(_steps)
def test_every_call_ends_exactly_once(steps: list[tuple[str, int, bool]]) -> None:
    node = Node(2)
    providers = [provider(node, f"p{number}", 1 + number % 2) for number in range(4)]
    callers = [node.client(f"c{number}", 1 + number % 2) for number in range(3)]
    open_calls: list[set[int]] = [set(), set(), set()]
    last = 0

    def collect() -> None:
        for caller, calls in zip(callers, open_calls, strict=True):
            for header in caller.headers():
                assert isinstance(header, Result)
                calls.remove(header.call)  # KeyError: answered twice, or after its CANCEL

    for verb, number, flag in steps:
        if verb == "call":
            last += 1
            open_calls[number].add(last)
            callers[number].send(Call(last, "f", timeout_ms=1_000, idempotent=flag))
        elif verb == "answer" and providers[number].session.is_open:
            for header in providers[number].headers():
                if isinstance(header, Call):
                    providers[number].send(Result(header.call, 0, Fault("remote_error") if flag else None))
        elif verb == "cancel" and open_calls[number]:
            collect()
            if open_calls[number]:
                callers[number].send(Cancel(open_calls[number].pop()))
        elif verb == "leave":
            providers[number].leave()
        elif verb == "wait":
            node.advance(number / 1_000)
        collect()
    node.advance(3.0)
    collect()
    assert open_calls == [set(), set(), set()]
    assert [switch.calls.under_way() for switch in node.switches] == [0, 0]


def test_provider_whose_gateway_is_cut_off_is_unavailable_not_overloaded() -> None:
    node = Node(2)
    serves, caller = node.client("p", 2), node.client("c", 1)
    serves.send(Register(0, "plus"))
    node.switches[0].set_peer("gateway:2", None, node.now)  # the registry is ahead of the table
    caller.send(Call(1, "plus"))
    (header,) = caller.headers()
    assert isinstance(header, Result)
    assert header.fault is not None
    assert (header.fault.code, header.fault.retry_after_s > 0) == ("unavailable", True)


@pytest.mark.parametrize("gateway", [1, 2])
def test_a_fault_that_fills_its_header_reaches_the_caller_cut(gateway: int) -> None:
    node = Node(2)
    serves, caller = provider(node, "p", gateway), node.client("c")
    caller.send(Call(1 << 40, "f"))
    call, _ = called(serves)
    serves.send(Result(call.call, 0, Fault("remote_error", "x" * 65_500)))
    header, _ = caller.only()
    assert isinstance(header, Result)
    assert header.fault is not None
    assert (header.call, header.fault.code, len(header.fault.message)) == (1 << 40, "remote_error", 8_192)


@pytest.mark.parametrize("gateway", [1, 2])
def test_a_call_whose_header_grows_too_large_is_refused_once(gateway: int) -> None:
    node = Node(2)
    serves, caller = provider(node, "p" * 100, gateway), node.client("c" * 100)
    caller.send(Call(1, "f", timeout_ms=1_000, headers={"k": "x" * 65_450}))
    assert fault(caller) == (1, "too_large")
    node.advance(2.0)
    assert (caller.frames(), serves.frames()) == ([], [])


@pytest.mark.parametrize("gateway", [1, 2])
def test_a_result_over_the_limit_fails_the_call_at_once(gateway: int) -> None:
    node = Node(2, limits=GatewayLimits(message_bytes=1_000))
    serves, caller = provider(node, "p", gateway), node.client("c")
    caller.send(Call(1, "f"))
    call, _ = called(serves)
    serves.send(Result(call.call), b"x" * 2_000)
    assert fault(caller) == (1, "too_large")
    header, _ = serves.only()
    assert isinstance(header, Error)
    assert header.code == "too_large"


@pytest.mark.parametrize("time_s", [float("inf"), float("nan"), -1.0, 1e9])
def test_a_time_to_retry_that_is_none_does_not_reach_the_caller(time_s: float) -> None:
    node = Node()
    serves, caller = provider(node, "p"), node.client("c")
    caller.send(Call(1, "f"))
    call, _ = called(serves)
    serves.frames()
    serves.send(Result(call.call, 0, Fault("overloaded", "later", retry_after_s=time_s)))
    (header,) = caller.headers()
    assert isinstance(header, Result)
    assert header.fault == Fault("overloaded", "later")


def test_a_drain_waits_for_frames_to_another_gateway() -> None:
    node = Node(2)
    far = node.client("far", 2)
    far.send(Subscribe(1, "t"))
    switch, publisher = node.switches[0], node.client("near", 1)
    chunk, spans = FrameReader(limit_bytes=1 << 20).feed(encode_frame(Publish("t"), encode_run([b"x"])))
    switch.receive(publisher.session, chunk, spans, node.now)
    (peer,) = switch.take_dirty(node.now)[1]
    peer.held = peer.outbox.take(1 << 20, node.now)  # its transport is full
    assert not switch.is_idle()
    peer.held = []
    assert switch.is_idle()
