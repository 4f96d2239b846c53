"""The Python client against a real node with two gateways: real processes, real sockets, faults included."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Literal

import pytest

import majula
from majula.api.sdk.address import find_address
from majula.errors import (
    Conflict,
    ConnectionLost,
    DeadlineExceeded,
    InvalidRequest,
    MajulaError,
    NoProvider,
    NoSuchNode,
    ProviderLost,
    RemoteError,
)
from tests.cluster.node_rig import NodeRig, record_recovery

pytestmark = pytest.mark.slow

SURFACES = ["unix", "ws", "json"]
"""How a client attaches: the native port on its Unix socket, WebSocket with frames, WebSocket with JSON packages."""

GUARD_S = 20.0
"""Against a hang; no promise."""


class Clients:
    """Clients of one node, closed at the end; keeps what each was told."""

    def __init__(self, node: NodeRig, stack: AsyncExitStack) -> None:
        self.node = node
        self._stack = stack
        self._news = asyncio.Event()

    def address(self, surface: str, gateway: int) -> str:
        port = self.node.ports[gateway]
        return f"unix:{self.node.run_dir}/native-{port}.sock" if surface == "unix" else f"ws://127.0.0.1:{port}"

    async def connect(self, gateway: int = 0, surface: str = "unix", **options: Any) -> majula.Client:
        encoding: Literal["msgpack", "json"] = "json" if surface == "json" else "msgpack"
        address = self.address(surface, gateway)
        client = majula.connect(address, encoding=encoding, on_state=lambda _state: self._news.set(), **options)
        return await self._stack.enter_async_context(client)

    async def until_state(self, client: majula.Client, name: str) -> None:
        async with asyncio.timeout(GUARD_S):
            while client.state.name != name:
                self._news.clear()
                await self._news.wait()


@pytest.fixture
async def node(tmp_path: Path) -> AsyncIterator[NodeRig]:
    async with NodeRig(tmp_path / "node", module="majula.runner", gateways=2) as rig:
        yield rig


@pytest.fixture
async def clients(node: NodeRig) -> AsyncIterator[Clients]:
    async with AsyncExitStack() as stack:
        yield Clients(node, stack)


async def take(subscription: majula.Subscription, count: int) -> list[Any]:
    async with asyncio.timeout(GUARD_S):
        return [(await anext(subscription)).payload for _ in range(count)]


# --- topics


@pytest.mark.parametrize("surface", SURFACES)
async def test_messages_cross_the_gateways_in_order(clients: Clients, surface: str) -> None:
    publisher, reader = await clients.connect(0, surface), await clients.connect(1, surface)
    subscription = await reader.subscribe("a.*", sync=True)
    for n in range(500):
        await publisher.publish("a.b", {"n": n})
    await publisher.publish("a.c", b"\x00bytes")
    assert await take(subscription, 501) == [{"n": n} for n in range(500)] + [b"\x00bytes"]


@pytest.mark.parametrize(("from_", "to"), [("unix", "json"), ("json", "unix"), ("ws", "json"), ("json", "ws")])
async def test_values_mean_the_same_on_every_surface(clients: Clients, from_: str, to: str) -> None:
    publisher, reader = await clients.connect(0, from_), await clients.connect(1, to)
    subscription = await reader.subscribe("t", sync=True)
    values = [None, True, -7, 2.5, "é", [1, [2]], {"a": {"b": None}}]
    for value in values:
        await publisher.publish("t", value, headers={"k": "v"})
    assert await take(subscription, len(values)) == values


async def test_a_synchronous_subscription_misses_nothing_that_is_published_at_the_other_gateway(clients: Clients) -> None:
    publisher, reader = await clients.connect(0), await clients.connect(1)
    missed = 0
    for n in range(1_000):
        got: list[majula.Message] = []
        subscription = await reader.subscribe(f"round.{n}", got.append, sync=True)
        await publisher.publish(f"round.{n}", n)
        await publisher.flush()
        await reader.flush()
        if not got:  # it may be on its way between the gateways
            missed += not await _arrives(got)
        await subscription.unsubscribe()
    assert missed == 0


async def _arrives(got: list[majula.Message]) -> bool:
    try:
        async with asyncio.timeout(2.0):
            while not got:  # the message comes by a callback of this same loop
                await asyncio.sleep(0.001)
    except TimeoutError:
        return False
    return True


async def test_a_queue_group_over_two_gateways_gets_each_message_once(clients: Clients) -> None:
    publisher = await clients.connect(0)
    members = [await clients.connect(n % 2) for n in range(4)]
    got: list[list[Any]] = [[] for _ in members]
    done = asyncio.Event()

    def note(member: int, message: majula.Message) -> None:
        got[member].append(message.payload)
        if sum(map(len, got)) == 400:
            done.set()

    for n, member in enumerate(members):
        await member.subscribe("work", lambda message, n=n: note(n, message), queue="q", sync=True)
    for n in range(400):
        await publisher.publish("work", n)
    async with asyncio.timeout(GUARD_S):
        await done.wait()
    await publisher.flush()
    assert sorted(value for values in got for value in values) == list(range(400))
    assert all(got)


async def test_a_retained_value_is_sent_to_whoever_comes_later_at_any_gateway(clients: Clients) -> None:
    publisher = await clients.connect(0)
    await publisher.publish("state.x", {"v": 1}, retain=True, ack=True)
    await publisher.publish("state.x", {"v": 2}, retain=True, ack=True)
    for gateway in (0, 1):
        reader = await clients.connect(gateway)
        subscription = await reader.subscribe("state.*", retained=True, sync=True)
        async with asyncio.timeout(GUARD_S):
            message = await anext(subscription)
        assert (message.payload, message.retained) == ({"v": 2}, True)


# --- functions


@pytest.mark.parametrize("surface", SURFACES)
async def test_a_function_is_called_across_the_gateways(clients: Clients, surface: str) -> None:
    provider, caller = await clients.connect(0, surface), await clients.connect(1, surface)

    async def add(a: int, b: int = 1) -> int:
        return a + b

    def fail() -> None:
        raise ValueError("told you")

    await provider.register("add", add, sync=True)
    await provider.register("fail", fail, sync=True)
    assert await caller.call("add", {"a": 2, "b": 3}) == 5
    assert await caller.call("add", {"a": 2}, provider=provider.client_id) == 3
    assert await asyncio.gather(*(caller.call("add", {"a": n}) for n in range(200))) == [n + 1 for n in range(200)]
    with pytest.raises(RemoteError, match="told you") as caught:
        await caller.call("fail")
    assert caught.value.type == "ValueError"


async def test_clear_errors_come_at_once(clients: Clients) -> None:
    client = await clients.connect()
    with pytest.raises(NoProvider):
        await client.call("nothing")
    with pytest.raises(NoSuchNode):
        await client.call("add", {"a": 1, "b": 2}, node="elsewhere")
    with pytest.raises(InvalidRequest):
        await client.subscribe("a.>.b", pattern=True)


async def test_the_nodes_own_functions_are_there(clients: Clients) -> None:
    client = await clients.connect()
    assert await client.call("add", {"a": 1, "b": 2}, provider="init") == {"sum": 3}
    assert await client.call("whoami", provider="init") == {"id": "n1"}
    names = {service.name for service in await client.services(provider="init")}
    assert {"add", "echo", "time", "whoami", "longtext", "randint", "reverse", "allrpcs", "node_info"} <= names


async def test_metadata_of_a_typed_function_is_listed_at_the_other_gateway(clients: Clients) -> None:
    provider, other = await clients.connect(0), await clients.connect(1)

    async def scale(value: float, by: float = 2.0) -> float:
        """Scale a value."""
        return value * by

    await provider.register("scale", scale, idempotent=True, sync=True)
    (service,) = await other.services(function="scale")
    assert (service.provider, service.node, service.note, service.idempotent) == (
        provider.client_id,
        "n1",
        "Scale a value.",
        True,
    )
    assert [(one.name, one.type) for one in service.parameters] == [("value", "float"), ("by", "float")]


async def test_a_deadline_ends_the_call_and_the_handler(clients: Clients) -> None:
    provider, caller = await clients.connect(0), await clients.connect(1)
    cancelled = asyncio.Event()

    async def wait() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    await provider.register("wait", wait, sync=True)
    with pytest.raises(DeadlineExceeded):
        await caller.call("wait", timeout_s=0.2)
    async with asyncio.timeout(GUARD_S):
        await cancelled.wait()


async def test_a_caller_that_goes_away_cancels_its_handler(clients: Clients) -> None:
    provider, caller = await clients.connect(0), await clients.connect(1)
    started, cancelled = asyncio.Event(), asyncio.Event()

    async def wait() -> None:
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    await provider.register("wait", wait, sync=True)
    call = caller.start_call("wait")
    async with asyncio.timeout(GUARD_S):
        await started.wait()
        await caller.close()
        await cancelled.wait()
    with pytest.raises(ConnectionLost):
        await call


async def test_a_provider_that_goes_away_is_told_to_its_callers(clients: Clients) -> None:
    provider, caller = await clients.connect(0), await clients.connect(1)
    started = asyncio.Event()

    async def wait() -> None:
        started.set()
        await asyncio.Event().wait()

    await provider.register("wait", wait, sync=True)
    call = caller.start_call("wait")
    async with asyncio.timeout(GUARD_S):
        await started.wait()
        await provider.close()
        with pytest.raises(ProviderLost):
            await call


# --- who one is


async def test_an_id_is_unique_on_the_node(clients: Clients) -> None:
    await clients.connect(0, client_id="mine")
    with pytest.raises(Conflict):
        await clients.connect(1, client_id="mine")


async def test_the_only_node_is_found_without_an_address(clients: Clients) -> None:
    run_dir = clients.node.run_dir
    (run_dir.parent / "majula").symlink_to(run_dir.parent)
    found = find_address({"XDG_RUNTIME_DIR": str(run_dir.parent)}, uid=os.getuid(), temporary=run_dir / "none")
    assert Path(found.path).resolve() == Path(clients.address("unix", 0).removeprefix("unix:"))


# --- faults


async def test_a_killed_gateway_gives_every_call_one_error_and_everything_comes_back(clients: Clients) -> None:
    client = await clients.connect(0)
    got: list[Any] = []
    await client.subscribe("t", lambda message: got.append(message.payload), sync=True)
    await client.register("echo", lambda value: value, sync=True)
    await client.register("wait", asyncio.Event().wait, sync=True)
    waiting = [client.start_call("wait", timeout_s=30) for _ in range(20)]
    await client.flush()

    began = time.monotonic()
    os.kill(await clients.node.pid(f"gateway:{clients.node.ports[0]}"), signal.SIGKILL)
    errors = await asyncio.gather(*waiting, return_exceptions=True)
    assert {type(error) for error in errors} == {ConnectionLost}
    await clients.until_state(client, "connected")
    assert await client.call("echo", "back") == "back"
    await client.publish("t", "back")
    await client.flush()
    assert got == ["back"]
    record_recovery(
        "gateway", "SIGKILL seen by a client", time.monotonic() - began, "test_a_killed_gateway_gives_every_call_one_error"
    )


@pytest.mark.parametrize("role", ["topic_manager", "rpc_broker", "router"])
async def test_traffic_goes_on_while_a_control_actor_is_killed(clients: Clients, role: str) -> None:
    publisher, reader = await clients.connect(0), await clients.connect(1)
    got: list[Any] = []
    await reader.subscribe("t", lambda message: got.append(message.payload), sync=True)
    await reader.register("echo", lambda value: value, sync=True)
    os.kill(await clients.node.pid(role), signal.SIGKILL)
    for n in range(300):
        await publisher.publish("t", n)
        assert await publisher.call("echo", n) == n
    assert await _until(lambda: len(got) == 300)
    assert got == list(range(300))
    assert (publisher.state.name, reader.state.name) == ("connected", "connected")


async def _until(condition: Any) -> bool:
    async with asyncio.timeout(GUARD_S):
        while not condition():  # set by a callback of this same loop
            await asyncio.sleep(0.001)
    return True


async def test_a_node_that_stops_lets_open_calls_end(clients: Clients) -> None:
    provider, caller = await clients.connect(0), await clients.connect(1)
    started, gate = asyncio.Event(), asyncio.Event()

    async def wait() -> str:
        started.set()
        await gate.wait()
        return "finished"

    await provider.register("wait", wait, sync=True)
    call = caller.start_call("wait")
    async with asyncio.timeout(GUARD_S):
        await started.wait()
        clients.node.process.terminate()
        await clients.node.until_said("node.draining")
        gate.set()
        try:
            assert await call == "finished"
        except MajulaError as error:
            assert isinstance(error, ConnectionLost | ProviderLost)
        assert await clients.node.ended() == 0
    assert caller.state.name != "connected"


async def test_a_restarted_node_serves_its_old_clients_again(tmp_path: Path) -> None:
    async with NodeRig(tmp_path / "node", module="majula.runner") as node, AsyncExitStack() as stack:
        clients = Clients(node, stack)
        client = await clients.connect(0)
        got: list[Any] = []
        await client.subscribe("t", lambda message: got.append(message.payload), sync=True)
        node.process.kill()
        await node.ended()
        await clients.until_state(client, "disconnected")
        await client.publish("t", "kept")
        lines = len(node.events)
        await node.start()
        await node.until_said("node.ready", after=lines)
        await clients.until_state(client, "connected")
        await client.flush()
        assert got == ["kept"]
