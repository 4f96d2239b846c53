"""The synchronous client at a real node, also while parts of it die."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

import majula
from majula.errors import ConnectionLost
from majula.testing import SyncNode

pytestmark = pytest.mark.slow

GUARD_S = 30.0


@pytest.fixture
def node() -> Iterator[SyncNode]:
    with SyncNode(gateways=2) as one:
        yield one


def test_a_killed_gateway_is_waited_for_and_the_iteration_goes_on(node: SyncNode) -> None:
    back = threading.Event()
    states: list[str] = []

    def on_state(state: majula.State) -> None:
        states.append(state.name)
        if states.count("connected") == 2:
            back.set()

    listener = node.connect(1, on_state=on_state)
    subscription = listener.subscribe("t")
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(next, subscription)
        node.kill(f"gateway:{node.ports[1]}")
        assert back.wait(GUARD_S)
        listener.publish("t", "again", ack=True)
        assert waiting.result(GUARD_S).payload == "again"
    assert listener.statistics().reconnects == 1


def test_a_call_that_was_cut_off_is_one_clear_error_in_its_thread(node: SyncNode) -> None:
    provider, caller = node.connect(0), node.connect(1)
    begun, over = threading.Event(), threading.Event()

    def wait() -> None:
        begun.set()
        over.wait(GUARD_S)

    provider.register("wait", wait, sync=True)
    call = caller.start_call("wait")
    assert begun.wait(GUARD_S)
    node.kill(f"gateway:{node.ports[1]}")
    with pytest.raises(ConnectionLost):
        call.result(GUARD_S)
    over.set()


def test_private_messages_are_iterated_over(node: SyncNode) -> None:
    ann, bob = node.connect(0, client_id="ann"), node.connect(1, client_id="bob")
    for number in range(100):
        assert ann.send("bob", number) == "delivered"
    messages = bob.messages()
    assert [next(messages).payload for _ in range(100)] == list(range(100))
    got: list[str] = []
    told = threading.Event()

    def hear(message: majula.PrivateMessage) -> None:
        got.append(message.payload)
        bob.send("ann", "thanks")  # a callback may use its client
        told.set()

    bob.on_message(hear)
    assert ann.send_nowait("bob", "a letter").result(GUARD_S) == "delivered"
    assert told.wait(GUARD_S)
    assert next(ann.messages()).payload == "thanks"
    assert got == ["a letter"]


def test_every_transport_does(node: SyncNode) -> None:
    for address in (node.url(0), node.url(0).replace("http", "ws"), node.address(1)):
        with majula.sync.connect(address) as client:
            assert client.call("whoami", provider="init") == {"id": "n1"}
            assert client.info().node == "n1"
