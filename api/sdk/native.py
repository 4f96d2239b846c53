"""The native port: frames on a Unix socket or TCP."""

from __future__ import annotations

import asyncio
import os
import socket
from typing import cast

from majula.api.sdk.address import Address
from majula.api.sdk.connection import READ_LIMIT_BYTES, WRITE_HIGH_BYTES, Receiver
from majula.api.sdk.trust import Trust, check_certificate, check_peer, tls_context
from majula.errors import InvalidRequest, MajulaError
from majula.wire.frames import FrameReader


class NativeConnection(asyncio.Protocol):
    """One native connection. A protocol with its own reader, not streams: those cost four times as much a frame."""

    def __init__(self, receiver: Receiver) -> None:
        self.paused = False
        self._receiver = receiver
        self._reader = FrameReader(limit_bytes=READ_LIMIT_BYTES)
        self._transport: asyncio.Transport | None = None
        self._descriptor = -1
        self._ended = False  # by us: nothing more is told
        self._closed = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.set_write_buffer_limits(high=WRITE_HIGH_BYTES)
        endpoint = transport.get_extra_info("socket")
        if type(transport).__module__.startswith("uvloop") and transport.get_extra_info("ssl_object") is None:
            self._descriptor = endpoint.fileno()
        if endpoint is not None and endpoint.family in (socket.AF_INET, socket.AF_INET6):
            endpoint.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def data_received(self, data: bytes) -> None:
        if self._ended:
            return
        try:
            chunk, spans = self._reader.feed(data)
        except MajulaError as error:
            self._fail(f"the gateway sent what is no frame: {error}")
            return
        if spans:
            self._receiver.frames_received(chunk, spans)

    def pause_writing(self) -> None:
        self.paused = True

    def resume_writing(self) -> None:
        self.paused = False
        if not self._ended:
            self._receiver.writable()

    def connection_lost(self, error: Exception | None) -> None:
        self._descriptor = -1
        self._closed.set()
        if not self._ended:
            self._ended = True
            self._receiver.connection_lost(self, str(error) if error else "the gateway closed it")

    def write(self, data: bytes) -> None:
        transport = self._transport
        if transport is None or self._ended:
            return
        if self._descriptor >= 0 and not transport.get_write_buffer_size() and not transport.is_closing():
            # uvloop writes at the end of the turn; the outbox has gathered already, and now the peer can begin. A transport
            # that is closing has given its descriptor back, and it may be somebody else's by now.
            try:
                written = os.write(self._descriptor, data)
            except OSError:  # full, or broken: the transport finds out which
                written = 0
            if written == len(data):
                return
            data = data[written:]
        transport.write(data)

    def close(self) -> None:
        self._ended = True
        if self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        self._ended = True
        if self._transport is not None:
            self._transport.abort()

    async def wait_closed(self) -> None:
        await self._closed.wait()

    def _fail(self, reason: str) -> None:
        self.abort()
        self._receiver.connection_lost(self, reason)


async def open_native(address: Address, receiver: Receiver, trust: Trust) -> NativeConnection:
    """Connect to a native port.

    Raises:
        OSError: nobody listens there, or it cannot be reached.
        Distrusted: who answers is not whom `trust` names.
        InvalidRequest: this system has no Unix sockets.
    """
    loop = asyncio.get_running_loop()
    connection = NativeConnection(receiver)
    if address.kind == "unix":
        if not hasattr(socket, "AF_UNIX"):
            raise InvalidRequest("this system has no Unix sockets; use majula://host:port or ws://host:port")
        transport, _ = await loop.create_unix_connection(lambda: connection, address.path)
    elif address.is_encrypted:
        context = await asyncio.to_thread(tls_context, trust)  # the system's authorities are a file of 200 KB
        name = trust.server_name or address.host
        transport, _ = await loop.create_connection(
            lambda: connection, address.host, address.port, ssl=context, server_hostname=name
        )
    else:
        transport, _ = await loop.create_connection(lambda: connection, address.host, address.port)
    try:
        if address.kind == "unix":
            check_peer(transport.get_extra_info("socket"), address.path, trust)
        elif address.is_encrypted:
            check_certificate(transport.get_extra_info("ssl_object"), trust)
    except BaseException:
        connection.abort()
        raise
    return connection
