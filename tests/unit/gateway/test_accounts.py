"""Who is it? Tokens, users of the machine, and what a stranger hears."""

from __future__ import annotations

import pytest

from majula.auth import digest_of, make_token
from majula.auth.book import LEEWAY_S, TokenEntry, encode_entry
from majula.errors import LimitReached, MajulaError, PermissionDenied, Unauthorized, Unavailable
from majula.gateway.accounts import ANYBODY, Accounts, Identity, local

WALL = 1_700_000_000.0
TOKEN = make_token(bytes(32)).reveal()
OTHER = make_token(bytes([7]) * 32).reveal()


class Clock:
    now = WALL

    def __call__(self) -> float:
        return self.now


def accounts(*entries: tuple[str, TokenEntry], is_open: bool = False, clock: Clock | None = None) -> Accounts:
    found = Accounts(is_open=is_open, wall_clock=clock or Clock())
    found.update({digest_of(token): encode_entry(entry) for token, entry in entries}, ())
    return found


def entry(**more: object) -> TokenEntry:
    return TokenEntry(**({"id": "tok-1", "scopes": ("publish:a",), "clients": ("*",)} | more))  # type: ignore[arg-type]


def refused(found: Accounts, token: str, *, address: str = "10.0.0.1", now: float = 0.0) -> MajulaError:
    with pytest.raises(MajulaError) as refusal:
        found.identify(token, address, now)
    return refusal.value


def test_token_says_who_it_is_and_what_he_may() -> None:
    identity = accounts((TOKEN, entry())).identify(TOKEN, "10.0.0.1", 0.0)
    assert identity.who == "tok-1" and identity.address == "10.0.0.1"
    assert identity.grants.allows("publish", "a") and not identity.grants.allows("publish", "b")


def test_a04_whatever_is_wrong_with_a_token_a_stranger_hears_the_same() -> None:
    clock = Clock()
    found = accounts((TOKEN, entry(expires_at=WALL - LEEWAY_S)), clock=clock)
    refusals = [refused(found, token).to_dict() for token in (TOKEN, OTHER, "", "x", TOKEN + "x", TOKEN[:-1], "é")]
    assert all(refusal == refusals[0] for refusal in refusals) and refusals[0]["code"] == "unauthorized"


def test_expired_token_has_a_minute_for_clocks_that_differ() -> None:
    clock = Clock()
    found = accounts((TOKEN, entry(expires_at=WALL)), clock=clock)
    clock.now = WALL + LEEWAY_S - 1
    found.identify(TOKEN, "", 0.0)
    assert found.over() == ()
    clock.now = WALL + LEEWAY_S
    assert isinstance(refused(found, TOKEN), Unauthorized) and found.over() == ("tok-1",)


def test_gateway_that_has_not_heard_of_the_tokens_says_so() -> None:
    found = Accounts(is_open=False, wall_clock=Clock())
    assert isinstance(refused(found, TOKEN), Unavailable)
    assert not found.is_known


def test_revoked_token_opens_nothing() -> None:
    found = accounts((TOKEN, entry()))
    assert found.update({}, [digest_of(TOKEN)]).ended == ("tok-1",)
    assert isinstance(refused(found, TOKEN), Unauthorized)


def test_a04_ten_wrong_tokens_a_minute_are_refused_and_then_limited() -> None:
    found = accounts((TOKEN, entry()))
    assert all(isinstance(refused(found, OTHER), Unauthorized) for _ in range(10))
    limited = refused(found, OTHER)
    assert isinstance(limited, LimitReached) and limited.detail["retry_after_s"] == pytest.approx(6.0)
    assert isinstance(refused(found, OTHER, now=6.0), Unauthorized)
    assert isinstance(refused(found, OTHER, now=6.0), LimitReached)


def test_a04_right_token_is_served_whatever_came_from_its_address() -> None:
    found = accounts((TOKEN, entry()))
    for _ in range(30):
        refused(found, OTHER)
    found.identify(TOKEN, "10.0.0.1", 0.0)
    found.identify(TOKEN, "10.0.0.2", 0.0)


