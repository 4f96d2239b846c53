"""The router as a process: who gets a client id while it works, dies and comes back."""

from __future__ import annotations

import signal
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from majula.messages.routing import Claim, CloseSession, Granted, Refused, Release
from majula.routing.sessions import CLIENTS, SESSIONS, Session, decode_session, encode_session
from tests.actors.supervision.rig import record_recovery

from .rig import ControlRig

pytestmark = pytest.mark.slow
ACTOR = "majula.actors.router.RouterActor"
ONE, TWO = "gateway:1", "gateway:2"


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[ControlRig]:
    async with ControlRig(tmp_path / "r", "router", ACTOR) as rig:
        await rig.ready(CLIENTS)
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
