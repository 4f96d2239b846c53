"""Telemetry as a process: what it is told, what it answers, what happens when it, its disk or those that it asks fail."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import pytest

from majula.messages.base import Role
from majula.messages.operations import Caller, Perform, Performed
from majula.messages.telemetry import ClientFigure, ClientFigures, Event, Look, Looked, NodeFacts, PublishEvent
from majula.routing.operations import ClientsAnswer, ClientsRequest
from majula.telemetry.operations import (
    EventsAnswer,
    EventsRequest,
    FlightAnswer,
    FlightRequest,
    LevelRequest,
    RoleRequest,
    StatusAnswer,
    StatusRequest,
    TapRequest,
)
from majula.telemetry.questions import LIMIT
from majula.telemetry.settings import TelemetrySettings
from tests.actors.supervision.rig import PATIENCE_S, record_recovery

from .fragile import Fail
from .rig import ControlRig

pytestmark = pytest.mark.slow
ACTOR = f"{__package__}.fragile.FragileTelemetry"
ROLE, ONE, TWO = "telemetry", "gateway:1", "gateway:2"
T = TypeVar("T")


class TelemetryRig(ControlRig):
    """Telemetry, two gateway probes, and somebody who asks."""

    async def perform(self, operation: str, request: msgspec.Struct, who: str = "uid:7") -> Performed:
        asked = Perform(1, operation, msgspec.msgpack.encode(request), Caller(who, "operator"))
        found = await self.outside.ask(self.roles[ROLE].address, asked, PATIENCE_S)
        assert isinstance(found, Performed)
        return found

    async def ask(self, operation: str, request: msgspec.Struct, kind: type[T]) -> T:
        found = await self.perform(operation, request)
        assert not found.code, found
        return msgspec.msgpack.decode(found.answer, type=kind)

    async def publishes(self, gateway: Role, told: Event) -> PublishEvent:
        """What a gateway is to publish of an event that it tells; told again until then, as who dies takes it along."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                self.tell(gateway, told)
                with suppress(TimeoutError):
                    async with asyncio.timeout(0.2):
                        return await self.hears(gateway, PublishEvent)

    async def events(self, name: str = "") -> list[dict[str, Any]]:
        answer = await self.ask("events.list", EventsRequest(name, limit=1_024), EventsAnswer)
        return [msgspec.structs.asdict(line) for line in answer.events]


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[TelemetryRig]:
    config = msgspec.msgpack.encode(TelemetrySettings(version="1.2", data_dir=str(tmp_path)))
    async with TelemetryRig(tmp_path / "r", ROLE, ACTOR, config=config) as rig:
        await rig.running(ROLE, ONE, TWO)
        yield rig


def event(name: str = "client.connected", **fields: int | float | str) -> Event:
    return Event(name=name, role=ONE, pid=7, at=1.5, fields=fields)


async def test_event_is_listed_and_published_through_a_gateway(rig: TelemetryRig) -> None:
    rig.tell(ONE, event(client_id="ann"))
    published = await rig.hears(ONE, PublishEvent)
    payload = msgspec.json.decode(published.payload)
    (listed,) = await rig.events("client.connected")
    assert published.topic == "$SYS.client.connected"
    assert (payload["fields"], payload["node"], payload["number"]) == ({"client_id": "ann"}, "n1", listed["number"])


async def test_event_is_published_by_a_gateway_that_lives_after_each_has_died_once(rig: TelemetryRig) -> None:
    rig.kill(ONE, signal.SIGSTOP)
    await rig.until(lambda: "child.died" in rig.said(ONE))
    rig.kill(TWO, signal.SIGSTOP)
    await rig.until(lambda: "child.died" in rig.said(TWO))
    assert (await rig.publishes(ONE, event(client_id="ann"))).topic == "$SYS.client.connected"


async def test_flood_of_events_is_kept_within_bounds_and_published_at_a_bounded_rate(rig: TelemetryRig) -> None:
    for number in range(2_000):
        rig.tell(ONE, event(client_id=str(number)))
    rig.tell(ONE, event("node.ready"))
    await rig.hears(ONE, PublishEvent)
    while not await rig.events("node.ready"):
        pass
    assert len(await rig.events("client.connected")) == 512


async def test_clients_that_a_gateway_tells_of_are_listed_until_it_dies(rig: TelemetryRig) -> None:
    figure = ClientFigure(number=1, client_id="ann", surface="native", is_slow=True, dropped_messages=3)
    rig.tell(ONE, ClientFigures(incarnation=1, is_first=True, changed=(figure,)))
    rig.tell(ONE, event())
    await rig.hears(ONE, PublishEvent)  # what came before it has been taken
    answer = await rig.ask("clients.list", ClientsRequest(), ClientsAnswer)
    assert [(line.client, line.gateway) for line in answer.clients] == [("ann", ONE)]
    status = await rig.ask("status.show", StatusRequest(), StatusAnswer)
    assert [slow.client for slow in status.slow_clients] == ["ann"]
    former = rig.kill(ONE)
    await rig.recovered(ONE, former)
    while (await rig.ask("clients.list", ClientsRequest(), ClientsAnswer)).of:
        pass


