"""Clients of a node that runs, and a steady load of both kinds of traffic that remembers what it saw."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import socket
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, Literal

import majula
from majula.api.sdk.states import State
from majula.errors import MajulaError
from majula.wire.frames import FrameReader, decode_header, encode_frame
from majula.wire.headers import AnyHeader, Header, Hello, Welcome
from tests.cluster.node_rig import RESULTS, NodeRig

GUARD_S = 30.0
"""Against a hang; no promise."""

PACE_S = 0.005
"""Between two messages, and two calls, of the load."""


async def until(condition: Callable[[], object]) -> None:
    """Waits for what a callback of this same loop makes true."""
    async with asyncio.timeout(GUARD_S):
        while not condition():
            await asyncio.sleep(0.001)


class Clients:
    """Clients of one node, closed at the end; keeps every state that each was told."""

    def __init__(self, node: NodeRig, stack: AsyncExitStack) -> None:
        self.node = node
        self.states: dict[majula.Client, list[State]] = {}
        self._stack = stack

    def address(self, gateway: int, surface: str = "unix") -> str:
        port = self.node.ports[gateway]
        return f"unix:{self.node.run_dir}/native-{port}.sock" if surface == "unix" else f"ws://127.0.0.1:{port}"

    async def connect(self, gateway: int = 0, surface: str = "unix", **options: Any) -> majula.Client:
        """A client of that gateway: by the native port on its Unix socket, `ws` (frames) or `json` (packages)."""
        encoding: Literal["msgpack", "json"] = "json" if surface == "json" else "msgpack"
        states: list[State] = []
        client = majula.connect(self.address(gateway, surface), encoding=encoding, on_state=states.append, **options)
        self.states[client] = states
        return await self._stack.enter_async_context(client)

    def times(self, client: majula.Client, name: str) -> int:
        """How often a client was told that state."""
        return sum(state.name == name for state in self.states[client])


@asynccontextmanager
async def clients_of(node: NodeRig) -> AsyncIterator[Clients]:
    async with AsyncExitStack() as stack:
        yield Clients(node, stack)


class Load:
    """One message and one call each 5 ms, from a client of one gateway to a client of another, and calls that stay open.

    Every attempt is accounted for: a message by its number, a call by its answer or its one error.
    """

    def __init__(self, sender: majula.Client, receiver: majula.Client) -> None:
        self.sender, self.receiver = sender, receiver
        self.arrived: dict[int, float] = {}
        self.order: list[int] = []
        self.answered: list[tuple[float, float]] = []  # (asked at, answered at)
        self.errors: list[MajulaError] = []
        self.asked = self.published = 0
        self.publish_errors: list[MajulaError] = []
        self.open_calls: list[asyncio.Future[Any]] = []
        self._gate = asyncio.Event()
        self._calls: set[asyncio.Future[Any]] = set()
        self._tasks: list[asyncio.Task[None]] = []

    @classmethod
    @asynccontextmanager
    async def run(cls, sender: majula.Client, receiver: majula.Client, *, open_calls: int = 20) -> AsyncIterator[Load]:
        load = cls(sender, receiver)
        await receiver.subscribe("load", load._take, sync=True)
        await receiver.register("echo", lambda value: value, sync=True)
        await receiver.register("hold", load._hold, sync=True)
        load.open_calls = [sender.start_call("hold", n, timeout_s=GUARD_S) for n in range(open_calls)]
        await sender.flush()
        load._tasks = [asyncio.create_task(load._publish()), asyncio.create_task(load._ask())]
        try:
            yield load
        finally:
            await load.stop()

    async def stop(self) -> None:
        """No more messages and calls; those that are open come to their end."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._gate.set()
        await asyncio.gather(*self._calls, *self.open_calls, return_exceptions=True)

    def release(self) -> None:
        """The calls that were held are answered now."""
        self._gate.set()

    async def until_flowing(self, messages: int = 20) -> None:
        """So many more messages, and calls asked from now on, came through."""
        began = time.monotonic()
        arrived = len(self.arrived)
        await until(
            lambda: (
                len(self.arrived) >= arrived + messages
                and sum(asked > began for asked, _ in self.answered[-2 * messages :]) >= messages
            )
        )

    async def until_back(self, fault_at: float) -> float:
        """Seconds from the fault to the first message and the first call that began after it and came through."""

        def back() -> bool:
            return any(at > fault_at for at in list(self.arrived.values())[-1:]) and self._first_call(fault_at) is not None

        await until(back)
        first_call = self._first_call(fault_at)
        assert first_call is not None
        return max(min(at for at in self.arrived.values() if at > fault_at), first_call) - fault_at

    def outage_s(self, fault_at: float) -> float:
        """The longest time around or after the fault in which nothing came through, of the worse of the two kinds."""
        return max(_longest_gap(sorted(self.arrived.values()), fault_at), _longest_gap(sorted(a for _, a in self.answered), fault_at))

    def _first_call(self, fault_at: float) -> float | None:
        return min((answered for asked, answered in self.answered if asked > fault_at), default=None)

    def _take(self, message: majula.Message) -> None:
        self.order.append(message.payload)
        self.arrived.setdefault(message.payload, time.monotonic())

    async def _hold(self, value: int) -> int:
        await self._gate.wait()
        return value

    async def _publish(self) -> None:
        while True:
            try:
                await self.sender.publish("load", self.published)
            except MajulaError as error:
                self.publish_errors.append(error)
            self.published += 1
            await asyncio.sleep(PACE_S)

    async def _ask(self) -> None:
        while True:
            asked = time.monotonic()
            self.asked += 1
            call = self.sender.start_call("echo", self.asked, timeout_s=GUARD_S)
            self._calls.add(call)
            call.add_done_callback(lambda done, asked=asked: self._ended(done, asked))  # type: ignore[misc]  # a default in a lambda
            await asyncio.sleep(PACE_S)

    def _ended(self, call: asyncio.Future[Any], asked: float) -> None:
        self._calls.discard(call)
        error = call.exception()
        if error is None:
            self.answered.append((asked, time.monotonic()))
        else:
            assert isinstance(error, MajulaError)
            self.errors.append(error)


