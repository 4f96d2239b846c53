"""A62: secrets of every kind, planted in a node under load, and then looked for in everything that it shows or writes."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import aiohttp
import pytest
import trustme

import majula
from majula.auth import make_token
from majula.errors import MajulaError
from tests.cluster.node_clients import GUARD_S, Clients, Load, running_node
from tests.cluster.node_rig import descendants, free_ports

pytestmark = pytest.mark.slow

SHARED = "c4n4ry-env-9Zt7LmPw2Rb8YcNf4kV3xq"
WRONG = make_token(b"canary-of-somebody-who-guesses!!").reveal()
PAYLOAD = "c4n4ry-payload-5b1e"


class Planted:
    """The secrets, by what they are."""

    def __init__(self) -> None:
        self.secrets: dict[str, str] = {"environment": SHARED, "wrong token": WRONG[4:], "payload": PAYLOAD}
        self.pages: list[str] = []


@pytest.fixture
async def clients(tmp_path: Path) -> AsyncIterator[Clients]:
    issued = trustme.CA().issue_cert("localhost")
    (tmp_path / "crt.pem").write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
    key = tmp_path / "key.pem"
    key.write_bytes(issued.private_key_pem.bytes())
    key.chmod(0o600)
    guarded, tls = free_ports(2)
    extra = (
        f"  - {{port: {guarded}, auth: token, native: {{unix: off}}}}\n"
        f"  - {{port: {tls}, auth: token, native: {{unix: off}}, tls: {{cert_file: {tmp_path}/crt.pem, key_file: {key}}}}}\n"
        "token: env:CANARY_SHARED\n"
    )
    async with running_node(tmp_path / "node", gateways=2, extra=extra, environment={"CANARY_SHARED": SHARED}) as found:
        found.node.guarded, found.node.key = guarded, key.read_text()  # type: ignore[attr-defined] # for this test alone
        yield found


async def plant(clients: Clients, planted: Planted, guarded: int) -> None:
    """Tokens that are used, revoked, guessed and misused; sessions by each surface; payloads that fail."""
    operator = await clients.connect()
    for role in await clients.node.roles():
        await operator.log_level(role, "debug", for_s=60.0)
    for name in ("used token", "revoked token", "single-use token"):
        made = await operator.create_token(["*:*"], note="for a test", single_use=name.startswith("single"))
        planted.secrets[name] = made.secret[4:]
        async with majula.connect(f"ws://127.0.0.1:{guarded}/majula/ws", token=made.secret, timeout_s=GUARD_S) as client:
            await client.publish("t", PAYLOAD, ack=True)
            if name.startswith("revoked"):
                await operator.revoke_token(made.token.id)
    url = f"http://127.0.0.1:{guarded}"
    used = f"mjl_{planted.secrets['used token']}"
    async with aiohttp.ClientSession(url) as web:
        async with web.post("/majula/v1/sessions", json={}, headers={"Authorization": f"Bearer {used}"}) as answer:
            opened = await answer.json()
        planted.secrets["secret of a session"] = opened["secret"]
        for headers, path in (
            ({"Authorization": f"Bearer {WRONG}"}, "/majula/v1/status"),
            ({"Authorization": f"Basic {used}"}, "/majula/v1/status"),
            ({"Authorization": f"Bearer {used}"}, f"/majula/v1/tokens/{used}"),
            ({"Authorization": f"Bearer {used}"}, f"/majula/pub/{used}?topic=t&msg=x"),
            ({}, f"/majula/v1/status?access_token={used}"),
            ({"Cookie": used, "X-Token": used, "User-Agent": used, "Referer": f"http://a/?t={used}"}, "/majula/nothing"),
            ({"Sec-WebSocket-Protocol": f"majula.bearer.{used}"}, "/majula/ws"),
        ):
            async with web.get(path, headers=headers) as answer:
                text = await answer.text()
                assert used[4:] not in text and WRONG not in text
        async with web.post(
            "/majula/v1/tokens", data=b'{"scopes": "' + used.encode(), headers={"Content-Type": "application/json"}
        ):
            pass

    async def fails(value: str) -> None:
        raise ValueError(value)

    await operator.register("fails", fails, sync=True)
    with suppress(MajulaError):
        await operator.call("fails", PAYLOAD)
    with suppress(MajulaError):
        await operator.send("nobody-there", PAYLOAD, ttl_s=1.0)


async def look(clients: Clients, planted: Planted, guarded: int) -> None:
    """Everything that can be asked for."""
    operator = await clients.connect()
    pages = planted.pages
    async with aiohttp.ClientSession(f"http://127.0.0.1:{clients.node.ports[0]}") as web:
        paths = [
            "status",
            "info",
            "events",
            "metrics",
            "clients",
            "nodes",
            "topics",
            "services",
            "tokens",
            "audit",
            "config",
            "config/revisions",
        ]
        for path in (
            *(f"/majula/v1/{path}" for path in paths),
            "/metrics",
            "/majula/info",
            "/majula/health",
            "/majula/openapi.json",
        ):
            async with web.get(path) as answer:
                pages.append(await answer.text())
                assert answer.status == 200, path
        for role in await clients.node.roles():
            for what in ("stacks", "tasks", "queues"):
                async with web.get(f"/majula/v1/debug/roles/{role}/{what}") as answer:
                    pages.append(await answer.text())
        async with web.post(f"/majula/v1/debug/roles/gateway:{guarded}/tap", json={"for_s": 0.2}) as answer:
            pages.append(await answer.text())
        async with web.post("/majula/v1/debug/flight", json={}) as answer:
            pages.append(await answer.text())
    pages.append(repr(operator.statistics()))


async def test_a62_no_secret_is_in_anything_that_a_node_shows_or_writes(clients: Clients) -> None:
    node, planted = clients.node, Planted()
    guarded: int = node.guarded  # type: ignore[attr-defined] # see above
    planted.secrets |= {f"key, line {n}": line for n, line in enumerate(node.key.splitlines()[1:-1]) if len(line) > 20}  # type: ignore[attr-defined]
    async with Load(clients):
        await plant(clients, planted, guarded)
        await look(clients, planted, guarded)
        for role in ("config", f"gateway:{guarded}", "router"):  # each leaves its last words, and a recording
            lines = len(node.events)
            os.kill(await node.pid(role), signal.SIGABRT)
            await node.until_said("child.started", role, after=lines)
        await node.wait_ready()
    pids = {node.process.pid, *descendants(node.process.pid)}
    shown = {f"page {number}": page for number, page in enumerate(planted.pages)}
    shown |= {"log": "\n".join((*node.out, *node.errors, *map(json.dumps, node.events)))}
    shown |= {"control socket": json.dumps(await node.status())}
    for pid in pids:
        for name in ("cmdline", "environ", "comm"):
            with suppress(FileNotFoundError, ProcessLookupError):
                shown[f"{name} of {pid}"] = Path(f"/proc/{pid}/{name}").read_bytes().decode("utf-8", "replace")
    files = [path for folder in (node.run_dir, node.data_dir) for path in Path(folder).rglob("*") if path.is_file()]
    shown |= {str(path): path.read_bytes().decode("utf-8", "replace") for path in files}
    assert len(pids) > 8 and len(files) > 3 and len(planted.secrets) > 8
    assert {(what, where) for what, secret in planted.secrets.items() for where, text in shown.items() if secret in text} == set()
    assert len(shown["log"]) > 2_000


async def test_a62_recordings_of_a_crash_hold_no_secret_and_are_their_owners(clients: Clients) -> None:
    node = clients.node
    lines = len(node.events)
    os.kill(await node.pid("router"), signal.SIGSEGV)
    async with asyncio.timeout(GUARD_S):
        await node.until_said("child.started", "router", after=lines)
        await node.until_said("flight.dumped", after=lines)
    written = [path for path in Path(node.data_dir).rglob("*") if path.is_file() and "flight" in str(path)]
    assert written and all(path.stat().st_mode & 0o077 == 0 for path in written)
    assert not [path for path in written if SHARED in path.read_text()]
