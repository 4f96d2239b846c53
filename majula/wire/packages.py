"""JSON packages, the words of the WebSocket API, to frames and back. One `Packages` a client.

    {"method": "PUBLISH", "topic": "a.b", "args": {...}}   <->   PUBLISH(topic="a.b", encoding=JSON) | run of one message

Inside the gateway there are only frames; a client that speaks JSON is translated here, at its edge. Payloads are not decoded:
`args` and `result` are moved as the text that came. Consecutive publications to one topic become one run, and a run that is
delivered becomes as many packages. What JSON clients name by their own numbers (`invokeid`, `id`) is kept here beside the numbers
that stand in the frames, so equal invokeids of two open calls, or none at all, do no harm.

The inner circle (`batches=False`) is what programs written for the seed system speak: one package a text, `args` always an
object, `_target_node` and `_provider` inside the arguments of a call. With `batches=True` (subprotocol `majula.v1.json`) payloads
are any JSON, and what is ready at one moment comes as one BATCH.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from majula.errors import Conflict, InvalidRequest, LimitReached, MajulaError, NotBuilt, TooLarge
from majula.wire import headers, jsontext, private
from majula.wire.frames import encode_frame, encode_run, split_run
from majula.wire.headers import JSON, RETAIN, RETAINED, AnyHeader, Encoding, Fault
from majula.wire.package import (
    ABSENT,
    NOT_BUILT,
    Failure,
    Package,
    check_id,
    decode_failure,
    decode_named,
    decode_object,
    decode_package,
    decode_registration,
    decode_text,
    error_package,
    is_object,
    result_package,
    returned_id,
    to_json_text,
    unreadable,
)

_encode = msgspec.json.Encoder().encode
_MAX_OPEN_REQUESTS = 4096
_MAX_KNOWN_HEADERS = 1024
_RUN_BYTES = 65_536  # a run is closed here: all of a batch in one run could be over the limit that each of its messages keeps
_MAX_BATCH = 4096  # a batch is served in one turn of the loop: so many take 50 ms at worst, in which others wait
_INT64 = range(-(1 << 63), 1 << 64)


class _Open(msgspec.Struct):
    """What this client asked and has no answer to yet."""

    method: str
    id: bytes
    function: str = ""
    invokeid: int | None = None


class Taken(msgspec.Struct):
    """What came of a text: frames for the gateway, packages to answer with at once, and whether the client said QUIT."""

    frames: list[bytes]
    answers: list[bytes]
    quit: bool = False


class Packages:
    """The translation for one client.

    Args:
        batches: the client negotiated `majula.v1.json`.
        client_id: the name of its session; REGISTER_CLIENT with another one is refused.
        secret, node_id: told to a client that asks by REGISTER_CLIENT with an `id`.
        nesting: depth of JSON that is accepted.
        speaks_flows: the client runs the flows of its private messages itself.
    """

    def __init__(
        self,
        *,
        batches: bool,
        client_id: str,
        secret: str = "",
        node_id: str = "",
        nesting: int = 64,
        speaks_flows: bool = False,
    ) -> None:
        self._batches = batches
        self._speaks_flows = speaks_flows
        self._client_id = client_id
        self._secret = secret
        self._node_id = node_id
        self._nesting = nesting
        self._number = 0
        self._open: dict[int, _Open] = {}  # requests and calls of this client, by the number in their frame
        self._incoming: dict[int, str] = {}  # calls that this client is to answer: number -> function
        self._publish_heads: dict[tuple[str, bool], headers.Publish] = {}
        self._methods: dict[str, Callable[[Package, Taken], None]] = {
            "PUBLISH": self._publish,
            "RPC": self._call,
            "RETURN_RESULT": self._result,
            "SUBSCRIBE": self._subscribe,
            "UNSUBSCRIBE": self._unsubscribe,
            "REGISTER_RPC": self._register,
            "UNREGISTER_RPC": self._unregister,
            "CANCEL": self._cancel,
            "SEND": self._send,
            "BROADCAST": self._broadcast,
            "RECEIPT": self._receipt,
            "REQUEST": self._request,
            "REGISTER_CLIENT": self._register_client,
            "HEARTBEAT": self._heartbeat,
            "QUIT": self._quit,
        }

    # --- from the client -------------------------------------------------------------------------------------------------

    def receive(self, text: bytes) -> Taken:
        """The frames that a text means. Whatever is wrong in it becomes an answer; nothing raises."""
        taken = Taken([], [])
        package = self._read(text, taken)
        if package is None:
            return taken
        if package.method == "BATCH":
            self._receive_batch(text, package, taken)
        else:
            self._take(package, taken)
        return taken

    def _read(self, text: bytes | msgspec.Raw, taken: Taken) -> Package | None:
        raw = bytes(text)
        try:
            package = decode_package(raw)
            # Only the texts of single packages are looked at as a whole; a batch repeats its keys in each package.
            if package.method != "BATCH":
                jsontext.check(raw, nesting=self._nesting)
            return package
        except (InvalidRequest, msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            taken.answers.append(unreadable(raw, error))
            return None

    def _receive_batch(self, text: bytes, package: Package, taken: Taken) -> None:
        inner = package.packages
        if inner is None or len(inner) > _MAX_BATCH:
            error = InvalidRequest(f"a BATCH has `packages`, a list of at most {_MAX_BATCH}")
            taken.answers.append(error_package(error, method="BATCH", id=returned_id(bytes(package.id))))
            return
        # The packages are checked one by one below. What stands around them is small: a key of it that stands twice would
        # show in these counts, and a text that fails them for another reason is only checked more thoroughly.
        if text.count(b'"packages"') != 1 or text.count(b'"method"') != len(inner) + 1 or b"\\" in text:
            try:
                jsontext.check(text, nesting=self._nesting)
            except InvalidRequest as error:
                taken.answers.append(unreadable(text, error))
                return
        topic, head, size = "", None, 0
        run: list[bytes] = []
        for raw in inner:
            one = self._read(raw, taken)
            if one is None:
                continue
            if one.method == "PUBLISH" and not (one.ack or one.headers or one.id or one.retain or one.queue):
                message = bytes(one.args) or b"{}"
                if one.topic != topic or head is None or size + len(message) > _RUN_BYTES:
                    if head is not None:
                        self._flush_run(head, run, taken)
                    run, size = [], 0
                    topic, head = one.topic, self._publish_head(one.topic, retain=False)
                run.append(message)
                size += len(message)
                continue
            if head is not None:
                self._flush_run(head, run, taken)
                topic, head, run = "", None, []
            if one.method == "BATCH":
                taken.answers.append(
                    error_package(InvalidRequest("a BATCH holds no BATCH"), method="BATCH", id=returned_id(bytes(one.id)))
                )
                continue
            self._take(one, taken)
        if head is not None:
            self._flush_run(head, run, taken)

    def _flush_run(self, head: headers.Publish, run: list[bytes], taken: Taken) -> None:
        try:
            taken.frames.append(encode_frame(head, encode_run(run)))
        except TooLarge as error:
            taken.answers.append(error_package(error, method="PUBLISH"))

    def _take(self, package: Package, taken: Taken) -> None:
        take = self._methods.get(package.method)
        number = self._number
        id = b""
        try:
            if package.id is not ABSENT:
                check_id(bytes(package.id))
                id = bytes(package.id)
            if take is not None:
                take(package, taken)
            elif package.method in NOT_BUILT:
                raise NotBuilt(f"{package.method} is not built yet in this version")
            else:
                raise InvalidRequest(f"there is no method {package.method[:64]!r}")
        except MajulaError as error:
            self._forget_after(number)
            taken.answers.append(error_package(error, method=package.method, id=id))
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            self._forget_after(number)
            invalid = InvalidRequest(f"args of {package.method}: {error}")
            taken.answers.append(error_package(invalid, method=package.method, id=id))

    def _ask(self, package: Package) -> int:
        """A number for a request or call, under which its answer finds back."""
        if len(self._open) >= _MAX_OPEN_REQUESTS:
            raise LimitReached(f"at most {_MAX_OPEN_REQUESTS} requests may be open at once", limit="pending_calls")
        self._number += 1
        id = b"" if package.id is ABSENT else bytes(package.id)
        self._open[self._number] = _Open(package.method, id, package.fun, package.invokeid)
        return self._number

    def _forget_after(self, number: int) -> None:
        """What was begun under a later number than this was refused before it became a frame: no answer will come."""
        if self._number != number:
            self._open.pop(self._number, None)

    def _publish_head(self, topic: str, *, retain: bool) -> headers.Publish:
        key = (topic, retain)
        head = self._publish_heads.get(key)
        if head is None:
            if len(self._publish_heads) >= _MAX_KNOWN_HEADERS:
                self._publish_heads.clear()
            head = self._publish_heads[key] = headers.Publish(topic, JSON, RETAIN if retain else 0)
        return head

    def _publish(self, package: Package, taken: Taken) -> None:
        args = bytes(package.args) or b"{}"
        if package.ack or package.id or package.headers:
            number = self._ask(package) if package.ack or package.id else 0
            head = headers.Publish(package.topic, JSON, RETAIN if package.retain else 0, number, "", package.headers)
        else:
            head = self._publish_head(package.topic, retain=package.retain)
        taken.frames.append(encode_frame(head, encode_run([args])))

    def _subscribe(self, package: Package, taken: Taken) -> None:
        head = headers.Subscribe(
            self._ask(package), package.topic, package.pattern, package.queue, package.retained, package.sync
        )
        taken.frames.append(encode_frame(head))

    def _unsubscribe(self, package: Package, taken: Taken) -> None:
        taken.frames.append(encode_frame(headers.Unsubscribe(self._ask(package), package.topic, package.pattern, package.queue)))

    def _register(self, package: Package, taken: Taken) -> None:
        args = decode_registration(bytes(package.args) or b"{}")
        head = headers.Register(
            self._ask(package),
            package.fun,
            tuple(args.parameters or ()),
            tuple(args.results or ()),
            args.note,
            package.idempotent,
            package.sync,
        )
        taken.frames.append(encode_frame(head))

    def _unregister(self, package: Package, taken: Taken) -> None:
        taken.frames.append(encode_frame(headers.Unregister(self._ask(package), package.fun)))

    def _call(self, package: Package, taken: Taken) -> None:
        if package.invokeid is not None and package.invokeid not in _INT64:
            raise InvalidRequest("invokeid is a whole number of 64 bits")
        # A call is answered by RPC_RESULT, its refusal too: that is what a program of the inner circle waits for.
        before = self._number
        try:
            if self._batches and (package.provider or package.node):
                node, provider, arguments = package.node, package.provider, bytes(package.args)
            else:
                node, provider, arguments = self._split_arguments(bytes(package.args))
            if package.timeout_ms <= 0:
                raise InvalidRequest("timeout_ms is more than 0")
            head = headers.Call(
                self._ask(package),
                package.fun,
                JSON,
                package.timeout_ms,
                provider,
                node,
                package.idempotent,
                "",
                package.headers,
            )
            frame = encode_frame(head, arguments)
        except (MajulaError, msgspec.DecodeError) as error:
            self._forget_after(before)
            fault = Fault(error.code if isinstance(error, MajulaError) else InvalidRequest.code, str(error))
            taken.answers.append(result_package(package.fun, package.invokeid, fault, b""))
            return
        taken.frames.append(frame)

    def _split_arguments(self, args: bytes) -> tuple[str, str, bytes]:
        """(node, provider, arguments without them)."""
        if args and not is_object(args) and self._batches:
            return "", "", args
        fields = decode_object(args or b"{}")
        node, provider = fields.pop("_target_node", None), fields.pop("_provider", None)
        if not self._batches and (node is None or provider is None):
            missing = "_target_node" if node is None else "_provider"
            raise InvalidRequest(f"args.{missing} is missing; empty text lets the gateway choose")
        return (
            decode_text(node) if node is not None else "",
            decode_text(provider) if provider is not None else "",
            args if node is None and provider is None and args else _encode(fields),
        )

    def _request(self, package: Package, taken: Taken) -> None:
        if not package.operation:
            raise InvalidRequest("REQUEST names its `operation`")
        args = bytes(package.args) or b"{}"
        if not is_object(args):
            raise InvalidRequest("args of REQUEST is an object")
        taken.frames.append(encode_frame(headers.Request(self._ask(package), package.operation, JSON), args))

    def _result(self, package: Package, taken: Taken) -> None:
        # An answer to nothing is ignored: the caller may have gone, and the seed system's clients expect no word about it.
        if package.invokeid is None or self._incoming.pop(package.invokeid, None) is None:
            return
        fault = None
        if not package.ok:
            failure = decode_failure(bytes(package.error) or b"{}") if is_object(package.error) else Failure()
            fault = Fault("remote_error", failure.message or "the handler failed", failure.type)
        body = b"" if fault is not None else bytes(package.result) or b"null"
        taken.frames.append(encode_frame(headers.Result(package.invokeid, JSON, fault), body))

    def _send(self, package: Package, taken: Taken) -> None:
        if package.flow and self._speaks_flows:
            taken.frames.append(private.sent(package))
        else:
            taken.frames.append(private.asked_of_gateway(package, self._ask(package)))

    def _broadcast(self, package: Package, taken: Taken) -> None:
        taken.frames.append(private.asked_of_gateway(package, self._ask(package)))

    def _receipt(self, package: Package, taken: Taken) -> None:
        if not self._speaks_flows:
            raise InvalidRequest("RECEIPT is of clients that have said `flows` in REGISTER_CLIENT")
        taken.frames.append(private.receipt(package))

    def _cancel(self, package: Package, taken: Taken) -> None:
        if package.invokeid is None:
            raise InvalidRequest("CANCEL names the call by its invokeid")
        for number, asked in self._open.items():
            if asked.method == "RPC" and asked.invokeid == package.invokeid:
                del self._open[number]
                taken.frames.append(encode_frame(headers.Cancel(number)))
                return

    def _register_client(self, package: Package, taken: Taken) -> None:
        named = decode_named(bytes(package.args) or b"{}")
        if named.client_id != self._client_id:
            raise Conflict(f"this session is {self._client_id!r}; a connection has one id", client_id=self._client_id)
        if package.id:
            result = {"client_id": self._client_id, "secret": self._secret, "node_id": self._node_id}
            taken.answers.append(_encode({"method": "ACK", "id": package.id, "result": result}))

    def _heartbeat(self, package: Package, taken: Taken) -> None:
        if package.id:
            taken.answers.append(_encode({"method": "ACK", "id": package.id}))

    def _quit(self, package: Package, taken: Taken) -> None:
        self._heartbeat(package, taken)
        taken.frames.append(encode_frame(headers.Bye()))
        taken.quit = True

    # --- to the client ---------------------------------------------------------------------------------------------------

    def render(self, header: AnyHeader, body: bytes | memoryview) -> list[bytes]:
        """The packages that a frame for this client means; none where it says nothing to a JSON client."""
        match header:
            case headers.Publish():
                return self._deliveries(header, body)
            case headers.Result():
                return self._answered_call(header, bytes(body))
            case headers.Call():
                self._incoming[header.call] = header.function
                arguments = self._object(header.encoding, bytes(body))
                start = b'{"method":"RPC_CALL_FROM_REMOTE","fun":%b,"invokeid":%d' % (_encode(header.function), header.call)
                return [start + (b"}" if arguments == b"{}" else b',"args":%b}' % arguments)]
            case headers.Ack():
                return self._acknowledged(header)
            case headers.Reply():
                return self._replied(header, bytes(body))
            case headers.Send():
                return private.packages_of_send(header, bytes(body), with_flow=self._speaks_flows)
            case headers.Receipt():
                return [private.package_of_receipt(header)] if self._speaks_flows else []
            case headers.Error():
                return self._refused(header)
            case headers.Cancel():
                if self._incoming.pop(header.call, None) is None:
                    return []
                return [b'{"method":"CANCEL","invokeid":%d}' % header.call]
            case headers.Slow():
                fields = {"method": "SLOW", "dropped_messages": header.dropped_messages, "dropped_bytes": header.dropped_bytes}
                return [_encode(fields)]
            case headers.Reconnect():
                return [_encode({"method": "RECONNECT", "after_ms": header.after_ms, "reason": header.reason})]
            case _:
                return []

    def join(self, packages: list[bytes]) -> list[bytes]:
        """The texts that carry these packages: each its own, or all in one BATCH."""
        if not self._batches or len(packages) < 2:
            return packages
        return [b'{"method":"BATCH","packages":[%b]}' % b",".join(packages)]

    def _deliveries(self, header: headers.Publish, body: bytes | memoryview) -> list[bytes]:
        more = b""
        if header.flags & RETAINED:
            more += b',"retained":true'
        if header.queue:
            more += b',"queue":' + _encode(header.queue)
        if header.headers:
            more += b',"headers":' + _encode(header.headers)
        start = b'{"method":"SUB_RESULT","topic":%b%b' % (_encode(header.topic), more)
        with_args = start + b',"args":'
        packages: list[bytes] = []
        for message in split_run(body):
            text = self._object(header.encoding, message)
            packages.append(start + b"}" if text == b"{}" else with_args + text + b"}")
        return packages

    def _object(self, encoding: Encoding, payload: bytes) -> bytes:
        """The payload as JSON text; for the inner circle an object, whatever the publisher sent."""
        text = to_json_text(encoding, payload)
        if not text:
            return b"{}"
        return text if self._batches or is_object(text) else b'{"message":%b}' % text

    def _answered_call(self, header: headers.Result, body: bytes) -> list[bytes]:
        asked = self._open.pop(header.call, None)
        if asked is None:
            return []
        text = b"" if header.fault is not None else to_json_text(header.encoding, body)
        return [result_package(asked.function, asked.invokeid, header.fault, text)]

    def _acknowledged(self, header: headers.Ack) -> list[bytes]:
        asked = self._open.pop(header.request, None)
        if asked is None or not asked.id:
            return []
        fields: dict[str, Any] = {"method": "ACK", "id": msgspec.Raw(asked.id)}
        if header.guarantee:
            fields["guarantee"] = header.guarantee
        return [_encode(fields)]

    def _replied(self, header: headers.Reply, body: bytes) -> list[bytes]:
        asked = self._open.pop(header.request, None)
        if asked is None:
            return []
        text = to_json_text(header.encoding, body) or b"null"
        if asked.method != "REQUEST":  # a word whose answer is a verdict
            return [private.package_of_verdict(asked.id, text)] if asked.id else []
        id = b'"id":%b,' % asked.id if asked.id else b""
        return [b'{"method":"REPLY",%b"result":%b}' % (id, text)]

    def _refused(self, header: headers.Error) -> list[bytes]:
        asked = self._open.pop(header.request, None)
        if asked is not None and asked.method == "RPC":
            return [result_package(asked.function, asked.invokeid, Fault(header.code, header.message), b"")]
        fields: dict[str, Any] = {"method": "ERROR"}
        if asked is not None and asked.id:
            fields["id"] = msgspec.Raw(asked.id)
        method = asked.method if asked is not None else header.method
        if method:
            fields["refused"] = method
        fields |= {"error": header.message, "code": header.code, "detail": header.detail}
        return [_encode(fields)]
