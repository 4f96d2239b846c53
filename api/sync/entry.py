"""Where a synchronous program begins: `majula.sync.connect`."""

from __future__ import annotations

import atexit
import weakref
from collections.abc import Sequence
from typing import Literal

from majula.api.sdk.attachment import BUFFER_BYTES, CONNECT_S, StateCallback
from majula.api.sdk.client import Client as AsyncClient
from majula.api.sdk.entry import connect as connect_async
from majula.api.sdk.shape import Codec
from majula.api.sdk.trust import Trust
from majula.api.sync.client import Client
from majula.api.sync.thread import LoopThread

THREADS = 16

_open: weakref.WeakSet[Client] = weakref.WeakSet()


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
    threads: int = THREADS,
) -> Client:
    """A connected client: `with majula.sync.connect() as client`, or `close()` at the end.

    It has the verbs of `majula.connect`'s client, and its event loop runs in a private thread. Any thread may use it. Callbacks
    and functions are plain, and run in threads of the client: they may block, and may use the client.

    Args:
        on_state: called with each `State`, in a thread of its own.
        threads: how many callbacks and functions may run at one time; more wait.
        The others are those of `majula.connect`.
    Raises:
        NoSuchNode, InvalidRequest, ConnectionLost, Conflict, Unauthorized, PermissionDenied: as `majula.connect` and its client.
    """
    thread = LoopThread("majula", threads=threads)
    try:
        made = connect_async(
            address,
            client_id=client_id,
            token=token,
            trust=trust,
            on_state=None if on_state is None else thread.told(on_state),
            encoding=encoding,
            timeout_s=timeout_s,
            buffer_bytes=buffer_bytes,
            concurrency=concurrency,
            codec=codec,
        )
        client = Client(thread.wait(_connected(made)), thread)
    except BaseException:
        thread.stop()
        raise
    _open.add(client)
    return client


async def _connected(client: AsyncClient) -> AsyncClient:
    return await client


@atexit.register
def _close_all() -> None:
    """A program that ends without `close`: what it has published is still written."""
    for client in list(_open):
        client.close()
