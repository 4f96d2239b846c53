"""Who provides what."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from majula.errors import InvalidRequest
from majula.rpc.services import ServiceMerge, Services, check_name, service_key
from majula.wire.headers import Parameter

ONE, TWO = "gateway:1", "gateway:2"


def spread(services: Services, changes: dict[str, bytes | None]) -> None:
    services.apply({k: v for k, v in changes.items() if v is not None}, [k for k, v in changes.items() if v is None])


def test_own_registration_holds_at_once_without_a_broker() -> None:
    services = Services(ONE)
    services.register("add", "ann", parameters=(Parameter("a", "int"),), note="adds")
    service = services.providers("add")["ann"]
    assert (service.gateway, service.note, service.parameters[0].name) == (ONE, "adds", "a")


def test_registration_at_another_gateway_is_seen_by_the_table() -> None:
    merge, services = ServiceMerge(), Services(ONE)
    key, value = Services(TWO).register("add", "bob")
    spread(services, merge.apply(TWO, {key: value}, ()))
    assert services.providers("add")["bob"].gateway == TWO


def test_registering_again_replaces_and_keeps_the_place_in_listings() -> None:
    services = Services(ONE)
    services.register("one", "ann")
    services.register("two", "ann")
    services.register("one", "ann", note="better")
    assert [(service.function, service.note) for service in services.list()] == [("one", "better"), ("two", "")]


def test_listing_of_one_provider_leaves_the_others_out() -> None:
    services = Services(ONE)
    services.register("add", "ann")
    services.register("add", "bob")
    assert [service.provider for service in services.list("bob")] == ["bob"]


def test_nobody_provides_a_function_whose_last_provider_has_left() -> None:
    services = Services(ONE)
    key, _ = services.register("add", "ann")
    assert services.unregister("add", "ann") == key
    assert not services.providers("add")
    assert services.unregister("add", "ann") is None


def test_provider_of_another_gateway_cannot_be_unregistered_here() -> None:
    merge, services = ServiceMerge(), Services(ONE)
    key, value = Services(TWO).register("add", "bob")
    spread(services, merge.apply(TWO, {key: value}, ()))
    assert services.unregister("add", "bob") is None
    assert services.get("add", "bob") is not None


def test_own_registration_hides_the_tables_older_word_and_uncovers_it_when_it_ends() -> None:
    merge, services = ServiceMerge(), Services(ONE)
    key, value = Services(TWO).register("add", "ann")
    spread(services, merge.apply(TWO, {key: value}, ()))
    services.register("add", "ann")
    assert services.providers("add")["ann"].gateway == ONE
    services.unregister("add", "ann")
    assert services.providers("add")["ann"].gateway == TWO


def test_table_that_still_names_this_gateway_brings_nothing_back() -> None:
    merge, services = ServiceMerge(), Services(ONE)
    key, value = services.register("add", "ann")
    changes = merge.apply(ONE, {key: value}, ())
    services.unregister("add", "ann")
    spread(services, changes)
    assert not services.providers("add")


def test_services_of_a_lost_gateway_are_gone() -> None:
    merge, services = ServiceMerge(), Services(ONE)
    key, value = Services(TWO).register("add", "bob")
    spread(services, merge.apply(TWO, {key: value}, ()))
    spread(services, merge.owner_lost(TWO))
    assert not services.providers("add")


def test_provider_that_moves_is_at_the_gateway_that_spoke_last() -> None:
    merge = ServiceMerge()
    (key, first), (_, second) = Services(ONE).register("add", "ann"), Services(TWO).register("add", "ann")
    merge.apply(ONE, {key: first}, ())
    assert merge.apply(TWO, {key: second}, ()) == {key: second}
    assert merge.apply(ONE, {}, [key]) == {key: second}
    assert merge.apply(TWO, {}, [key]) == {key: None}


def test_entry_that_cannot_be_read_counts_as_not_there() -> None:
    merge = ServiceMerge()
    key, value = Services(ONE).register("add", "ann")
    no_utf8, nested = msgspec.msgpack.encode(["add", "ann"]).replace(b"add", b"\xff\xff\xff"), b"\x91" * 5000 + b"\xc0"
    assert merge.apply(ONE, {key: b"\xc1", "x\ny": value, "a": no_utf8, "b": nested}, ()) == {}
    assert merge.unreadable == 4


def test_description_beyond_its_limit_is_refused() -> None:
    with pytest.raises(InvalidRequest):
        Services(ONE).register("add", "ann", note="x" * 17_000)


@pytest.mark.parametrize("name", ["a", "A-z_0.9", "温度", "with space", "x" * 128])
def test_name_is_any_utf8_text_without_control_characters(name: str) -> None:
    assert check_name(name) == name


@pytest.mark.parametrize("name", ["", "x" * 129, "é" * 65, "a\nb", "\x1b[0m", "\ud800", "a\u2028"])
def test_name_that_is_empty_long_or_has_control_characters_is_refused(name: str) -> None:
    with pytest.raises(InvalidRequest):
        check_name(name)


NAMES = st.sampled_from(["add", "sub"])
STEP = st.tuples(st.sampled_from([ONE, TWO]), st.booleans(), NAMES, st.sampled_from(["ann", "bob"]))


@given(st.lists(STEP, max_size=30))
def test_all_gateways_see_all_services(steps: list[tuple[str, bool, str, str]]) -> None:
    merge, views = ServiceMerge(), {ONE: Services(ONE), TWO: Services(TWO)}
    held: dict[str, set[str]] = {ONE: set(), TWO: set()}
    for gateway, is_on, function, provider in steps:
        if is_on:
            key, value = views[gateway].register(function, provider)
            changes = merge.apply(gateway, {key: value}, ())
            held[gateway].add(key)
        else:
            gone = views[gateway].unregister(function, provider)
            changes = {} if gone is None else merge.apply(gateway, {}, [gone])
            held[gateway].discard(service_key(function, provider))
        for view in views.values():
            spread(view, changes)
    for view in views.values():
        assert {service_key(s.function, s.provider) for s in view.list()} == held[ONE] | held[TWO]


@given(st.lists(st.tuples(st.sampled_from([ONE, TWO]), st.booleans(), st.sampled_from("fg"), st.sampled_from("ab")), max_size=30))
def test_count_of_services_is_that_of_the_listing(steps: list[tuple[str, bool, str, str]]) -> None:
    merge, here, there = ServiceMerge(), Services(ONE), Services(TWO)
    for at, is_new, function, provider in steps:
        owner = here if at == ONE else there
        if is_new:
            key, value = owner.register(function, provider)
            spread(here, merge.apply(at, {key: value}, ()))
        elif (gone := owner.unregister(function, provider)) is not None:
            spread(here, merge.apply(at, {}, (gone,)))
        assert len(here) == len(list(here.list()))
