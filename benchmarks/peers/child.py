"""The process in which one side of a case runs: `python -m benchmarks.peers.child TASK`, TASK being JSON.

It answers `ready` when the other side may begin; a publisher and a caller, which are started last, go on at once and answer
their figures. Then it waits for its parent to end it.
"""

from __future__ import annotations

import asyncio
import importlib
import sys

import msgspec

from benchmarks.peers.calling import call
from benchmarks.peers.clients.contract import Client
from benchmarks.peers.counters import Counters
from benchmarks.peers.publishing import publish
from benchmarks.peers.task import Answer, Ready, Task


def _answer(answer: Answer) -> None:
    sys.stdout.buffer.write(msgspec.json.encode(answer) + b"\n")
    sys.stdout.buffer.flush()


async def _run(task: Task) -> None:
    system = importlib.import_module(f"benchmarks.peers.clients.{task.system}")
    kept: list[object] = []

    async def connected(number: int = 0) -> Client:
        client: Client = system.Connection(task)
        client.number = number
        kept.append(client)
        await client.connect()
        return client

    match task.role:
        case "broker":
            kept.append(await system.broker(task.address))
            _answer(Ready())
        case "subscribe":
            case = task.the_case()
            counters = Counters(task.counters, case.subscribers)
            for subscriber in range(task.first, task.first + task.count):
                await (await connected(subscriber)).subscribe(counters.receiver(subscriber, case.size_bytes))
            _answer(Ready())
        case "serve":
            await (await connected()).serve()
            _answer(Ready())
        case "publish":
            client = await connected()
            _answer(Ready())
            _answer(await publish(client, task))
        case "call":
            client = await connected()
            _answer(Ready())
            _answer(await call(client, task))
    await asyncio.Event().wait()


def main() -> None:
    task = msgspec.json.decode(sys.argv[1], type=Task)
    if task.loop == "uvloop":
        import uvloop  # noqa: PLC0415 - only some clients run on it

        uvloop.run(_run(task))
    else:
        asyncio.run(_run(task))


if __name__ == "__main__":
    main()
