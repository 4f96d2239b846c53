"""Where every role lives."""

from __future__ import annotations

from majula.messages.supervision import RoleEntry, RoleSlice
from majula.supervision import RoleRegistry


def entry(number: int) -> RoleEntry:
    return RoleEntry(address=f"a{number}", incarnation=number, pid=number)


def test_incarnations_of_a_role_grow_by_one() -> None:
    registry = RoleRegistry({})
    assert [registry.next_incarnation("router") for _ in range(3)] == [1, 2, 3]


def test_incarnation_after_a_new_life_of_the_supervisor_lies_above_any_that_was_given() -> None:
    registry = RoleRegistry({"router": 7})
    assert registry.next_incarnation("router") == 7 + RoleRegistry.GAP + 1


def test_child_that_went_is_not_listed() -> None:
    registry = RoleRegistry({})
    registry.came("router", entry(1))
    assert registry.went("router")
    assert registry.entries() == {}


def test_child_that_was_never_there_changes_nothing_when_it_goes() -> None:
    assert not RoleRegistry({}).went("router")


def test_slice_of_a_supervisor_is_listed_beside_its_own_children() -> None:
    registry = RoleRegistry({})
    registry.came("supervisor:control", entry(1))
    assert registry.replace_slice("supervisor:control", RoleSlice({"router": entry(2)}, {"router": 2}))
    assert registry.entries() == {"supervisor:control": entry(1), "router": entry(2)}


def test_slice_goes_with_its_supervisor() -> None:
    registry = RoleRegistry({})
    registry.came("supervisor:control", entry(1))
    registry.replace_slice("supervisor:control", RoleSlice({"router": entry(2)}, {"router": 2}))
    registry.went("supervisor:control")
    assert registry.entries() == {}


def test_incarnations_of_a_slice_are_remembered_when_its_supervisor_is_gone() -> None:
    registry = RoleRegistry({})
    registry.replace_slice("supervisor:control", RoleSlice({}, {"router": 5}))
    registry.went("supervisor:control")
    assert registry.incarnations()["router"] == 5


def test_slice_that_is_as_before_is_no_change() -> None:
    registry = RoleRegistry({})
    registry.replace_slice("supervisor:control", RoleSlice({"router": entry(2)}, {}))
    assert not registry.replace_slice("supervisor:control", RoleSlice({"router": entry(2)}, {"router": 9}))


def test_each_published_registry_has_a_higher_version() -> None:
    registry = RoleRegistry({})
    assert [registry.as_roles().version for _ in range(3)] == [1, 2, 3]
