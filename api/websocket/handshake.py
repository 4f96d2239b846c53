"""The opening of a WebSocket (RFC 6455, 4.2): pure, from a request's head to the answer and what was agreed.

A browser cannot set headers on a WebSocket, so a token comes as a subprotocol entry `majula.bearer.TOKEN`. It is taken out here,
before anything that logs sees the request, and never echoed.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from typing import Literal
from urllib.parse import unquote

import msgspec

from majula.errors import InvalidRequest, MajulaError, MethodNotAllowed, NotFound
from majula.wire.http_head import Head

PATH = "/majula/ws"
JSON_PROTOCOL = "majula.v1.json"
MSGPACK_PROTOCOL = "majula.v1.msgpack"
BEARER = "majula.bearer."

Dialect = Literal["seed", "json", "msgpack"]
"""No subprotocol: packages of the inner circle, one a text. `majula.v1.json`: these in batches. `majula.v1.msgpack`: frames."""

_DIALECTS: dict[str, Dialect] = {JSON_PROTOCOL: "json", MSGPACK_PROTOCOL: "msgpack"}
_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455, 1.3


class Opening(msgspec.Struct, frozen=True):
    """What was agreed. client_id: from the path, empty where it names none. token: empty where none was sent."""

    dialect: Dialect
    client_id: str
    token: str
    agent: str
    answer: bytes


def wants_upgrade(head: Head) -> bool:
    """The request asks for another protocol on this connection."""
    return bool(head.get("upgrade"))


def open_websocket(head: Head) -> Opening | MajulaError:
    """The opening that a request asks for, or why it is refused."""
    if head.path != PATH and not head.path.startswith(PATH + "/"):
        return NotFound("there is no WebSocket at this path; it is /majula/ws or /majula/ws/{client}")
    if head.get("upgrade").lower() != "websocket" or "upgrade" not in {word.lower() for word in head.words("connection")}:
        return InvalidRequest("this path speaks WebSocket: Upgrade: websocket and Connection: Upgrade are needed")
    if head.method != "GET" or head.body_bytes != 0 or head.minor == 0:
        return MethodNotAllowed("a WebSocket is opened by GET over HTTP/1.1, without a body")
    if head.get("sec-websocket-version") != "13":
        return InvalidRequest("Sec-WebSocket-Version is 13")
    key = head.get("sec-websocket-key")
    if not _is_key(key):
        return InvalidRequest("Sec-WebSocket-Key is 16 bytes in base64")
    client_id = _client_id(head.path)
    if client_id is None:
        return InvalidRequest("the client id in this path is not UTF-8 or contains a slash")
    offered = head.words("sec-websocket-protocol")
    tokens = [entry.removeprefix(BEARER) for entry in offered if entry.startswith(BEARER)]
    known = [entry for entry in offered if entry in _DIALECTS]
    if len(tokens) > 1 or (offered and not known):
        return InvalidRequest(f"offer {JSON_PROTOCOL} or {MSGPACK_PROTOCOL}, and beside it at most one {BEARER} entry")
    lines = ["HTTP/1.1 101 Switching Protocols", "Upgrade: websocket", "Connection: Upgrade"]
    lines.append(f"Sec-WebSocket-Accept: {accept_key(key)}")
    if known:
        lines.append(f"Sec-WebSocket-Protocol: {known[0]}")
    return Opening(
        _DIALECTS[known[0]] if known else "seed",
        client_id,
        tokens[0] if tokens else "",
        head.get("user-agent")[:128],
        "\r\n".join([*lines, "", ""]).encode("ascii"),
    )


def accept_key(key: str) -> str:
    """RFC 6455, 4.2.2: proves that the server understood the opening; it protects nothing."""
    digest = hashlib.sha1(key.encode("ascii") + _GUID, usedforsecurity=False).digest()
    return base64.b64encode(digest).decode("ascii")


def _is_key(key: str) -> bool:
    try:
        return len(base64.b64decode(key, validate=True)) == 16
    except (binascii.Error, ValueError):
        return False


def _client_id(path: str) -> str | None:
    rest = path[len(PATH) :].removeprefix("/")
    if "/" in rest:
        return None
    try:
        return unquote(rest, errors="strict")
    except UnicodeDecodeError:
        return None
