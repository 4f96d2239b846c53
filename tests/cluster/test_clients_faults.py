"""Each process of a node is killed or stopped under load: what live clients, the log and the status show of it.

One run a process and signal; the tests below look at what it showed. Times are recorded in tests/results; the limit that is
asserted only guards against clients that never come back.
"""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import pytest

from majula.errors import Unavailable
from tests.cluster.node_clients import GUARD_S, TREE, Outcome, harm_under_load, running_node
from tests.cluster.node_rig import record_recovery

pytestmark = pytest.mark.slow

HERE = "tests/cluster/test_clients_faults.py::test_messages_and_calls_between_live_clients_are_back"
CONTROL = ("config", "router", "topic_manager", "rpc_broker", "supervisor:control")
GATEWAYS = ("near gateway", "far gateway", "supervisor:data")
ROLES = (*CONTROL, *GATEWAYS, *TREE, "logger")
CASES = [(role, number) for number in (signal.SIGKILL, signal.SIGSTOP) for role in ROLES]
CLEAR = {"answer", "connection_lost", "provider_lost", "no_provider", "unavailable", "overloaded", "draining"}
"""How a call may end here. A deadline is not among them: it would mean that nobody told the caller."""


@pytest.fixture(scope="module", params=CASES, ids=lambda case: f"{case[1].name} {case[0]}")
def outcome(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    role, number = request.param
    found = asyncio.run(harm_under_load(tmp_path_factory.mktemp("n") / "node", role, number))
    record_recovery(role, f"{number.name} under load", found.serving_s, HERE)
    record_recovery(role, f"{number.name} silence for clients", found.silence_s, HERE)
    return found


def test_messages_and_calls_between_live_clients_are_back(outcome: Outcome) -> None:
    assert outcome.silence_s < GUARD_S
    assert outcome.pids[0] != outcome.pids[1]


def test_every_call_ended_in_its_answer_or_one_clear_error(outcome: Outcome) -> None:
    assert outcome.wrong == []
    assert sum(outcome.outcomes.values()) == outcome.started
    assert set(outcome.outcomes) <= CLEAR


def test_no_message_came_twice_or_out_of_order(outcome: Outcome) -> None:
    assert outcome.received == sorted(set(outcome.received))


def test_no_message_was_lost_where_only_control_was_hurt(outcome: Outcome) -> None:
    if outcome.role in (*CONTROL, "logger"):
        assert outcome.received == list(range(len(outcome.received)))
        assert set(outcome.outcomes) == {"answer"}


def test_its_reason_is_in_the_log(outcome: Outcome) -> None:
    assert any(says_why(outcome, reason) for reason in outcome.log_reasons), outcome.log_reasons


def test_its_reason_is_in_the_status(outcome: Outcome) -> None:
    if outcome.role != "logger":  # it has no role, so no line in the status
        assert any(says_why(outcome, reason) for reason in outcome.status_reasons), outcome.status_reasons


def says_why(outcome: Outcome, reason: str) -> bool:
    if outcome.role in TREE:
        return f"(pid {outcome.pids[0]})" in reason
    # A stopped process is killed by who found it hung; the logger's watch says the same in other words.
    return "SIGKILL" in reason or (outcome.fault == "SIGSTOP" and reason == "hung: 4 pings unanswered")


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP], ids=["killed", "stopped"])
async def test_a_synchronous_subscription_without_topic_manager_misses_nothing_or_says_unavailable(
    tmp_path: Path, number: signal.Signals
) -> None:
    async with running_node(tmp_path / "node") as clients:
        near, far = await clients.connect(0), await clients.connect(1)
        os.kill(await clients.node.pid("topic_manager"), number)
        if number == signal.SIGSTOP:  # it is found after more than the 2 s that a confirmation is waited for
            with pytest.raises(Unavailable):
                await far.subscribe("t", sync=True)
            await clients.node.until_said("child.died", "topic_manager")
            await clients.node.until_serving()
        subscription = await far.subscribe("t", sync=True)
        await near.publish("t", "not missed")
        async with asyncio.timeout(GUARD_S):
            assert (await anext(subscription)).payload == "not missed"


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP], ids=["killed", "stopped"])
async def test_a_synchronous_registration_without_broker_can_be_called_everywhere_or_says_unavailable(
    tmp_path: Path, number: signal.Signals
) -> None:
    async with running_node(tmp_path / "node") as clients:
        near, far = await clients.connect(0), await clients.connect(1)
        os.kill(await clients.node.pid("rpc_broker"), number)
        if number == signal.SIGSTOP:
            with pytest.raises(Unavailable):
                await far.register("f", lambda: "here", sync=True)
            await clients.node.until_said("child.died", "rpc_broker")
            await clients.node.until_serving()
        await far.register("f", lambda: "here", sync=True)
        assert await near.call("f") == "here"
