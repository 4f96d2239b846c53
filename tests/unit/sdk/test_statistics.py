"""What a client counts."""

from __future__ import annotations

import msgspec
import pytest

from majula.wire.headers import Slow
from tests.unit.sdk.conftest import Clients
from tests.unit.sdk.gateway import FakeGateway


async def test_messages_and_bytes_are_counted_both_ways(clients: Clients) -> None:
    client = await clients.connect()
    await client.subscribe("t", lambda _message: None)
    before = client.statistics()
    for _ in range(10):
        await client.publish("t", bytes(1_000))
    await client.publish("t", bytes(1_000), ack=True)
    await client.flush()
    after = client.statistics()
    assert after.published_messages - before.published_messages == 11
    assert after.received_messages - before.received_messages == 11
    assert 11_000 < after.sent_bytes - before.sent_bytes < 12_000
    assert 11_000 < after.received_bytes - before.received_bytes < 12_000


async def test_the_round_trip_is_that_of_the_last_ping(clients: Clients) -> None:
    client = await clients.connect()
    assert client.statistics().rtt_ms == 0
    await client.flush()
    assert client.statistics().rtt_ms > 0


async def test_connections_that_replaced_another_are_reconnects(gateway: FakeGateway, clients: Clients) -> None:
    client = await clients.connect()
    assert (client.statistics().connections, client.statistics().reconnects) == (1, 0)
    gateway.cut()
    await gateway.until(lambda: clients.names().count("connected") == 2)
    assert (client.statistics().connections, client.statistics().reconnects) == (2, 1)


async def test_slow_notices_are_counted_beside_what_was_dropped(gateway: FakeGateway, clients: Clients) -> None:
    client = await clients.connect()
    gateway.sessions[0].send(Slow(7, 700))
    gateway.sessions[0].send(Slow(5, 500))
    await gateway.until(lambda: clients.names().count("slow") == 2)
    assert (client.statistics().slow_notices, client.statistics().dropped_messages) == (2, 12)


async def test_a_snapshot_does_not_change(clients: Clients) -> None:
    client = await clients.connect()
    snapshot = client.statistics()
    await client.publish("t", 1, ack=True)
    assert snapshot.published_messages == 0
    with pytest.raises(AttributeError):
        snapshot.published_messages = 5  # type: ignore[misc]  # what is tested
    assert msgspec.to_builtins(snapshot)["phase"] == "open"
