"""A real node that asks for tokens: from its first token to the end of a revoked one, with its config actor alive and dead."""

from __future__ import annotations

import asyncio
import os
import signal
import ssl
from pathlib import Path

import aiohttp
import pytest
import trustme

import majula
from majula.errors import Conflict, PermissionDenied, Unauthorized, Unavailable
from tests.cluster.node_clients import GUARD_S, Clients, running_node
from tests.cluster.node_rig import NodeRig, free_ports

pytestmark = pytest.mark.slow

ENDED_S = 2.0
"""What is promised for the sessions of a revoked token; 5 ms is usual."""


def native_tcp(port: int) -> str:
    return f"auth: token, native: {{tcp: '127.0.0.1:{port}'}}"


async def ended_token(address: str, token: str, states: list[majula.State]) -> None:
    """Until a client of that token is refused for good."""
    async with asyncio.timeout(GUARD_S):
        while not any(state.name == "closed" for state in states):
            await asyncio.sleep(0.01)


async def revoked(admin: majula.Client, token: str) -> None:
    """Revokes it as soon as the config actor is there."""
    async with asyncio.timeout(GUARD_S):
        while True:
            try:
                await admin.revoke_token(token)
                return
            except Unavailable:
                await asyncio.sleep(0.01)


async def test_a21_tokens_live_and_die_on_a_real_node(tmp_path: Path) -> None:
    (port,) = free_ports(1)
    async with running_node(tmp_path / "node", gateways=1, entry=native_tcp(port)) as clients:
        admin = await clients.connect()  # by the Unix socket: the node's own user
        made = await admin.create_token(("publish:a", "subscribe:a"), note="sensor")
        address = f"majula://127.0.0.1:{port}"
        told: list[majula.State] = []
        async with majula.connect(address, token=made.secret, on_state=told.append) as client:
            await client.publish("a", 1, ack=True)
            with pytest.raises(PermissionDenied) as refusal:
                await client.subscribe("b")
            assert refusal.value.detail["scope"] == "subscribe:b"
            with pytest.raises(PermissionDenied):
                await client.create_token(("*:*",))
            # The config actor dies: who is there goes on, who comes is let in by the gateway's copy.
            config, lines = await clients.node.pid("config"), len(clients.node.events)
            os.kill(config, signal.SIGKILL)
            async with majula.connect(address, token=made.secret) as another:
                await another.publish("a", 2, ack=True)
            await clients.node.until_said("child.started", "config", after=lines)
            await revoked(admin, made.token.id)
            async with asyncio.timeout(ENDED_S):
                while not any(state.name in ("disconnected", "closed") for state in told):
                    await asyncio.sleep(0.002)
        with pytest.raises(Unauthorized):
            await majula.connect(address, token=made.secret, timeout_s=5.0)


async def test_a21_revoked_token_closes_its_websocket_with_4401(tmp_path: Path) -> None:
    async with running_node(tmp_path / "node", gateways=1, entry="auth: token") as clients, aiohttp.ClientSession() as web:
        admin = await clients.connect()
        made = await admin.create_token(("subscribe:>",))
        url = f"http://127.0.0.1:{clients.node.ports[0]}/majula/ws"
        async with web.ws_connect(url, headers={"Authorization": f"Bearer {made.secret}"}) as socket:
            await socket.send_json({"method": "SUBSCRIBE", "topic": "t", "id": 1})
            await socket.receive()
            await admin.revoke_token(made.token.id)
            async with asyncio.timeout(ENDED_S):
                while not socket.closed:
                    await socket.receive()
        assert socket.close_code == 4401


async def test_single_use_token_opens_one_session_on_all_gateways_together(tmp_path: Path) -> None:
    async with running_node(tmp_path / "node", gateways=2, entry="auth: token") as clients:
        admin = await clients.connect()
        made = await admin.create_token(("*:*",), single_use=True)
        urls = [f"ws://127.0.0.1:{port}/majula/ws" for port in clients.node.ports] * 4

        async def attempt(url: str) -> majula.Client | None:
            client = majula.connect(url, token=made.secret, timeout_s=GUARD_S)
            try:
                return await client
            except Unauthorized:
                return None

        opened = [client for client in await asyncio.gather(*map(attempt, urls)) if client is not None]
        assert len(opened) == 1
        await opened[0].publish("t", 1, ack=True)
        await opened[0].close()


