"""No event loop of a node is blocked by a call, whatever clients and operators do and whatever dies."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

import aiohttp
import pytest
import trustme

import majula
from tests.blocking import VARIABLE, BlockingCalls, found_in
from tests.cluster.node_rig import NodeRig, free_ports

pytestmark = pytest.mark.slow
PATHS = ("/majula/docs", "/majula/openapi.json", "/majula/health", "/metrics", "/majula/v1/topics", "/majula/v1/clients")


class WatchedNode(NodeRig):
    """The real node with two gateways, one more by TLS that asks for tokens, and the file of what it finds."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.calls = folder / "calls.txt"
        authority = trustme.CA()
        certificate = authority.issue_cert("localhost", "127.0.0.1")
        self.certificate, self.key, self.authority = (folder / name for name in ("cert.pem", "key.pem", "ca.pem"))
        self.certificate.write_bytes(b"".join(blob.bytes() for blob in certificate.cert_chain_pems))
        self.key.write_bytes(certificate.private_key_pem.bytes())
        self.key.chmod(0o600)
        authority.cert_pem.write_to_path(str(self.authority))
        self.guarded_port = free_ports(1)[0]
        tls = f"tls: {{cert_file: {self.certificate}, key_file: {self.key}}}"
        super().__init__(
            folder,
            module="tests.watched_node",
            gateways=2,
            environment={VARIABLE: str(self.calls)},
            extra=f"  - {{port: {self.guarded_port}, auth: token, {tls}}}\n",
        )


async def test_nothing_that_clients_and_operators_do_blocks_an_event_loop(tmp_path: Path) -> None:
    async with WatchedNode(tmp_path / "n") as node:
        operator = await node.connect(0, client_id="operator")
        await serve_traffic(node, operator)
        await look_into(node, operator)
        await change(node, operator)
        assert not found_in(node.calls), found_in(node.calls)
        node.process.send_signal(signal.SIGTERM)
        assert await node.ended() == 0
    assert not found_in(node.calls), found_in(node.calls)


@pytest.mark.parametrize("role", ["config", "telemetry", "gateway", "supervisor:data", "supervisor:root"])
async def test_no_recovery_blocks_an_event_loop(tmp_path: Path, role: str) -> None:
    async with WatchedNode(tmp_path / "n") as node:
        operator = await node.connect(0, client_id="operator")
        made = await operator.create_token(["observe:*"])
        await node.harm(f"gateway:{node.ports[1]}" if role == "gateway" else role, signal.SIGKILL)
        again = await node.connect(0, client_id="again")  # the former connection may have died with its gateway
        assert (await again.token(made.token.id)).state == "active"
        assert not found_in(node.calls), found_in(node.calls)


async def test_a_call_that_blocks_is_found(tmp_path: Path) -> None:
    watch = BlockingCalls(tmp_path / "calls.txt")
    watch.start()
    try:
        await asyncio.sleep(0)
        majula.testing.processes.is_alive(1)  # argued: it belongs to tests
        blocked = majula.config.load_node_config(write(tmp_path / "c.yaml", "node_id: n1\n"))
    finally:
        watch.stop()
    assert blocked.config.node_id == "n1"
    (found, *_) = found_in(tmp_path / "calls.txt")
    assert "config/files.py" in found


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    path.chmod(0o600)
    return path


async def serve_traffic(node: WatchedNode, operator: majula.Client) -> None:
    """Clients of every surface, by TLS too, with a token."""
    made = await operator.create_token(["publish:*", "subscribe:*", "call:*", "register:*", "send:*"])
    trust = majula.Trust(ca_file=str(node.authority))
    addresses = [f"ws://127.0.0.1:{node.ports[1]}/majula/ws", node.url(1)]
    async with (
        majula.connect(addresses[0], client_id="web") as web,
        majula.connect(addresses[1], client_id="http") as http,
        majula.connect(f"wss://localhost:{node.guarded_port}/majula/ws", client_id="tls", token=made.secret, trust=trust) as tls,
    ):
        everybody = (operator, web, http, tls)
        got: asyncio.Queue[object] = asyncio.Queue()
        for client in everybody:
            await client.subscribe("numbers.*", got.put_nowait, sync=True)
        await http.register("twice", lambda value: value * 2, sync=True)
        for client in everybody:
            await client.publish("numbers.one", 1, retain=True, ack=True)
            assert await client.call("twice", 21) == 42
            assert await client.send("operator", "hello") == "delivered"
        await operator.broadcast("to all")
        async with asyncio.timeout(30):
            for _ in range(len(everybody) ** 2):
                await got.get()
        await operator.revoke_token(made.token.id)


async def look_into(node: WatchedNode, operator: majula.Client) -> None:
    """All that shows something."""
    gateway = f"gateway:{node.ports[1]}"
    async with aiohttp.ClientSession(node.url(0)) as session:
        for path in PATHS:
            async with session.get(path) as answer:
                assert answer.status == 200, path
    await operator.status()
    await operator.events()
    await operator.audit()
    await operator.flight()
    await operator.metrics()
    for role in (gateway, "telemetry", "config"):
        await operator.debug_stacks(role)
        await operator.debug_tasks(role)
        await operator.debug_queues(role)
        await operator.debug_tap(role, for_s=0.2)


async def change(node: WatchedNode, operator: majula.Client) -> None:
    """All that changes the node, right and wrong."""
    await operator.log_level("gateway", "debug", for_s=60.0)
    port = str(node.ports[1])
    await operator.change_config({"majula_servers": {port: {"hosts": ["garage.local"]}}})
    await operator.config_revisions()
    await operator.rollback_config()
    await operator.reload_config()
    right = node.config.read_text()
    node.config.write_text(right + "wrong: 1\n")
    with pytest.raises(majula.errors.ConfigError):
        await operator.reload_config()
    node.config.write_text(right.replace(f"port: {port}", f"port: {port}, hosts: [shed.local]"))
    lines = len(node.events)
    node.process.send_signal(signal.SIGHUP)
    await node.until_said("config.changed", after=lines)
    node.certificate.touch()
    await operator.reload_config()
