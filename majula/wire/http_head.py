"""Where an HTTP/1.1 request begins and ends, read so strictly that no other program can read it differently.

A web framework forgives: two lengths, a length beside chunks, bare line feeds, folded headers, chunk extensions. Behind a proxy
that forgives in another way, the rest of one request becomes the beginning of another (request smuggling). So this reader stands
in front of the framework, passes on only what RFC 9112 lets nobody doubt, and refuses everything else with 400. It also knows
what a framework does not tell: whether a client owes a header or a body, which is what deadlines need.
"""

from __future__ import annotations

import re

import msgspec

from majula.errors import InvalidRequest, MajulaError, TooLarge

_TOKEN = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]{1,128}")
_TARGET = re.compile(rb"/[\x21-\x7e]{0,8191}")  # origin-form only: nobody proxies through a gateway
_VALUE = re.compile(rb"[\t\x20-\x7e\x80-\xff]*")
_LENGTH = re.compile(rb"[0-9]{1,15}")
_CHUNK = re.compile(rb"[0-9A-Fa-f]{1,8}")
_ONCE = frozenset(
    {"host", "content-length", "transfer-encoding", "content-type", "authorization", "origin", "content-encoding", "upgrade"}
)
"""Headers whose meaning depends on which of two is read."""
_MAX_HEADERS = 100


class Head(msgspec.Struct, frozen=True):
    """One request's head.

    path: percent-encoded as it came; query: without the question mark.
    body_bytes: the announced length, None for chunks.
    raw: the head as it came, the empty line included.
    """

    method: str
    path: str
    query: str
    minor: int
    headers: tuple[tuple[str, str], ...]
    body_bytes: int | None
    raw: bytes

    def get(self, name: str) -> str:
        """The first value of a header (name in lower case), empty where it is absent."""
        for key, value in self.headers:
            if key == name:
                return value
        return ""

    def words(self, name: str) -> list[str]:
        """The comma-separated parts of all headers of that name."""
        return [part.strip() for key, value in self.headers if key == name for part in value.split(",") if part.strip()]


def parse_head(raw: bytes, *, body_bytes: int) -> Head:
    """The head in `raw`, which ends with its empty line.

    Args:
        body_bytes: the largest body that may be announced.
    Raises:
        InvalidRequest: not what RFC 9112 allows, or what two programs could read differently.
        TooLarge: the announced body is over the limit.
    """
    lines = raw[:-4].split(b"\r\n")
    parts = lines[0].split(b" ")
    if len(parts) != 3 or parts[2] not in {b"HTTP/1.1", b"HTTP/1.0"} or not _TOKEN.fullmatch(parts[0]):
        raise InvalidRequest("this is not an HTTP/1.1 request line")
    if not _TARGET.fullmatch(parts[1]):
        raise InvalidRequest("the request's target is not a path")
    if len(lines) - 1 > _MAX_HEADERS:
        raise InvalidRequest(f"a request has at most {_MAX_HEADERS} headers")
    headers: list[tuple[str, str]] = []
    seen: set[str] = set()
    for line in lines[1:]:
        name_bytes, colon, value_bytes = line.partition(b":")
        if not colon or not _TOKEN.fullmatch(name_bytes) or not _VALUE.fullmatch(value_bytes):
            raise InvalidRequest("a header line is malformed")  # a folded line begins with a space, which no name contains
        name = name_bytes.decode("ascii").lower()
        if name in seen and name in _ONCE:
            raise InvalidRequest(f"the header {name} stands twice")
        seen.add(name)
        headers.append((name, value_bytes.strip(b" \t").decode("latin-1")))
    target = parts[1].decode("ascii")
    path, _, query = target.partition("?")
    head = Head(parts[0].decode("ascii"), path, query, int(parts[2][-1:]), tuple(headers), 0, raw)
    if not head.get("host"):
        raise InvalidRequest("a request names its Host")
    return msgspec.structs.replace(head, body_bytes=_body(head, seen, body_bytes))


def _body(head: Head, seen: set[str], limit_bytes: int) -> int | None:
    if "transfer-encoding" in seen:
        if "content-length" in seen or head.minor == 0 or head.get("transfer-encoding").lower() != "chunked":
            raise InvalidRequest("the length of this body is ambiguous")
        return None
    if "content-length" not in seen:
        return 0
    text = head.get("content-length").encode("latin-1")
    if not _LENGTH.fullmatch(text):
        raise InvalidRequest("Content-Length is not a number")
    length = int(text)
    if length > limit_bytes:
        raise TooLarge(f"a body is at most {limit_bytes} bytes", limit_bytes=limit_bytes)
    return length


Piece = Head | bytes | MajulaError
"""What was read: the head of a request, checked bytes of its body, or the reason to refuse and close."""


