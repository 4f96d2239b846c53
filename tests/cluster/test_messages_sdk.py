"""Private messages between Python clients of a real node while its gateways die.

The short run is in CI; the full one, a kill each 8 s for 64 s: python -m pytest tests/cluster/test_messages_sdk.py -m soak
"""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections import Counter
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Self

import pytest

import majula
from majula.errors import Overloaded
from tests.cluster.node_clients import GUARD_S, Clients, running_node
from tests.cluster.node_rig import NodeRig, record_recovery

pytestmark = pytest.mark.slow

BURST = 10
PACE_S = 0.005
"""Ten messages each 5 ms: 2,000 a second in either direction."""

STILL_S = 0.02
"""In which a burst surely comes to its receiver's socket."""


class Exchange:
    """Messages 0, 1, 2 ... from one client to another, and as many back, until `stop`."""

    def __init__(self, ann: majula.Client, bob: majula.Client) -> None:
        self.clients = {"ann": ann, "bob": bob}
        self.received: dict[str, list[int]] = {"ann": [], "bob": []}
        self.sent = {"ann": 0, "bob": 0}
        self.outcomes: Counter[str] = Counter()
        self.longest_s = 0.0
        self._last_at = dict.fromkeys(("ann", "bob"), time.monotonic())
        self._futures: list[asyncio.Future[str]] = []
        self._tasks: list[asyncio.Task[None]] = []
        self._is_over = False

    async def __aenter__(self) -> Self:
        for name, client in self.clients.items():
            client.on_message(lambda message, name=name: self._take(name, message))
        self._tasks = [asyncio.create_task(self._send("ann", "bob")), asyncio.create_task(self._send("bob", "ann"))]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._is_over = True
        async with asyncio.timeout(GUARD_S):
            await asyncio.gather(*self._tasks)
            self.outcomes.update(await asyncio.gather(*self._futures))

    async def stand_still(self) -> None:
        """Returns with this loop stopped in the midst of it: a burst of either side has come to the socket of its receiver, and
        is read only after what the caller does next. So what dies now dies with receipts that its sender never sees."""
        self._burst(self.clients["ann"], "ann", "bob")
        self._burst(self.clients["bob"], "bob", "ann")
        await asyncio.sleep(0)  # written at the end of this turn
        await asyncio.sleep(0)
        time.sleep(STILL_S)

    def _burst(self, client: majula.Client, name: str, target: str) -> None:
        for _ in range(BURST):
            try:
                self._futures.append(client.send_nowait(target, self.sent[name]))
            except Overloaded:
                return  # the rest of this burst: the buffer is full while there is nobody to acknowledge
            self.sent[name] += 1

    def _take(self, name: str, message: majula.PrivateMessage) -> None:
        now = time.monotonic()
        self.longest_s = max(self.longest_s, now - self._last_at[name])
        self._last_at[name] = now
        self.received[name].append(message.payload)

    async def _send(self, name: str, target: str) -> None:
        client = self.clients[name]
        began, bursts = time.monotonic(), 0
        while not self._is_over:
            self._burst(client, name, target)
            bursts += 1
            await asyncio.sleep(max(0.0, began + bursts * PACE_S - time.monotonic()))


async def kill(node: NodeRig, role: str, exchange: Exchange) -> None:
    """Kills it while messages and receipts are under way, and waits until its next life has begun."""
    lines = len(node.events)
    pid = await node.pid(role)
    await exchange.stand_still()
    os.kill(pid, signal.SIGKILL)
    await node.until_said("child.started", role, after=lines)


@pytest.mark.parametrize("surface", ["native", "msgpack", "json", "http"])
async def test_messages_pass_between_two_gateways_on_every_surface(tmp_path: Path, surface: str) -> None:
    async with running_node(tmp_path / "node") as clients, AsyncExitStack() as stack:
        ann, bob = [
            await stack.enter_async_context(connect(clients, surface, gateway, client_id))
            for gateway, client_id in enumerate(("ann", "bob"))
        ]
        got: list[object] = []
        bob.on_message(lambda message: got.append((message.source, message.source_node, message.payload)))
        assert await asyncio.gather(*(ann.send("bob", {"n": number}) for number in range(100))) == ["delivered"] * 100
        assert got == [("ann", "n1", {"n": number}) for number in range(100)]


def connect(clients: Clients, surface: str, gateway: int, client_id: str) -> majula.Client:
    if surface == "native":
        return majula.connect(clients.address(gateway), client_id=client_id)
    address = f"{'http' if surface == 'http' else 'ws'}://127.0.0.1:{clients.node.ports[gateway]}"
    return majula.connect(address, client_id=client_id, encoding="json" if surface == "json" else "msgpack")


@pytest.mark.parametrize(
    ("kills", "every_s"),
    [
        pytest.param(4, 2.0, id="short"),
        pytest.param(8, 8.0, id="full", marks=[pytest.mark.soak, pytest.mark.timeout(200)]),
    ],
)
async def test_nothing_is_lost_doubled_or_overtaken_while_two_gateways_are_killed_in_turn(
    tmp_path: Path, kills: int, every_s: float, request: pytest.FixtureRequest
) -> None:
    async with running_node(tmp_path / "node") as clients:
        node = clients.node
        ann, bob = await clients.connect(0, client_id="ann"), await clients.connect(1, client_id="bob")
        async with Exchange(ann, bob) as exchange:
            for number in range(kills):
                await asyncio.sleep(every_s)  # the pace of the faults
                await kill(node, f"gateway:{node.ports[number % 2]}", exchange)
            await asyncio.sleep(every_s)
        assert exchange.outcomes == {"delivered": exchange.sent["ann"] + exchange.sent["bob"]}
        assert exchange.received["bob"] == list(range(exchange.sent["ann"]))
        assert exchange.received["ann"] == list(range(exchange.sent["bob"]))
        assert exchange.sent["ann"] > 100 * kills * every_s
        # What was received and whose receipt had died was sent again: without that, nothing here could have come twice.
        assert ann.statistics().private_repeated + bob.statistics().private_repeated >= BURST * kills // 2
        record_recovery("gateway:messages", "SIGKILL in turn", exchange.longest_s, request.node.nodeid)
