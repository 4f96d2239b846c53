"""The scalars of the file: what each kind takes, what it becomes, what it refuses."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from majula.config.values import READERS, is_loopback, split_address


@pytest.mark.parametrize(
    ("value", "seconds"),
    [("30s", 30), ("500ms", 0.5), ("1m30s", 90), ("2h", 7200), ("250us", 0.00025), (7, 7), (0.5, 0.5), ("1.5s", 1.5)],
)
def test_duration_is_seconds(value: object, seconds: float) -> None:
    assert READERS["duration"](value) == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("value", "count"), [("4 MiB", 4 << 20), ("64KiB", 65536), ("1 kB", 1000), ("1.5 MiB", 1572864), ("10 B", 10), (4096, 4096)]
)
def test_size_is_bytes(value: object, count: int) -> None:
    assert READERS["size"](value) == count


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("name", "node1"), ("name", "a.b_c-D"), ("path", "./db"), ("path", "/var/lib/x y"), ("address", "127.0.0.1:29090"),
        ("address", "[::1]:1"),
        ("address", "node.example.org:65535"), ("ip", "127.0.0.1"), ("ip", "::1"), ("network", "192.168.1.0/24"),
        ("network", "10.0.0.1"),
        ("host", "node.example.org"), ("host", "[::1]"), ("origin", "https://app.example.org"),
        ("origin", "http://localhost:3000"),
        ("websocket_url", "ws://localhost:8080/ws"), ("websocket_url", "wss://s.example"), ("tcp_listener", "off"),
        ("tcp_listener", "127.0.0.1:1"),
        ("unix_listener", "off"), ("unix_listener", "run/native.sock"),
    ],
)  # fmt: skip
def test_value_of_a_kind_is_taken_as_it_stands(kind: str, value: str) -> None:
    assert READERS[kind](value) == value


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("duration", "30"), ("duration", "30 s"), ("duration", "s"), ("duration", "-1s"), ("duration", -1),
        ("duration", "1d"), ("duration", True),
        ("size", "4 mib"), ("size", "MiB"), ("size", 1.5), ("size", True), ("size", "-1 B"),
        ("name", ""), ("name", "a b"), ("name", "a/b"), ("name", ".."), ("name", "x" * 129), ("name", "节点"), ("name", 1),
        ("name", "a\n"),
        ("path", ""), ("path", "a\nb"), ("path", 1), ("address", "127.0.0.1"), ("address", ":80"), ("address", "h:0"),
        ("address", "h:65536"),
        ("address", "::1:80"), ("address", "h:80x"), ("address", "[h]:80"), ("address", "h h:80"), ("address", "h:٣"),
        ("ip", "localhost"), ("ip", "127.1"), ("ip", "fe80::1%eth0"), ("ip", "0177.0.0.1"), ("network", "10.0.0.0/33"),
        ("network", "x"),
        ("host", "http://x"), ("host", "x:80"), ("host", "*"), ("host", "a b"), ("origin", "*"), ("origin", "null"),
        ("origin", "https://x/"),
        ("origin", "https://u@x"), ("origin", "ftp://x"), ("origin", "https://"), ("origin", "https://x:0"),
        ("origin", "https://x:99999"),
        ("origin", "https://[::1"), ("websocket_url", "http://x"), ("websocket_url", "ws://"),
        ("websocket_url", "ws://x:99999"),
        ("tcp_listener", "on"), ("tcp_listener", "8080"), ("unix_listener", ""),
    ],
)  # fmt: skip
def test_value_that_is_none_of_its_kind_is_refused_in_one_line(kind: str, value: object) -> None:
    with pytest.raises(ValueError) as refusal:
        READERS[kind](value)
    assert str(refusal.value).isprintable()


@given(st.sampled_from(sorted(READERS)), st.text(max_size=80) | st.integers() | st.floats(allow_nan=False) | st.booleans())
def test_any_scalar_is_taken_or_refused_in_one_short_line(kind: str, value: object) -> None:
    try:
        READERS[kind](value)
    except ValueError as refusal:
        assert str(refusal).isprintable() and len(str(refusal)) < 220


@given(st.ip_addresses(), st.integers(1, 65535))
def test_every_ip_address_with_a_port_is_an_address(host: object, port: int) -> None:
    text = str(host)
    assert split_address(f"[{text}]:{port}" if ":" in text else f"{text}:{port}") == (text, port)


@pytest.mark.parametrize("text", ["127.0.0.1", "127.8.9.1", "::1", "::ffff:127.0.0.1"])
def test_address_of_this_machine_is_loopback(text: str) -> None:
    assert is_loopback(text)


@pytest.mark.parametrize("text", ["0.0.0.0", "::", "192.168.1.1", "8.8.8.8", "64:ff9b::7f00:1", "::ffff:8.8.8.8", "fe80::1"])
def test_address_that_others_reach_is_not_loopback(text: str) -> None:
    assert not is_loopback(text)