class RequestReader:
    """Cuts what one connection sends into requests.

    Args:
        header_bytes: the largest head.
        body_bytes: the largest body, as sent.
    """

    def __init__(self, *, header_bytes: int, body_bytes: int) -> None:
        self._header_bytes = header_bytes
        self._body_bytes = body_bytes
        self._held = b""
        # Where in `_held` the unread begins. Cutting it off at each piece would cost 256 KiB of small chunks seconds.
        self._at = 0
        self._seen = 0  # of a head that is not whole: bytes that were looked at
        self._read = self._read_head
        self._left = 0  # of the body, or of the chunk
        self._total = 0  # of the chunks so far
        self._failed = False

    @property
    def owes_head(self) -> bool:
        """Some of a head came, not all of it."""
        return self._read == self._read_head and self._has_more

    @property
    def owes_body(self) -> bool:
        """A head came whose body is not whole yet."""
        return self._read != self._read_head

    @property
    def _has_more(self) -> bool:
        return self._at < len(self._held)

    def take_rest(self) -> bytes:
        """What came behind the last head; the connection is no longer HTTP."""
        rest, self._held, self._at = self._held[self._at :], b"", 0
        return rest

    def feed(self, data: bytes) -> None:
        """Take what the socket gave; then call `next` until it gives None."""
        self._held = self._held[self._at :] + data if self._has_more else data
        self._at = 0

    def next(self) -> Piece | None:
        """The next piece. After an error nothing more comes."""
        if self._failed or (not self._has_more and self._read == self._read_head):
            return None
        try:
            return self._read()
        except MajulaError as error:
            self._failed = True
            self._held, self._at = b"", 0
            return error

    def _read_head(self) -> Piece | None:
        # Only what is new is looked at: a head of 32 KiB that comes a byte at a time would cost seconds.
        held, at, seen = self._held, self._at, self._at + self._seen
        until = at + self._header_bytes
        end = held.find(b"\r\n\r\n", max(at, seen - 3), until)
        # A line feed without its carriage return, or the reverse, ends a line for some programs and not for others. A carriage
        # return at the end of what was seen is looked at again, with what follows it.
        start = seen - (held[seen - 1 : seen] == b"\r") if self._seen else at
        looked_at = held[start:end] if end >= 0 else held[start:until].removesuffix(b"\r")
        bare = looked_at.replace(b"\r\n", b"")
        if b"\n" in bare or b"\r" in bare or b"\0" in bare:
            raise InvalidRequest("a line of the head does not end in CR LF")
        if end < 0:
            self._seen = len(held) - at
            if self._seen >= self._header_bytes:
                raise TooLarge(f"a head is at most {self._header_bytes} bytes", limit_bytes=self._header_bytes)
            return None
        self._seen = 0
        self._at = end + 4
        head = parse_head(held[at : end + 4], body_bytes=self._body_bytes)
        if head.body_bytes is None:
            self._total = 0
            self._read = self._read_chunk_head
        elif head.body_bytes:
            self._left = head.body_bytes
            self._read = self._read_body
        return head

    def _cut(self) -> bytes:
        cut = self._held[self._at : self._at + self._left]
        self._at += len(cut)
        self._left -= len(cut)
        return cut

    def _read_body(self) -> Piece | None:
        if not self._has_more:
            return None
        cut = self._cut()
        if not self._left:
            self._read = self._read_head
        return cut

    def _read_chunk_head(self) -> Piece | None:
        held, at = self._held, self._at
        end = held.find(b"\r\n", at, at + 10)
        if end < 0:
            if len(held) - at >= 10 or b"\n" in held[at:]:
                raise InvalidRequest("the size of a chunk is malformed")
            return None
        if not _CHUNK.fullmatch(held, at, end):  # extensions too: no program needs them, and some read them differently
            raise InvalidRequest("the size of a chunk is malformed")
        size = int(held[at:end], 16)
        self._total += size
        if self._total > self._body_bytes:
            raise TooLarge(f"a body is at most {self._body_bytes} bytes", limit_bytes=self._body_bytes)
        self._at = end + 2
        self._left = size + 2 if size else 2
        self._read = self._read_chunk if size else self._read_last
        return held[at : end + 2]

    def _read_chunk(self) -> Piece | None:
        if not self._has_more:
            return None
        if self._left > 2:
            self._left -= 2
            cut = self._cut()
            self._left += 2
            return cut
        return self._read_line_end(self._read_chunk_head)

    def _read_last(self) -> Piece | None:
        return self._read_line_end(self._read_head)  # no trailers: nothing here reads them

    def _read_line_end(self, then: object) -> Piece | None:
        end = self._held[self._at : self._at + 2]
        if not b"\r\n".startswith(end):
            raise InvalidRequest("a chunk does not end where it said")
        if len(end) < 2:
            return None
        self._at += 2
        self._left = 0
        self._read = then  # type: ignore[assignment] # one of the reading methods of this class
        return b"\r\n"
