"""The Python client at a node that asks for tokens and speaks TLS, by every transport."""

from __future__ import annotations

import asyncio
import hashlib
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import trustme

import majula
from majula.errors import InvalidRequest, PermissionDenied, Unauthorized
from tests.cluster.node_rig import NodeRig, free_ports

pytestmark = pytest.mark.slow

WAYS = ("native", "websocket", "json", "http")


class Guarded:
    """A node with `auth: token` and `tls`, and what its clients need."""

    def __init__(self, folder: Path) -> None:
        authority = trustme.CA()
        issued = authority.issue_cert("127.0.0.1")
        folder.mkdir()
        self.ca_file = str(folder / "ca.pem")
        authority.cert_pem.write_to_path(self.ca_file)
        issued.private_key_pem.write_to_path(str(folder / "key.pem"))
        (folder / "key.pem").chmod(0o600)
        (folder / "cert.pem").write_bytes(b"".join(one.bytes() for one in issued.cert_chain_pems))
        der = ssl.PEM_cert_to_DER_cert(issued.cert_chain_pems[0].bytes().decode())
        self.pin = hashlib.sha256(der).hexdigest()
        (self.native_port,) = free_ports(1)
        own = f"auth: token, tls: {{cert_file: {folder}/cert.pem, key_file: {folder}/key.pem}}, "
        own += f'native: {{tcp: "127.0.0.1:{self.native_port}"}}'
        self.node = NodeRig(folder / "node", module="majula.runner", entry=own)
        self.admin: majula.Client

    def connect(self, way: str, **options: Any) -> majula.Client:
        options = {"trust": majula.Trust(ca_file=self.ca_file), **options}
        if way == "native":
            return majula.connect(f"majulas://127.0.0.1:{self.native_port}", **options)
        if way == "http":
            return majula.connect(f"https://127.0.0.1:{self.node.ports[0]}", **options)
        return majula.connect(f"wss://127.0.0.1:{self.node.ports[0]}", encoding="json" if way == "json" else "msgpack", **options)

    async def token(self, *scopes: str) -> str:
        return (await self.admin.create_token(scopes)).secret


@pytest.fixture
async def guarded(tmp_path: Path) -> AsyncIterator[Guarded]:
    one = Guarded(tmp_path / "g")
    async with one.node:
        one.admin = await one.node.connect()
        yield one


@pytest.mark.parametrize("way", WAYS)
async def test_a_client_with_a_token_does_what_its_scopes_allow(guarded: Guarded, way: str) -> None:
    token = await guarded.token("publish:>", "subscribe:>", "call:*", "observe:>")
    async with guarded.connect(way, token=token) as client:
        subscription = await client.subscribe("t")
        await client.publish("t", {"a": 1})
        assert (await subscription.receive(timeout_s=20)).payload == {"a": 1}
        assert await client.call("whoami", provider="init") == {"id": "n1"}
        assert (await client.info()).node == "n1"
        with pytest.raises(PermissionDenied):
            await client.register("f", lambda: None)
        with pytest.raises(PermissionDenied, match="admin"):
            await client.tokens()


@pytest.mark.parametrize("way", WAYS)
async def test_without_a_good_token_nobody_is_let_in(guarded: Guarded, way: str) -> None:
    for token in ("", "mjl_" + "x" * 43):
        with pytest.raises(Unauthorized):
            await guarded.connect(way, token=token)


@pytest.mark.parametrize("way", WAYS)
async def test_a_pinned_certificate_is_enough(guarded: Guarded, way: str) -> None:
    token = await guarded.token("call:*")
    async with guarded.connect(way, token=token, trust=majula.Trust(pin=guarded.pin)) as client:
        assert await client.call("whoami", provider="init") == {"id": "n1"}


@pytest.mark.parametrize("way", WAYS)
async def test_an_unknown_authority_is_not_believed(guarded: Guarded, way: str) -> None:
    with pytest.raises(Unauthorized, match="certificate"):
        await guarded.connect(way, token="mjl_" + "x" * 43, trust=majula.Trust())


async def test_a_client_whose_token_is_revoked_is_closed_for_good(guarded: Guarded) -> None:
    made = await guarded.admin.create_token(("call:*",))
    closed = asyncio.Event()
    async with guarded.connect(
        "native", token=made.secret, on_state=lambda state: closed.set() if state.name == "closed" else None
    ) as client:
        await guarded.admin.revoke_token(made.token.id)
        await closed.wait()
        assert "token" in client.state.reason


async def test_the_own_user_needs_no_token_at_the_unix_socket(guarded: Guarded) -> None:
    assert guarded.admin.client_id
    assert [line.scopes for line in (await guarded.admin.tokens()).tokens] == []
    with pytest.raises(InvalidRequest):
        majula.connect("http://192.0.2.1:1", token="mjl_" + "x" * 43)
