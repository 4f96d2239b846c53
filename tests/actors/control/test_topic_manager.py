"""The topic manager as a process: what gateways see while it works, dies, stops and comes back."""

from __future__ import annotations

import signal
import time
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from majula.messages.operations import Caller, Perform, Performed
from majula.messages.topics import Retain, Retained
from majula.topics.interest import INTEREST, SUBSCRIPTIONS, Interest, Interests
from majula.topics.operations import TopicLine, TopicsAnswer, TopicsRequest
from majula.topics.retained import RETAINED, RetainedValue
from tests.actors.supervision.rig import record_recovery

from .gateway_probe import Break
from .rig import ControlRig

pytestmark = pytest.mark.slow
ACTOR = "majula.actors.topic_manager.TopicManagerActor"
ONE, TWO = "gateway:1", "gateway:2"


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[ControlRig]:
    async with ControlRig(tmp_path / "r", "topic_manager", ACTOR) as rig:
        await rig.ready(INTEREST)
        yield rig


def wanted(subject: str, gateway: str = ONE) -> tuple[str, bytes]:
    """What a gateway's slice says once a session wants a subject."""
    entry = Interests[int](gateway).subscribe(1, subject, pattern=False)
    assert entry is not None
    return entry


def who_wants(entries: dict[str, bytes], key: str) -> tuple[str, ...]:
    return msgspec.msgpack.decode(entries[key], type=Interest).plain if key in entries else ()


def retained(entries: dict[str, bytes], topic: str) -> bytes:
    return msgspec.msgpack.decode(entries[topic], type=RetainedValue).frame


async def test_subscription_at_one_gateway_is_known_at_the_other(rig: ControlRig) -> None:
    key, value = wanted("a.b")
    rig.put(ONE, SUBSCRIPTIONS, key, value)
    entries = await rig.until_held(TWO, INTEREST, lambda entries: key in entries)
    assert who_wants(entries, key) == (ONE,)


async def test_confirmed_subscription_is_at_the_other_gateway_already(rig: ControlRig) -> None:
    for n in range(50):
        key, value = wanted(f"topic.{n}")
        assert await rig.confirmed(ONE, SUBSCRIPTIONS, key, value)
        # Not `until`: what the other gateway told before the confirmation came must be here, its way is as long.
        await rig.until_held(TWO, INTEREST, lambda entries, key=key: key in entries)  # type: ignore[misc] # a default binds the loop's value


async def test_interest_of_a_gateway_that_is_killed_is_gone(rig: ControlRig) -> None:
    key, value = wanted("a")
    assert await rig.confirmed(ONE, SUBSCRIPTIONS, key, value)
    rig.kill(ONE)
    await rig.until_held(TWO, INTEREST, lambda entries: key not in entries)


@pytest.mark.parametrize("fault", [signal.SIGKILL, signal.SIGSTOP])
async def test_topic_manager_comes_back_with_all_interest_and_none_is_missed_meanwhile(
    rig: ControlRig, fault: signal.Signals, request: pytest.FixtureRequest
) -> None:
    (one, value_one), (two, value_two) = wanted("one"), wanted("two", TWO)
    assert await rig.confirmed(ONE, SUBSCRIPTIONS, one, value_one)
    assert await rig.confirmed(TWO, SUBSCRIPTIONS, two, value_two)
    began = time.monotonic()
    await rig.recovered(rig.role, rig.kill(rig.role, fault))
    late, value_late = wanted("late")
    assert await rig.confirmed(ONE, SUBSCRIPTIONS, late, value_late)
    record_recovery(rig.role, fault.name, time.monotonic() - began, request.node.nodeid)
    for gateway in (ONE, TWO):
        assert set(rig.held(gateway, INTEREST)) >= {one, two}, "the last table was in force all the time"
    entries = await rig.until_held(TWO, INTEREST, lambda entries: late in entries)
    assert (who_wants(entries, one), who_wants(entries, two), who_wants(entries, late)) == ((ONE,), (TWO,), (ONE,))


async def test_garbage_of_a_gateway_costs_its_own_entry_only(rig: ControlRig) -> None:
    key, value = wanted("a")
    assert await rig.confirmed(ONE, SUBSCRIPTIONS, key, value)
    former = rig.roles[rig.role]
    assert await rig.confirmed(TWO, SUBSCRIPTIONS, "=bad", b"\xc1")
    assert rig.roles[rig.role] == former
    assert set(rig.held(TWO, INTEREST)) == {key}


async def test_retained_value_is_at_every_gateway_when_it_is_settled(rig: ControlRig) -> None:
    rig.tell(ONE, Retain(7, "a", b"frame"))
    assert await rig.hears(ONE, Retained) == Retained(7, "")
    for gateway in (ONE, TWO):
        entries = await rig.until_held(gateway, RETAINED, lambda entries: "a" in entries)
        assert retained(entries, "a") == b"frame"


