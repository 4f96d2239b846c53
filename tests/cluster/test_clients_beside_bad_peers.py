"""What peers that are slow, loud or broken cost the clients beside them, on a real node."""

from __future__ import annotations

import asyncio
import random
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import psutil
import pytest

import majula
from majula.wire.frames import encode_frame, encode_run
from majula.wire.headers import Publish, Slow
from tests.cluster.node_clients import GUARD_S, Clients, Load, running_node
from tests.native_peer import Peer

pytestmark = pytest.mark.slow

BOUND_BYTES = 60 << 20
"""By how much a gateway may grow here. A client's queue takes 4 MiB, the kernel's buffers are not the gateway's; the rest is
freed memory that the allocator keeps."""


@pytest.fixture
async def clients(tmp_path: Path) -> AsyncIterator[Clients]:
    async with running_node(tmp_path / "node") as found:
        yield found


async def open_peer(clients: Clients, stack: AsyncExitStack, *, limit: int = 1 << 16) -> Peer:
    """A peer that writes bytes to the native port of the first gateway."""
    peer = Peer(*await asyncio.open_unix_connection(clients.address(0).removeprefix("unix:"), limit=limit))
    stack.callback(peer.writer.close)
    return peer


async def gateway_memory(clients: Clients) -> int:
    return int(psutil.Process(await clients.node.pid(f"gateway:{clients.node.ports[0]}")).memory_info().rss)


async def gateway_statistics(clients: Clients) -> dict[str, Any]:
    found: dict[str, Any] = (await clients.node.roles())[f"gateway:{clients.node.ports[0]}"]["statistics"]
    return found


async def test_a_subscriber_that_reads_nothing_is_bounded_named_and_told_and_the_others_get_all(clients: Clients) -> None:
    async with AsyncExitStack() as stack:
        slow = await open_peer(clients, stack)
        await slow.hello("laggard")
        await slow.subscribe("big")
        slow.reader._transport.pause_reading()  # type: ignore[attr-defined]  # a client that does not read
        publisher, fast = await clients.connect(0), [await clients.connect(gateway) for gateway in (0, 1)]
        readers = [await client.subscribe("big", sync=True) for client in fast]
        before = await gateway_memory(clients)
        for n in range(400):
            await publisher.publish("big", n.to_bytes(2, "big") * 100_000)
            async with asyncio.timeout(GUARD_S):
                for reader in readers:
                    assert (await anext(reader)).data[:2] == n.to_bytes(2, "big")
        assert await gateway_memory(clients) - before < BOUND_BYTES  # 80 MB were published
        async with asyncio.timeout(GUARD_S):
            while (await gateway_statistics(clients)).get("slow_client_names") != "laggard":
                await asyncio.sleep(0.05)  # the figures come with the next answer to a ping
        slow.reader._transport.resume_reading()  # type: ignore[attr-defined]  # it reads again
        while not isinstance((await slow.read())[0], Slow):
            pass
        assert slow.writer.is_closing() is False


async def test_a_flood_of_one_client_leaves_the_others_served(clients: Clients) -> None:
    async with AsyncExitStack() as stack:
        loud = await open_peer(clients, stack)
        await loud.hello()
        frame = encode_frame(Publish("nobody"), encode_run([b"x" * 100] * 100)) * 20

        async def flood() -> None:
            while True:
                loud.writer.write(frame)
                await loud.writer.drain()

        before = await gateway_memory(clients)
        async with Load(clients) as load:
            task = asyncio.create_task(flood())
            for _ in range(4):
                await load.goes_on()
            task.cancel()
        assert set(load.outcomes) == {"answer"}
        assert load.received == list(range(len(load.received)))
        assert await gateway_memory(clients) - before < BOUND_BYTES


def garbage(seed: int) -> bytes:
    """Bytes that are no frame, or that begin like one."""
    dice = random.Random(seed)
    length = dice.choice([1, 5, 64, 4_000])
    start = dice.choice(
        [b"", b"\x00\x00\x00\x00", b"\xff\xff\xff\xff", b"GET / HTTP/1.1\r\n\r\n", b"\x20\x00\x00\x00\xff\xff", b"\x91" * 400]
    )
    return start + dice.randbytes(length)


async def test_garbage_on_the_native_port_ends_only_who_sent_it(clients: Clients) -> None:
    async with Load(clients) as load, AsyncExitStack() as stack:
        pids = {role: found["pid"] for role, found in (await clients.node.roles()).items()}
        for seed in range(200):
            peer = await open_peer(clients, stack)
            if seed % 2:
                await peer.hello()
            peer.writer.write(garbage(seed))
            peer.writer.write_eof()
            async with asyncio.timeout(GUARD_S):
                while await peer.reader.read(65_536):  # what it was told, then the end
                    pass
        await load.goes_on()
        assert {role: found["pid"] for role, found in (await clients.node.roles()).items()} == pids
    assert set(load.outcomes) == {"answer"}
    assert load.received == list(range(len(load.received)))


async def test_five_hundred_connections_that_say_little_or_nothing_disturb_nobody(clients: Clients) -> None:
    beginnings = (b"", b"\x10", b"\x10\x00\x00\x00\x08", b"GET /majula/health HTTP/1.1\r\nHost: local")
    pids = {role: found["pid"] for role, found in (await clients.node.roles()).items()}
    before = await gateway_memory(clients)
    async with AsyncExitStack() as stack:
        for number in range(500):
            is_unix = number % 2
            knock = stack.enter_context(socket.socket(socket.AF_UNIX if is_unix else socket.AF_INET))
            knock.connect(clients.address(0).removeprefix("unix:") if is_unix else ("127.0.0.1", clients.node.ports[0]))
            knock.sendall(beginnings[number // 2 % 4])
        async with Load(clients) as load:
            for _ in range(4):
                await load.goes_on()
        assert set(load.outcomes) == {"answer"}
        assert await gateway_memory(clients) - before < BOUND_BYTES
    assert {role: found["pid"] for role, found in (await clients.node.roles()).items()} == pids


async def test_a_client_that_is_frozen_keeps_its_session_and_goes_on(clients: Clients) -> None:
    program = (
        "import asyncio, sys, majula\n"
        "async def main():\n"
        "    async with majula.connect(sys.argv[1]) as client:\n"
        "        await client.register('frozen', lambda: 'awake', sync=True)\n"
        "        print('ready', flush=True)\n"
        "        await asyncio.Event().wait()\n"
        "asyncio.run(main())\n"
    )
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, clients.address(1), stdout=asyncio.subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        async with asyncio.timeout(GUARD_S):
            assert await process.stdout.readline() == b"ready\n"
        process.send_signal(signal.SIGSTOP)
        caller = await clients.connect(0)
        with pytest.raises(majula.MajulaError) as caught:
            await caller.call("frozen", timeout_s=0.3)
        assert caught.value.code == "deadline_exceeded"
        process.send_signal(signal.SIGCONT)
        assert await caller.call("frozen") == "awake"
    finally:
        process.kill()
        await process.wait()
