"""Names of actors."""

from __future__ import annotations

import pytest

from majula.actorsystem.address import NameSource, SocketAddress, admin_name, split


def test_children_are_named_after_their_parent_and_a_counter() -> None:
    names = NameSource("a2.1")
    assert [names.next(), names.next()] == ["a2.1.1", "a2.1.2"]


def test_the_admins_children_of_a_later_start_have_other_names() -> None:
    first, second = NameSource("admin", 1), NameSource("admin", 2)
    assert first.next() != second.next()


def test_admins_that_share_a_directory_name_their_children_apart() -> None:
    assert NameSource(admin_name(5000)).next() != NameSource(admin_name(5001)).next()


@pytest.mark.parametrize(("address", "parts"), [("a7", ("a7", 0)), ("a7#3", ("a7", 3)), ("x9.1#12", ("x9.1", 12))])
def test_an_address_is_a_process_and_a_local_id(address: str, parts: tuple[str, int]) -> None:
    assert split(address) == parts


def test_addresses_are_equal_by_name() -> None:
    assert SocketAddress("a1") == SocketAddress("a1") != SocketAddress("a2")
    assert len({SocketAddress("a1"), SocketAddress("a1")}) == 1
