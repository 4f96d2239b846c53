"""The router as a process: who gets a client id while it works, dies and comes back."""

from __future__ import annotations

import signal
import time
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from majula.messages.operations import Caller, Perform, Performed
from majula.messages.routing import Claim, CloseSession, Granted, Refused, Release
from majula.messages.telemetry import Event
from majula.routing.operations import DisconnectRequest
from majula.routing.presence import PRESENCE
from majula.routing.readers import READERS, READING
from majula.routing.sessions import CLIENTS, SESSIONS, Session, decode_session, encode_session
from tests.actors.supervision.rig import record_recovery

from .rig import TELEMETRY, ControlRig

pytestmark = pytest.mark.slow
ACTOR = "majula.actors.router.RouterActor"
ONE, TWO = "gateway:1", "gateway:2"


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[ControlRig]:
    async with ControlRig(tmp_path / "r", "router", ACTOR, telemetry=True) as rig:
        await rig.running(TELEMETRY)
        await rig.ready(CLIENTS)
        await rig.ready(PRESENCE)
        yield rig


def session(name: str, gateway: str, *, secret: bytes = b"", at: float = 0.0) -> bytes:
    return encode_session(Session("ann", name, secret, gateway, at))


async def test_id_that_is_free_is_granted_and_known_at_every_gateway(rig: ControlRig) -> None:
    rig.tell(ONE, Claim(1, "ann", "s1", b"secret", 1.0))
    assert await rig.hears(ONE, Granted) == Granted(1)
    entries = await rig.until_held(TWO, CLIENTS, lambda entries: "ann" in entries)
    assert decode_session(entries["ann"]).gateway == ONE


async def test_another_secret_at_another_gateway_is_refused(rig: ControlRig) -> None:
    rig.tell(ONE, Claim(1, "ann", "s1", b"secret", 1.0))
    await rig.hears(ONE, Granted)
    rig.tell(TWO, Claim(5, "ann", "s2", b"other", 2.0))
    assert await rig.hears(TWO, Refused) == Refused(5, "conflict")


async def test_same_secret_takes_the_id_over_and_the_older_session_is_closed(rig: ControlRig) -> None:
    rig.tell(ONE, Claim(1, "ann", "s1", b"secret", 1.0))
    await rig.hears(ONE, Granted)
    rig.tell(TWO, Claim(5, "ann", "s2", b"secret", 2.0))
    assert await rig.hears(TWO, Granted) == Granted(5)
    assert await rig.hears(ONE, CloseSession) == CloseSession("ann", "s1", "taken_over")


async def test_end_of_a_replaced_session_removes_nothing_of_the_newer(rig: ControlRig) -> None:
    rig.tell(ONE, Claim(1, "ann", "s1", b"", 1.0))
    await rig.hears(ONE, Granted)
    assert await rig.confirmed(ONE, SESSIONS, "ann", session("s1", ONE))
    rig.tell(TWO, Claim(2, "ann", "s2", b"", 2.0))
    assert await rig.hears(ONE, CloseSession) == CloseSession("ann", "s1", "replaced")
    assert await rig.confirmed(TWO, SESSIONS, "ann", session("s2", TWO))
    rig.tell(ONE, Release("ann", "s1"))
    assert await rig.confirmed(ONE, SESSIONS, "ann", None)
    entries = await rig.until_held(ONE, CLIENTS, lambda entries: "ann" in entries)
    assert decode_session(entries["ann"]).session == "s2"


async def test_id_of_a_killed_gateway_is_free(rig: ControlRig) -> None:
    rig.tell(ONE, Claim(1, "ann", "s1", b"secret", 1.0))
    await rig.hears(ONE, Granted)
    assert await rig.confirmed(ONE, SESSIONS, "ann", session("s1", ONE, secret=b"secret"))
    await rig.until_held(TWO, CLIENTS, lambda entries: "ann" in entries)
    rig.kill(ONE)
    await rig.until_held(TWO, CLIENTS, lambda entries: "ann" not in entries)
    rig.tell(TWO, Claim(5, "ann", "s2", b"other", 2.0))
    assert await rig.hears(TWO, Granted) == Granted(5)


@pytest.mark.parametrize("fault", [signal.SIGKILL, signal.SIGSTOP])
async def test_router_comes_back_knowing_who_has_which_id(
    rig: ControlRig, fault: signal.Signals, request: pytest.FixtureRequest
) -> None:
    rig.tell(ONE, Claim(1, "ann", "s1", b"secret", 1.0))
    await rig.hears(ONE, Granted)
    assert await rig.confirmed(ONE, SESSIONS, "ann", session("s1", ONE, secret=b"secret"))
    began = time.monotonic()
    await rig.recovered(rig.role, rig.kill(rig.role, fault))
    assert await rig.confirmed(TWO, SESSIONS, "bob", encode_session(Session("bob", "s9", b"", TWO, 3.0)))
    record_recovery(rig.role, fault.name, time.monotonic() - began, request.node.nodeid)
    rig.tell(TWO, Claim(5, "ann", "s2", b"other", 4.0))
    assert await rig.hears(TWO, Refused) == Refused(5, "conflict")


