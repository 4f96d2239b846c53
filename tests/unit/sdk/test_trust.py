"""Whom a client believes to be its gateway, and where its token comes from and goes to."""

from __future__ import annotations

import asyncio
import hashlib
import socket
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trustme
import uvloop

from majula.api.sdk import Trust, connect
from majula.api.sdk.trust import check_peer, read_token
from majula.errors import InvalidRequest, Unauthorized
from majula.wire.headers import Hello
from tests.unit.sdk.gateway import FakeGateway

TOKEN = "mjl_" + "s" * 43


class Encrypted:
    """A gateway with a certificate for 127.0.0.1, and what a client may know of it."""

    def __init__(self, folder: Path) -> None:
        authority = trustme.CA()
        issued = authority.issue_cert("127.0.0.1")
        self.ca_file = str(folder / "ca.pem")
        authority.cert_pem.write_to_path(self.ca_file)
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        issued.configure_cert(self.context)
        der = ssl.PEM_cert_to_DER_cert(issued.cert_chain_pems[0].bytes().decode())
        self.pin = hashlib.sha256(der).hexdigest()
        self.gateway = FakeGateway(folder / "unused.sock")


# The way that replaces this fixture needs a newer pytest-asyncio than we ask for.
pytestmark = pytest.mark.filterwarnings("ignore:Overriding the")


@pytest.fixture(params=[asyncio.DefaultEventLoopPolicy, uvloop.EventLoopPolicy], ids=["asyncio", "uvloop"])
def event_loop_policy(request: pytest.FixtureRequest) -> object:
    return request.param()


@pytest.fixture
async def encrypted(tmp_path: Path) -> AsyncIterator[Encrypted]:
    one = Encrypted(tmp_path)
    await one.gateway.start_tcp(one.context)
    yield one
    await one.gateway.stop()


# --- the gateway's certificate


@pytest.mark.parametrize("by", ["ca_file", "pin"])
async def test_a_gateway_that_proves_itself_is_talked_to(encrypted: Encrypted, by: str) -> None:
    trust = Trust(**{by: getattr(encrypted, by)})
    async with connect(encrypted.gateway.address, trust=trust) as client:
        subscription = await client.subscribe("t")
        await client.publish("t", b"x" * 300_000)
        async for message in subscription:
            assert len(message.data) == 300_000
            break


@pytest.mark.parametrize("trust", [Trust(), Trust(pin="00" * 32)], ids=["unknown authority", "another pin"])
async def test_a_gateway_that_does_not_is_told_nothing(encrypted: Encrypted, trust: Trust) -> None:
    with pytest.raises(Unauthorized, match="certificate"):
        await connect(encrypted.gateway.address, trust=trust, token=TOKEN)
    assert encrypted.gateway.of(Hello) == []


async def test_a_certificate_for_another_name_is_not_believed(encrypted: Encrypted) -> None:
    with pytest.raises(Unauthorized):
        await connect(encrypted.gateway.address, trust=Trust(ca_file=encrypted.ca_file, server_name="elsewhere.example"))


@pytest.mark.parametrize("scheme", ["https", "wss"])
async def test_a_certificate_for_another_name_is_told_nothing_by_http_either(encrypted: Encrypted, scheme: str) -> None:
    heard: list[bytes] = []

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(await reader.read(1_000))
        writer.close()

    server = await asyncio.start_server(listen, "127.0.0.1", 0, ssl=encrypted.context)
    address = f"{scheme}://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        with pytest.raises(Unauthorized):
            await connect(address, trust=Trust(ca_file=encrypted.ca_file, server_name="elsewhere.example"), token=TOKEN)
    finally:
        server.close()
    assert b"".join(heard) == b""


async def test_a_certificate_that_is_wrong_later_is_waited_out(encrypted: Encrypted, tmp_path: Path) -> None:
    told: list[str] = []
    gateway, right = encrypted.gateway, encrypted.context
    other = tmp_path / "other"
    other.mkdir()
    port = int(gateway.address.rpartition(":")[2])
    trust = Trust(ca_file=encrypted.ca_file)

    async with connect(gateway.address, trust=trust, on_state=lambda state: told.append(state.reason)):
        await gateway.stop()
        wrong = await asyncio.start_server(lambda *_: None, "127.0.0.1", port, ssl=Encrypted(other).context)
        while not any("certificate" in reason for reason in told):
            await asyncio.sleep(0.01)  # a state is told by a plain callback
        wrong.close()
        await gateway.start_tcp(right, port)
        await gateway.until(lambda: bool(gateway.sessions and gateway.sessions[0].client_id))


