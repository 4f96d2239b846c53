"""Which session has which client id: the router's part."""

from __future__ import annotations

from math import inf

import pytest

from majula.messages.routing import Claim, CloseSession, Granted, Refused, Release
from majula.routing.clients import GRANT_S, WAITING, ClientDirectory, Tell
from majula.routing.sessions import Session, decode_session, encode_session

ONE, TWO = "gateway:1", "gateway:2"
SECRET, OTHER, NONE = b"secret", b"other", b""


def open_directory() -> ClientDirectory:
    directory = ClientDirectory()
    directory.open(0.0)
    return directory


def claim(
    directory: ClientDirectory, gateway: str, session: str, secret: bytes, *, request: int = 1, at: float = 0.0
) -> list[Tell]:
    directory.claim(gateway, Claim(request, "ann", session, secret, at), at)
    return directory.take_orders()


def served(directory: ClientDirectory, gateway: str, session: str, secret: bytes, *, at: float = 0.0) -> list[Tell]:
    """The gateway's slice says that it serves the session."""
    directory.apply(gateway, {"ann": encode_session(Session("ann", session, secret, gateway, at))}, ())
    return directory.take_orders()


def owner(directory: ClientDirectory) -> str | None:
    found = directory.get("ann")
    return None if found is None else found.session


@pytest.mark.parametrize("secret", [SECRET, NONE])
def test_free_id_is_granted(secret: bytes) -> None:
    directory = open_directory()
    assert claim(directory, ONE, "s1", secret) == [Tell(ONE, Granted(1))]
    assert owner(directory) == "s1"


@pytest.mark.parametrize(("older", "newer"), [(SECRET, OTHER), (SECRET, NONE), (NONE, SECRET)])
def test_id_is_refused_to_who_cannot_prove_to_be_the_same(older: bytes, newer: bytes) -> None:
    directory = open_directory()
    claim(directory, ONE, "s1", older)
    assert claim(directory, TWO, "s2", newer) == [Tell(TWO, Refused(1, "conflict"))]
    assert owner(directory) == "s1"


def test_same_secret_takes_over() -> None:
    directory = open_directory()
    claim(directory, ONE, "s1", SECRET)
    assert claim(directory, TWO, "s2", SECRET) == [Tell(ONE, CloseSession("ann", "s1", "taken_over")), Tell(TWO, Granted(1))]
    assert owner(directory) == "s2"


def test_newest_of_the_seed_protocol_wins() -> None:
    directory = open_directory()
    claim(directory, ONE, "s1", NONE)
    assert claim(directory, TWO, "s2", NONE) == [Tell(ONE, CloseSession("ann", "s1", "replaced")), Tell(TWO, Granted(1))]


def test_same_claim_again_is_granted_again_and_closes_nothing() -> None:
    directory = open_directory()
    claim(directory, ONE, "s1", SECRET)
    assert claim(directory, ONE, "s1", SECRET, request=2) == [Tell(ONE, Granted(2))]


def test_end_of_the_older_session_removes_nothing_of_the_newer() -> None:
    directory = open_directory()
    claim(directory, ONE, "s1", NONE)
    served(directory, ONE, "s1", NONE)
    claim(directory, ONE, "s2", NONE)
    assert directory.release(ONE, "ann", "s1") == {}
    assert directory.apply(ONE, {}, ["ann"]) == {}, "the slice lost s1; s2 is granted and comes into it next"
    assert owner(directory) == "s2"


def test_released_id_is_free() -> None:
    directory = open_directory()
    claim(directory, ONE, "s1", SECRET)
    assert directory.release(ONE, "ann", "s1") == {"ann": None}
    assert claim(directory, TWO, "s2", OTHER) == [Tell(TWO, Granted(1))]


def test_id_whose_session_left_the_slice_is_free() -> None:
    directory = open_directory()
    served(directory, ONE, "s1", SECRET)
    assert directory.apply(ONE, {}, ["ann"]) == {"ann": None}
    assert owner(directory) is None


def test_grant_that_nobody_uses_is_forgotten() -> None:
    directory = open_directory()
    claim(directory, ONE, "s1", SECRET, at=5.0)
    assert directory.next_deadline() == 5.0 + GRANT_S
    assert directory.timer(5.0 + GRANT_S) == {"ann": None}
    assert directory.next_deadline() == inf


