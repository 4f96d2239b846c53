"""A06 to A11: other web sites, other hosts, secrets in URLs, requests within requests."""

from __future__ import annotations

import asyncio
import logging

import pytest

from majula.api.http.planned import INNER
from tests.edges import RawWebSocket, Served, body_of, exchange, request, status_of

TOKEN = "mjl_" + "S3cr3t-_" * 5 + "xyz"
JSON = "Content-Type: application/json"
TEXT = "Content-Type: text/plain"
MULTIPART = "Content-Type: multipart/form-data; boundary=b"
FORM = "Content-Type: application/x-www-form-urlencoded"
INNER_PATHS = ["/majula/pub", "/majula/sub", "/majula/rpc", "/majula/list_rpc", *(f"/majula{path}" for path in INNER)]


async def subscribed(served: Served) -> RawWebSocket:
    """A client that hears what is published to `t`."""
    client = await RawWebSocket.open(served.port, "/majula/ws/witness")
    client.send_json({"method": "SUBSCRIBE", "topic": "t", "id": 1})
    await client.receive_json()
    return client


async def heard_nothing(client: RawWebSocket) -> bool:
    """A message of its own is the first that the client hears."""
    client.send_json({"method": "PUBLISH", "topic": "t", "args": {"own": True}})
    return bool((await client.receive_json())["args"] == {"own": True})


# --- A06


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://localhost:1", ""])
@pytest.mark.parametrize("path", ["/majula/ws", "/majula/ws/victim"])
async def test_a06_websocket_of_another_site_is_refused_before_its_upgrade(served: Served, origin: str, path: str) -> None:
    tasks = len(asyncio.all_tasks())
    client = await RawWebSocket.open(served.port, path, headers=(f"Origin: {origin}",))
    assert client.status == 403 and b"Sec-WebSocket-Accept" not in client.head
    assert not served.edge.websockets and not served.gateway.switch.sessions and len(asyncio.all_tasks()) <= tasks + 1


async def test_a06_websocket_of_the_own_site_is_served(served: Served) -> None:
    client = await RawWebSocket.open(served.port, headers=("Origin: http://localhost",))
    assert client.status == 101  # the request's own Host is `localhost` without a port


# --- A07


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "10.1.2.3"])
@pytest.mark.parametrize("path", ["/majula/health", "/majula/pub?topic=t&msg=m", "/nope"])
async def test_a07_a_foreign_host_is_refused(served: Served, host: str, path: str) -> None:
    found = await exchange(served.port, request("GET", path, host=host))
    assert status_of(found) == 421 and body_of(found)["code"] == "wrong_host"


# --- A08


@pytest.mark.parametrize("proof", ["Origin: https://evil.example", "Origin: null", "Sec-Fetch-Site: cross-site"])
@pytest.mark.parametrize(
    ("kind", "body"),
    [
        (JSON, b'{"topic":"t","msg":"x"}'),
        (FORM, b"topic=t&msg=x"),
        (TEXT, b'{"topic":"t","msg":"x"}'),
        (MULTIPART, b'--b\r\nContent-Disposition: form-data; name="topic"\r\n\r\nt\r\n--b--\r\n'),
    ],
)
async def test_a08_a_post_of_another_site_has_no_effect(served: Served, proof: str, kind: str, body: bytes) -> None:
    witness = await subscribed(served)
    found = await exchange(served.port, request("POST", "/majula/pub", proof, kind, body=body))
    assert status_of(found) == 403 and body_of(found)["code"] == "cross_site"
    assert await heard_nothing(witness)


@pytest.mark.parametrize("path", INNER_PATHS)
async def test_a08_every_path_refuses_other_sites(served: Served, path: str) -> None:
    assert status_of(await exchange(served.port, request("POST", path, "Origin: https://evil.example"))) == 403


async def test_a08_text_that_carries_json_is_415(served: Served) -> None:
    witness = await subscribed(served)
    found = await exchange(served.port, request("POST", "/majula/pub", TEXT, body=b'{"topic":"t","msg":"x"}'))
    assert status_of(found) == 415 and await heard_nothing(witness)


async def test_a08_forms_of_the_own_site_are_served(served: Served) -> None:
    multipart = b"".join(
        b'--b\r\nContent-Disposition: form-data; name="%b"\r\n\r\n%b\r\n' % pair for pair in ((b"topic", b"t"), (b"msg", b"x"))
    )
    for lines, body in (([FORM], b"topic=t&msg=x"), ([MULTIPART], multipart + b"--b--\r\n")):
        found = await exchange(served.port, request("POST", "/majula/pub", "Origin: http://localhost", *lines, body=body))
        assert status_of(found) == 200, found