def _longest_gap(times: list[float], since: float) -> float:
    return max((later - earlier for earlier, later in zip(times, times[1:], strict=False) if later > since), default=0.0)


def record(role: str, fault: str, test: str, **seconds: float) -> None:
    """One cell of the fault table as clients see it, written as JSON; never asserted on."""
    RESULTS.mkdir(exist_ok=True)
    name = re.sub(r"[^A-Za-z0-9]+", "_", f"clients {role} {fault}")
    cell = {"role": role, "fault": fault, **{key: round(value, 4) for key, value in seconds.items()}, "test": test}
    (RESULTS / f"{name}.json").write_text(json.dumps(cell) + "\n")


def memory_bytes(pid: int) -> int:
    """Resident bytes that are a process's own."""
    fields = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return sum(int(size) for size in re.findall(r"^Private_\w+:\s+(\d+) kB", fields, re.MULTILINE)) * 1024


class RawClient:
    """A program that speaks the native port by hand, so that it can stop reading, or misbehave."""

    def __init__(self, connection: socket.socket) -> None:
        self.socket = connection
        self._reader = FrameReader(limit_bytes=2 << 20)
        self._ready: list[tuple[AnyHeader, bytes]] = []

    @classmethod
    async def connect(cls, path: str, client_id: str = "", *, receive_bytes: int = 0) -> RawClient:
        """Connected and welcomed."""
        client = await cls.open(path, receive_bytes=receive_bytes)
        await client.send(encode_frame(Hello(1, client_id)))
        header, _ = await client.receive()
        assert isinstance(header, Welcome), header
        return client

    @classmethod
    async def open(cls, path: str, *, receive_bytes: int = 0) -> RawClient:
        """Connected; nothing is said."""
        connection = socket.socket(socket.AF_UNIX)
        if receive_bytes:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        connection.setblocking(False)
        await asyncio.get_running_loop().sock_connect(connection, path)
        return cls(connection)

    async def send(self, data: bytes) -> None:
        await asyncio.get_running_loop().sock_sendall(self.socket, data)

    async def ask(self, header: Header) -> AnyHeader:
        """The next frame after this one."""
        await self.send(encode_frame(header))
        return (await self.receive())[0]

    async def receive(self) -> tuple[AnyHeader, bytes]:
        """The next frame.

        Raises:
            ConnectionError: the gateway closed the connection.
        """
        async with asyncio.timeout(GUARD_S):
            while not self._ready:
                data = await asyncio.get_running_loop().sock_recv(self.socket, 1 << 18)
                if not data:
                    raise ConnectionError("closed by the gateway")
                chunk, spans = self._reader.feed(data)
                self._ready = [
                    (decode_header(bytes(chunk[start + 6 : body])), bytes(chunk[body:end])) for start, body, end in spans
                ]
        return self._ready.pop(0)

    async def until_closed(self) -> list[AnyHeader]:
        """What still came before the gateway closed."""
        seen: list[AnyHeader] = []
        with contextlib.suppress(ConnectionError):
            while True:
                seen.append((await self.receive())[0])
        return seen

    def close(self) -> None:
        self.socket.close()
