"""Publish for a while without losing anything, and measure: the same loop for every message system."""

from __future__ import annotations

import asyncio
import os
import time

from benchmarks.peers.clients.contract import Client
from benchmarks.peers.counters import Counters
from benchmarks.peers.meter import Meter
from benchmarks.peers.task import Failed, Task, TopicFigures

# How often a publisher whose window is full looks at the counters. 1 ms is the shortest sleep that means the same on both event
# loops: below, asyncio rounds up to it and uvloop down to nothing, a busy loop that takes the core which the others need.
_LOOK_AGAIN_S = 0.001
_STUCK_S = 15.0  # a window that stays full for so long has lost something
_WARM_UP = 200


class _Lost(Exception):
    """A subscriber did not get everything."""


async def publish(client: Client, task: Task) -> TopicFigures | Failed:
    """Publish for `task.seconds`; the client is connected."""
    try:
        return await _publish(client, task)
    except _Lost as lost:
        return Failed(f"lost: {lost}")


async def _publish(client: Client, task: Task) -> TopicFigures:
    case = task.the_case()
    counters = Counters(task.counters, case.subscribers)
    payload, window, batch = os.urandom(case.size_bytes), case.window, case.batch

    # Where each message goes to one subscriber alone, what counts is how many they have together.
    received_of = counters.slowest if case.kind == "topic" else counters.total

    async def until_received(messages: int, *, window: int = 0) -> None:
        give_up_at = time.perf_counter() + _STUCK_S
        while messages - received_of() > window:
            if time.perf_counter() > give_up_at:
                raise _Lost(f"the slowest subscriber got {received_of()} of {messages}")
            await asyncio.sleep(_LOOK_AGAIN_S)

    await _until_all_are_subscribed(client, counters)
    warm = max(1, min(_WARM_UP, window) // batch) * batch
    for _ in range(warm // batch):
        await client.publish(payload, batch)
    await client.flush()
    await until_received(warm)

    meter = Meter(task.server_pids, task.partner_pids)
    sent, end_at = 0, meter.began_at + task.seconds
    while time.perf_counter() < end_at:
        await client.publish(payload, batch)
        await asyncio.sleep(0)
        sent += batch
        if sent + warm - received_of() > window:
            await until_received(sent + warm, window=window)
    await client.flush()
    await until_received(sent + warm)
    reading = meter.read()

    received = counters.total() - warm * case.copies
    if received != sent * case.copies:
        raise _Lost(f"{received} deliveries of {sent * case.copies}")
    return TopicFigures(
        sent=sent,
        received=received,
        wall_s=reading.wall_s,
        deliveries_per_s=received / reading.wall_s,
        mb_per_s=received * case.size_bytes / reading.wall_s / 1e6,
        cpu_us={
            "publisher": reading.own_s / sent * 1e6,
            "server": reading.server_s / sent * 1e6,
            "subscriber": reading.partner_s / sent * 1e6,
        },
        others_cores=reading.others_cores,
    )


async def _until_all_are_subscribed(client: Client, counters: Counters) -> None:
    """Not every system says when a subscription is in force, so the publisher asks: a probe is one byte, not counted."""
    give_up_at = time.perf_counter() + _STUCK_S
    while not counters.are_all_subscribed():
        if time.perf_counter() > give_up_at:
            raise _Lost("not every subscriber saw a probe")
        await client.publish(b"?", 1)
        await client.flush()
        await asyncio.sleep(0.02)
