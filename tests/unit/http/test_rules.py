"""Who may ask at all."""

from __future__ import annotations

import pytest

from majula.api.http.rules import make_rules, refusal
from majula.errors import MajulaError
from majula.wire.http_head import parse_head

TOKEN = "mjl_" + "aB3-_" * 8 + "xyz"


def verdict(
    *headers: str,
    host: str = "localhost:18080",
    target: str = "/majula/pub",
    hosts: tuple[str, ...] = (),
    origins: tuple[str, ...] = (),
) -> str:
    lines = [f"GET {target} HTTP/1.1", f"Host: {host}", *headers, "", ""]
    head = parse_head("\r\n".join(lines).encode(), body_bytes=0)
    error: MajulaError | None = refusal(head, make_rules(bind="127.0.0.1", hosts=hosts, origins=origins))
    return error.code if error else "served"


@pytest.mark.parametrize("host", ["localhost", "localhost:1", "LOCALHOST:80", "127.0.0.1:18080", "[::1]:18080", "[::1]"])
def test_loopback_names_are_served(host: str) -> None:
    assert verdict(host=host) == "served"


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "10.0.0.1", "localhost.evil.example:18080", "[::2]"])
def test_other_hosts_are_not_served(host: str) -> None:
    assert verdict(host=host) == "wrong_host"


@pytest.mark.parametrize("host", ["a b", "localhost:x", "user@localhost", "localhost:123456", "a/b", "[::1"])
def test_a_malformed_host_is_refused(host: str) -> None:
    assert verdict(host=host) == "invalid_request"


def test_hosts_of_the_configuration_are_served() -> None:
    assert verdict(host="Node.Example:8443", hosts=("node.example",)) == "served"


def test_the_own_origin_is_served() -> None:
    assert verdict("Origin: http://localhost:18080") == "served"


@pytest.mark.parametrize(
    "origin",
    [
        "http://evil.example",
        "null",
        "",
        "https://localhost:18080",
        "http://localhost",
        "http://localhost:18081",
        "http://127.0.0.1:18080",
        "http://localhost:18080.evil.example",
        "http://localhost:18080/path",
        "file://",
    ],
)
def test_other_origins_are_cross_site(origin: str) -> None:
    assert verdict(f"Origin: {origin}") == "cross_site"


def test_a_default_port_is_the_same_written_or_not() -> None:
    assert verdict("Origin: http://localhost", host="localhost:80") == "served"


def test_origins_of_the_configuration_are_served() -> None:
    assert verdict("Origin: https://App.example", origins=("https://app.example/",)) == "served"


@pytest.mark.parametrize("site", ["cross-site", "same-site", "weird"])
def test_without_an_origin_the_browser_says_where_it_comes_from(site: str) -> None:
    assert verdict(f"Sec-Fetch-Site: {site}") == "cross_site"


@pytest.mark.parametrize("site", ["same-origin", "none"])
def test_the_own_pages_and_typed_addresses_are_served(site: str) -> None:
    assert verdict(f"Sec-Fetch-Site: {site}") == "served"


@pytest.mark.parametrize(
    "query",
    [f"t={TOKEN}", f"a=1&b=x{TOKEN}y", f"t=mjl%5F{TOKEN[4:]}", "access_token=x", "a=1&ACCESS_TOKEN=", f"{TOKEN}=1"],
)
def test_a_token_in_a_url_is_refused(query: str) -> None:
    assert verdict(target=f"/majula/pub?{query}") == "invalid_request"


def test_words_that_merely_begin_like_a_token_are_served() -> None:
    assert verdict(target=f"/majula/pub?t={TOKEN[:30]}&token=x") == "served"


def test_the_refusal_does_not_repeat_the_token() -> None:
    head = parse_head(f"GET /?t={TOKEN} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode(), body_bytes=0)
    assert TOKEN not in str(refusal(head, make_rules(bind="127.0.0.1")))
