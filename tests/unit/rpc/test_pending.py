"""The calls that wait for an answer: each ends once."""

from __future__ import annotations

from math import inf

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from majula.errors import LimitReached
from majula.rpc.pending import PendingCalls


def test_call_is_given_once() -> None:
    calls: PendingCalls[str, str] = PendingCalls()
    call = calls.add("ann", 7, "bob", 1.0, "context")
    assert calls.take(call.id) is call
    assert calls.take(call.id) is None
    assert (call.origin_call, call.target, call.context) == (7, "bob", "context")


def test_call_is_found_by_its_callers_number() -> None:
    calls: PendingCalls[str, str] = PendingCalls()
    call = calls.add("ann", 7, "bob", 1.0)
    assert calls.find("ann", 7) is call
    assert calls.find("ann", 8) is calls.find("bob", 7) is None


def test_calls_expire_at_their_deadline_in_its_order() -> None:
    calls: PendingCalls[str, str] = PendingCalls()
    for number, deadline in ((1, 3.0), (2, 1.0), (3, 2.0)):
        calls.add("ann", number, "bob", deadline)
    assert calls.next_deadline() == 1.0
    assert [call.origin_call for call in calls.expire(2.0)] == [2, 3]
    assert calls.next_deadline() == 3.0


def test_answered_call_does_not_expire_and_arms_no_timer() -> None:
    calls: PendingCalls[str, str] = PendingCalls()
    calls.take(calls.add("ann", 1, "bob", 1.0).id)
    assert calls.next_deadline() == inf
    assert calls.expire(5.0) == []


def test_callers_end_takes_its_calls_out_and_no_others() -> None:
    calls: PendingCalls[str, str] = PendingCalls()
    calls.add("ann", 1, "bob", 1.0)
    calls.add("ann", 2, "cid", 1.0)
    other = calls.add("dan", 1, "bob", 1.0)
    assert [call.origin_call for call in calls.drop_origin("ann")] == [1, 2]
    assert list(calls) == [other]


def test_providers_end_takes_its_calls_out_and_no_others() -> None:
    calls: PendingCalls[str, str] = PendingCalls()
    calls.add("ann", 1, "bob", 1.0)
    other = calls.add("ann", 2, "cid", 1.0)
    assert [call.origin_call for call in calls.drop_target("bob")] == [1]
    assert list(calls) == [other]


def test_caller_with_too_many_calls_is_refused_and_others_are_not() -> None:
    calls: PendingCalls[str, str] = PendingCalls(limit=2)
    first = calls.add("ann", 1, "bob", 1.0)
    calls.add("ann", 2, "bob", 1.0)
    with pytest.raises(LimitReached):
        calls.add("ann", 3, "bob", 1.0)
    calls.add("dan", 1, "bob", 1.0)
    calls.take(first.id)
    calls.add("ann", 3, "bob", 1.0)


def test_number_that_is_under_way_cannot_be_used_again() -> None:
    calls: PendingCalls[str, str] = PendingCalls()
    calls.add("ann", 1, "bob", 1.0)
    with pytest.raises(KeyError):
        calls.add("ann", 1, "cid", 1.0)


def test_answered_calls_with_far_deadlines_do_not_pile_up() -> None:
    calls: PendingCalls[str, str] = PendingCalls()
    for number in range(20_000):
        calls.take(calls.add("ann", number, "bob", 3_600.0).id)
    assert calls.statistics() == {"calls": 0, "origins": 0, "targets": 0, "deadlines": calls.statistics()["deadlines"]}
    assert calls.statistics()["deadlines"] < 2_000


class Machine(RuleBasedStateMachine):
    """Against a plain list of calls."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: PendingCalls[str, str] = PendingCalls(limit=4)
        self.model: dict[int, tuple[str, int, str, float]] = {}
        self.now = 0.0

    @rule(origin=st.sampled_from("ab"), number=st.integers(0, 5), to=st.sampled_from("xy"), wait=st.floats(0, 10))
    def add(self, origin: str, number: int, to: str, wait: float) -> None:
        mine = [entry for entry in self.model.values() if entry[0] == origin]
        if len(mine) >= 4 or any(entry[1] == number for entry in mine):
            with pytest.raises((LimitReached, KeyError)):
                self.calls.add(origin, number, to, self.now + wait)
        else:
            call = self.calls.add(origin, number, to, self.now + wait)
            self.model[call.id] = (origin, number, to, self.now + wait)

    @rule(id=st.integers(1, 60))
    def take(self, id: int) -> None:
        assert (self.calls.take(id) is not None) == (self.model.pop(id, None) is not None)

    @rule(to=st.sampled_from("xy"))
    def drop_target(self, to: str) -> None:
        lost = {id for id, entry in self.model.items() if entry[2] == to}
        assert {call.id for call in self.calls.drop_target(to)} == lost
        for id in lost:
            del self.model[id]

    @rule(step=st.floats(0, 5))
    def expire(self, step: float) -> None:
        self.now += step
        due = {id for id, entry in self.model.items() if entry[3] <= self.now}
        assert {call.id for call in self.calls.expire(self.now)} == due
        for id in due:
            del self.model[id]

    @invariant()
    def deadline_is_the_earliest(self) -> None:
        assert self.calls.next_deadline() == min((entry[3] for entry in self.model.values()), default=inf)
        assert len(self.calls) == len(self.model)
        for origin in "ab":
            assert self.calls.count(origin) == sum(entry[0] == origin for entry in self.model.values())


TestPendingCalls = pytest.mark.slow(Machine.TestCase)