async def test_retained_values_survive_a_sigkill_of_the_topic_manager(rig: ControlRig) -> None:
    big = b"x" * 90_000
    for number, topic, frame in ((1, "a", b"old"), (2, "a", b"new"), (3, "b", big), (4, "c", b"gone")):
        rig.tell(ONE, Retain(number, topic, frame))
    rig.tell(ONE, Retain(5, "c", b"", is_removal=True))
    for _ in range(5):
        assert (await rig.hears(ONE, Retained)).code == ""
    await rig.recovered(rig.role, rig.kill(rig.role))
    assert await rig.confirmed(TWO, SUBSCRIPTIONS, *wanted("x", TWO)), "so it has heard of the new topic manager"
    rig.tell(TWO, Retain(1, "d", b"after"))
    assert await rig.hears(TWO, Retained) == Retained(1, "")
    rig.kill(ONE)  # it comes back empty, and gets everything from the topic manager that has regained it
    await rig.until(lambda: rig.roles[ONE].incarnation == 2 if ONE in rig.roles else False)
    entries = await rig.until_held(ONE, RETAINED, lambda entries: set(entries) == {"a", "b", "d"})
    assert [retained(entries, topic) for topic in "abd"] == [b"new", big, b"after"]


async def test_gateway_that_breaks_comes_back_to_the_whole_table(rig: ControlRig) -> None:
    key, value = wanted("a", TWO)
    assert await rig.confirmed(TWO, SUBSCRIPTIONS, key, value)
    former = rig.act(ONE, Break())
    await rig.recovered(ONE, former)
    entries = await rig.until_held(ONE, INTEREST, lambda entries: key in entries)
    assert who_wants(entries, key) == (TWO,)


async def test_flood_of_changes_arrives_whole(rig: ControlRig) -> None:
    view = Interests[int](ONE)
    keys = set()
    for n in range(5_000):
        entry = view.subscribe(1, f"flood.{n}", pattern=False)
        assert entry is not None
        keys.add(entry[0])
        rig.put(ONE, SUBSCRIPTIONS, *entry)
    assert await rig.confirmed(ONE, SUBSCRIPTIONS, *wanted("last"))
    await rig.until_held(TWO, INTEREST, lambda entries: keys <= set(entries))


async def test_gateway_that_is_stopped_for_a_moment_holds_up_nobody_else(tmp_path: Path) -> None:
    async with ControlRig(tmp_path / "r", "topic_manager", ACTOR, gateways=3) as rig:
        await rig.ready(INTEREST)
        rig.kill(TWO, signal.SIGSTOP)
        for n in range(50):
            rig.put(ONE, SUBSCRIPTIONS, *wanted(f"t.{n}"))
        entries = await rig.until_held("gateway:3", INTEREST, lambda entries: len(entries) == 50)
        rig.kill(TWO, signal.SIGCONT)
        assert await rig.until_held(TWO, INTEREST, lambda held: len(held) == 50) == entries


async def test_values_up_to_the_limit_of_the_node_are_regained(rig: ControlRig, request: pytest.FixtureRequest) -> None:
    frame = b"x" * 1_000_000
    codes = []
    for number in range(1, 71):
        rig.tell(ONE, Retain(number, f"t.{number}", frame))
        codes.append((await rig.hears(ONE, Retained)).code)
    assert codes == [""] * 67 + ["limit_reached"] * 3
    began = time.monotonic()
    await rig.recovered(rig.role, rig.kill(rig.role))
    assert await rig.confirmed(TWO, SUBSCRIPTIONS, *wanted("x", TWO))
    rig.tell(TWO, Retain(1, "t.1", b"", is_removal=True))
    assert await rig.hears(TWO, Retained) == Retained(1, "")
    record_recovery(rig.role, "SIGKILL with 64 MiB retained", time.monotonic() - began, request.node.nodeid)
    entries = await rig.until_held(ONE, RETAINED, lambda entries: "t.1" not in entries)
    assert len(entries) == 66


async def test_list_of_topics_is_answered(rig: ControlRig) -> None:
    assert await rig.confirmed(ONE, SUBSCRIPTIONS, *wanted("a.b"))
    rig.tell(TWO, Perform(7, "topics.list", msgspec.msgpack.encode(TopicsRequest()), Caller("", "ann")))
    performed = await rig.hears(TWO, Performed)
    answer = msgspec.msgpack.decode(performed.answer, type=TopicsAnswer)
    assert answer == TopicsAnswer((TopicLine("a.b", False, (ONE,)),), 1)


async def test_list_by_a_pattern_that_is_none_is_refused(rig: ControlRig) -> None:
    rig.tell(TWO, Perform(7, "topics.list", msgspec.msgpack.encode(TopicsRequest(pattern="a.>.b")), Caller("", "ann")))
    assert (await rig.hears(TWO, Performed)).code == "invalid_request"
