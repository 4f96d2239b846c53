"""Which gateways have event streams that read for a client id."""

from __future__ import annotations

from majula.routing.readers import ReaderMerge, Readers

ONE, TWO = "gateway:1", "gateway:2"


def gateways(*steps: tuple[str, str, bool]) -> dict[str, tuple[str, ...]]:
    """What a gateway's copy says after these: (gateway, client id, does it begin to read)."""
    merge, copy = ReaderMerge(), Readers()
    for owner, client_id, begins in steps:
        changes = merge.apply(owner, {client_id: b""} if begins else {}, [] if begins else [client_id])
        _take(copy, changes)
    return {client_id: tuple(copy.of(client_id)) for client_id in copy.ids()}


def _take(copy: Readers, changes: dict[str, bytes | None]) -> None:
    copy.apply(
        {key: value for key, value in changes.items() if value is not None},
        [key for key, value in changes.items() if value is None],
    )


def test_gateways_stand_in_the_order_of_their_names() -> None:
    assert gateways((TWO, "bob", True), (ONE, "bob", True)) == {"bob": (ONE, TWO)}


def test_gateway_whose_last_stream_has_ended_is_left_out() -> None:
    assert gateways((ONE, "bob", True), (TWO, "bob", True), (ONE, "bob", False)) == {"bob": (TWO,)}


def test_id_that_nobody_reads_is_forgotten() -> None:
    assert gateways((ONE, "bob", True), (ONE, "bob", False)) == {}


def test_end_that_was_never_a_beginning_changes_nothing() -> None:
    assert gateways((ONE, "bob", True), (TWO, "bob", False)) == {"bob": (ONE,)}


def test_gateway_that_is_lost_reads_nothing() -> None:
    merge, copy = ReaderMerge(), Readers()
    _take(copy, merge.apply(ONE, {"bob": b"", "ann": b""}, []))
    _take(copy, merge.apply(TWO, {"bob": b""}, []))
    _take(copy, merge.owner_lost(ONE))
    assert {client_id: copy.of(client_id) for client_id in copy.ids()} == {"bob": (TWO,)}


def test_id_that_is_not_read_has_no_gateways() -> None:
    assert Readers().of("bob") == ()
