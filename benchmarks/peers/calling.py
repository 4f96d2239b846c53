"""Call an echo: one call at a time, then many in flight."""

from __future__ import annotations

import os
import time

from benchmarks.peers.cases import IN_FLIGHT
from benchmarks.peers.clients.contract import Client
from benchmarks.peers.meter import Meter
from benchmarks.peers.task import Failed, RpcFigures, Task

_WARM_UP = 100


async def call(client: Client, task: Task) -> RpcFigures | Failed:
    """Call for `task.seconds` one at a time, then as long with `IN_FLIGHT` calls outstanding."""
    payload = os.urandom(task.the_case().size_bytes)
    for _ in range(_WARM_UP):
        if await client.call(payload) != payload:
            return Failed("the echo differs from what was sent")

    alone: list[float] = []
    clock = time.perf_counter
    end_at = clock() + task.seconds
    while (began_at := clock()) < end_at:
        await client.call(payload)
        alone.append(clock() - began_at)

    meter = Meter(task.server_pids, task.partner_pids)
    in_flight = await client.call_in_flight(payload, IN_FLIGHT, task.seconds)
    reading = meter.read()

    alone.sort()
    in_flight.sort()
    calls = len(in_flight)
    return RpcFigures(
        calls_alone=len(alone),
        calls_in_flight=calls,
        p50_us=_quantile(alone, 0.5) * 1e6,
        p99_us=_quantile(alone, 0.99) * 1e6,
        calls_per_s=calls / reading.wall_s,
        in_flight_p50_us=_quantile(in_flight, 0.5) * 1e6,
        in_flight_p99_us=_quantile(in_flight, 0.99) * 1e6,
        cpu_us={
            "caller": reading.own_s / calls * 1e6,
            "server": reading.server_s / calls * 1e6,
            "service": reading.partner_s / calls * 1e6,
        },
        others_cores=reading.others_cores,
    )


def _quantile(ordered: list[float], share: float) -> float:
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]
