"""Does one slow subscriber slow the others? `python -m benchmarks slow`: 99 fast ones, without and with one that reads 1 B/s.

In each round the same load runs twice, in a random order: once without it, once with it. Compared
is the latency from publisher to subscriber, p99 over the 99. The slow one must be named by the node, and be told what it missed.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import socket
import statistics
import sys
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import msgspec

import majula
from benchmarks import machine, node, report, targets
from benchmarks.scope import Scope, python
from majula.wire.frames import FrameReader, decode_header, encode_frame
from majula.wire.headers import Hello, Slow, Subscribe

_TOPIC = "bench.slow"
_SUBSCRIBERS = 99
_PROCESSES = 3
_RATE = 100
_SIZE_BYTES = 4_096
_LIMIT_BYTES = 256 * 1024
_TOLD_S = 3.0
"""A laggard that reads again is told what it missed before anything else that is new."""
# What may wait for the slow one, small enough to be full within a second of the load.
_LIMITS = f"    limits:\n      slow_consumer:\n        limit_bytes: {_LIMIT_BYTES}\n"


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """What a process of fast subscribers is told: where the node is, and how many they are."""

    address: str
    count: int


class Latency(msgspec.Struct, frozen=True):
    """What it answers, once a phase: latencies in us of all its subscribers."""

    us: list[float]


class Phase(msgspec.Struct, frozen=True):
    """One load. is_slow: the hundredth subscriber read a byte a second."""

    round: int
    is_slow: bool
    p50_us: float
    p99_us: float
    messages: int


class SlowRun(msgspec.Struct, kw_only=True):
    """One run of `python -m benchmarks slow`. named: what the node said of slow clients. told: messages that SLOW named."""

    benchmark: str = "slow"
    machine: machine.Machine
    began: str
    phases: list[Phase] = []
    named: list[str] = []
    told: int = 0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--rounds", type=int, default=5, help="how often both loads run (default 5)")
    parser.add_argument("--secs", type=float, default=5.0, help="seconds of each load, at least 4: what fills up is 1.5 MB")
    parser.add_argument("--patience", type=float, default=4.0, help="seconds to wait for a quiet machine (default 4)")


def run(arguments: argparse.Namespace) -> None:
    record = SlowRun(machine=machine.describe(), began=report.now())
    for number in range(arguments.rounds):
        for is_slow in random.sample([False, True], 2):
            machine.wait_until_quiet(patience_s=arguments.patience)
            with Scope(pinned_cores=arguments.pin) as scope:
                started = node.start(scope, limits=_LIMITS)
                asyncio.run(_phase(scope, started, record, number, seconds=arguments.secs, is_slow=is_slow))
    path = arguments.out or report.RESULTS / f"slow-{record.began}.json"
    report.write(record, path)
    print(f"\n{render(record)}\nRecord: {path}")


async def _phase(scope: Scope, started: node.Node, record: SlowRun, number: int, *, seconds: float, is_slow: bool) -> None:
    part = Part(address=started.unix, count=_SUBSCRIBERS // _PROCESSES)
    workers = [
        scope.worker(python("benchmarks.slow", msgspec.json.encode(part).decode()), name=f"fast-{at}") for at in range(_PROCESSES)
    ]
    for worker in workers:
        await asyncio.to_thread(worker.line, 30.0)
    async with AsyncExitStack() as stack:
        publisher = await stack.enter_async_context(majula.connect(started.unix))
        laggard = await stack.enter_async_context(_laggard(started.unix)) if is_slow else None
        await _publish(publisher, b"w", 0.5)  # what warms up is not counted
        messages = await _publish(publisher, b"m", seconds)
        if laggard is not None:
            clients = (await publisher.clients(client="laggard")).clients
            record.named += [f"{line.client}: {line.waiting_bytes} B wait, {line.dropped_messages} dropped" for line in clients]
        await publisher.publish(_TOPIC, b"e", ack=True)
        answers = [await asyncio.to_thread(worker.line, 30.0) for worker in workers]
        if laggard is not None:
            record.told += await laggard.catch_up()
    latencies = sorted(us for answer in answers for us in msgspec.json.decode(answer, type=Latency).us)
    p50_us, p99_us = latencies[len(latencies) // 2], latencies[len(latencies) * 99 // 100]
    record.phases.append(Phase(number, is_slow, p50_us, p99_us, messages))
    who = "one reads 1 B/s" if is_slow else "all read"
    print(f"{number + 1}  {who:16}  p50 {p50_us:.0f} us  p99 {p99_us:.0f} us", flush=True)


async def _publish(publisher: majula.Client, kind: bytes, seconds: float) -> int:
    """Messages at an even pace: their kind and the time at which each was handed over."""
    filler = bytes(_SIZE_BYTES - 9)
    began = time.monotonic()
    count = int(seconds * _RATE)
    for at in range(count):
        due = began + at / _RATE
        if (wait_s := due - time.monotonic()) > 0:
            await asyncio.sleep(wait_s)
        publisher.publish_nowait(_TOPIC, kind + time.monotonic_ns().to_bytes(8, "little") + filler)
    await publisher.flush()
    return count


class _Laggard:
    """A subscriber of bare sockets that reads one byte a second."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._read = b""
        self._dawdling = asyncio.ensure_future(self._dawdle())

    async def _dawdle(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            self._read += await loop.sock_recv(self._connection, 1)
            await asyncio.sleep(1.0)

    async def catch_up(self) -> int:
        """Read what waits; how many messages it was told to have missed, 0: it heard nothing of that."""
        self.close()
        loop = asyncio.get_running_loop()
        reader = FrameReader(limit_bytes=1 << 24)
        data, told = self._read, 0
        while not told:
            chunk, spans = reader.feed(data)
            for start, body, _ in spans:
                header = decode_header(chunk[start + 6 : body])
                told += header.dropped_messages if isinstance(header, Slow) else 0
            try:
                async with asyncio.timeout(_TOLD_S):
                    data = await loop.sock_recv(self._connection, 1 << 16)
            except TimeoutError:
                break
        return told

    def close(self) -> None:
        self._dawdling.cancel()


@asynccontextmanager
async def _laggard(address: str) -> AsyncIterator[_Laggard]:
    connection = socket.socket(socket.AF_UNIX)
    connection.setblocking(False)
    loop = asyncio.get_running_loop()
    try:
        await loop.sock_connect(connection, address.removeprefix("unix:"))
        await loop.sock_sendall(connection, encode_frame(Hello(1, "laggard")))
        await loop.sock_recv(connection, 1 << 16)  # WELCOME: what follows is welcome only then
        await loop.sock_sendall(connection, encode_frame(Subscribe(1, _TOPIC)))
        laggard = _Laggard(connection)
        try:
            yield laggard
        finally:
            laggard.close()
    finally:
        connection.close()


def render(record: SlowRun) -> str:
    """The medians of both loads and their ratio."""

    def median(is_slow: bool) -> float | None:
        found = [phase.p99_us for phase in record.phases if phase.is_slow is is_slow]
        return statistics.median(found) if found else None

    without, beside = median(False), median(True)
    ratio = beside / without if without and beside else None
    rows = [
        ["p99 of 99, all read", f"{without:.0f} us" if without else "-"],
        ["p99 of 99, one reads 1 B/s", f"{beside:.0f} us" if beside else "-"],
        ["the node named it", record.named[-1] if record.named else "NO"],
        ["it was told to have missed", f"{record.told} messages" if record.told else "NO"],
    ]
    figures = report.table("Fast subscribers", targets.HEAD, [targets.SLOW.row(ratio)])
    return "\n".join([report.table("One slow subscriber", ["what", "measured"], rows), figures])


async def _subscribe(part: Part) -> None:
    """A process of fast subscribers: ready, then the latencies of the messages that count."""
    us: list[float] = []
    ended = 0
    is_over = asyncio.Event()

    def received(message: majula.Message) -> None:
        nonlocal ended
        data = message.data
        if data[:1] == b"m":
            us.append((time.monotonic_ns() - int.from_bytes(data[1:9], "little")) / 1e3)
        elif data[:1] == b"e":
            ended += 1
            if ended == part.count:
                is_over.set()

    async with AsyncExitStack() as stack:
        for _ in range(part.count):
            client = await stack.enter_async_context(majula.connect(part.address))
            await client.subscribe(_TOPIC, callback=received)
        print("ready", flush=True)
        await is_over.wait()
    print(msgspec.json.encode(Latency(us)).decode(), flush=True)


if __name__ == "__main__":
    majula.run(_subscribe(msgspec.json.decode(sys.argv[1], type=Part)))
