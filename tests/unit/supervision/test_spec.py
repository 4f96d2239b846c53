"""A bad spec is refused, and the message names role, field and value."""

from __future__ import annotations

from math import nan

import msgspec
import pytest

from majula.messages.supervision import ChildSpec
from majula.supervision import Pulse, SpecError, SupervisorSettings, validate, with_settings
from majula.supervision.budget import BudgetLimits

from .world import spec


def test_good_settings_pass() -> None:
    validate(SupervisorSettings(children=(spec("router"), spec("gateway:18080", isolation="host:edge", vital_group="gateways"))))


@pytest.mark.parametrize(
    ("child", "named"),
    [
        (spec("Router"), "role 'Router'"),
        (spec("gateway:a b"), "role 'gateway:a b'"),
        (ChildSpec(role="router", actor="Router"), "router: actor 'Router'"),
        (spec("router", isolation="thread"), "router: isolation 'thread'"),
        (spec("router", restart="often"), "router: restart 'often'"),
        (spec("router", shutdown_s=-1.0), "router: shutdown_s -1.0"),
        (spec("router", shutdown_s=nan), "router: shutdown_s nan"),
        (spec("router", start_s=0.0), "router: start_s 0.0"),
        (spec("router", start_s=5_000_000.0), "router: start_s 5000000.0"),
        (spec("router", vital=True, vital_group="all"), "router: vital_group 'all'"),
        (spec("router", vital=True, restart="temporary"), "router: a vital child must be permanent, not 'temporary'"),
    ],
)
def test_bad_child_is_refused_by_name(child: ChildSpec, named: str) -> None:
    with pytest.raises(SpecError) as caught:
        validate(SupervisorSettings(children=(child,)))
    assert named in str(caught.value)


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"strategy": "one_for_two"}, "strategy 'one_for_two'"),
        ({"pulse": Pulse(interval_s=0.0)}, "pulse.interval_s 0.0"),
        ({"pulse": Pulse(misses=0)}, "pulse.misses 0"),
        ({"budget": BudgetLimits(deaths=0)}, "budget.deaths 0"),
        ({"children": (spec("router"), spec("router"))}, "role 'router' is given twice"),
    ],
)
def test_bad_supervisor_is_refused_by_name(fields: dict[str, object], named: str) -> None:
    good = SupervisorSettings(children=(spec("router"),))
    with pytest.raises(SpecError) as caught:
        validate(msgspec.structs.replace(good, **fields))
    assert named in str(caught.value)


def test_settings_survive_the_way_through_msgpack() -> None:
    settings = SupervisorSettings(children=(spec("router", sockets=("tcp-1",)),), incarnations={"router": 4})
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(settings), type=SupervisorSettings) == settings


def test_new_settings_reach_a_child_and_a_child_of_a_supervisor_and_nobody_else() -> None:
    below = (spec("one", config=b"old"), spec("two", config=b"old"))
    data = spec("supervisor:data", config=msgspec.msgpack.encode(SupervisorSettings(children=below)))
    changed = with_settings((spec("three", config=b"old"), data), "two", b"new")
    inner = msgspec.msgpack.decode(changed[1].config, type=SupervisorSettings).children
    assert [child.config for child in (changed[0], *inner)] == [b"old", b"old", b"new"]