# --- A09


async def test_a09_get_of_the_inner_circle_is_served(served: Served) -> None:
    assert status_of(await exchange(served.port, request("GET", "/majula/pub?topic=t&msg=m"))) == 200


async def test_a09_get_of_another_site_is_403(served: Served) -> None:
    witness = await subscribed(served)
    found = await exchange(served.port, request("GET", "/majula/pub?topic=t&msg=m", "Sec-Fetch-Site: cross-site"))
    assert status_of(found) == 403 and await heard_nothing(witness)


async def test_a09_get_that_would_change_something_below_v1_is_405(served: Served) -> None:
    assert status_of(await exchange(served.port, request("GET", "/majula/v1/calls?function=add"))) == 405


# --- A10


@pytest.mark.parametrize("query", [f"token={TOKEN}", f"a=1&b={TOKEN}", "access_token=whatever", f"a=mjl%5f{TOKEN[4:]}"])
@pytest.mark.parametrize("path", ["/majula/health", "/majula/ws", "/nope"])
async def test_a10_a_secret_in_a_url_is_refused_and_not_logged(
    served: Served, query: str, path: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        found = await exchange(served.port, request("GET", f"{path}?{query}"))
    assert status_of(found) == 400
    assert b"S3cr3t" not in found and "S3cr3t" not in caplog.text and "whatever" not in caplog.text


async def test_a10_a_bearer_entry_is_neither_logged_nor_answered(served: Served, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        client = await RawWebSocket.open(served.port, protocols=f"majula.bearer.{TOKEN}, majula.v1.json")
    assert client.status == 101 and b"S3cr3t" not in client.head and "S3cr3t" not in caplog.text


# --- A11

PREFIX = b"POST /majula/pub HTTP/1.1\r\nHost: localhost\r\n" + JSON.encode() + b"\r\n"
HIDDEN = b"GET /majula/pub?topic=t&msg=smuggled HTTP/1.1\r\nHost: localhost\r\n\r\n"
SMUGGLING = {
    "cl.te": b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "te.cl": b"Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n5c\r\n",
    "te.te": b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n",
    "two lengths": b"Content-Length: 0\r\nContent-Length: 70\r\n\r\n",
    "equal lengths": b"Content-Length: 2\r\nContent-Length: 2\r\n\r\n{}",
    "signed length": b"Content-Length: +0\r\n\r\n",
    "hex length": b"Content-Length: 0x0\r\n\r\n",
    "list of lengths": b"Content-Length: 0, 70\r\n\r\n",
    "bare line feeds": b"Content-Length: 0\n\n",
    "a bare line feed in the head": b"X: a\nContent-Length: 70\r\n\r\n",
    "a bare carriage return": b"X: a\rContent-Length: 70\r\n\r\n",
    "a folded header": b"X: a\r\n Content-Length: 70\r\n\r\n",
    "a space before the colon": b"Content-Length : 70\r\n\r\n",
    "two hosts": b"Host: other\r\n\r\n",
    "a chunk extension": b"Transfer-Encoding: chunked\r\n\r\n0;a=b\r\n\r\n",
    "a chunk of bare line feeds": b"Transfer-Encoding: chunked\r\n\r\n0\n\n",
    "a chunk that overflows": b"Transfer-Encoding: chunked\r\n\r\n10000000000000000\r\n",
    "a trailer": b"Transfer-Encoding: chunked\r\n\r\n0\r\nContent-Length: 70\r\n\r\n",
    "an obscured encoding": b"Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n",
}


@pytest.mark.parametrize("attack", SMUGGLING)
async def test_a11_a_request_within_a_request_is_never_served(served: Served, attack: str) -> None:
    witness = await subscribed(served)
    found = await exchange(served.port, PREFIX + SMUGGLING[attack] + HIDDEN)
    assert found.count(b"HTTP/1.1 ") <= 1 and status_of(found) in {0, 400}
    assert await heard_nothing(witness)


async def test_a11_what_is_refused_ends_its_connection(served: Served) -> None:
    found = await exchange(served.port, PREFIX + SMUGGLING["cl.te"])
    assert status_of(found) == 400 and b"\r\nConnection: close\r\n" in found
