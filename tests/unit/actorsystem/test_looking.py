"""What an actor shows of itself: bounded, and never what is in a message."""

from __future__ import annotations

import asyncio
import os
from typing import Any

import msgspec

from majula.actorsystem.looking import Glass, stacks, tasks
from majula.actorsystem.taps import Tap
from majula.messages.base import Address, Message
from majula.messages.telemetry import Look, Looked
from majula.telemetry.operations import TapAnswer


class FakeEndpoint:
    def __init__(self) -> None:
        self.sent: list[tuple[Address, Message]] = []

    def send_message(self, target: Address, source: int, message: Message) -> bool:
        self.sent.append((target, message))
        return True

    def lanes(self) -> list[tuple[str, str, int, int, int]]:
        return [(f"a{number}", "control", number, 1, 100) for number in range(300)]


class FakeActor:
    role = "router"


class FakeMailbox:
    """What a `Glass` uses of an actor's mailbox."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.actor, self.endpoint, self.loop = FakeActor(), FakeEndpoint(), loop
        self.role_addresses = {"telemetry": "a7"}
        self.local_id, self.pid = 0, os.getpid()


def glass() -> tuple[Any, FakeEndpoint, list[tuple[Tap, ...]]]:
    mailbox: Any = FakeMailbox(asyncio.get_running_loop())
    taps: list[tuple[Tap, ...]] = []
    return Glass(mailbox, taps.append), mailbox.endpoint, taps


async def test_stacks_show_the_thread_that_asks_and_the_process() -> None:
    found = stacks("router", 7)
    assert found.pid == 7 and any("test_stacks_show_the_thread" in thread for thread in found.threads)


async def test_tasks_are_named_with_the_line_at_which_they_wait() -> None:
    async def waits(event: asyncio.Event) -> None:
        await event.wait()

    event = asyncio.Event()
    task = asyncio.create_task(waits(event), name="the one")
    await asyncio.sleep(0)
    found = tasks("router", asyncio.get_running_loop())
    (line,) = [line for line in found.tasks if line.name == "the one"]
    event.set()
    await task
    assert "waits" in line.state and line.where.endswith("wait")


async def test_more_tasks_than_are_shown_are_counted() -> None:
    event = asyncio.Event()
    many = [asyncio.create_task(event.wait()) for _ in range(400)]
    found = tasks("router", asyncio.get_running_loop())
    event.set()
    await asyncio.gather(*many)
    assert (len(found.tasks), found.of) == (256, 401)


async def test_fullest_queues_are_shown_first() -> None:
    look, endpoint, _ = glass()
    look.look(Look(1, "queues"), "a7")
    ((target, answer),) = endpoint.sent
    assert target == "a7" and isinstance(answer, Looked)
    queues = msgspec.msgpack.decode(answer.answer)["queues"]
    assert (len(queues), queues[0]["bytes"]) == (256, 299)


async def test_tap_counts_what_is_beyond_its_limit() -> None:
    tap = Tap(asyncio.get_running_loop(), Look(1, "tap", 1.0, 2), "a7")
    for _ in range(5):
        tap.note("in", "a7", "Ping", 19)
    answer = tap.answer("router", {"a7": "telemetry"})
    assert ([line.peer for line in answer.lines], answer.skipped) == (["telemetry", "telemetry"], 3)


async def test_fifth_tap_ends_the_oldest_early() -> None:
    look, endpoint, taps = glass()
    for number in range(1, 6):
        look.look(Look(number, "tap", 60.0, 10), "a7")
    ((_, answer),) = endpoint.sent
    assert isinstance(answer, Looked) and answer.number == 1
    assert len(taps[-1]) == 4


async def test_tap_that_is_over_costs_nothing_more() -> None:
    look, endpoint, taps = glass()
    look.look(Look(1, "tap", 0.0, 10), "a7")
    await asyncio.sleep(0.001)
    ((_, answer),) = endpoint.sent
    assert isinstance(answer, Looked)
    assert msgspec.msgpack.decode(answer.answer, type=TapAnswer).lines == ()
    assert taps[-1] == ()
