"""The RPC broker as a process: what gateways see while it works, dies, stops and comes back."""

from __future__ import annotations

import signal
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from majula.rpc.services import REGISTRATIONS, SERVICES, Services, service_key
from tests.actors.supervision.rig import record_recovery

from .rig import ControlRig

pytestmark = pytest.mark.slow
ACTOR = "majula.actors.rpc_broker.RpcBrokerActor"
ONE, TWO = "gateway:1", "gateway:2"


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[ControlRig]:
    async with ControlRig(tmp_path / "r", "rpc_broker", ACTOR) as rig:
        await rig.ready(SERVICES)
        yield rig


async def test_registration_at_one_gateway_is_known_at_the_other(rig: ControlRig) -> None:
    assert await rig.confirmed(ONE, REGISTRATIONS, *Services(ONE).register("add", "calculator"))
    entries = await rig.until_held(TWO, SERVICES, lambda entries: len(entries) == 1)
    services = Services(TWO)
    services.apply(entries, ())
    assert [(s.function, s.provider, s.gateway) for s in services.list()] == [("add", "calculator", ONE)]


async def test_services_of_a_gateway_that_is_killed_are_gone(rig: ControlRig) -> None:
    assert await rig.confirmed(ONE, REGISTRATIONS, *Services(ONE).register("add", "calculator"))
    await rig.until_held(TWO, SERVICES, lambda entries: len(entries) == 1)
    rig.kill(ONE)
    await rig.until_held(TWO, SERVICES, lambda entries: not entries)


@pytest.mark.parametrize("fault", [signal.SIGKILL, signal.SIGSTOP])
async def test_broker_comes_back_with_all_services_and_none_is_missed_meanwhile(
    rig: ControlRig, fault: signal.Signals, request: pytest.FixtureRequest
) -> None:
    assert await rig.confirmed(ONE, REGISTRATIONS, *Services(ONE).register("add", "one"))
    assert await rig.confirmed(TWO, REGISTRATIONS, *Services(TWO).register("add", "two"))
    began = time.monotonic()
    await rig.recovered(rig.role, rig.kill(rig.role, fault))
    assert await rig.confirmed(ONE, REGISTRATIONS, *Services(ONE).register("sub", "one"))
    record_recovery(rig.role, fault.name, time.monotonic() - began, request.node.nodeid)
    for gateway in (ONE, TWO):
        assert set(rig.held(gateway, SERVICES)) >= {service_key("add", "one"), service_key("add", "two")}
    await rig.until_held(TWO, SERVICES, lambda entries: service_key("sub", "one") in entries)


async def test_garbage_of_a_gateway_costs_its_own_entry_only(rig: ControlRig) -> None:
    former = rig.roles[rig.role]
    assert await rig.confirmed(ONE, REGISTRATIONS, "bad\nbad", b"\xc1")
    assert await rig.confirmed(TWO, REGISTRATIONS, *Services(TWO).register("add", "two"))
    assert rig.roles[rig.role] == former
    entries = await rig.until_held(ONE, SERVICES, lambda entries: bool(entries))
    assert set(entries) == {service_key("add", "two")}
