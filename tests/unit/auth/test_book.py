"""A gateway's copy of the table of tokens."""

from __future__ import annotations

import pytest

from majula.auth import digest_of, make_token
from majula.auth.book import LEEWAY_S, TokenBook, TokenEntry, Turned, encode_entry
from majula.errors import Unauthorized

TOKEN = make_token(bytes(32)).reveal()
OTHER = make_token(bytes(range(32))).reveal()
NOW = 1_000_000.0


def entry(
    name: str = "tok-aaaaaaaa", *, expires_at: float = 0.0, clients: tuple[str, ...] = ("*",), used_by: str = ""
) -> TokenEntry:
    return TokenEntry(id=name, scopes=("publish:a",), clients=clients, expires_at=expires_at, used_by=used_by)


def book(*entries: tuple[str, TokenEntry]) -> TokenBook:
    found = TokenBook()
    found.update({digest_of(token): encode_entry(value) for token, value in entries}, ())
    return found


def test_token_is_found_with_what_it_grants() -> None:
    found = book((TOKEN, entry())).find(TOKEN, NOW)
    assert found == entry()
    assert found.grants.allows("publish", "a")
    assert not found.grants.allows("publish", "b")


@pytest.mark.parametrize("token", ["", "mjl_", "default_token", OTHER, TOKEN[:-1], TOKEN + "A"])
def test_any_other_text_is_refused_with_the_same_words(token: str) -> None:
    with pytest.raises(Unauthorized) as caught:
        book((TOKEN, entry())).find(token, NOW)
    assert caught.value.to_dict() == {
        "error": "a valid token is needed: `Authorization: Bearer mjl_...`",
        "code": "unauthorized",
        "detail": {},
    }


def test_token_is_valid_until_its_expiry_and_the_leeway_have_passed() -> None:
    found = book((TOKEN, entry(expires_at=NOW)))
    assert found.find(TOKEN, NOW + LEEWAY_S - 0.1).id == "tok-aaaaaaaa"
    with pytest.raises(Unauthorized):
        found.find(TOKEN, NOW + LEEWAY_S)


def test_tokens_whose_time_is_over_are_named() -> None:
    found = book((TOKEN, entry(expires_at=NOW)), (OTHER, entry("tok-bbbbbbbb")))
    assert found.over(NOW) == ()
    assert found.over(NOW + LEEWAY_S) == ("tok-aaaaaaaa",)


def test_removed_token_ends() -> None:
    found = book((TOKEN, entry()))
    assert found.update({}, (digest_of(TOKEN), digest_of(OTHER))) == Turned(ended=("tok-aaaaaaaa",), changed=())
    assert found.get("tok-aaaaaaaa") is None
    with pytest.raises(Unauthorized):
        found.find(TOKEN, NOW)


def test_changed_token_is_named_and_an_equal_one_is_not() -> None:
    found = book((TOKEN, entry()))
    again = {digest_of(TOKEN): encode_entry(entry())}
    assert found.update(again, ()) == Turned((), ())
    used = {digest_of(TOKEN): encode_entry(entry(used_by="someone"))}
    assert found.update(used, ()) == Turned((), ("tok-aaaaaaaa",))
    assert found.get("tok-aaaaaaaa") == entry(used_by="someone")


@pytest.mark.parametrize(
    ("clients", "client_id", "expected"),
    [
        (("*",), "anything.at.all", True),
        (("sensor.*",), "sensor.1", True),
        (("sensor.*",), "sensor.1.a", False),
        (("sensor.>",), "sensor.1.a", True),
        (("ann", "bob"), "bob", True),
        (("ann", "bob"), "boss", False),
    ],
)
def test_client_ids_are_those_of_the_patterns(clients: tuple[str, ...], client_id: str, expected: bool) -> None:
    assert entry(clients=clients).admits(client_id) is expected
