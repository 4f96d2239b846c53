"""The gateway's WebSocket: native frames in binary messages, several in each, or JSON packages in text messages."""

from __future__ import annotations

import asyncio
import logging
import secrets
import ssl
import types
from collections.abc import Awaitable, Coroutine, Generator
from functools import partial
from typing import Any, Literal
from urllib.parse import urlsplit

import aiohttp

from majula.api.sdk.address import Address
from majula.api.sdk.connection import READ_LIMIT_BYTES, WRITE_HIGH_BYTES, Receiver
from majula.api.sdk.packages import JsonPackages, chunk_of
from majula.api.sdk.trust import Distrusted, Trust, tls_context
from majula.errors import ConnectionLost, MajulaError, ProtocolError, Unauthorized
from majula.wire.frames import FrameReader

_log = logging.getLogger("majula.sdk")

PATH = "/majula/ws"
PROTOCOLS = {"msgpack": "majula.v1.msgpack", "json": "majula.v1.json"}

MESSAGE_BYTES = 1 << 18
"""Frames are put into one message up to this size: a gateway bounds its messages by about twice its largest frame."""


@types.coroutine
def _resume(begun: Coroutine[Any, Any, None], awaited: Any) -> Generator[Any, Any, None]:
    """The rest of a coroutine that was begun outside a task and waits for `awaited`."""
    while True:
        try:
            value = yield awaited
        except BaseException as error:
            step = partial(begun.throw, error)
        else:
            step = partial(begun.send, value)
        try:
            awaited = step()
        except StopIteration:
            return


class WebSocketConnection:
    """One WebSocket. Writing is done by one task, so that nothing is interleaved and a slow gateway is felt."""

    def __init__(
        self,
        receiver: Receiver,
        http: aiohttp.ClientSession,
        socket: aiohttp.ClientWebSocketResponse[Literal[False]],
        packages: JsonPackages | None,
    ) -> None:
        self.paused = False
        self._receiver = receiver
        self._http = http
        self._socket = socket
        self._packages = packages
        self._incoming = FrameReader(limit_bytes=READ_LIMIT_BYTES)
        self._outgoing = FrameReader(limit_bytes=READ_LIMIT_BYTES)
        self._messages: list[bytes] = []
        self._waiting_bytes = 0
        self._wake: asyncio.Future[None] | None = None
        self._rest: Awaitable[None] | None = None  # a message that the socket did not take at once
        self._is_closing = False
        self._ended = False
        loop = asyncio.get_running_loop()
        self._loop = loop
        self._reading = loop.create_task(self._read(), name="majula websocket read")
        self._writing = loop.create_task(self._write(), name="majula websocket write")
        self._closing: asyncio.Task[None] | None = None
        self._closed = asyncio.Event()

    def write(self, data: bytes) -> None:
        if self._ended:
            return
        if self._packages is not None:
            self._messages += self._packages.render(*self._outgoing.feed(data))
            if self._packages.refused:
                refused, self._packages.refused = self._packages.refused, []
                self._loop.call_soon(self._receiver.frames_received, *chunk_of(refused))
        elif len(data) <= MESSAGE_BYTES:
            self._messages.append(data)
        else:
            self._split(data)
        self._waiting_bytes += len(data)
        if self._waiting_bytes > WRITE_HIGH_BYTES:
            self.paused = True
        if self._wake is not None and not self._wake.done():
            if len(self._messages) == 1 and not self.paused:
                self._write_at_once()
            else:
                self._wake.set_result(None)

    def close(self) -> None:
        self._ended = True
        self._is_closing = True
        if self._wake is not None and not self._wake.done():
            self._wake.set_result(None)
        if self._closing is None:
            self._closing = self._loop.create_task(self._finish(), name="majula websocket close")

    def abort(self) -> None:
        self._writing.cancel()
        self.close()

    async def wait_closed(self) -> None:
        await self._closed.wait()

    def _split(self, data: bytes) -> None:
        """As many messages as needed, each of whole frames."""
        chunk, spans = self._outgoing.feed(data)
        begin = 0
        for start, _, end in spans:
            if end - begin > MESSAGE_BYTES and start > begin:
                self._messages.append(chunk[begin:start])
                begin = start
        if begin < len(chunk):
            self._messages.append(chunk[begin:])

    def _write_at_once(self) -> None:
        """One message, and the writing task is idle: waking it would cost a turn of the loop, twice in every call.

        Sending a frame ends without waiting unless the socket is full; then the writing task goes on with it.
        """
        sending = self._send(self._messages.pop())
        self._waiting_bytes = 0
        try:
            awaited = sending.send(None)
        except StopIteration:
            return
        except (ConnectionError, aiohttp.ClientError) as error:
            self._lost(str(error) or "the gateway closed it")
            return
        assert self._wake is not None
        self._rest = _resume(sending, awaited)
        self._wake.set_result(None)

    async def _send(self, message: bytes) -> None:
        if self._packages is None:
            await self._socket.send_bytes(message)
        else:
            await self._socket.send_frame(message, aiohttp.WSMsgType.TEXT)

    async def _write(self) -> None:
        try:
            while True:
                if self._rest is not None:
                    rest, self._rest = self._rest, None
                    await rest
                messages, self._messages = self._messages, []
                self._waiting_bytes = 0
                for message in messages:
                    await self._send(message)
                if self._messages:
                    continue
                if self._is_closing:
                    return
                if self.paused:
                    self.paused = False
                    self._receiver.writable()
                    continue
                self._wake = self._loop.create_future()
                await self._wake
        except (ConnectionError, aiohttp.ClientError) as error:
            self._lost(str(error) or "the gateway closed it")

    async def _read(self) -> None:
        reason = "the gateway closed it"
        try:
            async for message in self._socket:
                if message.type is aiohttp.WSMsgType.BINARY and self._packages is None:
                    chunk, spans = self._incoming.feed(message.data)
                elif message.type is aiohttp.WSMsgType.TEXT and self._packages is not None:
                    chunk, spans = self._packages.receive(message.data)
                else:
                    raise ProtocolError("a message of the wrong kind")
                if spans and not self._ended:
                    self._receiver.frames_received(chunk, spans)
            if self._socket.close_code not in {None, 1000}:
                reason = f"the gateway closed it with code {self._socket.close_code}"
        except MajulaError as error:
            reason = f"the gateway sent what is no frame: {error}"
        except (ConnectionError, aiohttp.ClientError) as error:
            reason = str(error) or reason
        except Exception as error:
            # Our fault. The native transport ends the same way: the event loop closes a connection whose protocol raised.
            _log.exception("websocket.failed")
            reason = f"the client failed: {error!r}"
        self._lost(reason)

    def _lost(self, reason: str) -> None:
        if not self._ended:
            self.close()
            self._receiver.connection_lost(self, reason)

    async def _finish(self) -> None:
        """Let what waits be written, then close; both bounded."""
        try:
            await asyncio.wait({self._writing}, timeout=1.0)
            self._writing.cancel()
            await asyncio.wait_for(self._socket.close(), 1.0)
        except TimeoutError:
            pass  # the gateway does not take part in the closing: the socket is dropped below
        finally:
            self._reading.cancel()
            await self._http.close()
            self._closed.set()


