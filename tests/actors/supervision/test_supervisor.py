"""A supervisor with real child processes: what happens when they are killed, stopped, or break by themselves."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from pathlib import Path

import msgspec
import pytest

from majula.messages.config import Settings
from majula.messages.supervision import Drain, Drained, Escalate, Pong, RoleEntry, RoleSlice, Started, Stop
from majula.supervision import Pulse, SupervisorSettings
from majula.supervision.budget import BudgetLimits

from .probe import Act, OutOfProcesses, ProbeConfig
from .rig import SupervisorRig, is_alive, probe, record_recovery, supervisor

pytestmark = pytest.mark.slow


async def test_children_are_ready_in_order_each_in_its_own_process(tmp_path: Path) -> None:
    async with SupervisorRig(tmp_path / "r", probe("one"), probe("two")) as rig:
        await rig.running("one", "two")
        assert [report.offender for report in rig.reports] == ["one", "two"]
        assert len({rig.roles[role].pid for role in ("supervisor:root", "one", "two")} | {os.getpid()}) == 4


async def test_sigkilled_child_is_restarted_with_its_reason(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    async with SupervisorRig(tmp_path / "r", probe("one"), probe("two")) as rig:
        await rig.running("one", "two")
        two = rig.roles["two"]
        seconds = await rig.recovered("one", rig.kill("one"))
        assert rig.roles["one"].incarnation == 2
        assert rig.roles["two"] == two
        assert next(r.reason for r in rig.reports if r.context == "child.died") == "killed by SIGKILL"
        record_recovery("child", "SIGKILL", seconds, request.node.nodeid)


async def test_stopped_child_is_found_killed_and_restarted(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    async with SupervisorRig(tmp_path / "r", probe("one")) as rig:
        await rig.running("one")
        seconds = await rig.recovered("one", rig.kill("one", signal.SIGSTOP))
        assert next(r.reason for r in rig.reports if r.context == "child.died") == "hung: 4 pings unanswered"
        record_recovery("child", "SIGSTOP", seconds, request.node.nodeid)


async def test_spinning_child_is_found_killed_and_restarted(tmp_path: Path) -> None:
    settings = SupervisorSettings(children=(probe("one"),), pulse=Pulse(interval_s=0.1, misses=3))
    async with SupervisorRig(tmp_path / "r", settings=settings) as rig:
        await rig.running("one")
        await rig.recovered("one", rig.act("one", Act("spin")))
        assert "child.hung" in rig.said("one")


@pytest.mark.parametrize(("what", "reason"), [("raise", "ValueError: bad topic"), ("raise_in_task", "KeyError: 'lost'")])
async def test_child_that_raises_is_restarted_and_its_words_are_kept(tmp_path: Path, what: str, reason: str) -> None:
    async with SupervisorRig(tmp_path / "r", probe("one")) as rig:
        await rig.running("one")
        await rig.recovered("one", rig.act("one", Act(what)))  # type: ignore[arg-type] # parametrized literal
        assert (await rig.status())["one"].deaths[0].reason == reason


async def test_child_whose_start_fails_is_quarantined_and_the_others_run(tmp_path: Path) -> None:
    async with SupervisorRig(tmp_path / "r", probe("bad", ProbeConfig(fail_start="no luck")), probe("good")) as rig:
        await rig.until(lambda: "child.quarantined" in rig.said("bad"))
        await rig.running("good")
        bad = (await rig.status())["bad"]
        assert (bad.state, bad.deaths[0].reason) == ("quarantined", "OSError: no luck")


async def test_vital_child_that_cannot_be_kept_alive_escalates_with_its_reason(tmp_path: Path) -> None:
    async with SupervisorRig(tmp_path / "r", probe("bad", ProbeConfig(fail_start="no luck"), vital=True)) as rig:
        await rig.until(lambda: bool(rig.escalations))
        assert (rig.escalations[0].offender, rig.escalations[0].reason) == ("bad", "OSError: no luck")


async def test_escalation_below_a_vital_supervisor_reaches_the_watcher(tmp_path: Path) -> None:
    bad = probe("bad", ProbeConfig(fail_start="no luck"), vital=True)
    async with SupervisorRig(tmp_path / "r", supervisor("supervisor:data", bad, vital=True)) as rig:
        await rig.until(lambda: bool(rig.escalations))
        assert (rig.escalations[0].offender, rig.escalations[0].reason) == ("bad", "OSError: no luck")


async def test_actor_class_that_does_not_exist_fails_the_start_of_its_supervisor(tmp_path: Path) -> None:
    bad = probe("one")
    settings = SupervisorSettings(children=(type(bad)(role="one", actor="majula.actors.nothing.Nothing"),))
    async with SupervisorRig(tmp_path / "r", settings=settings) as rig:
        await asyncio.to_thread(rig.process.join, 10.0)
        assert "majula.actors.nothing" in rig.process.reap()


async def test_every_actor_learns_where_a_restarted_role_lives(tmp_path: Path) -> None:
    rig = SupervisorRig(tmp_path / "r")
    await rig.outside.__aenter__()
    watching = ProbeConfig(reports_to=rig.outside.address)
    children = (supervisor("supervisor:a", probe("one")), supervisor("supervisor:b", probe("two", watching)))
    rig._settings = SupervisorSettings(children=children)
    async with rig:
        await rig.until(lambda: any(saw.role == "one" and saw.address for saw in rig.saw))
        rig.saw.clear()
        former = rig.kill("one")
        await rig.until(lambda: any(saw.role == "one" and saw.incarnation == former.incarnation + 1 for saw in rig.saw))
        assert [saw.address != "" for saw in rig.saw if saw.role == "one"] == [False, True]


async def test_children_of_a_killed_supervisor_die_with_it_and_live_again(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    async with SupervisorRig(tmp_path / "r", supervisor("supervisor:a", probe("one"), probe("two")), probe("three")) as rig:
        await rig.running("one", "two", "three")
        one, two, three = (rig.roles[role] for role in ("one", "two", "three"))
        began = time.monotonic()
        rig.kill("supervisor:a")
        await rig.recovered("one", one)
        await rig.recovered("two", two)
        record_recovery("supervisor", "SIGKILL", time.monotonic() - began, request.node.nodeid)
        assert rig.roles["three"] == three
        assert not is_alive(one.pid)
        assert not is_alive(two.pid)


async def test_killed_supervisor_leaves_no_names_of_its_children_in_the_run_directory(tmp_path: Path) -> None:
    async with SupervisorRig(tmp_path / "r", supervisor("supervisor:a", probe("one"), probe("two"))) as rig:
        await rig.running("one", "two")
        before = {path.name for path in (tmp_path / "r").iterdir()}
        one, two = rig.roles["one"], rig.roles["two"]
        rig.kill("supervisor:a")
        await rig.recovered("one", one)
        await rig.recovered("two", two)
        assert len(list((tmp_path / "r").iterdir())) == len(before)


async def test_stopped_supervisor_is_found_and_its_children_live_again(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    async with SupervisorRig(tmp_path / "r", supervisor("supervisor:a", probe("one"))) as rig:
        await rig.running("one")
        one = rig.roles["one"]
        began = time.monotonic()
        rig.kill("supervisor:a", signal.SIGSTOP)
        await rig.recovered("one", one)
        record_recovery("supervisor", "SIGSTOP", time.monotonic() - began, request.node.nodeid)


async def test_crash_loop_ends_in_quarantine_and_the_status_says_degraded(tmp_path: Path) -> None:
    settings = SupervisorSettings(children=(probe("one"), probe("two")), budget=BudgetLimits(deaths=3))
    async with SupervisorRig(tmp_path / "r", settings=settings) as rig:
        await rig.running("one", "two")
        former: RoleEntry = rig.kill("one")
        for _ in range(2):
            await rig.recovered("one", former)
            former = rig.kill("one")
        await rig.until(lambda: "child.quarantined" in rig.said("one"))
        status = await rig.status()
        assert (status["one"].state, status["two"].state) == ("quarantined", "running")
        assert 0 < status["one"].retry_in_s <= 60.0


async def test_status_shows_statistics_of_a_child(tmp_path: Path) -> None:
    settings = SupervisorSettings(children=(probe("one"),), pulse=Pulse(interval_s=0.05, misses=40))
    async with SupervisorRig(tmp_path / "r", settings=settings) as rig:
        await rig.running("one")
        async with asyncio.timeout(10.0):
            while (await rig.status())["one"].statistics.get("answer") != 42:
                pass  # each turn is one question and its answer


async def test_drain_waits_for_the_slowest_child(tmp_path: Path) -> None:
    children = (supervisor("supervisor:a", probe("one", ProbeConfig(drain_s=0.3))), probe("two"))
    async with SupervisorRig(tmp_path / "r", *children) as rig:
        await rig.running("one", "two")
        began = time.monotonic()
        answer = await rig.outside.ask(rig.address, Drain(10.0), 10.0)
        assert isinstance(answer, Drained)
        assert time.monotonic() - began >= 0.3


async def test_stop_ends_every_process_of_the_tree(tmp_path: Path) -> None:
    async with SupervisorRig(tmp_path / "r", supervisor("supervisor:a", probe("one")), probe("two")) as rig:
        await rig.running("one", "two")
        rig.outside.send(rig.address, Stop())
        await asyncio.to_thread(rig.process.join, 10.0)
        assert rig.process.reap() == "stopped"
        assert not [pid for pid in rig.pids if is_alive(pid)]


async def test_child_that_ignores_stop_is_killed_after_its_shutdown_time(tmp_path: Path) -> None:
    stubborn = probe("one", ProbeConfig(ignore_stop=True), shutdown_s=0.3)
    async with SupervisorRig(tmp_path / "r", stubborn) as rig:
        await rig.running("one")
        rig.outside.send(rig.address, Stop())
        await asyncio.to_thread(rig.process.join, 10.0)
        assert rig.process.reap() == "stopped"
        assert not [pid for pid in rig.pids if is_alive(pid)]


async def test_children_of_a_killed_root_are_gone_within_a_second(tmp_path: Path) -> None:
    async with SupervisorRig(tmp_path / "r", supervisor("supervisor:a", probe("one")), probe("two")) as rig:
        await rig.running("one", "two")
        rig.kill("two", signal.SIGSTOP)
        rig.process.send_signal(signal.SIGKILL)
        until = time.monotonic() + 1.0
        while time.monotonic() < until and any(is_alive(pid) for pid in rig.pids):
            await asyncio.sleep(0.01)  # the processes are not ours to wait for
        assert not [pid for pid in rig.pids if is_alive(pid)]


async def test_start_that_fails_for_want_of_processes_is_tried_again(tmp_path: Path) -> None:
    async with SupervisorRig(tmp_path / "r", probe("one"), cls=OutOfProcesses) as rig:
        await rig.running("one")
        assert rig.said("one")[:2] == ["child.start_failed", "child.restarting"]
        assert (await rig.status())["one"].deaths[0].reason.endswith("Resource temporarily unavailable")


async def test_hosted_child_that_raises_is_restarted_alone(tmp_path: Path) -> None:
    children = [probe(f"one:{number}", isolation="host:h") for number in range(3)]
    async with SupervisorRig(tmp_path / "r", *children) as rig:
        await rig.running(*(child.role for child in children))
        assert len({rig.roles[child.role].pid for child in children}) == 1
        others = [rig.roles[f"one:{number}"] for number in (0, 2)]
        await rig.recovered("one:1", rig.act("one:1", Act("raise")))
        assert [rig.roles[f"one:{number}"] for number in (0, 2)] == others
        assert (await rig.status())["one:1"].deaths[0].reason == "ValueError: bad topic"


async def test_death_of_a_host_restarts_all_that_live_in_it(tmp_path: Path) -> None:
    children = [probe(f"one:{number}", isolation="host:h") for number in range(3)]
    async with SupervisorRig(tmp_path / "r", *children) as rig:
        await rig.running(*(child.role for child in children))
        former = dict(rig.roles)
        rig.kill("one:1")
        for child in children:
            await rig.recovered(child.role, former[child.role])


async def test_hosted_child_that_spins_costs_its_host(tmp_path: Path) -> None:
    children = tuple(probe(f"one:{number}", isolation="host:h") for number in range(2))
    settings = SupervisorSettings(children=children, pulse=Pulse(interval_s=0.1, misses=3))
    async with SupervisorRig(tmp_path / "r", settings=settings) as rig:
        await rig.running("one:0", "one:1")
        former = dict(rig.roles)
        rig.act("one:0", Act("spin"))
        for role in ("one:0", "one:1"):
            await rig.recovered(role, former[role])


async def test_message_of_a_stranger_changes_nothing(tmp_path: Path) -> None:
    async with SupervisorRig(tmp_path / "r", probe("one", vital=True)) as rig:
        await rig.running("one")
        before = dict(rig.roles)
        for message in (Escalate("one", "nonsense"), RoleSlice({}, {"one": 9}), Started(1, 1), Pong(1), Drained()):
            rig.outside.send(rig.address, message)
        assert (await rig.status())["one"].state == "running"
        assert (rig.roles, rig.escalations) == (before, [])


async def test_child_takes_over_new_settings_and_is_started_again_with_them(tmp_path: Path) -> None:
    async with SupervisorRig(tmp_path / "r", probe("one")) as rig:
        await rig.running("one")
        config = msgspec.msgpack.encode(ProbeConfig(reports_to=rig.outside.address, drain_s=7.0))
        for role in ("one", "supervisor:root"):
            rig.act(role, Settings(role="one", settings=config, revision=2))
        await rig.until(lambda: len(rig.obeys) == 1)
        await rig.status()  # the supervisor has read what came before this question
        rig.kill("one")
        await rig.until(lambda: len(rig.obeys) == 2)
        assert [(found.drain_s, found.changed) for found in rig.obeys] == [(7.0, True), (7.0, False)]


async def test_supervisor_that_is_started_again_starts_its_children_with_the_newest_settings(tmp_path: Path) -> None:
    data = supervisor("supervisor:data", probe("one"))
    async with SupervisorRig(tmp_path / "r", data) as rig:
        await rig.running("one")
        config = msgspec.msgpack.encode(ProbeConfig(reports_to=rig.outside.address, drain_s=7.0))
        rig.act("supervisor:root", Settings(role="one", settings=config, revision=2))
        await rig.status()  # the supervisor has read what came before this question
        rig.kill("supervisor:data")
        await rig.until(lambda: bool(rig.obeys))
        assert [(found.drain_s, found.changed) for found in rig.obeys] == [(7.0, False)]
