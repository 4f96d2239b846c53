"""A whole node whose gateways ask for tokens: who gets in, who is put out, what goes on while the owner of the tokens is away."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

import majula
from majula.errors import MajulaError, Unauthorized
from majula.testing.node import Node

pytestmark = pytest.mark.slow
ADMIN = ("*:*",)


class GuardedNode(Node):
    """Two gateways with `auth: token`."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, gateways=2, entry="auth: token")

    async def with_token(self, token: str, gateway: int = 0, *, client_id: str = "") -> majula.Client:
        """A client by WebSocket, where a user id says nothing."""
        address = f"ws://127.0.0.1:{self.ports[gateway]}/majula/ws"
        return await majula.connect(address, token=token, client_id=client_id, timeout_s=5.0)


@pytest.fixture
async def node(tmp_path: Path) -> AsyncIterator[GuardedNode]:
    async with GuardedNode(tmp_path / "n") as found:
        yield found


async def test_a49_of_fifty_joins_by_one_single_use_token_at_two_gateways_exactly_one_wins(node: GuardedNode) -> None:
    admin = await node.connect()
    made = await admin.create_token(["publish:a"], single_use=True)
    joined = await asyncio.gather(*(node.with_token(made.secret, number % 2) for number in range(50)), return_exceptions=True)
    winners = [found for found in joined if isinstance(found, majula.Client)]
    assert {type(found) for found in joined} == {majula.Client, Unauthorized}
    assert len(winners) == 1
    assert (await admin.token(made.token.id)).state == "used"
    await winners[0].publish("a", 1, ack=True)
    await winners[0].close()


async def test_token_opens_sessions_within_its_scopes_at_every_gateway_as_soon_as_it_is_answered(node: GuardedNode) -> None:
    admin = await node.connect()
    for number in range(20):
        made = await admin.create_token(["publish:a"])
        client = await node.with_token(made.secret, number % 2)
        await client.publish("a", 1, ack=True)
        with pytest.raises(MajulaError) as caught:
            await client.publish("b", 1, ack=True)
        assert caught.value.detail["scope"] == "publish:b"
        await client.close()


async def test_clients_with_tokens_come_and_go_while_the_owner_of_the_tokens_hangs(node: GuardedNode) -> None:
    admin = await node.connect()
    made = await admin.create_token(["publish:a"])
    revoked = await admin.create_token(["publish:a"])
    await admin.revoke_token(revoked.token.id)
    await node.pause("config")
    client = await node.with_token(made.secret)
    await client.publish("a", 1, ack=True)
    await client.close()
    with pytest.raises(Unauthorized):
        await node.with_token(revoked.secret)


async def test_killed_owner_of_the_tokens_comes_back_and_ends_no_session(node: GuardedNode) -> None:
    admin = await node.connect()
    made = await admin.create_token(["publish:a"])
    client = await node.with_token(made.secret)
    for _ in range(3):
        await node.kill("config")
        await node.wait_ready()
        assert (await admin.token(made.token.id)).state == "active"
        await client.publish("a", 1, ack=True)
    assert client.statistics().connections == 1
    await client.close()


async def test_a62_no_token_is_in_the_log_the_status_or_the_files(node: GuardedNode) -> None:
    admin = await node.connect()
    made = await admin.create_token(["*:*"], note="canary")
    client = await node.with_token(made.secret)
    await admin.revoke_token(made.token.id)
    with pytest.raises(Unauthorized):
        await node.with_token(made.secret)
    await node.kill(f"gateway:{node.ports[0]}")
    await node.wait_ready()
    canary = made.secret[4:]
    texts = [json.dumps(node.events), *node.out, *node.errors, json.dumps(await node.status()), json.dumps(await node.roles())]
    files = [path.read_bytes().decode("utf-8", "replace") for path in node.folder.rglob("*") if path.is_file()]
    assert len(files) >= 3
    assert [text for text in [*texts, *files] if canary in text] == []
    await client.close()
