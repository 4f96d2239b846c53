"""Where a request begins and ends."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from majula.errors import InvalidRequest, TooLarge
from majula.wire.http_head import Head, Piece, RequestReader


def read(*chunks: bytes, header_bytes: int = 2000, body_bytes: int = 1000) -> list[Piece]:
    reader = RequestReader(header_bytes=header_bytes, body_bytes=body_bytes)
    pieces: list[Piece] = []
    for chunk in chunks:
        reader.feed(chunk)
        while (piece := reader.next()) is not None:
            pieces.append(piece)
    return pieces


def head_of(*chunks: bytes) -> Head:
    (head,) = read(*chunks)
    assert isinstance(head, Head), head
    return head


def request(*lines: str, body: bytes = b"", first: str = "POST /a HTTP/1.1") -> bytes:
    return "\r\n".join([first, "Host: h", *lines, "", ""]).encode("latin-1") + body


def test_a_head_is_taken_apart() -> None:
    head = head_of(request("X-One:  a b \t", first="GET /p%20q/r?a=1&b=%3F HTTP/1.1"))
    assert (head.method, head.path, head.query, head.get("x-one")) == ("GET", "/p%20q/r", "a=1&b=%3F", "a b")


def test_comma_lists_of_several_headers_are_one_list() -> None:
    assert head_of(request("Connection: a, b", "connection: c")).words("connection") == ["a", "b", "c"]


@given(st.integers(1, 400), st.booleans())
def test_two_requests_are_found_however_they_are_cut(size: int, chunked: bool) -> None:
    if chunked:
        first = request("Transfer-Encoding: chunked", body=b"3\r\nabc\r\nA\r\n0123456789\r\n0\r\n\r\n")
    else:
        first = request("Content-Length: 13", body=b"abc0123456789")
    stream = first + request(first="GET /second HTTP/1.1")
    pieces = read(*[stream[at : at + size] for at in range(0, len(stream), size)])
    heads = [piece for piece in pieces if isinstance(piece, Head)]
    passed = b"".join(piece.raw if isinstance(piece, Head) else piece for piece in pieces if not isinstance(piece, Exception))
    assert [head.path for head in heads] == ["/a", "/second"] and passed == stream


@pytest.mark.parametrize(
    "lines",
    [
        ["Content-Length: 3", "Transfer-Encoding: chunked"],
        ["Transfer-Encoding: chunked", "Content-Length: 3"],
        ["Content-Length: 3", "Content-Length: 3"],
        ["Content-Length: 3, 3"],
        ["Content-Length: +3"],
        ["Content-Length: -3"],
        ["Content-Length: 0x3"],
        ["Content-Length: "],
        ["Content-Length: 3 "[:-1] + "\x0b"],
        ["Transfer-Encoding: gzip, chunked"],
        ["Transfer-Encoding: identity"],
        ["Transfer-Encoding: chunked", "Transfer-Encoding: chunked"],
        ["Transfer-Encoding : chunked"],
        ["Transfer-Encoding:\x0bchunked"],
        ["Host: other"],
        ["X: a", " folded"],
        ["X: a", "\tfolded"],
        ["no colon"],
        [": no name"],
        ["X\x00Y: a"],
        ["X: a\x00b"],
        ["Authorization: Bearer a", "Authorization: Bearer b"],
    ],
)
def test_what_two_programs_could_read_differently_is_refused(lines: list[str]) -> None:
    (error,) = read(request(*lines, body=b"3\r\nabc\r\n0\r\n\r\n"))
    assert isinstance(error, InvalidRequest)


@pytest.mark.parametrize(
    "first",
    [
        "GET /a HTTP/2.0",
        "GET /a",
        "GET  /a HTTP/1.1",
        "GET /a b HTTP/1.1",
        "GET http://h/a HTTP/1.1",
        "GET * HTTP/1.1",
        "GET a HTTP/1.1",
        "G(T /a HTTP/1.1",
        "GET /\x7f HTTP/1.1",
        "GET /ä HTTP/1.1",
        "",
    ],
)
def test_a_request_line_that_is_none_is_refused(first: str) -> None:
    (error,) = read(request(first=first))
    assert isinstance(error, InvalidRequest)


@pytest.mark.parametrize(
    "raw", [b"GET / HTTP/1.1\nHost: h\n\n", b"GET / HTTP/1.1\r\nHost: h\nX: y\r\n\r\n", b"GET / HTTP/1.1\rHost"]
)
def test_line_ends_that_are_not_cr_lf_are_refused(raw: bytes) -> None:
    (error,) = read(raw)
    assert isinstance(error, InvalidRequest)


def test_a_request_without_host_is_refused() -> None:
    (error,) = read(b"GET / HTTP/1.1\r\n\r\n")
    assert isinstance(error, InvalidRequest)


@pytest.mark.parametrize(
    "body",
    [
        b"3;ext=1\r\nabc\r\n0\r\n\r\n",
        b"3 \r\nabc\r\n0\r\n\r\n",
        b"0x3\r\nabc\r\n0\r\n\r\n",
        b"-3\r\nabc\r\n0\r\n\r\n",
        b"\r\nabc",
        b"3\nabc\n0\n\n",
        b"3\r\nabcd\r\n0\r\n\r\n",
        b"3\r\nabc\n\n0\r\n\r\n",
        b"0\r\nTrailer: a\r\n\r\n",
        b"fffffffff\r\n",
    ],
)
def test_chunks_that_are_not_exact_are_refused(body: bytes) -> None:
    pieces = read(request("Transfer-Encoding: chunked", body=body))
    assert isinstance(pieces[0], Head) and isinstance(pieces[-1], InvalidRequest)


def test_an_announced_body_over_the_limit_is_refused_before_it_comes() -> None:
    (error,) = read(request("Content-Length: 1001"))
    assert isinstance(error, TooLarge)


def test_chunks_over_the_limit_together_are_refused() -> None:
    pieces = read(request("Transfer-Encoding: chunked", body=b"200\r\n" + b"x" * 512 + b"\r\n200\r\n"))
    assert isinstance(pieces[-1], TooLarge)


def test_a_head_over_the_limit_is_refused() -> None:
    (error,) = read(request("X: " + "y" * 2000))
    assert isinstance(error, TooLarge)


def test_more_than_a_hundred_headers_are_refused() -> None:
    (error,) = read(request(*[f"X{n}: y" for n in range(101)]))
    assert isinstance(error, InvalidRequest)


def test_after_a_refusal_nothing_more_is_read() -> None:
    assert len(read(b"nonsense\r\n\r\n", request())) == 1


def test_a_client_owes_a_head_from_its_first_byte_to_its_last() -> None:
    reader = RequestReader(header_bytes=2000, body_bytes=1000)
    assert not reader.owes_head
    reader.feed(request()[:5])
    assert reader.next() is None and reader.owes_head
    reader.feed(request()[5:])
    assert reader.next() is not None and not reader.owes_head and not reader.owes_body


def test_a_client_owes_a_body_until_it_is_whole() -> None:
    reader = RequestReader(header_bytes=2000, body_bytes=1000)
    reader.feed(request("Content-Length: 3", body=b"ab"))
    assert reader.next() is not None and reader.next() == b"ab" and reader.owes_body
    reader.feed(b"c")
    assert reader.next() == b"c" and not reader.owes_body


@given(st.binary(max_size=300))
def test_any_bytes_are_read_or_refused_once(data: bytes) -> None:
    pieces = read(data, data)
    assert not any(isinstance(piece, Exception) for piece in pieces[:-1])


@given(st.lists(st.integers(1, 40), max_size=20), st.lists(st.integers(1, 9), min_size=1, max_size=8))
def test_requests_are_cut_alike_however_they_arrive(chunks: list[int], cuts: list[int]) -> None:
    body = b"".join(b"%x\r\n%b\r\n" % (size, b"x" * size) for size in chunks) + b"0\r\n\r\n"
    stream = request("Transfer-Encoding: chunked", body=body) + request("Content-Length: 3", body=b"abc") + request()
    parts: list[bytes] = []
    at = 0
    while at < len(stream):
        parts.append(stream[at : at + cuts[len(parts) % len(cuts)]])
        at += len(parts[-1])
    for arrived in ([stream], parts):
        pieces = read(*arrived)
        heads = [piece for piece in pieces if isinstance(piece, Head)]
        assert [head.body_bytes for head in heads] == [None, 3, 0]
        assert b"".join(piece for piece in pieces if isinstance(piece, bytes)) == body + b"abc"


@example([b"\r", b"\r\n"], 1)
@given(st.lists(st.sampled_from([b"\r\n", b"\r", b"\n", b"\0", b"X: a", b"Y", b"\r\n\r\n"]), max_size=12), st.integers(1, 3))
def test_a_head_that_drips_is_judged_as_one_that_comes_at_once(pieces: list[bytes], size: int) -> None:
    stream = b"GET / HTTP/1.1\r\nHost: h" + b"".join(pieces)
    dripping = [stream[at : at + size] for at in range(0, len(stream), size)]
    at_once, dripped = read(stream), read(*dripping)
    assert [type(piece) for piece in at_once] == [type(piece) for piece in dripped]
    assert [piece for piece in at_once if isinstance(piece, Head)] == [piece for piece in dripped if isinstance(piece, Head)]
