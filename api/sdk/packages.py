"""Frames as JSON packages and back, for a client that speaks `majula.v1.json`. Pure.

Inside the client there are only frames; this is the mirror of what the gateway does at its edge. Request numbers stand in `id`,
call numbers in `invokeid`. Bytes have no form in JSON: they travel as `{"base64": "..."}` and come back as bytes.
"""

from __future__ import annotations

import base64
from typing import Any

import msgspec

from majula.api.sdk.shape import unwrapped
from majula.errors import MajulaError, NotBuilt, ProtocolError, TooLarge
from majula.wire import headers
from majula.wire.frames import Span, decode_header, encode_frame, encode_run, split_run
from majula.wire.headers import JSON, RAW, RETAIN, RETAINED, Encoding, Fault, Header
from majula.wire.values import to_json

_EMPTY = msgspec.Raw(b"")
_HELLO = "hello"
_PING = "ping:"
_MAX_BATCH = 1_024
BATCH_BYTES = 1 << 20


class _Welcomed(msgspec.Struct):
    """`result` of the answer to REGISTER_CLIENT."""

    client_id: str = ""
    secret: str = ""
    node_id: str = ""


class _Failure(msgspec.Struct):
    """`error` of an RPC_RESULT with `ok: false`."""

    code: str = "remote_error"
    message: str = ""
    type: str = ""
    retry_after_s: float = 0.0


class _Package(msgspec.Struct):
    """A package from the gateway; what is moved on stays text."""

    method: str
    topic: str = ""
    fun: str = ""
    args: msgspec.Raw = _EMPTY
    invokeid: int = 0
    result: msgspec.Raw = _EMPTY
    id: int | str = 0
    ok: bool = True
    error: msgspec.Raw = _EMPTY
    code: str = ""
    detail: dict[str, Any] = {}
    refused: str = ""
    guarantee: str = ""
    queue: str = ""
    retained: bool = False
    headers: dict[str, str] | None = None
    dropped_messages: int = 0
    dropped_bytes: int = 0
    after_ms: int = 0
    reason: str = ""
    flow: int = 0
    sequence: int = 0
    oldest: int = 0
    ttl_ms: int = 0
    via: str = ""
    packages: list[msgspec.Raw] | None = None


class _Private(msgspec.Struct):
    """args of PRIVATE_MESSAGE. Without `message` it says no more than what `oldest` is."""

    source_client: str = ""
    source_node: str = ""
    message: msgspec.Raw = _EMPTY


class _Receipt(msgspec.Struct):
    """args of RECEIPT."""

    up_to: int = 0
    received: tuple[int, ...] = ()
    state: str = "delivered"
    code: str = ""
    source_client: str = ""
    source_node: str = ""


_encode = msgspec.json.Encoder().encode
_decode_package = msgspec.json.Decoder(_Package).decode


