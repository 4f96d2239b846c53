"""What clients and browsers send, as bytes: each reader alone, and what two ways of reading must have in common."""

from __future__ import annotations

import base64
import json
import struct
from contextlib import suppress
from random import Random
from typing import Any, get_args

import msgspec

from majula.api.sdk.packages import JsonPackages
from majula.api.sdk.sse import EventReader
from majula.api.websocket.handshake import Opening, open_websocket
from majula.errors import InvalidRequest, MajulaError, ProtocolError
from majula.operations import all_operations
from majula.wire import jsontext
from majula.wire.frames import (
    FrameReader,
    Span,
    count_run,
    cut_run,
    decode_header,
    encode_frame,
    encode_run,
    last_of_run,
    split_run,
)
from majula.wire.headers import JSON, MSGPACK, RAW, AnyHeader, Encoding, Header
from majula.wire.http_head import Head, RequestReader
from majula.wire.package import Package
from majula.wire.packages import Packages
from majula.wire.values import decode_value, to_json
from majula.wire.websocket import Closed, Event, Violation, WebSocketReader
from tests.fuzz import shapes
from tests.fuzz.engine import Decoder, parts_of

HEADERS: tuple[type[Header], ...] = get_args(AnyHeader)


PACKED_WORDS = (
    b"\xdd\xff\xff\xff\xff", b"\xdf\xff\xff\xff\xff", b"\xc6\xff\xff\xff\xff", b"\xdb\xff\xff\xff\xff", b"\xc7\x05\x01",
    b"\xd6\xff",
    b"\x91" * 70, b"\x81\xa1a" * 70, b"\xc1", b"\xc0", b"\xc3",
    b"\xcf" + b"\xff" * 8, b"\xd3\x80" + bytes(7), b"\xcb\x7f\xf8" + bytes(6),
    b"\xa4\xed\xa0\x80x",
)  # fmt: skip


# --- frames of the native port


def grow_frame(random: Random) -> bytes:
    """One frame of any type."""
    if random.random() < 0.15:
        return _grow_request(random)
    head = shapes.packed(shapes.struct(random.choice(HEADERS), random))[:65_535]
    match random.randrange(5):
        case 0:
            body = b""
        case 1:
            body = random.randbytes(random.randrange(64))
        case 2:
            body = shapes.packed(shapes.value(dict[str, Any], random))
        case _:
            body = encode_run([random.randbytes(random.choice((0, 1, 8, 8, 8))) for _ in range(random.choice((1, 2, 9, 20)))])
    return struct.pack("<IH", 2 + len(head) + len(body), len(head)) + head + body


def _grow_request(random: Random) -> bytes:
    operation = random.choice(all_operations())
    encoding = random.choice((MSGPACK, JSON))
    head = shapes.packed([11, random.choice((0, 1, 7)), operation.name, encoding])
    body = (shapes.packed if encoding == MSGPACK else shapes.as_json)(shapes.struct(operation.request, random))
    return struct.pack("<IH", 2 + len(head) + len(body), len(head)) + head + body


def grow_frames(random: Random) -> bytes:
    """Some frames."""
    return b"".join(grow_frame(random) for _ in range(random.choice((1, 1, 2, 5, 12))))


def feed_frames(data: bytes) -> None:
    """A stream gives the same frames however it is cut; a header that is read can be written and read again."""
    whole, is_taken = _frames([data])
    parts, is_taken_in_parts = _frames(parts_of(data))
    assert is_taken == is_taken_in_parts, "cut into parts, this stream is refused or taken, as a whole it is not"
    assert not is_taken or whole == parts, "cut into parts, this stream is another one"
    for frame, span in whole:
        try:
            header = decode_header(frame[span[0] : span[1]])
        except ProtocolError:
            continue
        try:
            again = encode_frame(header)
        except MajulaError:
            continue
        assert _same(decode_header(again[6:]), header)
    _feed_run(data[1:])


def _frames(parts: list[bytes]) -> tuple[list[tuple[bytes, tuple[int, int]]], bool]:
    """Each frame and where its header lies in it; False: the stream was refused."""
    reader = FrameReader(limit_bytes=1 << 20)
    found: list[tuple[bytes, tuple[int, int]]] = []
    for part in parts:
        try:
            chunk, spans = reader.feed(part)
        except MajulaError:
            return found, False
        found += [(chunk[start:end], (6, body - start)) for start, body, end in spans]
        assert reader.held_bytes <= 4 + reader.limit_bytes
    return found, True


def _same(one: object, other: object) -> bool:
    return one == other or repr(one) == repr(other)  # a number that is none equals nothing


