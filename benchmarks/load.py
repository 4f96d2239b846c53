"""The mixed load of the memory benchmark, in a process of its own: `python -m benchmarks.load LOAD`, LOAD being JSON.

A little of everything, paced, so that what grows is what leaks: small, middle and large messages, patterns, a queue group,
retained values that are overwritten, calls that are answered, fail and are given up, clients that come and go with topics and
functions of their own (each name is new: a table that forgets to forget shows), WebSocket and plain HTTP.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
import time
from collections.abc import Awaitable, Callable

import aiohttp
import msgspec

import majula
from majula.errors import DeadlineExceeded, RemoteError


class Load(msgspec.Struct, frozen=True, kw_only=True):
    """Where, and how long."""

    native: str
    websocket: str
    port: int
    seconds: float


class Moved(msgspec.Struct, kw_only=True):
    """What was done. `failed`: calls whose handler raised, as it should; `given_up`: whose deadline passed, as it should."""

    published: int = 0
    received: int = 0
    retained: int = 0
    calls: int = 0
    given_up: int = 0
    failed: int = 0
    sessions: int = 0
    http_requests: int = 0


async def _every(period_s: float, end_at: float, act: Callable[[int], Awaitable[None]]) -> None:
    """`act(0), act(1), ...` once each `period_s`; when it falls behind, it goes on from now instead of catching up."""
    number, next_at = 0, time.monotonic()
    while (now := time.monotonic()) < end_at:
        if now < next_at:
            await asyncio.sleep(next_at - now)
        await act(number)
        number += 1
        next_at = max(next_at + period_s, time.monotonic() - period_s)


async def run(load: Load) -> Moved:
    """Load the node for `load.seconds`."""
    moved = Moved()
    end_at = time.monotonic() + load.seconds

    def count(_: object) -> None:
        moved.received += 1

    async with contextlib.AsyncExitStack() as stack:
        publisher = await stack.enter_async_context(majula.connect(load.native))
        subscriber = await stack.enter_async_context(majula.connect(load.native))
        web = await stack.enter_async_context(majula.connect(load.websocket))
        http = await stack.enter_async_context(aiohttp.ClientSession(f"http://127.0.0.1:{load.port}"))
        members = [await stack.enter_async_context(majula.connect(load.native)) for _ in range(3)]

        for topic in ("load.small.*", "load.middle", "load.large", "load.>"):
            await subscriber.subscribe(topic, callback=count)
        await web.subscribe("load.small.>", callback=count)
        for member in members:
            await member.subscribe("load.work", queue="workers", callback=count)

        async def echo(value: bytes) -> bytes:
            return value

        async def fail() -> None:
            raise ValueError("as asked")

        async def never() -> None:
            await asyncio.Event().wait()

        for function in (echo, fail, never):
            await members[0].register(f"load.{function.__name__}", function)

        def publishing(topic: str, size: int, burst: int) -> Callable[[int], Awaitable[None]]:
            payload = bytes(size)

            async def act(number: int) -> None:
                for at in range(burst):
                    await publisher.publish(topic.format(at), payload)
                moved.published += burst

            return act

        async def retain(number: int) -> None:
            await publisher.publish(f"load.state.{number % 100}", bytes(number % 2000), retain=True)
            moved.retained += 1

        async def call(number: int) -> None:
            await asyncio.gather(*[publisher.call("load.echo", bytes(512)) for _ in range(8)])
            moved.calls += 8

        async def call_in_vain(number: int) -> None:
            try:
                await publisher.call("load.fail")
            except RemoteError:
                moved.failed += 1
            try:
                await publisher.call("load.never", timeout_s=0.05)
            except DeadlineExceeded:
                moved.given_up += 1

        async def come_and_go(number: int) -> None:
            address = load.websocket if number % 4 == 0 else load.native
            async with majula.connect(address) as visitor:
                await visitor.subscribe(f"visit.{number}.>", callback=count)
                await visitor.register(f"visit.{number}", echo)
                await visitor.publish(f"visit.{number}.here", b"x" * 256)
                await visitor.call(f"visit.{number}", b"x")
            moved.sessions += 1

        async def ask_by_http(number: int) -> None:
            async with http.post("/majula/pub/web", json={"topic": "load.small.http", "msg": '{"from": "http"}'}) as answer:
                answer.raise_for_status()
                await answer.read()
            async with http.get("/majula/rpc/web", params={"fun": "time", "target_node": "bench", "provider": "init"}) as answer:
                answer.raise_for_status()
                await answer.read()
            moved.http_requests += 2

        await asyncio.gather(
            _every(0.02, end_at, publishing("load.small.{}", 100, 20)),
            _every(0.02, end_at, publishing("load.middle", 4096, 4)),
            _every(0.2, end_at, publishing("load.large", 256 * 1024, 2)),
            _every(0.02, end_at, publishing("load.work", 200, 5)),
            _every(0.05, end_at, retain),
            _every(0.05, end_at, call),
            _every(0.5, end_at, call_in_vain),
            _every(0.2, end_at, come_and_go),
            _every(0.1, end_at, ask_by_http),
        )
    return moved


def main() -> None:
    load = msgspec.json.decode(sys.argv[1], type=Load)
    moved = asyncio.run(run(load))
    sys.stdout.buffer.write(msgspec.json.encode(moved) + b"\n")


if __name__ == "__main__":
    main()