async def open_websocket(
    address: Address, receiver: Receiver, trust: Trust, *, token: str, encoding: Literal["msgpack", "json"]
) -> WebSocketConnection:
    """Connect to a gateway's WebSocket.

    Raises:
        OSError, ConnectionLost: it cannot be reached, or does not answer as a gateway does.
        Unauthorized: the token is not accepted, or who answers is not whom `trust` names.
    """
    parts = urlsplit(address.url)
    url = address.url if parts.path not in {"", "/"} else address.url.rstrip("/") + PATH
    http = aiohttp.ClientSession()
    try:
        socket = await http.ws_connect(
            url,
            protocols=(PROTOCOLS[encoding],),
            headers={"Authorization": f"Bearer {token}"} if token else None,
            max_msg_size=READ_LIMIT_BYTES,
            compress=0,
            decode_text=False,
            ssl=await tls_of(address, trust),
            server_hostname=name_of(address, trust),
        )
    except aiohttp.ServerFingerprintMismatch as error:
        await http.close()
        raise distrusted(error) from None
    except aiohttp.WSServerHandshakeError as error:
        await http.close()
        if error.status == 401:
            refused = "the gateway does not accept this token" if token else "this gateway wants a token, and none was given"
            raise Unauthorized(refused) from None
        raise ConnectionLost(f"the gateway answered {error.status} instead of a WebSocket") from None
    except aiohttp.ClientConnectorCertificateError as error:
        await http.close()
        raise error.certificate_error from None
    except aiohttp.ClientError as error:
        await http.close()
        raise ConnectionLost(str(error)) from None
    except BaseException:
        await http.close()
        raise
    if socket.protocol != PROTOCOLS[encoding]:
        await socket.close()
        await http.close()
        raise ConnectionLost(f"what answers at {url} does not speak {PROTOCOLS[encoding]}")
    packages = None
    if encoding == "json":
        packages = JsonPackages(gateway=f"{parts.hostname}:{parts.port or ''}", name=f"python-{secrets.token_hex(8)}")
    return WebSocketConnection(receiver, http, socket, packages)


async def tls_of(address: Address, trust: Trust) -> ssl.SSLContext | aiohttp.Fingerprint | bool:
    """As aiohttp wants to have it."""
    if not address.is_encrypted:
        return True
    digest = trust.digest()
    return aiohttp.Fingerprint(digest) if digest else await asyncio.to_thread(tls_context, trust)


def name_of(address: Address, trust: Trust) -> str | None:
    """The name that the certificate has to carry; None: the host of the address."""
    return trust.server_name or None if address.is_encrypted else None


def distrusted(error: aiohttp.ServerFingerprintMismatch) -> Distrusted:
    """For a pin that does not fit."""
    return Distrusted(f"the gateway's certificate is not the pinned one; its SHA-256 is {error.got.hex()}")