def _feed_run(body: bytes) -> None:
    """Five ways to read a run agree."""
    try:
        messages = split_run(body)
    except ProtocolError:
        messages = None
    for read in (count_run, last_of_run, lambda run: cut_run(run, 3)):
        try:
            found: Any = read(body)
        except ProtocolError:
            assert messages is None
            continue
        assert messages is not None, "a run is read by one and refused by another"
        if read is count_run:
            assert found == len(messages)
        elif read is last_of_run:
            assert found == (messages[-1] if messages else b"")
        else:
            assert b"".join(found) == body and sum(map(count_run, found)) == len(messages)
    assert messages is None or encode_run(messages) == body


# --- HTTP heads and bodies, and the opening of a WebSocket

_PATHS = ("/", "/majula/ws", "/majula/ws/ann", "/majula/pub?topic=a&msg=b", "/majula/ws/%e4", "/majula/v1/tokens?limit=1", "/%00")
_LINES = (
    b"Host: localhost", b"Host: a", b"Content-Length: 5", b"Content-Length: 05", b"Transfer-Encoding: chunked",
    b"Upgrade: websocket",
    b"Connection: Upgrade", b"Connection: keep-alive, Upgrade", b"Sec-WebSocket-Version: 13",
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", b"Sec-WebSocket-Protocol: majula.v1.json, majula.bearer.mjl_" + b"a" * 43,
    b"Authorization: Bearer mjl_" + b"a" * 43, b"Content-Type: application/json", b"Origin: null", b"Cookie: a=b",
    b"Expect: 100-continue",
    b"X: \x80\xff\t y", b" folded: 1",
)  # fmt: skip
HTTP_WORDS = (
    b"\r\n", b"\n", b"\r", b"\r\n\r\n", b": ", b"chunked", b"Transfer-Encoding: chunked\r\n", b"Content-Length: 1\r\n",
    b"0\r\n\r\n",
    b"5\r\nhello\r\n", b"HTTP/1.1", b"HTTP/1.0", b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", b"Host: b\r\n", b"\x0b", b"\x00",
    b"\t", b";x=y", b"+5",
    b"0x5", b"ffffffff", b"majula.bearer.",
)  # fmt: skip


def grow_http(random: Random) -> bytes:
    """Some requests on one connection."""
    found = []
    for _ in range(random.choice((1, 1, 2, 3))):
        lines = [random.choice((b"GET ", b"POST ", b"HEAD ", b"PATCH ")) + random.choice(_PATHS).encode() + b" HTTP/1.1"]
        lines += [b"Host: localhost", *random.sample(_LINES, random.randrange(8))]
        body = random.choice((b"", b"hello", b"5\r\nhello\r\n0\r\n\r\n", b"1\r\na\r\n3\r\nbcd\r\n0\r\n\r\n"))
        found.append(b"\r\n".join([*lines, b"", body]))
    return b"".join(found)


def feed_http(data: bytes) -> None:
    """The same requests however the stream is cut, and no byte of it twice."""
    whole = _requests([data])
    assert whole == _requests(parts_of(data)), "cut into parts, these are other requests"
    for piece in whole:
        if isinstance(piece, Head):
            assert piece.raw in data
            found = open_websocket(piece)
            if isinstance(found, Opening):
                assert b"majula.bearer" not in found.answer and found.answer.count(b"\r\n\r\n") == 1
                assert len(base64.b64decode(piece.get("sec-websocket-key"))) == 16


def _requests(parts: list[bytes]) -> list[Head | bytes | type[MajulaError]]:
    """Heads, bodies (joined) and the class of a refusal."""
    reader = RequestReader(header_bytes=32_768, body_bytes=1 << 16)
    found: list[Head | bytes | type[MajulaError]] = []
    for part in parts:
        reader.feed(part)
        while (piece := reader.next()) is not None:
            if isinstance(piece, MajulaError):
                return [*found, type(piece)]
            if isinstance(piece, bytes) and found and isinstance(found[-1], bytes):
                found[-1] += piece
            else:
                found.append(piece)
    return found


# --- WebSocket frames


