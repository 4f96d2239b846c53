"""Where a program begins: `connect`, and `run` for a fast loop."""

from __future__ import annotations

import asyncio
import importlib
import os
from collections.abc import Coroutine, Sequence
from typing import Any, Literal, TypeVar

from majula.api.sdk.address import Address, find_default_address, parse_address
from majula.api.sdk.attachment import BUFFER_BYTES, CONNECT_S, StateCallback
from majula.api.sdk.callbacks import is_async
from majula.api.sdk.calls import check_name
from majula.api.sdk.client import Client
from majula.api.sdk.shape import Codec
from majula.api.sdk.trust import Trust, check_wire, read_token
from majula.errors import InvalidRequest

R = TypeVar("R")


def connect(
    address: str | Sequence[str] | None = None,
    *,
    client_id: str = "",
    token: str | None = None,
    trust: Trust | None = None,
    on_state: StateCallback | None = None,
    encoding: Literal["msgpack", "json"] = "msgpack",
    timeout_s: float = CONNECT_S,
    buffer_bytes: int = BUFFER_BYTES,
    concurrency: int = 1_024,
    codec: Codec = "msgpack",
) -> Client:
    """A client of a node: `async with majula.connect() as client`, or `await majula.connect()` and at the end `close()`.

    Args:
        address: `unix:/path`, `majula://host:port`, `ws://host:port` or `http://host:port`, with TLS `majulas:`, `wss:` or
            `https:`; several are tried in turn. None: MAJULA_ADDRESS, else the native socket of the only node that this user runs
            here.
        client_id: 1-128 bytes, unique on the node; empty: the gateway makes one.
        token: bearer token, or `env:NAME` or `file:PATH` where it stands; None: MAJULA_TOKEN, and none where that is not set.
        trust: whom to believe to be the gateway; None: the system's authorities for TLS, and on a Unix socket this user and root.
        on_state: called with each `State`: connecting, connected, disconnected, slow, closed. Must not block.
        encoding: of WebSocket messages: `msgpack` (binary, several messages a frame) or `json`.
        timeout_s: seconds to go on trying at first. Later, a lost connection is restored for as long as the client lives.
        buffer_bytes: what may wait to be written, also while there is no connection.
        concurrency: calls of async functions that run here at one time; more are refused with `overloaded`.
        codec: how payloads that are no bytes are encoded: `msgpack`, or `json` for receivers that know nothing else. What comes
            is read whatever it is.
    Raises:
        NoSuchNode, Conflict: no address was given, and there is no node of this user, or more than one.
        InvalidRequest: the address has none of the forms; the token is none, or would travel in clear text to another machine.
        ConnectionLost: when it is awaited or entered: no connection in `timeout_s`.
        Conflict: then, too: `client_id` is taken by another session.
        Unauthorized, PermissionDenied: then, too: the token is not accepted, or who answers is not trusted.
    """
    if address is None:
        addresses: tuple[Address, ...] = (find_default_address(),)
    else:
        addresses = tuple(parse_address(one) for one in ([address] if isinstance(address, str) else address))
    if not addresses:
        raise InvalidRequest("no address was given")
    if client_id:
        check_name("client", client_id)
    if on_state is not None and is_async(on_state):
        raise InvalidRequest("on_state is a plain function: it must not wait")
    trust = trust or Trust()
    trust.digest()
    secret = read_token(token, os.environ)
    for one in addresses:
        check_wire(one, secret, trust)
    return Client(
        addresses,
        client_id=client_id,
        token=secret,
        trust=trust,
        on_state=on_state,
        encoding=encoding,
        timeout_s=timeout_s,
        buffer_bytes=buffer_bytes,
        concurrency=concurrency,
        codec=codec,
    )


def run(main: Coroutine[Any, Any, R]) -> R:
    """`asyncio.run` on the fastest loop that is installed: uvloop where there is one, which halves the cost of small writes."""
    try:
        uvloop = importlib.import_module("uvloop")
    except ImportError:
        return asyncio.run(main)
    result: R = uvloop.run(main)
    return result