async def test_status_has_what_the_supervisors_and_the_runner_say(rig: TelemetryRig) -> None:
    facts = NodeFacts(
        state="serving", version="1.2", began_at=time.monotonic() - 9.0, pid=7, trees=1, data_dir="", insecure=("open",)
    )
    rig.outside.send(rig.roles[ROLE].address, facts)
    while len((status := await rig.ask("status.show", StatusRequest(), StatusAnswer)).roles) < 4:
        pass
    assert {line.role for line in status.roles} == {"supervisor:root", ROLE, ONE, TWO}
    assert (status.state, status.version, status.insecure) == ("serving", "1.2", ("open",)) and status.uptime_s >= 9.0


async def test_change_of_a_level_is_told_in_an_event_with_who_did_it(rig: TelemetryRig) -> None:
    found = await rig.perform("log.level", LevelRequest(ONE, "debug", for_s=60.0), who="tok-1")
    assert not found.code
    (listed,) = await rig.events("log.level_changed")
    assert listed["fields"] == {"changed_role": ONE, "level": "debug", "who": "tok-1"}


async def test_level_that_was_changed_is_taken_back_by_the_telemetry_that_follows(rig: TelemetryRig) -> None:
    """What was changed at run time dies with it, its end too: a role that is to log from `debug` on for a minute must not do so
    for good."""
    assert not (await rig.perform("log.level", LevelRequest(ONE, "debug", for_s=60.0))).code
    address, former = rig.roles[ONE].address, rig.roles[ROLE]
    heard = asyncio.create_task(rig.outside.ask(address, Look(1, "tap", 60.0, 1_024), PATIENCE_S))
    await asyncio.create_task(rig.outside.ask(address, Look(2, "queues"), PATIENCE_S))  # behind the tap, which listens by then
    os.kill(former.pid, signal.SIGKILL)
    await rig.recovered(ROLE, former)
    async with asyncio.timeout(PATIENCE_S):  # it knows the role by then, and what it asks comes behind the level
        while (await rig.perform("debug.queues", RoleRequest(ONE))).code:
            await asyncio.sleep(0)
    for number in range(4):  # the fifth on one role ends the first
        rig.outside.send(address, Look(3 + number, "tap", 60.0, 1))
    looked = await heard
    assert isinstance(looked, Looked) and b"SetLevel" in looked.answer


async def test_kind_of_role_means_all_of_that_kind(rig: TelemetryRig) -> None:
    assert not (await rig.perform("log.level", LevelRequest("gateway", "debug"))).code
    assert (await rig.perform("log.level", LevelRequest("gateways", "debug"))).code == "not_found"


async def test_questions_to_a_role_that_hangs_are_bounded_and_end(rig: TelemetryRig) -> None:
    rig.kill(ONE, signal.SIGSTOP)
    asked = Perform(1, "debug.stacks", msgspec.msgpack.encode(RoleRequest(ONE)), Caller("", ""))
    for _ in range(LIMIT):
        rig.outside.send(rig.roles[ROLE].address, asked)
    found = await rig.perform("debug.tasks", RoleRequest(ONE))
    assert found.code == "overloaded"
    await rig.until(lambda: "child.died" in rig.said(ONE))
    while (await rig.perform("debug.tasks", RoleRequest(TWO))).code:
        pass


async def test_parameters_that_are_none_are_refused(rig: TelemetryRig) -> None:
    found = await rig.perform("debug.tap", RoleRequest(""))
    assert found.code == "not_found"
    asked = Perform(1, "debug.tap", b"\xc1", Caller("", ""))
    answer = await rig.outside.ask(rig.roles[ROLE].address, asked, PATIENCE_S)
    assert isinstance(answer, Performed) and answer.code == "invalid_request"


async def test_tap_of_telemetry_itself_shows_what_comes_and_goes(rig: TelemetryRig) -> None:
    found = await rig.perform("debug.tap", TapRequest(ROLE, for_s=1.2))
    assert not found.code and b"StatusRequest" in found.answer and b"Ping" in found.answer


async def test_recording_that_cannot_be_written_is_said_so_and_harms_nothing(rig: TelemetryRig, tmp_path: Path) -> None:
    """FAULTS: disk full. A file stands where the directory should be made."""
    (tmp_path / "flight").write_text("")
    flight = await rig.ask("debug.flight", FlightRequest(), FlightAnswer)
    assert flight.file == ""
    (failed,) = await rig.events("flight.failed")
    assert "FileExists" in failed["fields"]["reason"] or "NotADirectory" in failed["fields"]["reason"]


@pytest.mark.parametrize("fault", ["SIGKILL", "SIGSTOP", "exception in handler", "exception in task", "out of memory"])
async def test_telemetry_comes_back_and_hears_of_the_clients_anew(rig: TelemetryRig, fault: str) -> None:
    former = rig.roles[ROLE]
    if fault.startswith("SIG"):
        os.kill(former.pid, signal.Signals[fault])
    else:
        rig.outside.send(former.address, Fail(fault.rpartition(" ")[2]))
    record_recovery(ROLE, fault, await rig.recovered(ROLE, former), "test_telemetry_comes_back_and_hears_of_the_clients_anew")
    await rig.publishes(ONE, event(client_id="ann"))
    numbers = [line["number"] for line in await rig.events()]
    assert numbers == sorted(numbers)