def test_what_is_no_pin_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="64"):
        connect("wss://h:1", trust=Trust(pin="abc"))


async def test_an_authority_file_that_is_not_there_is_named() -> None:
    with pytest.raises(InvalidRequest, match="nowhere"):
        await connect("majulas://127.0.0.1:9", trust=Trust(ca_file="/nowhere.pem"))


# --- the other end of a Unix socket


def test_a_socket_of_another_user_is_not_believed_unless_named() -> None:
    class Foreign:
        """A Unix socket whose other end is a process of user 4242."""

        def getsockopt(self, *_: int) -> bytes:
            return (77).to_bytes(4, "little") + (4242).to_bytes(4, "little") + bytes(4)

    foreign: socket.socket = Foreign()  # type: ignore[assignment]  # all that is asked of it
    with pytest.raises(Unauthorized, match="node_user=4242"):
        check_peer(foreign, "/tmp/x.sock", Trust())
    check_peer(foreign, "/tmp/x.sock", Trust(node_user=4242))
    check_peer(foreign, "/tmp/x.sock", Trust(node_user="4242"))


def test_a_node_user_that_is_not_there_is_named() -> None:
    with pytest.raises(InvalidRequest, match="no-such-user"):
        check_peer(socket.socketpair()[0], "x", Trust(node_user="no-such-user"))


# --- the token


@pytest.fixture
def token_file(tmp_path: Path) -> Path:
    path = tmp_path / "token"
    path.write_text(TOKEN + "\n")
    return path


def test_a_token_comes_from_where_it_is_said_to_be(token_file: Path) -> None:
    assert read_token(TOKEN, {}) == TOKEN
    assert read_token("env:T", {"T": TOKEN, "MAJULA_TOKEN": "other"}) == TOKEN
    assert read_token(f"file:{token_file}", {}) == TOKEN


def test_without_an_argument_the_environment_gives_the_token() -> None:
    assert read_token(None, {"MAJULA_TOKEN": TOKEN}) == TOKEN
    assert read_token(None, {}) == ""
    assert read_token("", {"MAJULA_TOKEN": TOKEN}) == ""


def test_variable_may_name_another_place(tmp_path: Path) -> None:
    (tmp_path / "token").write_text(TOKEN + "\n")
    assert read_token(None, {"MAJULA_TOKEN": f"file:{tmp_path / 'token'}"}) == TOKEN


@pytest.mark.parametrize("text", ["env:NOWHERE", "file:/nowhere", "file:/dev/null", "two words", "a\r\nHost: x", "ü"])
def test_what_gives_no_token_is_refused_and_never_repeated(text: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        read_token(text, {})
    assert text not in str(refused.value)


async def test_the_gateway_gets_the_token_and_nobody_reads_it_in_the_client(tmp_path: Path) -> None:
    gateway = await FakeGateway(tmp_path / "g.sock").start()
    async with connect(gateway.address, token=TOKEN) as client:
        (hello,) = gateway.of(Hello)
        assert isinstance(hello, Hello)
        assert hello.token == TOKEN
        assert TOKEN not in repr(client) + repr(client.state) + repr(client.statistics())
    await gateway.stop()


@pytest.mark.parametrize("address", ["ws://192.0.2.1:1", "majula://node.example:1", "http://node.example:1"])
def test_a_token_does_not_travel_in_clear_text_to_another_machine(address: str) -> None:
    with pytest.raises(InvalidRequest, match="clear text"):
        connect(address, token=TOKEN)
    connect(address)
    connect(address, token=TOKEN, trust=Trust(plaintext=True))
    connect(address.replace("://", "s://"), token=TOKEN)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]"])
def test_within_this_machine_it_may(host: str) -> None:
    connect(f"ws://{host}:1", token=TOKEN)
