"""A15, A16 on a real node with two gateways that ask for tokens: whose name is whose."""

from __future__ import annotations

import asyncio
from pathlib import Path

import aiohttp
import pytest

import majula
from majula.errors import Conflict
from tests.cluster.node_clients import GUARD_S, running_node

pytestmark = pytest.mark.slow


async def test_a15_label_of_a_plain_request_is_no_id_that_another_token_has_at_any_gateway(tmp_path: Path) -> None:
    async with running_node(tmp_path / "node", entry="auth: token") as clients, aiohttp.ClientSession() as web:
        admin = await clients.connect()
        mine, other = [(await admin.create_token(["*:*"])).secret for _ in range(2)]
        first, second = [f"127.0.0.1:{port}" for port in clients.node.ports]
        heard: asyncio.Queue[majula.PrivateMessage] = asyncio.Queue()
        bob = await clients.connect(client_id="bob")
        bob.on_message(heard.put_nowait)
        async with majula.connect(f"ws://{first}/majula/ws", client_id="ann", token=mine):
            # The router has granted the id before the client is connected, and the other gateway hears of it within milliseconds.
            await admin.subscribe("everywhere", sync=True)
            for gateway in (first, second):
                for token, status in ((other, 409), (mine, 200)):
                    url = f"http://{gateway}/majula/send/ann?target_node=&target_client=bob&msg=x"
                    async with web.get(url, headers={"Authorization": f"Bearer {token}"}) as answer:
                        assert answer.status == status, (gateway, await answer.text())
            for _ in range(2):
                async with asyncio.timeout(GUARD_S):
                    assert (await heard.get()).source == "ann"
            assert heard.empty()


async def test_a16_of_fifty_claims_of_one_id_by_as_many_tokens_exactly_one_wins(tmp_path: Path) -> None:
    async with running_node(tmp_path / "node", entry="auth: token") as clients:
        admin = await clients.connect()
        made = [(await admin.create_token(["*:*"])).secret for _ in range(50)]

        async def claim(number: int) -> majula.Client | None:
            port = clients.node.ports[number % 2]
            try:
                return await majula.connect(
                    f"ws://127.0.0.1:{port}/majula/ws", client_id="lathe", token=made[number], timeout_s=GUARD_S
                )
            except Conflict:
                return None

        found = await asyncio.gather(*map(claim, range(50)))
        winners = [client for client in found if client is not None]
        for client in winners:
            await client.close()
        assert len(winners) == 1
