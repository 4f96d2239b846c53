"""`docs/protocol.md` and the code say the same: every vector in it, the table of headers, and the client at its end."""

from __future__ import annotations

import inspect
import json
import re
import sys
from pathlib import Path
from typing import get_args

import msgspec
import pytest

from majula.errors import MajulaError
from majula.wire import headers
from majula.wire.frames import PREFIX_BYTES, FrameReader, count_run, decode_header, encode_frame
from majula.wire.headers import AnyHeader, Header, Publish
from tests.unit.native.test_native import serve

DOCUMENT = (Path(__file__).parents[3] / "docs" / "protocol.md").read_text()
VECTORS, _, _REST = DOCUMENT.partition("## Test vectors")[2].partition("\nFrames with fewer fields")
SHORT, _, BROKEN = _REST.partition("\nThese break the protocol")
BROKEN = BROKEN.partition("\n## ")[0]


def rows(section: str) -> list[list[str]]:
    """The cells of a table, its two head lines left out."""
    lines = [line for line in section.splitlines() if line.startswith("| ")][1:]
    return [[cell.strip().strip("`") for cell in line.strip("|").split(" | ")] for line in lines]


def read(frame: bytes) -> tuple[AnyHeader, bytes]:
    chunk, spans = FrameReader(limit_bytes=1 << 20).feed(frame)
    ((start, body, end),) = spans
    return decode_header(chunk[start + PREFIX_BYTES : body]), chunk[body:end]


@pytest.mark.parametrize(("name", "header", "body", "frame"), rows(VECTORS))
def test_a_vector_is_what_we_write_and_read(name: str, header: str, body: str, frame: str) -> None:
    decoded, payload = read(bytes.fromhex(frame))
    assert (type(decoded).__name__.upper(), payload.hex()) == (name, body.strip())
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(decoded)) == json.loads(header)
    assert encode_frame(decoded, payload).hex() == frame


def test_there_is_a_vector_of_every_frame() -> None:
    assert {name for name, *_ in rows(VECTORS)} == {cls.__name__.upper() for cls in get_args(AnyHeader)}


@pytest.mark.parametrize(("_", "read_as", "frame"), rows(SHORT))
def test_missing_fields_have_their_defaults_and_unknown_ones_are_ignored(_: str, read_as: str, frame: str) -> None:
    decoded, _payload = read(bytes.fromhex(frame))
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(decoded)) == json.loads(read_as)


@pytest.mark.parametrize(("_", "frame"), rows(BROKEN))
def test_what_breaks_the_protocol_is_refused(_: str, frame: str) -> None:
    with pytest.raises(MajulaError):
        read(bytes.fromhex(frame))


def test_the_table_of_headers_names_every_field_and_default() -> None:
    documented = {
        int(number): (name, [field.strip().split(" ")[0] for field in fields.split(", ")] if fields else [])
        for number, name, fields in re.findall(r"^\| (\d+) \| ([A-Z]+) \| [CG, ]+ \| ([^|]*?) ?\|", DOCUMENT, re.MULTILINE)
    }
    actual = {
        cls.__struct_config__.tag: (cls.__name__.upper(), [field.name for field in msgspec.structs.fields(cls)])
        for _, cls in inspect.getmembers(headers, lambda found: inspect.isclass(found) and issubclass(found, Header))
        if cls is not Header
    }
    assert documented == actual


def test_the_runs_in_the_vectors_are_whole() -> None:
    for _, _, body, frame in rows(VECTORS):
        if isinstance(read(bytes.fromhex(frame))[0], Publish):
            assert count_run(bytes.fromhex(body)) >= 1


@pytest.mark.slow
async def test_the_client_at_the_end_of_the_document_runs(tmp_path: Path) -> None:
    import asyncio  # noqa: PLC0415 - this test alone runs a program

    program = DOCUMENT.rpartition("```python\n")[2].partition("```")[0]
    async with serve(tmp_path) as native:
        process = await asyncio.create_subprocess_exec(sys.executable, "-c", program, native.path, stdout=asyncio.subprocess.PIPE)
        async with asyncio.timeout(20):
            out, _ = await process.communicate()
    assert out.decode().splitlines() == [
        "welcome to n1",
        "subscribed: [13, 1, 'gateway']",
        r"received: b'\x05\x00\x00\x00hello\x05\x00\x00\x00world'",
        "2 + 3 = {'sum': 5}",
    ]
