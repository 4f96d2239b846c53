"""What the messages of a WebSocket mean, in each of its three dialects."""

from __future__ import annotations

from typing import Protocol

import msgspec

from majula.errors import InvalidRequest, MajulaError, ProtocolError
from majula.wire import websocket
from majula.wire.frames import PREFIX_BYTES, FrameReader, Span, decode_header, encode_frame
from majula.wire.headers import Error, Hello
from majula.wire.package import client_named, error_package
from majula.wire.packages import Packages
from majula.wire.websocket import Binary, Opcode, Text, encode_text

Message = Text | Binary


class Claim(msgspec.Struct, frozen=True):
    """Who a client says it is, by the first thing that it sent. rest: what of that message is still to be read, once admitted."""

    client_id: str
    secret: str = ""
    agent: str = ""
    rest: Message | None = None


class Dialect(Protocol):
    """From messages to frames for the gateway, and from frames to bytes for the transport.

    speaks_flows: once the client is named: it numbers and acknowledges private messages itself.
    """

    speaks_flows: bool

    def claim(self, message: Message, client_id: str) -> Claim:
        """Who speaks, by the first message and the id in the path.

        Raises:
            MajulaError: it cannot be that; ends the connection.
        """

    def bind(self, *, client_id: str, secret: str, node_id: str) -> None:
        """The session is admitted under this name."""

    def receive(self, message: Message) -> tuple[bytes, list[Span], bytes, bool]:
        """(chunk, whole frames in it, bytes to answer at once, the client said goodbye).

        Raises:
            MajulaError: the stream has no meaning any more; ends the connection.
        """

    def render(self, frames: list[bytes]) -> bytes:
        """What to write for these frames."""

    def refusal(self, error: MajulaError) -> bytes:
        """What to write before a close, where there is no session yet."""


class JsonDialect:
    """Packages.

    Args:
        batches: `majula.v1.json`.
    """

    def __init__(self, *, batches: bool, nesting: int) -> None:
        self.speaks_flows = False
        self._batches = batches
        self._nesting = nesting
        self._packages = Packages(batches=batches, client_id="", nesting=nesting)

    def bind(self, *, client_id: str, secret: str, node_id: str) -> None:
        self._packages = Packages(
            batches=self._batches,
            client_id=client_id,
            secret=secret,
            node_id=node_id,
            nesting=self._nesting,
            speaks_flows=self.speaks_flows,
        )

    def claim(self, message: Message, client_id: str) -> Claim:
        named = client_named(message.payload) if isinstance(message, Text) else None
        if named is None or (client_id and named[0] != client_id):
            return Claim(client_id, rest=message)  # another name than the path's is refused as a package, the path's stays
        self.speaks_flows = self._batches and named[2]
        return Claim(named[0], named[1], rest=message)

    def receive(self, message: Message) -> tuple[bytes, list[Span], bytes, bool]:
        if isinstance(message, Binary):
            raise InvalidRequest("packages are text messages; binary ones need the subprotocol majula.v1.msgpack")
        taken = self._packages.receive(message.payload)
        answers = self._texts(taken.answers) if taken.answers else b""
        frames = taken.frames
        if len(frames) == 1:
            chunk = frames[0]
            return chunk, [(0, PREFIX_BYTES + int.from_bytes(chunk[4:6], "little"), len(chunk))], answers, taken.quit
        chunk = b"".join(frames)
        spans: list[Span] = []
        at = 0
        for frame in frames:
            end = at + len(frame)
            spans.append((at, at + PREFIX_BYTES + int.from_bytes(frame[4:6], "little"), end))
            at = end
        return chunk, spans, answers, taken.quit

    def render(self, frames: list[bytes]) -> bytes:
        packages: list[bytes] = []
        render = self._packages.render
        for frame in frames:
            body_at = PREFIX_BYTES + (frame[4] | frame[5] << 8)
            packages += render(decode_header(frame[PREFIX_BYTES:body_at]), frame[body_at:])
        return encode_text(packages[0]) if len(packages) == 1 else self._texts(packages)

    def refusal(self, error: MajulaError) -> bytes:
        return self._texts([error_package(error)])

    def _texts(self, packages: list[bytes]) -> bytes:
        return b"".join(map(encode_text, self._packages.join(packages)))


class FrameDialect:
    """Native frames: what comes is handed on as it is, what goes is put into one binary message as it is."""

    def __init__(self, *, frame_limit_bytes: int) -> None:
        self.speaks_flows = True
        self._frame_limit_bytes = frame_limit_bytes
        self._reader = FrameReader(limit_bytes=frame_limit_bytes)

    def claim(self, message: Message, client_id: str) -> Claim:
        if isinstance(message, Text):
            raise ProtocolError("frames are binary messages")
        chunk, spans = FrameReader(limit_bytes=self._frame_limit_bytes).feed(message.payload)
        header = decode_header(chunk[spans[0][0] + PREFIX_BYTES : spans[0][1]]) if spans else None
        if not isinstance(header, Hello):
            raise ProtocolError("the first frame is HELLO")
        if client_id and header.client_id not in {"", client_id}:
            raise InvalidRequest("HELLO names another client than the path")
        rest = message.payload[spans[0][2] :]
        return Claim(header.client_id or client_id, header.secret, header.agent, Binary(rest) if rest else None)

    def bind(self, *, client_id: str, secret: str, node_id: str) -> None:
        """WELCOME says it all."""

    def receive(self, message: Message) -> tuple[bytes, list[Span], bytes, bool]:
        if isinstance(message, Text):
            raise ProtocolError("frames are binary messages")
        chunk, spans = self._reader.feed(message.payload)
        return chunk, spans, b"", False

    def render(self, frames: list[bytes]) -> bytes:
        payload = b"".join(frames)
        return websocket.encode_head(Opcode.BINARY, len(payload)) + payload if payload else b""

    def refusal(self, error: MajulaError) -> bytes:
        return self.render([encode_frame(Error(0, error.code, error.message, error.detail))])
