"""The gateway's HTTP API as a transport: a session of which the packages go out by POST and come in on an event stream.

For networks that let nothing else pass. The packages are those of the WebSocket in JSON, so everything behaves as there; what is
slower is the first byte of each request. A stream that breaks is taken up again where it was; a POST that breaks ends the
connection, because nobody knows whether its packages were taken.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import aiohttp
import msgspec

from majula.api.sdk.address import Address
from majula.api.sdk.connection import READ_LIMIT_BYTES, WRITE_HIGH_BYTES, Receiver
from majula.api.sdk.packages import JsonPackages, chunk_of
from majula.api.sdk.sse import EventReader
from majula.api.sdk.trust import Trust
from majula.api.sdk.websocket import distrusted, name_of, tls_of
from majula.errors import ConnectionLost, MajulaError, NotNow, Unauthorized, from_code
from majula.gateway.operations import SessionOpenAnswer
from majula.telemetry.operations import InfoAnswer
from majula.wire.frames import FrameReader, decode_header, encode_frame
from majula.wire.headers import PROTOCOL_VERSION, Error, Hello, Welcome

_log = logging.getLogger("majula.sdk")

BASE = "/majula/v1"
SECRET_HEADER = "Majula-Session"  # noqa: S105  # the name of a header

IDLE_S = 60.0
"""How long the gateway keeps the session while its stream is broken."""

QUIET_S = 40.0
"""The gateway sends a comment each 15 s; a stream that is silent for so long is broken."""

ANSWER_S = 15.0
STREAM_ATTEMPTS = 4
POST_ATTEMPTS = 10
_PAUSE_S = 0.1
_LONGEST_PAUSE_S = 5.0
_ENVELOPE_BYTES = 1_024
_DEFAULT_MESSAGE_BYTES = 1 << 20
_BODY_SLACK_BYTES = 65_536
_TOO_MANY = 429
_UNAVAILABLE = 503


class _Refusal(msgspec.Struct):
    """The body of an error answer."""

    error: str = ""
    code: str = "error"
    detail: dict[str, Any] = {}


class HttpConnection:
    """One HTTP session. Posting is done by one task, one request after the other, so that the order stays.

    Args:
        http: with the headers of all requests; closed at the end.
        url: of the gateway, without a path.
        tls: what each request is to ask of the gateway's certificate: `ssl` and `server_hostname`, as aiohttp calls them.
        limit_bytes: what one package may have.
    """

    def __init__(
        self, receiver: Receiver, http: aiohttp.ClientSession, url: str, tls: dict[str, Any], *, limit_bytes: int
    ) -> None:
        self.paused = False
        self._receiver = receiver
        self._http, self._url, self._tls = http, url, tls
        self._message_bytes = limit_bytes
        self._packages = JsonPackages(gateway=url.partition("://")[2], name="", limit_bytes=limit_bytes + _BODY_SLACK_BYTES // 2)
        self._outgoing = FrameReader(limit_bytes=READ_LIMIT_BYTES)
        self._events = EventReader(limit_bytes=READ_LIMIT_BYTES)
        self._path = ""
        self._secret: dict[str, str] = {}
        self._batches: list[list[bytes]] = []
        self._waiting_bytes = 0
        self._is_closing = self._ended = False
        self._news = asyncio.Event()
        self._closed = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._hello: asyncio.Future[Hello] = self._loop.create_future()
        self._writing = self._loop.create_task(self._write(), name="majula http write")
        self._reading: asyncio.Task[None] | None = None
        self._closing: asyncio.Task[None] | None = None

    def write(self, data: bytes) -> None:
        if self._ended:
            return
        chunk, spans = self._outgoing.feed(data)
        if not self._hello.done():
            start, body, _ = spans[0]
            header = decode_header(chunk[start + 6 : body])
            assert isinstance(header, Hello), "a session begins with HELLO"
            self._hello.set_result(header)
            spans = spans[1:]
        self._batches += self._packages.batches(chunk, spans)
        if self._packages.refused:
            refused, self._packages.refused = self._packages.refused, []
            self._loop.call_soon(self._receiver.frames_received, *chunk_of(refused))
        self._waiting_bytes += len(data)
        self.paused = self._waiting_bytes > WRITE_HIGH_BYTES
        self._news.set()

    def close(self) -> None:
        self._ended = self._is_closing = True
        self._news.set()
        if self._closing is None:
            self._closing = self._loop.create_task(self._finish(), name="majula http close")

    def abort(self) -> None:
        self._writing.cancel()
        self.close()

    async def wait_closed(self) -> None:
        await self._closed.wait()

    # --- writing

    async def _write(self) -> None:
        try:
            await self._open(await self._hello)
            while self._batches or not self._is_closing:
                batches, self._batches = self._batches, []
                self._waiting_bytes = 0
                for batch in batches:
                    await self._post(batch)
                if self._batches:
                    continue
                if self.paused:
                    self.paused = False
                    self._receiver.writable()
                    continue
                self._news.clear()
                if not self._is_closing:
                    await self._news.wait()
        except (OSError, aiohttp.ClientError, MajulaError) as error:
            self._lost(str(error) or type(error).__name__)
        except Exception as error:
            # Our fault. The native transport ends the same way: the event loop closes a connection whose protocol raised.
            _log.exception("http.failed")
            self._lost(f"the client failed: {error!r}")

    async def _open(self, hello: Hello) -> None:
        """HELLO and WELCOME, as a request and its answer."""
        secret = {SECRET_HEADER: hello.secret} if hello.secret else {}
        body = msgspec.json.encode({"client": hello.client_id, "idle_s": IDLE_S, "flows": True})
        try:
            answer = await self._ask("POST", f"{BASE}/sessions", body, secret)
            opened = msgspec.json.decode(answer, type=SessionOpenAnswer)
        except MajulaError as error:
            self._take([encode_frame(Error(0, error.code, error.message, error.detail, "HELLO"))])
            return
        self._path = f"{BASE}/sessions/{opened.session}"
        self._secret = {SECRET_HEADER: opened.secret}
        limits = {"message_bytes": self._message_bytes}
        gateway = self._url.partition("://")[2]
        self._reading = self._loop.create_task(self._read(), name="majula http read")
        self._take([encode_frame(Welcome(PROTOCOL_VERSION, opened.node, opened.client, opened.secret, gateway, limits))])

    async def _post(self, batch: list[bytes]) -> None:
        body = b'{"packages":[%b]}' % b",".join(batch)
        for attempt in range(1, POST_ATTEMPTS + 1):
            try:
                await self._ask("POST", f"{self._path}/packages", body, self._secret)
                return
            except MajulaError as error:
                # What the gateway had no room or time for was not taken, and may be given to it again.
                after_s = error.detail.get("retry_after_s", 0.0)
                is_limited = isinstance(error, NotNow) or error.code == "limit_reached"
                if attempt == POST_ATTEMPTS or not is_limited or not isinstance(after_s, int | float):
                    raise
                await asyncio.sleep(min(max(after_s, _PAUSE_S), _LONGEST_PAUSE_S))

    async def _ask(self, method: str, path: str, body: bytes | None, headers: dict[str, str]) -> bytes:
        """The body of a good answer.

        Raises:
            MajulaError: the gateway's refusal.
            OSError, aiohttp.ClientError: no answer.
        """
        if body is not None:
            headers = headers | {"Content-Type": "application/json"}
        timeout = aiohttp.ClientTimeout(total=ANSWER_S)
        async with self._http.request(
            method, self._url + path, data=body, headers=headers, timeout=timeout, allow_redirects=False, **self._tls
        ) as response:
            found = await response.read()
            if response.status < 300:
                return found
        raise refusal_of(response.status, found, response.headers.get("Retry-After", ""))

    # --- reading

    async def _read(self) -> None:
        reason = "the gateway closed it"
        attempts = 0
        try:
            while not self._ended and attempts < STREAM_ATTEMPTS:
                if attempts:
                    await asyncio.sleep(_PAUSE_S * 2**attempts)
                attempts += 1
                try:
                    if await self._stream():
                        attempts = 1  # it was one, so the next break is a first one
                except (OSError, aiohttp.ClientError) as error:
                    reason = str(error) or type(error).__name__
                self._events.forget()
        except MajulaError as error:
            reason = str(error)
        except Exception as error:
            _log.exception("http.failed")
            reason = f"the client failed: {error!r}"
        self._lost(reason)

    async def _stream(self) -> bool:
        """Read one stream to its end; whether anything came."""
        headers = {**self._secret, "Accept": "text/event-stream"}
        if self._events.last_id:
            headers["Last-Event-ID"] = self._events.last_id
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=ANSWER_S, sock_read=QUIET_S)
        came = False
        async with self._http.get(
            f"{self._url}{self._path}/events", headers=headers, timeout=timeout, allow_redirects=False, **self._tls
        ) as response:
            if response.status != 200:
                raise refusal_of(response.status, await response.read(), "")
            async for chunk in response.content.iter_any():
                came = True
                texts = self._events.feed(chunk)
                if self._ended:
                    break
                self._receiver.frames_received(*self._packages.receive_all(texts))  # a comment too says that the gateway lives
        return came

    def _take(self, frames: list[bytes]) -> None:
        if not self._ended:
            self._receiver.frames_received(*chunk_of(frames))

    # --- the end

    def _lost(self, reason: str) -> None:
        if not self._ended:
            self.close()
            self._receiver.connection_lost(self, reason)

    async def _finish(self) -> None:
        """Let what waits be posted, QUIT last, then close; bounded."""
        try:
            await asyncio.wait({self._writing}, timeout=1.0)
            ending = {task for task in (self._writing, self._reading) if task is not None}
            for task in ending:
                task.cancel()
            await asyncio.wait(ending, timeout=1.0)
        finally:
            await self._http.close()
            self._closed.set()


def refusal_of(status: int, body: bytes, retry_after: str) -> MajulaError:
    """What an answer that is none says."""
    try:
        said = msgspec.json.decode(body, type=_Refusal)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return ConnectionLost(f"the gateway answered {status}")
    if retry_after.isdecimal():
        said.detail.setdefault("retry_after_s", float(retry_after))
    error = from_code(said.code, said.error or f"the gateway answered {status}", said.detail)
    if isinstance(error, NotNow) and error.retry_after_s:
        error.detail.setdefault("retry_after_s", error.retry_after_s)
    return error


async def open_http(address: Address, receiver: Receiver, trust: Trust, *, token: str) -> HttpConnection:
    """Reach a gateway by HTTP and see that it is one.

    Raises:
        OSError, ConnectionLost: it cannot be reached, or does not answer as a gateway does.
        Unauthorized: the token is not accepted, or who answers is not whom `trust` names.
    """
    tls: dict[str, Any] = {"ssl": await tls_of(address, trust), "server_hostname": name_of(address, trust)}
    http = aiohttp.ClientSession(headers={"Authorization": f"Bearer {token}"} if token else None)
    url = address.url.rstrip("/")
    try:
        timeout = aiohttp.ClientTimeout(total=ANSWER_S)
        async with http.get(f"{url}{BASE}/info", timeout=timeout, allow_redirects=False, **tls) as response:
            body = await response.read()
        if response.status == 200:
            limits = msgspec.json.decode(body, type=InfoAnswer).limits
        else:
            refusal = refusal_of(response.status, body, "")
            if isinstance(refusal, Unauthorized):
                raise refusal
            if refusal.code not in {"permission_denied", "limit_reached", "unavailable"}:
                raise ConnectionLost(f"{url} answered {response.status} as no gateway does: {refusal}")
            limits = {}  # it does not want to tell; the usual ones then
    except aiohttp.ServerFingerprintMismatch as error:
        await http.close()
        raise distrusted(error) from None
    except aiohttp.ClientConnectorCertificateError as error:
        await http.close()
        raise error.certificate_error from None
    except aiohttp.ClientConnectorError as error:
        await http.close()
        raise ConnectionLost(str(error)) from None
    except (aiohttp.ClientError, msgspec.DecodeError, UnicodeDecodeError) as error:
        await http.close()
        raise ConnectionLost(f"what answers at {url} is no gateway: {error}") from None
    except BaseException:
        await http.close()
        raise
    return HttpConnection(receiver, http, url, tls, limit_bytes=int(limits.get("message_bytes", _DEFAULT_MESSAGE_BYTES)))
