"""An exception of a supervisor's own is as its death: what is below it ends, and lives again."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import msgspec
import pytest

from .fragile import Fail, FragileSupervisor
from .rig import SupervisorRig, is_alive, probe, record_recovery, supervisor

pytestmark = pytest.mark.slow
FRAGILE = f"{__package__}.fragile.FragileSupervisor"

REASONS = {
    "handler": "RuntimeError: told to fail in a handler",
    "task": "RuntimeError: told to fail in a task",
    "memory": "MemoryError: told to have none left",
}


def fault(where: str) -> str:
    return "out of memory" if where == "memory" else f"exception in {where}"


@pytest.mark.parametrize("where", REASONS)
async def test_exception_ends_a_supervisor_with_its_children_and_they_live_again(
    tmp_path: Path, where: str, request: pytest.FixtureRequest
) -> None:

    fragile = msgspec.structs.replace(supervisor("supervisor:a", probe("one"), probe("two")), actor=FRAGILE)
    async with SupervisorRig(tmp_path / "r", fragile, probe("three")) as rig:
        await rig.running("one", "two", "three")
        one, two, three = (rig.roles[role] for role in ("one", "two", "three"))
        began = time.monotonic()
        rig.act("supervisor:a", Fail(where))
        await rig.recovered("one", one)
        await rig.recovered("two", two)
        record_recovery("supervisor", fault(where), time.monotonic() - began, request.node.nodeid)
        assert rig.roles["three"] == three
        assert not is_alive(one.pid) and not is_alive(two.pid)
        (died,) = [report for report in rig.reports if report.offender == "supervisor:a" and report.context == "child.died"]
        assert died.reason == REASONS[where]


@pytest.mark.parametrize("where", REASONS)
async def test_exception_ends_the_root_supervisor_and_all_below_it(
    tmp_path: Path, where: str, request: pytest.FixtureRequest
) -> None:
    children = (probe("one"), supervisor("supervisor:a", probe("two")))
    async with SupervisorRig(tmp_path / "r", *children, cls=FragileSupervisor) as rig:
        await rig.running("one", "two")
        pids = [rig.roles[role].pid for role in ("one", "two", "supervisor:a")]
        began = time.monotonic()
        rig.outside.send(rig.address, Fail(where))
        async with asyncio.timeout(1.0):
            while any(map(is_alive, pids)):
                await asyncio.sleep(0.005)  # they are not ours to wait for
        record_recovery("supervisor:root", fault(where), time.monotonic() - began, request.node.nodeid)
