"""Private messages in JSON: what the client writes the gateway reads, and the other way round."""

from __future__ import annotations

import msgspec
import pytest

from majula.api.sdk.packages import JsonPackages, chunk_of
from majula.wire.frames import PREFIX_BYTES, decode_header, encode_frame, encode_run, split_run
from majula.wire.headers import JSON, MSGPACK, RAW, Encoding, Hello, Receipt, Send
from majula.wire.packages import Packages


def gateway() -> Packages:
    return Packages(batches=True, client_id="ann", speaks_flows=True)


def client() -> JsonPackages:
    return JsonPackages(gateway="gateway:1", name="ann")


def parts(frame: bytes) -> tuple[object, bytes]:
    body = PREFIX_BYTES + int.from_bytes(frame[4:6], "little")
    return decode_header(frame[PREFIX_BYTES:body]), frame[body:]


def to_gateway(header: Send | Receipt, body: bytes = b"") -> list[tuple[object, bytes]]:
    found = []
    for text in client().render(*chunk_of([encode_frame(header, body)])):
        taken = gateway().receive(text)
        assert taken.answers == []
        found += [parts(frame) for frame in taken.frames]
    return found


def to_client(header: Send | Receipt, body: bytes = b"") -> list[tuple[object, bytes]]:
    packages = gateway()
    found = []
    for text in packages.join(packages.render(header, body)):
        chunk, spans = client().receive(text)
        found += [parts(chunk[start:end]) for start, _, end in spans]
    return found


def test_client_says_that_it_runs_flows() -> None:
    (text,) = client().render(*chunk_of([encode_frame(Hello(1, "ann"))]))
    assert msgspec.json.decode(text)["args"]["flows"] is True


def test_run_becomes_messages_with_their_own_numbers() -> None:
    body = encode_run([b'{"a":1}', b"2"])
    sent = Send("bob", "n1", 7, 5, 3, 900, JSON, headers={"k": "v"})
    assert to_gateway(sent, body) == [
        (Send("bob", "n1", 7, 5, 3, 900, JSON, headers={"k": "v"}), encode_run([b'{"a":1}'])),
        (Send("bob", "n1", 7, 6, 3, 900, JSON, headers={"k": "v"}), encode_run([b"2"])),
    ]


def test_frame_without_messages_stays_one_without_messages() -> None:
    assert to_gateway(Send("bob", "", 7, 5, 5, 900)) == [(Send("bob", "", 7, 5, 5, 900, JSON), b"")]


def test_receipt_is_the_same_at_the_gateway() -> None:
    receipt = Receipt("bob", "n1", 7, 5, (7, 9), via="gateway:2")
    assert to_gateway(receipt) == [(receipt, b"")]


@pytest.mark.parametrize(("encoding", "data"), [(RAW, b"\x00\xff"), (JSON, b'{"a":1}'), (MSGPACK, b"\x81\xa1a\x01")])
def test_message_that_comes_has_its_source_its_number_and_its_value(encoding: Encoding, data: bytes) -> None:
    came = Send("ann", "n1", 7, 5, 3, 900, encoding, "bob", "n1", "gateway:2", {"k": "v"})
    ((header, body),) = to_client(came, encode_run([data]))
    expected = RAW if encoding == RAW else JSON
    assert header == Send("", "", 7, 5, 3, 900, expected, "bob", "n1", "gateway:2", {"k": "v"})
    assert split_run(body) == [data if encoding != MSGPACK else b'{"a":1}']


def test_news_of_what_was_given_up_comes_as_such() -> None:
    assert to_client(Send("ann", "n1", 7, 5, 5, 900, 0, "bob", "n1")) == [(Send("", "", 7, 5, 5, 900, JSON, "bob", "n1"), b"")]


def test_receipt_that_comes_has_its_code_and_source() -> None:
    came = Receipt("ann", "n1", 7, 5, (7,), "delivered", "no_route", "bob", "n1")
    assert to_client(came) == [(Receipt("", "", 7, 5, (7,), "delivered", "no_route", "bob", "n1"), b"")]