class JsonPackages:
    """The translation for one connection.

    Args:
        gateway: how WELCOME names the gateway, which JSON does not tell.
        name: the client id where HELLO leaves the choice to the gateway, which JSON cannot.
        limit_bytes: of one package; a larger one is refused here. 0: the gateway says what it does not take.

    Attributes:
        refused: frames that answer what JSON has no word for; whoever renders hands them to the client.
    """

    def __init__(self, *, gateway: str, name: str, limit_bytes: int = 0) -> None:
        self.refused: list[bytes] = []
        self._gateway = gateway
        self._name = name
        self._limit_bytes = limit_bytes
        self._serving: dict[int, str] = {}  # calls that this client is to answer: their function, as RETURN_RESULT names it

    # --- to the gateway

    def render(self, chunk: bytes, spans: list[Span]) -> list[bytes]:
        """The texts to send for these frames: as few as limits allow."""
        return [_join(packages) for packages in self.batches(chunk, spans)]

    def batches(self, chunk: bytes, spans: list[Span]) -> list[list[bytes]]:
        """The packages to send for these frames, as many at one time as limits allow."""
        found: list[list[bytes]] = []
        packages: list[bytes] = []
        size = 0
        for start, body, end in spans:
            header = decode_header(chunk[start + 6 : body])
            try:
                rendered = self._render(header, chunk[body:end])
                self._check_sizes(rendered)
            except MajulaError as error:
                self.refused.append(_refusal(header, error))
                continue
            # HEARTBEAT is answered before the rest of its text is served; alone, its answer means that all before it was.
            alone = isinstance(header, headers.Ping | headers.Hello)
            for package in rendered:
                if packages and (alone or len(packages) >= _MAX_BATCH or size + len(package) > BATCH_BYTES):
                    found.append(packages)
                    packages, size = [], 0
                packages.append(package)
                size += len(package)
            if alone and packages:
                found.append(packages)
                packages, size = [], 0
        if packages:
            found.append(packages)
        return found

    def _check_sizes(self, packages: list[bytes]) -> None:
        longest = max(map(len, packages), default=0)
        if self._limit_bytes and longest > self._limit_bytes:
            raise TooLarge(
                f"as JSON this has {longest} bytes, more than the {self._limit_bytes} of a package", limit_bytes=self._limit_bytes
            )

    def _render(self, header: Header, body: bytes) -> list[bytes]:
        match header:
            case headers.Publish():
                return _publications(header, body)
            case headers.Call():
                return [_call(header, body)]
            case headers.Result():
                function = self._serving.pop(header.call, "")
                fields: dict[str, Any] = {"method": "RETURN_RESULT", "fun": function, "invokeid": header.call}
                if header.fault is None:
                    fields["result"] = to_json(header.encoding, body)
                else:
                    fault = header.fault
                    fields |= {"ok": False, "error": {"code": fault.code, "message": fault.message, "type": fault.type}}
                return [_encode(fields)]
            case headers.Subscribe():
                return [
                    _encode(
                        {
                            "method": "SUBSCRIBE",
                            "id": header.request,
                            "topic": header.topic,
                            "pattern": header.pattern,
                            "queue": header.queue,
                            "retained": header.retained,
                            "sync": header.sync,
                        }
                    )
                ]
            case headers.Unsubscribe():
                fields = {"method": "UNSUBSCRIBE", "topic": header.topic, "pattern": header.pattern, "queue": header.queue}
                return [_encode(_with_id(fields, header.request))]
            case headers.Register():
                described = {"parameters": header.parameters, "results": header.results, "note": header.note}
                fields = {"method": "REGISTER_RPC", "id": header.request, "fun": header.function, "args": described}
                return [_encode(fields | {"idempotent": header.idempotent, "sync": header.sync})]
            case headers.Unregister():
                return [_encode(_with_id({"method": "UNREGISTER_RPC", "fun": header.function}, header.request))]
            case headers.Cancel():
                return [_encode({"method": "CANCEL", "invokeid": header.call})]
            case headers.Send():
                return _sends(header, body)
            case headers.Receipt():
                return [_receipt(header)]
            case headers.Request():
                asked = {"method": "REQUEST", "id": header.request, "operation": header.operation}
                return [_encode(asked | {"args": to_json(header.encoding, body)})]
            case headers.Hello():
                named = {"client_id": header.client_id or self._name, "secret": header.secret, "flows": True}
                return [_encode({"method": "REGISTER_CLIENT", "id": _HELLO, "args": named})]
            case headers.Ping():
                return [_encode({"method": "HEARTBEAT", "id": f"{_PING}{header.number}"})]
            case headers.Bye():
                return [b'{"method":"QUIT"}']
            case headers.Pong():
                return []
            case _:
                raise NotBuilt(f"{type(header).__name__.upper()} has no JSON package; use msgpack or the native port")

    # --- from the gateway

    def receive(self, text: bytes) -> tuple[bytes, list[Span]]:
        """The frames that a text means.

        Raises:
            ProtocolError: it is no package.
        """
        return self.receive_all([text])

    def receive_all(self, texts: list[bytes]) -> tuple[bytes, list[Span]]:
        """The same for several texts that came together."""
        packages: list[_Package] = []
        try:
            for text in texts:
                package = _decode_package(text)
                packages += [package] if package.packages is None else [_decode_package(raw) for raw in package.packages]
            return chunk_of(self._frames(packages))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise ProtocolError(f"a package cannot be read: {error}") from None

    def _frames(self, packages: list[_Package]) -> list[bytes]:
        frames: list[bytes] = []
        run: list[bytes] = []
        key: tuple[str, bool, str, Encoding] | None = None
        for one in packages:
            if one.method == "SUB_RESULT" and one.headers is None:
                encoding, payload = _payload(one.args)
                own = (one.topic, one.retained, one.queue, encoding)
                if own != key:
                    if key is not None:
                        frames.append(_delivery(key, run))
                    key, run = own, []
                run.append(payload)
                continue
            if key is not None:
                frames.append(_delivery(key, run))
                key = None
            frame = self._receive(one)
            if frame:
                frames.append(frame)
        if key is not None:
            frames.append(_delivery(key, run))
        return frames

    def _receive(self, package: _Package) -> bytes:
        match package.method:
            case "SUB_RESULT":
                encoding, payload = _payload(package.args)
                flags = RETAINED if package.retained else 0
                header = headers.Publish(package.topic, encoding, flags, 0, package.queue, package.headers)
                return encode_frame(header, encode_run([payload]))
            case "RPC_RESULT":
                return self._answer(package)
            case "RPC_CALL_FROM_REMOTE":
                self._serving[package.invokeid] = package.fun
                encoding, payload = _payload(package.args)
                return encode_frame(headers.Call(package.invokeid, package.fun, encoding), payload)
            case "PRIVATE_MESSAGE":
                return _arrival(package)
            case "RECEIPT":
                return _acknowledgement(package)
            case "CANCEL":
                self._serving.pop(package.invokeid, None)
                return encode_frame(headers.Cancel(package.invokeid))
            case "ACK":
                return self._acknowledged(package)
            case "REPLY":
                request = package.id if isinstance(package.id, int) else 0
                return encode_frame(headers.Reply(request, JSON), bytes(package.result) or b"null")
            case "ERROR":
                message = msgspec.json.decode(package.error) if package.error else ""
                request = package.id if isinstance(package.id, int) else 0
                method = "" if request else package.refused
                return encode_frame(headers.Error(request, package.code, str(message), package.detail, method))
            case "SLOW":
                return encode_frame(headers.Slow(package.dropped_messages, package.dropped_bytes))
            case "RECONNECT":
                return encode_frame(headers.Reconnect(package.after_ms, package.reason))
            case _:
                return b""  # a method of a newer gateway

    def _answer(self, package: _Package) -> bytes:
        if package.ok:
            encoding, payload = _payload(package.result)
            return encode_frame(headers.Result(package.invokeid, encoding), payload)
        failure = msgspec.json.decode(package.error, type=_Failure) if package.error else _Failure()
        fault = Fault(failure.code, failure.message, failure.type, failure.retry_after_s)
        return encode_frame(headers.Result(package.invokeid, JSON, fault))

    def _acknowledged(self, package: _Package) -> bytes:
        if isinstance(package.id, int):
            return encode_frame(headers.Ack(package.id, package.guarantee))
        if package.id == _HELLO:
            named = msgspec.json.decode(package.result, type=_Welcomed) if package.result else _Welcomed()
            welcome = headers.Welcome(headers.PROTOCOL_VERSION, named.node_id, named.client_id, named.secret, self._gateway)
            return encode_frame(welcome)
        number = package.id.removeprefix(_PING)
        is_ours = number.isascii() and number.isdigit() and len(number) < 20
        return encode_frame(headers.Pong(int(number))) if is_ours else b""