async def test_two_admitted_while_the_router_was_away_are_settled_for_the_older(rig: ControlRig) -> None:
    # As after a router's absence: both gateways serve the id, and say so by their slices.
    assert await rig.confirmed(TWO, SESSIONS, "ann", session("s2", TWO, secret=b"two", at=2.0))
    assert await rig.confirmed(ONE, SESSIONS, "ann", session("s1", ONE, secret=b"one", at=1.0))
    assert await rig.hears(TWO, CloseSession) == CloseSession("ann", "s2", "conflict")
    entries = await rig.until_held(TWO, CLIENTS, lambda entries: decode_session(entries["ann"]).session == "s1")
    assert decode_session(entries["ann"]).gateway == ONE


async def moved(rig: ControlRig) -> tuple[str, dict[str, int | float | str]]:
    """The next event of a client: its name and fields."""
    while True:
        event = await rig.hears(TELEMETRY, Event)
        if event.name.startswith("client."):
            return event.name, event.fields


async def connect(rig: ControlRig, gateway: str, name: str, client_id: str = "ann", secret: bytes = b"") -> None:
    rig.tell(gateway, Claim(1, client_id, name, secret, 1.0))
    await rig.hears(gateway, Granted)
    value = encode_session(Session(client_id, name, secret, gateway, 1.0, "native", "me/1"))
    assert await rig.confirmed(gateway, SESSIONS, client_id, value)


async def told(rig: ControlRig, *client_ids: str) -> None:
    """The gateways' copies say that these have been told of."""
    for gateway in rig.gateways:
        await rig.until_held(gateway, PRESENCE, lambda entries: set(entries) == set(client_ids))


async def test_client_that_comes_and_goes_is_told_with_the_reason(rig: ControlRig) -> None:
    await connect(rig, ONE, "s1")
    fields = {"client_id": "ann", "gateway": ONE, "surface": "native", "agent": "me/1"}
    assert await moved(rig) == ("client.connected", fields)
    rig.tell(ONE, Release("ann", "s1", "token_ended"))
    assert await moved(rig) == ("client.disconnected", {"client_id": "ann", "gateway": ONE, "reason": "token_ended"})


async def test_client_that_takes_over_is_told_as_gone_and_come(rig: ControlRig) -> None:
    await connect(rig, ONE, "s1", secret=b"secret")
    await moved(rig)
    await connect(rig, TWO, "s2", secret=b"secret")
    assert await moved(rig) == ("client.disconnected", {"client_id": "ann", "gateway": ONE, "reason": "taken_over"})
    name, fields = await moved(rig)
    assert (name, fields["gateway"]) == ("client.connected", TWO)


async def test_clients_of_a_killed_gateway_are_told_as_lost(rig: ControlRig) -> None:
    await connect(rig, ONE, "s1")
    await moved(rig)
    rig.kill(ONE)
    assert await moved(rig) == ("client.disconnected", {"client_id": "ann", "gateway": ONE, "reason": "gateway_lost"})


async def test_router_that_comes_back_tells_nothing_of_those_who_stayed(rig: ControlRig) -> None:
    await connect(rig, ONE, "s1")
    await moved(rig)
    await told(rig, "ann")
    await rig.recovered(rig.role, rig.kill(rig.role, signal.SIGKILL))
    assert await rig.confirmed(TWO, SESSIONS, "bob", encode_session(Session("bob", "s9", b"", TWO, 3.0)))
    name, fields = await moved(rig)
    assert (name, fields["client_id"]) == ("client.connected", "bob")


async def test_router_that_comes_back_tells_who_came_and_went_meanwhile(rig: ControlRig) -> None:
    await connect(rig, ONE, "s1")
    await moved(rig)
    await told(rig, "ann")
    gone = rig.kill(rig.role, signal.SIGKILL)
    rig.put(ONE, SESSIONS, "ann", None)
    rig.put(TWO, SESSIONS, "bob", encode_session(Session("bob", "s9", b"", TWO, 3.0)))
    await rig.recovered(rig.role, gone)
    seen = [await moved(rig), await moved(rig)]
    assert [(name, fields["client_id"]) for name, fields in seen] == [
        ("client.disconnected", "ann"),
        ("client.connected", "bob"),
    ]
    assert seen[0][1]["reason"] == "router_away"


def perform(client_id: str) -> Perform:
    return Perform(9, "clients.disconnect", msgspec.msgpack.encode(DisconnectRequest(client_id)), Caller("t1", "operator"))


async def test_operator_ends_a_session_wherever_it_is(rig: ControlRig) -> None:
    await connect(rig, ONE, "s1")
    rig.tell(TWO, perform("ann"))
    assert await rig.hears(TWO, Performed) == Performed(9)
    assert await rig.hears(ONE, CloseSession) == CloseSession("ann", "s1", "disconnected")


async def test_client_that_is_not_there_cannot_be_disconnected(rig: ControlRig) -> None:
    rig.tell(TWO, perform("ann"))
    assert (await rig.hears(TWO, Performed)).code == "not_found"


async def test_streams_are_known_at_every_gateway(rig: ControlRig) -> None:
    assert await rig.confirmed(ONE, READING, "ann", b"")
    entries = await rig.until_held(TWO, READERS, lambda entries: "ann" in entries)
    assert msgspec.msgpack.decode(entries["ann"]) == [ONE]
