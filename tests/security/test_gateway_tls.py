"""TLS at a gateway, and the addresses that may connect at all (A01, A02; of A23 what a gateway's listener has of it)."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, cast

import pytest
import trustme
from cryptography.hazmat.primitives import serialization

from majula.api.entrance import Entrance, server_context
from majula.errors import ConfigError
from majula.gateway.settings import GatewayLimits, GatewaySettings
from majula.wire.frames import encode_run
from majula.wire.headers import Ack, Publish, Subscribe
from tests.edges import body_of, client_frame, request, status_of
from tests.security.guarded import Guarded, bearer, serve_guarded

CLOSED = (asyncio.IncompleteReadError, ConnectionError)
"""Depends on what the kernel still had of the client."""


@pytest.fixture(params=["asyncio", "uvloop"])
def event_loop_policy(request: pytest.FixtureRequest) -> asyncio.AbstractEventLoopPolicy:
    """Both loops have a TLS layer of their own; a node runs on either."""
    if request.param == "asyncio":
        return asyncio.DefaultEventLoopPolicy()
    return cast(asyncio.AbstractEventLoopPolicy, pytest.importorskip("uvloop").EventLoopPolicy())


class Operator:
    """Files as an operator keeps them, and a client's trust in them."""

    def __init__(self, directory: Path, authority: trustme.CA, name: str = "own") -> None:
        self.cert_file, self.key_file = str(directory / f"{name}.crt"), str(directory / f"{name}.key")
        self._authority = authority
        self.issue()

    def issue(self) -> None:
        """A certificate and its key, the key for its owner alone."""
        issued = self._authority.issue_cert("localhost", "127.0.0.1")
        Path(self.cert_file).write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
        Path(self.key_file).write_bytes(issued.private_key_pem.bytes())
        Path(self.key_file).chmod(0o600)

    def context(self) -> ssl.SSLContext:
        """Of a client that trusts the authority."""
        context = ssl.create_default_context()
        self._authority.configure_trust(context)
        return context


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def operator(tmp_path: Path, authority: trustme.CA) -> Operator:
    return Operator(tmp_path, authority)


@pytest.fixture
async def guarded(tmp_path: Path, operator: Operator) -> AsyncIterator[Guarded]:
    async with serve_guarded(tmp_path, cert_file=operator.cert_file, key_file=operator.key_file) as found:
        yield found


