"""Who has come and gone: told once each, whatever happens to the router."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from majula.messages.routing import Claim
from majula.routing.clients import ClientDirectory
from majula.routing.presence import UNSEEN, Came, Move, Presence, Went
from majula.routing.sessions import Session, encode_session

ONE, TWO = "gateway:1", "gateway:2"


def session(name: str = "s1", gateway: str = ONE, client_id: str = "ann", at: float = 0.0, secret: bytes = b"") -> Session:
    return Session(client_id, name, secret, gateway, at)


def appear(directory: ClientDirectory, one: Session) -> list[Move]:
    """The session stands in its gateway's slice."""
    directory.apply(one.gateway, {one.client_id: encode_session(one)}, [])
    return directory.take_moves()


def directory() -> ClientDirectory:
    found = ClientDirectory()
    found.open(0.0)
    return found


# --- what the directory says


def test_session_comes_when_it_stands_in_its_slice() -> None:
    found = directory()
    found.claim(ONE, Claim(1, "ann", "s1", b"", 0.0), 0.0)
    assert found.take_moves() == []
    assert appear(found, session()) == [Came(session())]


def test_session_that_is_written_again_has_not_come_again() -> None:
    found = directory()
    appear(found, session())
    assert appear(found, session()) == []


def test_claim_that_nobody_used_has_neither_come_nor_gone() -> None:
    found = directory()
    found.claim(ONE, Claim(1, "ann", "s1", b"", 0.0), 0.0)
    found.timer(found.next_deadline())
    assert found.take_moves() == []


def test_end_is_told_once_though_it_is_said_twice() -> None:
    found = directory()
    appear(found, session())
    found.release(ONE, "ann", "s1", "token_ended")
    found.apply(ONE, {}, ["ann"])
    assert found.take_moves() == [Went("ann", ONE, "token_ended")]


def test_end_without_a_reason_is_the_clients_own() -> None:
    found = directory()
    appear(found, session())
    found.apply(ONE, {}, ["ann"])
    assert found.take_moves() == [Went("ann", ONE, "closed")]


def test_session_that_is_taken_over_goes_before_the_newer_comes() -> None:
    found = directory()
    appear(found, session(secret=b"x"))
    found.claim(TWO, Claim(1, "ann", "s2", b"x", 1.0), 1.0)
    newer = session("s2", TWO, secret=b"x", at=1.0)
    assert [*found.take_moves(), *appear(found, newer)] == [Went("ann", ONE, "taken_over"), Came(newer)]


def test_session_that_loses_against_an_older_one_has_never_come() -> None:
    found = directory()
    appear(found, session(secret=b"x"))
    assert appear(found, session("s2", TWO, secret=b"y", at=1.0)) == []


def test_sessions_of_a_lost_gateway_have_gone() -> None:
    found = directory()
    appear(found, session())
    appear(found, session("s2", TWO, "bob"))
    found.owner_lost(ONE)
    assert found.take_moves() == [Went("ann", ONE, "gateway_lost")]


# --- what is told across a restart


def test_of_those_who_stayed_nothing_is_told() -> None:
    before = Presence()
    table = {key: value for key, value in before.told([Came(session())]).items() if value is not None}
    assert Presence().open(table, [session()]) == ([], {})


def test_who_came_and_went_while_nobody_looked_is_told() -> None:
    before = Presence()
    table = {key: value for key, value in before.told([Came(session())]).items() if value is not None}
    moves, changes = Presence().open(table, [session("s2", TWO, "bob")])
    assert moves == [Went("ann", ONE, UNSEEN), Came(session("s2", TWO, "bob"))]
    assert set(changes) == {"ann", "bob"}


def test_client_that_has_connected_again_meanwhile_went_and_came() -> None:
    table = {key: value for key, value in Presence().told([Came(session())]).items() if value is not None}
    moves, changes = Presence().open(table, [session("s2")])
    assert moves == [Went("ann", ONE, UNSEEN), Came(session("s2"))]
    assert changes["ann"] is not None


def test_entry_that_cannot_be_read_counts_as_not_told() -> None:
    moves, _ = Presence().open({"ann": b"\xc1"}, [session()])
    assert moves == [Came(session())]


@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from((ONE, TWO)), st.booleans(), st.booleans()), max_size=40))
def test_each_client_comes_and_goes_in_turn_whatever_restarts(steps: list[tuple[str, str, bool, bool]]) -> None:
    """Slices change, the router restarts at any moment; what is told of one client alternates, and ends as it is."""
    found, presence, table = directory(), Presence(), dict[str, bytes]()
    slices: dict[str, dict[str, Session]] = {ONE: {}, TWO: {}}
    there: dict[str, bool] = {}

    def hear(moves: list[Move]) -> None:
        for move in moves:
            client_id = move.session.client_id if isinstance(move, Came) else move.client_id
            assert there.get(client_id, False) != isinstance(move, Came)
            there[client_id] = isinstance(move, Came)
        for key, value in presence.told(moves).items():
            table.pop(key, None)
            if value is not None:
                table[key] = value

    for number, (client_id, gateway, comes, restarts) in enumerate(steps):
        if restarts:
            found = ClientDirectory()
            for owner, entries in slices.items():
                found.apply(owner, {key: encode_session(one) for key, one in entries.items()}, [])
            found.open(0.0)
            found.take_moves()
            presence = Presence()
            moves, _ = presence.open(dict(table), found.sessions())
            hear(moves)
        if comes:
            one = slices[gateway][client_id] = session(f"s{number}", gateway, client_id, float(number))
            hear(appear(found, one))
        elif slices[gateway].pop(client_id, None) is not None:
            found.apply(gateway, {}, [client_id])
            hear(found.take_moves())
        for order in found.take_orders():
            lost = order.message
            held = slices[order.gateway].get(getattr(lost, "client_id", ""))
            if held is not None and held.session == getattr(lost, "session", ""):
                del slices[order.gateway][held.client_id]
                found.apply(order.gateway, {}, [held.client_id])
                hear(found.take_moves())
    here = {one.client_id for one in found.sessions()}
    assert {client_id for client_id, is_there in there.items() if is_there} == here