def grow_websocket(random: Random) -> bytes:
    """Frames of a client."""
    found = []
    for _ in range(random.choice((1, 1, 2, 5, 20))):
        first = random.choice((0x81, 0x82, 0x89, 0x8A, 0x88, 0x01, 0x00, 0x80, random.randrange(256)))
        payload = random.choice((b"", b"hello", "é𝄞".encode(), b"\x03\xe8bye", b"\xff", random.randbytes(130)))
        if random.random() < 0.01:
            payload = bytes(random.randrange(70_000))
        size = len(payload)
        length = (
            bytes((0x80 | size,))
            if size < 126
            else b"\xfe" + size.to_bytes(2, "big")
            if size < 65_536
            else b"\xff" + size.to_bytes(8, "big")
        )
        mask = random.randbytes(4)
        key = (mask * (size // 4 + 1))[:size]
        found.append(bytes((first,)) + length + mask + bytes(one ^ other for one, other in zip(payload, key, strict=True)))
    return b"".join(found)


def feed_websocket(data: bytes) -> None:
    """The same messages however the stream is cut; after the end nothing; nothing larger than was sent."""
    whole, parts = _messages([data]), _messages(parts_of(data))
    # A stream in parts may be refused later, or for what comes first in it.
    for events in (whole, parts):
        if events and isinstance(events[-1], Violation):
            events.pop()
    assert whole == parts, "cut into parts, these are other messages"
    for event in whole:
        if isinstance(event, Closed):
            event.reason.encode()
    assert not any(isinstance(event, Closed | Violation) for event in whole[:-1])


def _messages(parts: list[bytes]) -> list[Event]:
    reader = WebSocketReader(message_bytes=1 << 16, now=0.0)
    found: list[Event] = []
    for part in parts:
        found += reader.feed(part, 0.0)
        assert reader.held_bytes <= (1 << 16) + 14 + len(part) + 65_536
    return found


# --- JSON texts and packages

JSON_WORDS = (
    b'"', b"\\", b"\\u", b"\\ud800", b"\\udc00", b"\\u0000", b"{", b"}", b"[", b"]", b":", b",", b"null", b"true", b"NaN",
    b"-Infinity",
    b"1e999", b"18446744073709551616", b"-9223372036854775809", b"1" * 400, b"0.1", b"-0",
    b"[" * 65, b'{"a":' * 65, b"\xed\xa0\x80", b"\xc0\x80", b"\xef\xbb\xbf",
    b'"method"', b'"packages"', b'"invokeid"', b'"id"', b'"args"', b'"BATCH"', b"\x00", b"\t", b"/**/", b"'",
)  # fmt: skip

_METHODS = (
    "PUBLISH", "RPC", "RETURN_RESULT", "SUBSCRIBE", "UNSUBSCRIBE", "REGISTER_RPC", "UNREGISTER_RPC", "CANCEL", "SEND",
    "BROADCAST",
    "RECEIPT", "REQUEST", "REGISTER_CLIENT", "HEARTBEAT", "QUIT", "BATCH", "JOIN_ELECTION", "ACK", "", "SUB_RESULT", "RPC_RESULT",
    "RPC_CALL_FROM_REMOTE", "PRIVATE_MESSAGE", "REPLY", "ERROR", "SLOW", "RECONNECT",
)  # fmt: skip
_ARGS = (
    b"{}", b"[]", b"1", b'"x"', b"null", b'{"client_id":"ann"}', b'{"target_node":"","target_client":"bob","content":"x"}',
    b'{"target_client":"bob","up_to":1,"received":[3]}', b'{"_target_node":"","_provider":"","a":1}',
    b'{"parameters":[{"name":"a","type":"int"}]}',
    b'{"up_to":-1,"target_client":"x"}', b'{"source_client":"a","message":{"x":1}}',
    b'{"content":null,"target_client":"","ttl_s":1e400}',
)  # fmt: skip


def grow_package(random: Random, depth: int = 0) -> bytes:
    """A package, or a BATCH of some."""
    fields = shapes.struct(Package, random)
    fields.pop("packages", None)
    fields = {name: value for name, value in fields.items() if random.random() < 0.5}
    fields["method"] = random.choice(_METHODS)
    for name in ("args", "result", "error"):
        if name in fields or random.random() < 0.4:
            fields[name] = msgspec.Raw(random.choice(_ARGS))
    if "id" in fields:
        fields["id"] = random.choice((1, 2, "a", None, [1], 2**70, 0.5, "x" * 300))
    if fields["method"] == "BATCH" and depth < 2:
        fields["packages"] = [msgspec.Raw(grow_package(random, depth + 1)) for _ in range(random.choice((0, 1, 3, 9)))]
    return shapes.as_json(fields)


def grow_json(random: Random) -> bytes:
    """A text, mostly a package."""
    if random.random() < 0.6:
        return grow_package(random)
    return shapes.as_json(shapes.value(dict[str, Any], random))


def feed_json(data: bytes) -> None:
    """What passes means the same to two libraries, and its keys stand once."""
    try:
        jsontext.check(data)
        value = jsontext.decode(data)
    except InvalidRequest:
        return
    assert _equal(json.loads(data, object_pairs_hook=_once), value)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    assert len(dict(pairs)) == len(pairs), "a key stands twice"
    return dict(pairs)


def _equal(one: Any, other: Any) -> bool:
    return bool(one == other) or repr(one) == repr(other)


def feed_packages(data: bytes) -> None:
    """A text of a client becomes frames that can be read, answers that are JSON; so does each dialect."""
    for batches, speaks_flows in ((True, True), (False, False)):
        packages = Packages(batches=batches, client_id="ann", secret="s", node_id="n1", speaks_flows=speaks_flows)
        for _ in range(2):
            taken = packages.receive(data)
            for answer in taken.answers:
                msgspec.json.decode(answer)
            for frame in taken.frames:
                (span,) = FrameReader(limit_bytes=1 << 30).feed(frame)[1]
                decode_header(frame[span[0] + 6 : span[1]])


_RENDERED = {
    "SUB_RESULT", "RPC_RESULT", "RPC_CALL_FROM_REMOTE", "ACK", "REPLY", "PRIVATE_MESSAGE", "RECEIPT", "ERROR", "CANCEL",
    "SLOW", "RECONNECT", "BATCH",
}  # fmt: skip


def feed_rendering(data: bytes) -> None:
    """Whatever frames come for a JSON client, it gets whole packages, each of one method that its frame has; and what a client of
    ours makes of them is frames again, or an error of ours."""
    packages = Packages(batches=True, client_id="ann", speaks_flows=True)
    seed = Packages(batches=False, client_id="ann")
    reader = JsonPackages(gateway="gateway:1", name="ann")
    packages.receive(b'{"method":"RPC","fun":"f","invokeid":1,"args":{}}')
    for header, body in readable(data):
        for one in (packages, seed):
            try:
                texts = one.join(one.render(header, body))
            except ProtocolError:
                continue  # a run that is none: gateways look at each before it goes on
            for text in texts:
                value = msgspec.json.decode(text)
                assert value["method"] in _RENDERED, "a payload has become a package"
                with suppress(MajulaError):
                    reader.receive(text)


def readable(data: bytes) -> list[tuple[AnyHeader, bytes]]:
    """The frames in the data that are frames."""
    spans: list[Span] = []
    try:
        chunk, spans = FrameReader(limit_bytes=1 << 20).feed(data)
    except MajulaError:
        return []
    found = []
    for start, body, end in spans:
        try:
            found.append((decode_header(chunk[start + 6 : body]), chunk[body:end]))
        except ProtocolError:
            continue
    return found


# --- what a gateway sends to a client of ours


def feed_client_json(data: bytes) -> None:
    """A gateway that lies: the client's reader refuses it in its own words."""
    reader = JsonPackages(gateway="gateway:1", name="ann")
    with suppress(MajulaError):
        chunk, spans = reader.receive(data)
        for start, body, end in spans:
            reader.render(chunk, [(start, body, end)])
    events = EventReader(limit_bytes=1 << 16)
    with suppress(MajulaError):
        for part in parts_of(data):
            events.feed(part)


# --- values


def grow_value(random: Random) -> bytes:
    """A byte for the encoding, and a payload."""
    plain = shapes.value(dict[str, Any], random)
    return bytes((random.randrange(3),)) + random.choice((shapes.packed(plain), shapes.as_json(plain)))


def feed_values(data: bytes) -> None:
    """A payload is read, or refused; its JSON form is JSON."""
    encoding: Encoding = (RAW, MSGPACK, JSON)[(data[0] if data else 0) % 3]
    for read in (decode_value, to_json):
        try:
            found = read(encoding, data[1:])
        except InvalidRequest:
            continue
        if read is to_json and bytes(found):
            msgspec.json.decode(bytes(found))


DECODERS = (
    Decoder("frames", feed_frames, grow_frames, PACKED_WORDS),
    Decoder("http_head", feed_http, grow_http, HTTP_WORDS),
    Decoder("websocket", feed_websocket, grow_websocket, (b"\x81\xfe", b"\x81\xff", b"\x88\x82", b"\x89\x80", b"\x00\x80")),
    Decoder("json", feed_json, grow_json, JSON_WORDS),
    Decoder("packages", feed_packages, grow_package, JSON_WORDS),
    Decoder("rendering", feed_rendering, grow_frames, (*PACKED_WORDS, *JSON_WORDS), input_bytes=16_384),
    Decoder(
        "client_json",
        feed_client_json,
        grow_package,
        (*JSON_WORDS, b"\n\n", b"data: ", b"id: ", b'"hello"', b'"ping:1"', "²".encode()),
    ),
    Decoder("values", feed_values, grow_value, (*PACKED_WORDS, *JSON_WORDS), input_bytes=16_384),
)
