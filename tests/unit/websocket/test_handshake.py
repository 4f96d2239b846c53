"""The opening of a WebSocket."""

from __future__ import annotations

import pytest

from majula.api.websocket.handshake import Opening, accept_key, open_websocket
from majula.errors import MajulaError
from majula.wire.http_head import parse_head

KEY = "dGhlIHNhbXBsZSBub25jZQ=="


def opened(
    path: str = "/majula/ws",
    *more: str,
    protocols: str = "",
    upgrade: str = "websocket",
    connection: str = "keep-alive, Upgrade",
    version: str = "13",
    key: str = KEY,
    method: str = "GET",
) -> Opening | MajulaError:
    lines = [f"{method} {path} HTTP/1.1", "Host: localhost", f"Upgrade: {upgrade}", f"Connection: {connection}", *more]
    lines += [f"Sec-WebSocket-Version: {version}", f"Sec-WebSocket-Key: {key}"]
    if protocols:
        lines.append(f"Sec-WebSocket-Protocol: {protocols}")
    return open_websocket(parse_head("\r\n".join([*lines, "", ""]).encode(), body_bytes=100))


def agreed(*args: str, protocols: str = "") -> Opening:
    found = opened(*args, protocols=protocols)
    assert isinstance(found, Opening), found
    return found


def code(found: Opening | MajulaError) -> str:
    assert isinstance(found, MajulaError)
    return found.code


def test_the_key_is_answered_as_in_the_example_of_the_rfc() -> None:
    assert accept_key(KEY) == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="


@pytest.mark.parametrize(
    ("protocols", "dialect"),
    [("", "seed"), ("majula.v1.json", "json"), ("majula.v1.msgpack", "msgpack"), ("x, majula.v1.msgpack", "msgpack")],
)
def test_the_subprotocol_chooses_the_dialect(protocols: str, dialect: str) -> None:
    assert agreed(protocols=protocols).dialect == dialect


def test_the_answer_names_the_subprotocol_that_was_chosen() -> None:
    assert b"\r\nSec-WebSocket-Protocol: majula.v1.json\r\n" in agreed(protocols="majula.v1.json").answer


def test_a_token_is_taken_out_and_never_echoed() -> None:
    found = agreed(protocols="majula.bearer.SECRET, majula.v1.json")
    assert (found.token, found.dialect) == ("SECRET", "json") and b"SECRET" not in found.answer


@pytest.mark.parametrize("protocols", ["majula.bearer.SECRET", "majula.bearer.A, majula.bearer.B, majula.v1.json", "chat"])
def test_a_token_alone_or_two_or_an_unknown_subprotocol_are_refused(protocols: str) -> None:
    assert code(opened(protocols=protocols)) == "invalid_request"


@pytest.mark.parametrize(("path", "client"), [("/majula/ws", ""), ("/majula/ws/", ""), ("/majula/ws/a%20%C3%BC", "a ü")])
def test_the_path_may_name_the_client(path: str, client: str) -> None:
    assert agreed(path).client_id == client


@pytest.mark.parametrize("path", ["/majula/ws/a/b", "/majula/ws/%ff"])
def test_a_name_that_is_none_is_refused(path: str) -> None:
    assert code(opened(path)) == "invalid_request"


@pytest.mark.parametrize("path", ["/", "/majula/wsx", "/majula/pub"])
def test_other_paths_have_no_websocket(path: str) -> None:
    assert code(opened(path)) == "not_found"


@pytest.mark.parametrize(
    "wrong",
    [{"upgrade": "h2c"}, {"connection": "close"}, {"version": "12"}, {"key": "short"}, {"key": "x" * 24}, {"method": "POST"}],
)
def test_an_opening_that_is_none_is_refused(wrong: dict[str, str]) -> None:
    assert isinstance(opened(**wrong), MajulaError)


def test_extensions_are_never_agreed() -> None:
    assert b"xtensions" not in agreed("/majula/ws", "Sec-WebSocket-Extensions: permessage-deflate").answer