async def ask(guarded: Guarded, context: ssl.SSLContext, sent: bytes, *, until_end: bool = False) -> bytes:
    """The answer to one request by TLS."""
    reader, writer = await asyncio.open_connection("127.0.0.1", guarded.port, ssl=context, server_hostname="localhost")
    try:
        writer.write(sent)
        async with asyncio.timeout(10):
            if until_end:
                return await reader.read()
            head = await reader.readuntil(b"\r\n\r\n")
            size = next((int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")), 0)
            return head + await reader.readexactly(size)
    finally:
        writer.close()


async def served_certificate(port: int, context: ssl.SSLContext) -> bytes:
    _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname="localhost")
    found: bytes = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    writer.close()
    return found


# --- what is spoken


async def test_http_is_served_by_tls_to_who_shows_a_token(guarded: Guarded, operator: Operator) -> None:
    asked = request("GET", "/majula/v1/services", bearer(guarded.token("observe:*")))
    assert status_of(await ask(guarded, operator.context(), asked)) == 200
    assert status_of(await ask(guarded, operator.context(), request("GET", "/majula/v1/services"))) == 401


async def test_refusal_of_a_malformed_request_arrives_by_tls_too(guarded: Guarded, operator: Operator) -> None:
    found = await ask(guarded, operator.context(), b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n")
    assert status_of(found) == 400 and body_of(found)["code"] == "invalid_request"


async def test_websocket_is_opened_by_tls(guarded: Guarded, operator: Operator) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", guarded.port, ssl=operator.context(), server_hostname="localhost")
    lines = ["GET /majula/ws/c HTTP/1.1", "Host: localhost", "Upgrade: websocket", "Connection: Upgrade"]
    lines += ["Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", bearer(guarded.token("*:*"))]
    # A frame right behind the request must not be lost on its way through the layers.
    writer.write("\r\n".join([*lines, "", ""]).encode() + client_frame(1, b'{"method":"SUBSCRIBE","topic":"t","id":1}'))
    async with asyncio.timeout(10):
        assert status_of(await reader.readuntil(b"\r\n\r\n")) == 101
        assert b'"ACK"' in await reader.readuntil(b"}")
    writer.close()


async def test_native_port_by_tcp_speaks_tls(guarded: Guarded, operator: Operator) -> None:
    peer = await guarded.peer(context=operator.context())
    await peer.hello("c", token=guarded.token("subscribe:t"))
    peer.send(Subscribe(1, "t"))
    assert (await peer.read())[0] == Ack(1, "gateway")


async def test_large_messages_pass_by_tls(guarded: Guarded, operator: Operator) -> None:
    token = guarded.token("*:*")
    writer, reader = await guarded.peer(context=operator.context()), await guarded.peer(context=operator.context())
    await writer.hello("w", token=token)
    await reader.hello("r", token=token)
    await reader.subscribe("t")
    payload = bytes(range(256)) * 4_000
    for _ in range(4):
        writer.send(Publish("t"), encode_run([payload]))
    for _ in range(4):
        _, body = await reader.read()
        assert body == encode_run([payload])


async def test_unix_socket_stays_as_it_is(guarded: Guarded) -> None:
    _, writer = await asyncio.open_unix_connection(guarded.path)
    writer.close()


@pytest.mark.parametrize(
    "sent", [b"GET /majula/health HTTP/1.1\r\nHost: localhost\r\n\r\n", b"\x00" * 400, b"\x16\x03\x01\xff\xff"]
)
async def test_what_is_no_handshake_is_closed_and_answered_by_no_surface(guarded: Guarded, sent: bytes) -> None:
    for port in (guarded.port, guarded.native_port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(sent)
        writer.write_eof()
        async with asyncio.timeout(10):
            found = await reader.read()
        assert b"HTTP" not in found
        writer.close()
    assert guarded.http.statistics()["http_requests"] == 0


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1])
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
async def test_old_versions_are_refused(guarded: Guarded, operator: Operator, version: ssl.TLSVersion) -> None:
    context = operator.context()
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version = context.maximum_version = version
    with pytest.raises((ssl.SSLError, ConnectionError)):
        await asyncio.open_connection("127.0.0.1", guarded.port, ssl=context, server_hostname="localhost")


async def test_newest_version_is_spoken_with_who_can(guarded: Guarded, operator: Operator) -> None:
    context = operator.context()
    context.set_alpn_protocols(["h2", "http/1.1"])
    _, writer = await asyncio.open_connection("127.0.0.1", guarded.port, ssl=context, server_hostname="localhost")
    secured = writer.get_extra_info("ssl_object")
    assert secured.version() == "TLSv1.3" and secured.selected_alpn_protocol() == "http/1.1"
    writer.close()


async def test_origin_of_the_own_site_is_https(guarded: Guarded, operator: Operator) -> None:
    token = guarded.token("observe:*")
    for origin, status in (("https://localhost", 200), ("http://localhost", 403)):
        asked = request("GET", "/majula/v1/services", bearer(token), f"Origin: {origin}")
        assert status_of(await ask(guarded, operator.context(), asked)) == status


# --- handshakes that do not end


async def test_half_open_handshake_is_closed_at_its_deadline(guarded: Guarded) -> None:
    entrance = guarded.native._entrance  # the deadline of a test
    assert entrance is not None
    entrance.handshake_s = 0.05
    reader, writer = await asyncio.open_connection("127.0.0.1", guarded.native_port)
    writer.write(b"\x16\x03\x01")
    async with asyncio.timeout(10):
        assert await reader.read() == b""
    writer.close()
    assert guarded.native.statistics()["native_handshakes"] == 0


async def test_handshakes_under_way_are_bounded(tmp_path: Path, operator: Operator) -> None:
    limits = GatewayLimits(connections=2)
    async with serve_guarded(tmp_path, limits=limits, cert_file=operator.cert_file, key_file=operator.key_file) as guarded:
        waiting = [await asyncio.open_connection("127.0.0.1", guarded.native_port) for _ in range(2)]
        reader, writer = await asyncio.open_connection("127.0.0.1", guarded.native_port)
        async with asyncio.timeout(10):
            with pytest.raises(CLOSED):
                await reader.readexactly(1)
        assert guarded.native.statistics()["native_handshakes"] == 2
        for _, one in [*waiting, (reader, writer)]:
            one.close()


async def test_handshakes_count_with_the_connections_that_are_open(tmp_path: Path, operator: Operator) -> None:
    limits = GatewayLimits(connections=1)
    async with serve_guarded(tmp_path, limits=limits, cert_file=operator.cert_file, key_file=operator.key_file) as guarded:
        peer = await guarded.peer(context=operator.context())
        await peer.hello("c", token=guarded.token("subscribe:t"))
        reader, writer = await asyncio.open_connection("127.0.0.1", guarded.native_port)
        async with asyncio.timeout(10):
            with pytest.raises(CLOSED):
                await reader.readexactly(1)
        writer.close()
        await peer.subscribe("t")


async def test_client_that_goes_during_its_handshake_leaves_nothing(guarded: Guarded) -> None:
    _, writer = await asyncio.open_connection("127.0.0.1", guarded.port)
    while guarded.http.statistics()["http_handshakes"] == 0:
        await asyncio.sleep(0)
    writer.close()
    async with asyncio.timeout(10):
        while guarded.http.statistics()["http_handshakes"]:
            await asyncio.sleep(0)


# --- certificates


async def test_new_certificate_is_served_without_touching_connections(guarded: Guarded, operator: Operator) -> None:
    token = guarded.token("subscribe:t")
    peer = await guarded.peer(context=operator.context())
    await peer.hello("c", token=token)
    before = await served_certificate(guarded.port, operator.context())
    operator.issue()
    for edge in (guarded.http, guarded.native):
        edge.renew(guarded.gateway.settings)
    assert await served_certificate(guarded.port, operator.context()) != before
    assert await served_certificate(guarded.native_port, operator.context()) != before
    await peer.subscribe("t")


@pytest.mark.parametrize("damage", ["missing", "foreign", "garbage", "readable"])
async def test_certificate_that_cannot_be_used_is_named_in_the_log_and_the_old_one_stays(
    guarded: Guarded, operator: Operator, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    before = await served_certificate(guarded.port, operator.context())
    spoil(operator, damage)
    for edge in (guarded.http, guarded.native):
        edge.renew(guarded.gateway.settings)
    assert await served_certificate(guarded.port, operator.context()) == before
    assert [record.message for record in caplog.records] == ["certificate.refused"] * 2


async def test_gateway_that_starts_while_its_certificate_is_written_lets_nobody_in_and_lives(
    tmp_path: Path, operator: Operator
) -> None:
    spoil(operator, "garbage")
    async with serve_guarded(tmp_path, cert_file=operator.cert_file, key_file=operator.key_file) as found:
        for port in (found.port, found.native_port):
            with pytest.raises((ssl.SSLError, ConnectionError)):
                await served_certificate(port, operator.context())
            with pytest.raises(CLOSED):
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.write(request("GET", "/majula/health"))
                await reader.readexactly(1)
        operator.issue()
        for edge in (found.http, found.native):
            edge.renew(found.gateway.settings)
        assert await served_certificate(found.port, operator.context())
        assert await served_certificate(found.native_port, operator.context())


class Clock:
    """A loop of which only the time is asked for."""

    now = 0.0

    def time(self) -> float:
        return self.now


def test_certificate_that_was_not_there_at_the_start_is_looked_for_once_a_second(operator: Operator) -> None:
    clock = Clock()
    entrance = Entrance(cast(Any, clock), asyncio.Protocol, spawn=cast(Any, None), room=lambda: 1)
    spoil(operator, "missing")
    entrance.renew(ip_allow=(), cert_file=operator.cert_file, key_file=operator.key_file)
    operator.issue()
    clock.now = 0.9
    assert entrance.certificate() is None and entrance.is_encrypted
    clock.now = 1.0
    assert entrance.certificate() is not None


@pytest.mark.parametrize("damage", ["missing", "foreign", "garbage", "readable"])
def test_certificate_that_cannot_be_used_is_refused_with_its_reason(operator: Operator, damage: str) -> None:
    spoil(operator, damage)
    with pytest.raises(ConfigError) as refusal:
        server_context(operator.cert_file, operator.key_file)
    assert operator.key_file in refusal.value.message and "\n" not in refusal.value.message
    if damage == "readable":
        assert "can be read by others (mode 0644)" in refusal.value.message


def test_key_with_a_passphrase_is_refused_and_asks_nobody(operator: Operator) -> None:
    key = serialization.load_pem_private_key(Path(operator.key_file).read_bytes(), None)
    locked = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.BestAvailableEncryption(b"secret")
    )
    Path(operator.key_file).write_bytes(locked)
    with pytest.raises(ConfigError):
        server_context(operator.cert_file, operator.key_file)


def spoil(operator: Operator, damage: str) -> None:
    key = Path(operator.key_file)
    match damage:
        case "missing":
            key.unlink()
        case "foreign":
            key.write_bytes(trustme.CA().issue_cert("localhost").private_key_pem.bytes())
        case "garbage":
            Path(operator.cert_file).write_text("-----BEGIN CERTIFICATE-----\nnone\n-----END CERTIFICATE-----\n")
        case "readable":
            key.chmod(0o644)


# --- addresses


async def test_address_that_is_not_on_the_list_is_closed_before_its_handshake_and_counted(
    tmp_path: Path, operator: Operator
) -> None:
    files: dict[str, Any] = {"cert_file": operator.cert_file, "key_file": operator.key_file}
    async with serve_guarded(tmp_path, ip_allow=("127.0.0.0/30",), **files) as guarded:
        for port in (guarded.port, guarded.native_port):
            reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=("127.0.0.9", 0))
            async with asyncio.timeout(10):
                with pytest.raises(CLOSED):
                    await reader.readexactly(1)
            writer.close()
        assert guarded.http.statistics()["http_turned_away_total"] == 1
        assert guarded.native.statistics()["native_turned_away_total"] == 1
        assert guarded.http.statistics()["http_handshakes_failed_total"] == 0
        token = guarded.token("observe:*")
        asked = request("GET", "/majula/v1/services", bearer(token))
        assert status_of(await ask(guarded, operator.context(), asked)) == 200


async def test_list_is_renewed_for_the_next_connection(tmp_path: Path) -> None:
    async with serve_guarded(tmp_path) as guarded:
        await (await guarded.peer()).hello("c", token=guarded.token("*:*"))
        settings = GatewaySettings(port=1, auth="token", ip_allow=("10.0.0.0/8", "2001:db8::1"))
        guarded.native.renew(settings)
        peer = await guarded.peer()
        with pytest.raises(CLOSED):
            await peer.read()
        guarded.native.renew(GatewaySettings(port=1, auth="token", ip_allow=("127.0.0.1",)))
        await (await guarded.peer()).hello("d", token=guarded.token("*:*"))
