"""Both programs against real nodes: `pytest`."""

import asyncio

import pytest
from order import order
from stock import Order, Receipt, Stock

import majula
from majula.testing import Node, SyncNode


@pytest.mark.asyncio
async def test_an_order_is_answered_and_told(majula_node: Node) -> None:
    await Stock({"bolt": 5}).offer(await majula_node.connect())
    client = await majula_node.connect()
    ordered = await client.subscribe("stock.ordered", type=Receipt)
    assert await client.call("stock.order", Order("bolt", 3), type=Receipt) == Receipt("bolt", 3, 2)
    assert (await ordered.receive(timeout_s=10)).payload == Receipt("bolt", 3, 2)


@pytest.mark.asyncio
async def test_a_count_is_answered_while_the_broker_is_away(majula_node: Node) -> None:
    await Stock({"bolt": 5}).offer(await majula_node.connect())
    client = await majula_node.connect()
    await majula_node.kill("rpc_broker")
    assert await client.call("stock.count", "bolt") == 5


@pytest.mark.asyncio
async def test_the_stock_is_there_again_when_its_gateway_was_killed(majula_node: Node) -> None:
    back = asyncio.Event()
    states: list[str] = []

    def on_state(state: majula.State) -> None:
        states.append(state.name)
        if states.count("connected") == 2:
            back.set()

    await Stock({"bolt": 5}).offer(await majula_node.connect(on_state=on_state))
    client = await majula_node.connect()
    await majula_node.kill(f"gateway:{majula_node.ports[0]}")
    await back.wait()
    again = majula.Retry(attempts=20)
    assert await client.call("stock.count", "bolt", idempotent=True, retry=again) == 5


def test_a_program_without_a_loop_says_what_became_of_its_order(majula_node_sync: SyncNode) -> None:
    client = majula_node_sync.connect()
    pieces = {"bolt": 2}

    def take(item: str, number: int) -> Receipt:
        if pieces[item] < number:
            raise ValueError(f"{number} of {item} are not there")
        pieces[item] -= number
        return Receipt(item, number, pieces[item])

    client.register("stock.order", take)
    assert order(client, "bolt", 2) == "ordered 2 of bolt, 0 are left"
    assert order(client, "bolt", 1) == "not ordered: 1 of bolt are not there"