def test_wrong_tokens_of_one_address_are_not_held_against_another() -> None:
    found = accounts()
    for _ in range(30):
        refused(found, OTHER)
    assert isinstance(refused(found, OTHER, address="10.0.0.2"), Unauthorized)


def test_one_customer_with_many_ipv6_addresses_is_one_address() -> None:
    found = accounts()
    for number in range(10):
        refused(found, OTHER, address=f"2001:db8::{number:x}")
    assert isinstance(refused(found, OTHER, address="2001:db8::ffff"), LimitReached)
    assert isinstance(refused(found, OTHER, address="2001:db8:0:1::1"), Unauthorized)


def test_ipv4_address_in_ipv6_clothes_is_the_same_address() -> None:
    found = accounts()
    for _ in range(10):
        refused(found, OTHER, address="10.0.0.1")
    assert isinstance(refused(found, OTHER, address="::ffff:10.0.0.1"), LimitReached)


def test_missing_token_is_no_guess() -> None:
    found = accounts()
    assert all(isinstance(refused(found, ""), Unauthorized) for _ in range(30))
    assert isinstance(refused(found, OTHER), Unauthorized)


def test_address_that_guesses_is_named_for_the_log_at_once_and_then_once_a_minute() -> None:
    found = accounts()
    refused(found, OTHER)
    assert found.take_news(0.0) == [("10.0.0.1", 1)]
    for _ in range(30):
        refused(found, OTHER)
    assert found.take_news(59.0) == []
    assert found.take_news(60.0) == [("10.0.0.1", 30)]
    assert found.take_news(120.0) == []


def test_addresses_that_wait_for_the_log_are_bounded() -> None:
    found = accounts()
    for number in range(1_000):
        refused(found, OTHER, address=f"10.0.{number >> 8}.{number & 255}")
    assert [len(found.take_news(0.0)) for _ in range(17)] == [16] * 16 + [0]


def test_addresses_that_guessed_are_bounded() -> None:
    found = accounts()
    for number in range(12_000):
        refused(found, OTHER, address=f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}")
    assert found.statistics()["wrong_token_addresses"] == 10_000


def test_open_gateway_serves_anybody_whatever_he_shows() -> None:
    found = accounts(is_open=True)
    assert found.anybody() is ANYBODY
    assert found.identify("", "127.0.0.1", 0.0).grants.is_all and found.identify(OTHER, "127.0.0.1", 0.0).grants.is_all


def test_open_gateway_asks_where_it_is_told_to() -> None:
    found = accounts((TOKEN, entry()), is_open=True)
    with pytest.raises(Unauthorized):
        found.identify("", "uid:7", 0.0, is_needed=True)
    assert found.identify(TOKEN, "uid:7", 0.0, is_needed=True).who == "tok-1"


def test_gateway_with_accounts_serves_nobody_who_was_not_asked() -> None:
    with pytest.raises(Unauthorized):
        accounts().anybody()


def test_user_of_the_node_may_do_everything_under_his_name() -> None:
    assert local(1000).who == "uid:1000" and local(1000).grants.is_all


def identity(*clients: str) -> Identity:
    found = entry(clients=clients)
    return Identity(found.id, found.grants, found)


@pytest.mark.parametrize(("client", "is_allowed"), [("press.1", True), ("press.1.a", False), ("lathe", False)])
def test_a16_token_names_the_clients_that_its_sessions_may_be(client: str, is_allowed: bool) -> None:
    if is_allowed:
        identity("press.*").check_client(client)
        return
    with pytest.raises(PermissionDenied) as refusal:
        identity("press.*").check_client(client)
    assert refusal.value.detail == {"client_id": client, "clients": ["press.*"]}


@pytest.mark.parametrize(("clients", "only"), [(("press",), "press"), (("*",), ""), (("p.*",), ""), (("a", "b"), "")])
def test_who_may_have_one_name_only_need_not_say_it(clients: tuple[str, ...], only: str) -> None:
    assert identity(*clients).client_id() == only