def test_grant_that_is_used_stays() -> None:
    directory = open_directory()
    claim(directory, ONE, "s1", SECRET)
    served(directory, ONE, "s1", SECRET)
    assert directory.next_deadline() == inf
    assert directory.timer(100.0) == {}


def test_ids_of_a_lost_gateway_are_free() -> None:
    directory = open_directory()
    claim(directory, ONE, "s1", SECRET)
    assert directory.owner_lost(ONE) == {"ann": None}
    assert directory.owner_lost(TWO) == {}


def test_claims_wait_until_the_slices_are_gathered() -> None:
    directory = ClientDirectory()
    assert claim(directory, TWO, "s2", OTHER) == []
    served(directory, ONE, "s1", SECRET)
    directory.open(0.0)
    assert directory.take_orders() == [Tell(TWO, Refused(1, "conflict"))]


def test_claims_that_wait_are_bounded() -> None:
    directory = ClientDirectory()
    for request in range(WAITING + 1):
        directory.claim(ONE, Claim(request, f"c{request}", "s", NONE, 0.0), 0.0)
    assert directory.take_orders() == [Tell(ONE, Refused(WAITING, "overloaded"))]


@pytest.mark.parametrize("order", [(ONE, TWO), (TWO, ONE)])
@pytest.mark.parametrize(
    ("older", "newer", "winner", "reason"),
    [(SECRET, OTHER, "s1", "conflict"), (SECRET, SECRET, "s2", "taken_over"), (NONE, NONE, "s2", "replaced")],
)
def test_two_that_were_admitted_without_the_router_are_settled_whoever_is_heard_first(
    order: tuple[str, str], older: bytes, newer: bytes, winner: str, reason: str
) -> None:
    directory = ClientDirectory()
    sessions = {ONE: ("s1", older, 1.0), TWO: ("s2", newer, 2.0)}
    orders: list[Tell] = []
    for gateway in order:
        name, secret, at = sessions[gateway]
        orders += served(directory, gateway, name, secret, at=at)
    loser = ("s2", TWO) if winner == "s1" else ("s1", ONE)
    assert orders == [Tell(loser[1], CloseSession("ann", loser[0], reason))]
    assert owner(directory) == winner


def test_table_has_the_winner() -> None:
    directory = ClientDirectory()
    served(directory, ONE, "s1", SECRET, at=1.0)
    value = encode_session(Session("ann", "s2", SECRET, TWO, 2.0))
    assert directory.apply(TWO, {"ann": value}, ()) == {"ann": value}
    assert decode_session(value).gateway == TWO


def test_entry_that_cannot_be_read_counts_as_not_there() -> None:
    directory = open_directory()
    no_utf8 = encode_session(Session("ann", "s2", SECRET, TWO, 2.0)).replace(b"ann", b"\xff\xff\xff")
    assert directory.apply(ONE, {"ann": b"\xc1", "bob": no_utf8}, ()) == {}
    assert directory.unreadable == 2


def test_release_of_another_gateway_has_no_effect() -> None:
    directory = open_directory()
    claim(directory, ONE, "s1", SECRET)
    release = Release("ann", "s1")
    assert directory.release(TWO, release.client_id, release.session) == {}
    assert len(directory) == 1


def test_claim_whose_client_leaves_while_the_slices_are_gathered_does_not_hold_the_id() -> None:
    directory = ClientDirectory()
    assert claim(directory, ONE, "s1", SECRET) == []
    directory.release(ONE, "ann", "s1")
    directory.open(0.0)
    assert directory.take_orders() == []
    assert claim(directory, TWO, "s2", OTHER) == [Tell(TWO, Granted(1))]


@pytest.mark.parametrize("first_told", [ONE, TWO])
def test_of_two_that_were_admitted_without_the_router_the_older_stays_whatever_their_names(first_told: str) -> None:
    directory = ClientDirectory()
    sessions = {ONE: ("s9", SECRET, 1.0), TWO: ("s1", OTHER, 2.0)}
    orders: list[Tell] = []
    for gateway in sorted(sessions, key=lambda each: each != first_told):
        name, secret, at = sessions[gateway]
        orders += served(directory, gateway, name, secret, at=at)
    assert orders == [Tell(TWO, CloseSession("ann", "s1", "conflict"))]
    assert owner(directory) == "s9"
