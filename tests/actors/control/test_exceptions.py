"""An exception of a control actor's own ends it; it comes back with what the gateways know."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from majula.messages.base import Role
from majula.routing.sessions import CLIENTS, SESSIONS, Session, encode_session
from majula.rpc.services import REGISTRATIONS, SERVICES, Services
from majula.topics.interest import INTEREST, SUBSCRIPTIONS, Interests
from tests.actors.supervision.rig import record_recovery

from .fragile import Fail
from .rig import ControlRig

pytestmark = pytest.mark.slow
ONE, TWO = "gateway:1", "gateway:2"
REASONS = {
    "handler": "RuntimeError: told to fail in a handler",
    "task": "RuntimeError: told to fail in a task",
    "memory": "MemoryError: told to have none left",
}


def subscription() -> tuple[str, bytes]:
    entry = Interests[int](ONE).subscribe(1, "a", pattern=False)
    assert entry is not None
    return entry


def session() -> tuple[str, bytes]:
    return "ann", encode_session(Session("ann", "s1", b"", ONE, 1.0))


ROLES = {
    "router": ("FragileRouter", SESSIONS, CLIENTS, session()),
    "topic_manager": ("FragileTopicManager", SUBSCRIPTIONS, INTEREST, subscription()),
    "rpc_broker": ("FragileRpcBroker", REGISTRATIONS, SERVICES, Services(ONE).register("add", "calculator")),
}


@pytest.mark.parametrize("where", ["handler", "task", "memory"])
@pytest.mark.parametrize("role", ROLES)
async def test_an_exception_ends_a_control_actor_and_it_comes_back_with_what_it_knew(
    tmp_path: Path, role: Role, where: str, request: pytest.FixtureRequest
) -> None:
    actor, slices, table, (key, value) = ROLES[role]
    async with ControlRig(tmp_path / "r", role, f"{__package__}.fragile.{actor}") as rig:
        await rig.ready(table)
        assert await rig.confirmed(ONE, slices, key, value)
        held = dict(await rig.until_held(TWO, table, bool))
        former = rig.roles[role]
        began = time.monotonic()
        rig.outside.send(former.address, Fail(where))
        await rig.recovered(role, former)
        fault = "out of memory" if where == "memory" else f"exception in {where}"
        record_recovery(role, fault, time.monotonic() - began, request.node.nodeid)
        assert await rig.confirmed(ONE, slices, key, value)
        await rig.ready(table)
        assert rig.held(TWO, table) == held
        (died,) = [report for report in rig.reports if report.offender == role and report.context == "child.died"]
        assert died.reason == REASONS[where]