def chunk_of(frames: list[bytes]) -> tuple[bytes, list[Span]]:
    """Frames as a connection hands them on."""
    spans: list[Span] = []
    at = 0
    for frame in frames:
        end = at + len(frame)
        spans.append((at, at + 6 + int.from_bytes(frame[4:6], "little"), end))
        at = end
    return b"".join(frames), spans


def _refusal(header: Header, error: MajulaError) -> bytes:
    if isinstance(header, headers.Call):
        return encode_frame(headers.Result(header.call, JSON, Fault(error.code, error.message)))
    request = getattr(header, "request", 0)
    method = "" if request else type(header).__name__.upper()
    return encode_frame(headers.Error(request, error.code, error.message, error.detail, method))


def _join(packages: list[bytes]) -> bytes:
    return packages[0] if len(packages) == 1 else b'{"method":"BATCH","packages":[%b]}' % b",".join(packages)


def _with_id(fields: dict[str, Any], request: int) -> dict[str, Any]:
    return fields | {"id": request} if request else fields


def _publications(header: headers.Publish, body: bytes) -> list[bytes]:
    more = b""
    if header.flags & RETAIN:
        more += b',"retain":true'
    if header.request:
        more += b',"ack":true,"id":%d' % header.request
    if header.headers:
        more += b',"headers":' + _encode(header.headers)
    start = b'{"method":"PUBLISH","topic":%b%b,"args":' % (_encode(header.topic), more)
    encoding = header.encoding
    if encoding == RAW:
        b64 = base64.b64encode
        return [b'%b{"base64":"%b"}}' % (start, b64(message)) for message in split_run(body)]
    return [b"%b%b}" % (start, bytes(to_json(encoding, message))) for message in split_run(body)]