async def test_a16_id_belongs_to_its_token_over_two_gateways(tmp_path: Path) -> None:
    async with running_node(tmp_path / "node", gateways=2, entry="auth: token") as clients:
        admin = await clients.connect()
        mine, other = [await admin.create_token(("*:*",)) for _ in range(2)]
        one, two = (f"ws://127.0.0.1:{port}/majula/ws" for port in clients.node.ports)
        async with majula.connect(one, client_id="lathe", token=mine.secret):
            with pytest.raises(Conflict):
                await majula.connect(two, client_id="lathe", token=other.secret, timeout_s=5.0)


async def test_a01_default_node_listens_on_loopback_only(tmp_path: Path) -> None:
    async with running_node(tmp_path / "node", gateways=1) as clients:
        pids = [clients.node.process.pid, *(role["pid"] for role in (await clients.node.roles()).values())]
        assert {address for pid in pids for address in listening(pid)} == {"0100007F"}


def listening(pid: int) -> set[str]:
    """Addresses, as the kernel writes them, on which the process listens by TCP."""
    inodes = set()
    for link in Path(f"/proc/{pid}/fd").iterdir():
        try:
            inodes.add(os.readlink(link))
        except FileNotFoundError:
            continue
    found = set()
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and f"socket:[{fields[9]}]" in inodes:
                found.add(fields[1].partition(":")[0])
    return found


@pytest.mark.parametrize(
    ("entry", "extra", "reason"),
    [
        ("bind: 0.0.0.0", "", "auth: token"),
        ("bind: 0.0.0.0, auth: token", "", "in the clear"),
        ("bind: 0.0.0.0, insecure: true", "", "auth: token"),
        ("bind: 0.0.0.0, auth: token, insecure: true", "token: default_token", "anybody knows it"),
        ("auth: token, native: {tcp: '0.0.0.0:1'}", "", "in the clear"),
        ("auth: token, tls: {cert_file: none.crt, key_file: none.key}", "", "cannot be read"),
    ],
)
async def test_a02_a03_what_would_be_open_does_not_start(tmp_path: Path, entry: str, extra: str, reason: str) -> None:
    node = NodeRig(tmp_path / "node", module="majula.runner", entry=entry, extra=extra)
    await node.start()
    try:
        assert await node.ended() == 78
        *problems, verdict = node.errors
        assert problems and all(reason in problem for problem in problems) and verdict.endswith("cannot be used")
    finally:
        await node.stop()


async def test_node_beyond_loopback_serves_by_tls_with_a_token(tmp_path: Path) -> None:
    authority = trustme.CA()
    issued = authority.issue_cert("localhost")
    (tmp_path / "crt.pem").write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
    key = tmp_path / "key.pem"
    key.write_bytes(issued.private_key_pem.bytes())
    key.chmod(0o600)
    (port,) = free_ports(1)
    tls = f"tls: {{cert_file: {tmp_path / 'crt.pem'}, key_file: {key}}}"
    entry = f"bind: 0.0.0.0, auth: token, {tls}, native: {{tcp: '0.0.0.0:{port}'}}, hosts: [localhost]"
    context = ssl.create_default_context()
    authority.configure_trust(context)
    async with running_node(tmp_path / "node", gateways=1, entry=entry) as clients, aiohttp.ClientSession() as web:
        admin = await clients.connect()
        made = await admin.create_token(("*:*",))
        url = f"https://localhost:{clients.node.ports[0]}/majula/v1/services"
        assert next(one["address"] for one in (await clients.node.status())["addresses"]).startswith("https://")
        for headers, status in (({}, 401), ({"Authorization": f"Bearer {made.secret}"}, 200)):
            async with web.get(url, headers=headers, ssl=context) as answer:
                assert answer.status == status


__all__ = ["Clients"]
