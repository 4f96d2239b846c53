"""Which provider gets a call."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from hypothesis import given
from hypothesis import strategies as st

from majula.rpc.choice import TURNS_LIMIT, Choice
from majula.rpc.services import Service, Services


def providers(*names: str, function: str = "add") -> Mapping[str, Service]:
    services = Services("gateway:1")
    for name in names:
        services.register(function, name)
    return services.providers(function)


def name_of(service: Service | None) -> str | None:
    return None if service is None else service.provider


def test_nobody_is_picked_where_nobody_offers() -> None:
    assert Choice().pick({}) is None


def test_named_provider_is_picked_however_busy_it_is() -> None:
    choice = Choice()
    for _ in range(10):
        choice.started("bob")
    assert name_of(choice.pick(providers("ann", "bob"), provider="bob")) == "bob"


def test_named_provider_that_does_not_offer_is_nobody() -> None:
    assert Choice().pick(providers("ann"), provider="bob") is None


def test_equals_take_turns() -> None:
    choice, offered = Choice(), providers("a", "b", "c")
    assert [name_of(choice.pick(offered)) for _ in range(6)] == ["a", "b", "c", "a", "b", "c"]


def test_provider_with_the_least_outstanding_calls_is_picked() -> None:
    choice, offered = Choice(), providers("a", "b", "c")
    for name in ("a", "a", "b", "c", "c"):
        choice.started(name)
    assert [name_of(choice.pick(offered)) for _ in range(3)] == ["b", "b", "b"]
    choice.ended("a")
    choice.ended("a")
    assert name_of(choice.pick(offered)) == "a"


def test_provider_that_has_just_failed_is_left_out() -> None:
    choice = Choice()
    assert {name_of(choice.pick(providers("a", "b"), without="a")) for _ in range(4)} == {"b"}
    assert choice.pick(providers("a"), without="a") is None


def test_provider_that_cannot_be_reached_is_left_out() -> None:
    choice = Choice()
    assert name_of(choice.pick(providers("a", "b"), is_usable=lambda service: service.provider == "b")) == "b"
    assert choice.pick(providers("a"), is_usable=lambda service: False) is None
    assert choice.pick(providers("a", "b"), provider="a", is_usable=lambda service: False) is None


@given(st.lists(st.integers(0, 4), min_size=2, max_size=100))
def test_calls_under_way_differ_by_one_at_most_while_none_ends(names: list[int]) -> None:
    choice, offered = Choice(), providers(*"abcde")
    for _ in names:
        picked = choice.pick(offered)
        assert picked is not None
        choice.started(picked.provider)
    counts = [choice.outstanding(name) for name in "abcde"]
    assert max(counts) - min(counts) <= 1


def test_count_of_calls_under_way_never_goes_below_none() -> None:
    choice = Choice()
    choice.ended("a")
    choice.started("a")
    assert choice.outstanding("a") == 1


def test_every_one_of_many_providers_gets_its_turn() -> None:
    choice, offered = Choice(), providers(*(f"p{n}" for n in range(200)))
    assert set(Counter(name_of(choice.pick(offered)) for _ in range(200)).values()) == {1}


def test_turns_of_many_functions_are_bounded_and_picking_goes_on() -> None:
    choice = Choice()
    for n in range(TURNS_LIMIT + 10):
        assert choice.pick(providers("a", "b", function=f"f{n}")) is not None