def _sends(header: headers.Send, body: bytes) -> list[bytes]:
    """SEND for each message of a run; for an empty one, SEND without `content`."""
    args = b'"args":{"target_client":%b,"target_node":%b' % (_encode(header.target), _encode(header.node))
    more = b',"flow":%d,"oldest":%d,"ttl_ms":%d' % (header.flow, header.oldest, header.ttl_ms)
    if header.headers:
        more += b',"headers":' + _encode(header.headers)
    messages = split_run(body)
    if not messages:
        return [b'{"method":"SEND"%b,"sequence":%d,%b}}' % (more, header.sequence, args)]
    return [
        b'{"method":"SEND"%b,"sequence":%d,%b,"content":%b}}' % (more, sequence, args, bytes(to_json(header.encoding, message)))
        for sequence, message in enumerate(messages, header.sequence)
    ]


def _receipt(header: headers.Receipt) -> bytes:
    args: dict[str, Any] = {"target_client": header.target, "target_node": header.node, "up_to": header.up_to}
    if header.received:
        args["received"] = header.received
    if header.via:
        args["via"] = header.via
    return _encode({"method": "RECEIPT", "flow": header.flow, "args": args})


def _arrival(package: _Package) -> bytes:
    args = msgspec.json.decode(package.args, type=_Private) if package.args else _Private()
    encoding, payload = _payload(args.message)
    header = headers.Send(
        "",
        "",
        package.flow,
        package.sequence,
        package.oldest,
        package.ttl_ms,
        encoding,
        args.source_client,
        args.source_node,
        package.via,
        package.headers,
    )
    return encode_frame(header, encode_run([payload]) if args.message else b"")


def _acknowledgement(package: _Package) -> bytes:
    args = msgspec.json.decode(package.args, type=_Receipt) if package.args else _Receipt()
    header = headers.Receipt(
        "", "", package.flow, args.up_to, args.received, args.state, args.code, args.source_client, args.source_node
    )
    return encode_frame(header)


def _call(header: headers.Call, body: bytes) -> bytes:
    package: dict[str, Any] = {
        "method": "RPC",
        "fun": header.function,
        "invokeid": header.call,
        "timeout_ms": header.timeout_ms,
        "args": to_json(header.encoding, body),
    }
    if header.node:
        package["node"] = header.node
    if header.provider:
        package["provider"] = header.provider
    if header.idempotent:
        package["idempotent"] = True
    if header.headers:
        package["headers"] = header.headers
    return _encode(package)


def _payload(text: msgspec.Raw) -> tuple[Encoding, bytes]:
    """A payload that came, bytes taken out of their base64."""
    return unwrapped(JSON, bytes(text) or b"null")


def _delivery(key: tuple[str, bool, str, Encoding], run: list[bytes]) -> bytes:
    topic, retained, queue, encoding = key
    return encode_frame(headers.Publish(topic, encoding, RETAINED if retained else 0, 0, queue), encode_run(run))
