"""What clients see of a gateway while it works, and while it or another role is killed, stopped, flooded or fed with garbage."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from majula.gateway.settings import GatewayLimits
from majula.messages.base import Role
from majula.messages.supervision import Drain
from majula.wire.frames import encode_frame, encode_run, split_run
from majula.wire.headers import (
    MSGPACK,
    RETAIN,
    RETAINED,
    Ack,
    Call,
    Error,
    Hello,
    Ping,
    Pong,
    Publish,
    Reconnect,
    Register,
    Result,
    Slow,
    Subscribe,
)
from tests.actors.supervision.rig import record_recovery
from tests.native_peer import Peer

from .fragile import Fail
from .rig import GatewayRig

pytestmark = pytest.mark.slow
ONE, TWO = "gateway:1", "gateway:2"
BOTH = pytest.mark.parametrize("at", [ONE, TWO])
HERE = "tests/actors/gateway/test_gateway.py"


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[GatewayRig]:
    async with GatewayRig(tmp_path / "r") as rig:
        yield rig


async def subscriber(rig: GatewayRig, at: Role, topic: str, *, queue: str = "") -> Peer:
    """A client whose subscription is in force at every gateway."""
    client = await rig.client(at)
    client.send(Subscribe(1, topic, queue=queue, sync=True))
    assert (await client.read())[0] == Ack(1, "everywhere")
    return client


async def provider(rig: GatewayRig, at: Role, client_id: str = "p", *, idempotent: bool = False) -> Peer:
    client = await rig.client(at, client_id)
    client.send(Register(1, "f", idempotent=idempotent, sync=True))
    assert (await client.read())[0] == Ack(1, "everywhere")
    return client


async def read_call(client: Peer) -> Call:
    header, _ = await client.read()
    assert isinstance(header, Call), header
    return header


async def read_fault(client: Peer) -> str:
    header, _ = await client.read()
    assert isinstance(header, Result), header
    assert header.fault is not None
    return header.fault.code


def publish(client: Peer, topic: str, *messages: bytes, flags: int = 0, request: int = 0) -> None:
    client.send(Publish(topic, 0, flags, request), encode_run(list(messages)))


async def add(client: Peer, number: int = 1) -> None:
    """A function of the node itself answers."""
    client.send(Call(number, "add", MSGPACK, provider="init"), msgspec.msgpack.encode({"a": 2, "b": 3}))
    assert await client.read() == (Result(number, MSGPACK), msgspec.msgpack.encode({"sum": 5}))


# --- while all is well


def resident_bytes(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@BOTH
async def test_messages_reach_subscribers_of_both_gateways_in_order(rig: GatewayRig, at: Role) -> None:
    client = await subscriber(rig, at, "a")
    sender = await rig.client(ONE)
    for number in range(500):
        publish(sender, "a", b"%d" % number)
    got: list[bytes] = []
    while len(got) < 500:
        got += split_run((await client.read())[1])
    assert got == [b"%d" % number for number in range(500)]


@BOTH
async def test_calls_reach_providers_of_both_gateways(rig: GatewayRig, at: Role) -> None:
    serves = await provider(rig, at)
    caller = await rig.client(ONE, "c")
    for number in range(1, 100):
        caller.send(Call(number, "f"), b"x")
        call = await read_call(serves)
        assert call.source == "c"
        serves.send(Result(call.call), b"y")
        assert await caller.read() == (Result(number), b"y")


async def test_after_a_synchronous_subscription_nothing_is_missed_a_thousand_times(rig: GatewayRig) -> None:
    client, sender = await rig.client(TWO), await rig.client(ONE)
    for number in range(1_000):
        topic = f"t{number}"
        client.send(Subscribe(number + 1, topic, sync=True))
        assert (await client.read())[0] == Ack(number + 1, "everywhere")
        publish(sender, topic, b"x")
        assert (await client.read())[0] == Publish(topic)


async def test_a_queue_group_with_members_at_both_gateways_shares_the_work(rig: GatewayRig) -> None:
    members = [await subscriber(rig, at, "a", queue="g") for at in (ONE, ONE, TWO)]
    sender = await rig.client(ONE)
    publish(sender, "a", *(b"%d" % number for number in range(30)))
    got = [split_run((await member.read())[1]) for member in members]
    assert sorted(int(message) for part in got for message in part) == list(range(30))


async def test_one_id_has_one_session_whatever_the_gateway(rig: GatewayRig) -> None:
    await rig.client(ONE, "c")
    other = await rig.connect(TWO)
    other.send(Hello(1, "c", "another secret"))
    header, _ = await other.read()
    assert isinstance(header, Error)
    assert header.code == "conflict"


async def test_the_secret_takes_an_id_over_from_another_gateway(rig: GatewayRig) -> None:
    older = await rig.client(ONE, "c")
    newer = await rig.client(TWO, "c", older.welcome.secret)
    header, _ = await older.read()
    assert isinstance(header, Error)
    assert (header.code, header.detail) == ("conflict", {"reason": "taken_over"})
    await older.closed()
    await add(newer)


async def test_a_retained_value_is_there_at_the_other_gateway_and_survives_the_topic_manager(rig: GatewayRig) -> None:
    sender = await rig.client(ONE)
    publish(sender, "a", b"kept", flags=RETAIN, request=1)
    assert (await sender.read())[0] == Ack(1, "accepted")
    former = rig.kill("topic_manager")
    await rig.recovered("topic_manager", former)
    client = await rig.client(TWO)
    client.send(Subscribe(1, "a", retained=True, sync=True))
    first, second = await client.read(), await client.read()
    assert {type(first[0]), type(second[0])} == {Ack, Publish}
    kept = first if isinstance(first[0], Publish) else second
    assert kept == (Publish("a", 0, RETAINED), encode_run([b"kept"]))


async def test_a_drain_lets_open_calls_end_and_takes_nothing_new(rig: GatewayRig) -> None:
    serves, caller = await provider(rig, ONE), await rig.client(ONE)
    caller.send(Call(1, "f"))
    call = await read_call(serves)
    rig.outside.send(rig.roles[ONE].address, Drain(10.0))
    for client in (serves, caller):
        assert isinstance((await client.read())[0], Reconnect)
    caller.send(Call(2, "f"))
    assert await read_fault(caller) == "draining"
    with pytest.raises(OSError):
        await rig.connect(ONE)
    serves.send(Result(call.call), b"x")
    assert await caller.read() == (Result(1), b"x")


# --- faults of the gateway


async def back(rig: GatewayRig, fault: str, test: str) -> None:
    """A client that connects at once is served; how long that took is recorded."""
    began = time.monotonic()
    await add(await rig.client(TWO))
    record_recovery(TWO, fault, time.monotonic() - began, f"{HERE}::{test}")


async def test_sigkilled_gateway_serves_again_without_refusing_a_connection(rig: GatewayRig) -> None:
    client = await rig.client(TWO)
    former = rig.kill(TWO)
    await back(rig, "SIGKILL", "test_sigkilled_gateway_serves_again_without_refusing_a_connection")
    await client.closed()
    assert rig.roles[TWO].incarnation > former.incarnation


async def test_clients_of_the_other_gateway_do_not_notice_that_one_is_killed(rig: GatewayRig) -> None:
    client, sender = await subscriber(rig, ONE, "a"), await rig.client(ONE)
    await subscriber(rig, TWO, "a")
    rig.kill(TWO)
    for number in range(200):
        publish(sender, "a", b"%d" % number)
        assert split_run((await client.read())[1]) == [b"%d" % number]


async def test_after_a_restart_a_gateway_knows_the_subscribers_of_the_other(rig: GatewayRig) -> None:
    client = await subscriber(rig, ONE, "a")
    rig.kill(TWO)
    sender = await rig.client(TWO)
    publish(sender, "a", b"x")
    assert split_run((await client.read())[1]) == [b"x"]


async def test_a_call_whose_gateway_is_killed_ends_in_one_clear_error(rig: GatewayRig) -> None:
    serves, caller = await provider(rig, TWO), await rig.client(ONE)
    caller.send(Call(1, "f"))
    await read_call(serves)
    rig.kill(TWO)
    assert await read_fault(caller) == "provider_lost"


async def test_an_idempotent_call_goes_to_the_other_gateway_when_one_is_killed(rig: GatewayRig) -> None:
    far, near = await provider(rig, TWO, "far"), await provider(rig, ONE, "near")
    caller = await rig.client(ONE)
    for number in (1, 2):
        caller.send(Call(number, "f", idempotent=True), b"x")
    await read_call(far)
    rig.kill(TWO)
    for _ in range(2):
        near.send(Result((await read_call(near)).call), b"y")
    assert {(await caller.read())[0] for _ in range(2)} == {Result(1), Result(2)}


async def test_stopped_gateway_is_found_and_replaced(rig: GatewayRig) -> None:
    former = rig.kill(TWO, signal.SIGSTOP)
    record_recovery(TWO, "SIGSTOP", await rig.recovered(TWO, former), f"{HERE}::test_stopped_gateway_is_found_and_replaced")
    await add(await rig.client(TWO))


@pytest.mark.parametrize("where", ["handler", "task", "memory"])
async def test_an_exception_ends_the_gateway_and_it_comes_back(rig: GatewayRig, where: str) -> None:
    former = rig.roles[TWO]
    rig.outside.send(former.address, Fail(where))
    await rig.recovered(TWO, former)
    fault = "out of memory" if where == "memory" else f"exception in {where}"
    await back(rig, fault, "test_an_exception_ends_the_gateway_and_it_comes_back")
    (died,) = [report for report in rig.reports if report.offender == TWO and report.context == "child.died"]
    words = "MemoryError: told to have none left" if where == "memory" else f"RuntimeError: told to fail in a {where}"
    assert died.reason == words


async def test_garbage_from_clients_and_from_an_actor_harms_nobody(rig: GatewayRig) -> None:
    client = await rig.client(ONE)
    former = dict(rig.roles)
    for size in (1, 5, 6, 7, 64, 5_000):
        for fresh in (True, False):
            stranger = await rig.connect(ONE) if fresh else await rig.client(ONE)
            stranger.writer.write(os.urandom(size))
            stranger.writer.write_eof()
            await stranger.reader.read()
    rig.outside.send_frames(former[ONE].address, os.urandom(500))
    await add(client)
    assert rig.roles == former


async def test_a_flood_of_one_client_leaves_the_others_served(rig: GatewayRig) -> None:
    flooder, client = await rig.client(ONE), await rig.client(ONE)
    frame = encode_frame(Publish("a"), encode_run([b"x" * 100] * 100))

    async def flood() -> None:
        while True:
            flooder.writer.write(frame * 20)
            await flooder.writer.drain()

    task = asyncio.create_task(flood())
    for number in range(1, 101):
        await add(client, number)
    task.cancel()


async def test_a_client_that_does_not_read_is_told_of_its_gap_and_named(tmp_path: Path) -> None:
    async with GatewayRig(tmp_path / "r", GatewayLimits(queue_bytes=200_000)) as rig:
        slow, quick = await rig.client(ONE, "laggard"), await rig.client(ONE)
        for client in (slow, quick):
            client.send(Subscribe(1, "a"))
            await client.read()
        slow.reader._transport.pause_reading()  # type: ignore[attr-defined]  # a client that does not read
        sender = await rig.client(ONE)
        run = encode_run([b"x" * 50_000])
        for _ in range(100):
            sender.send(Publish("a"), run)
            assert (await quick.read())[1] == run
        statistics: dict[str, object] = {}
        async with asyncio.timeout(20):
            while "slow_client_names" not in statistics:
                statistics = dict((await rig.status())[ONE].statistics)
                await asyncio.sleep(0.05)  # the figures come with the next answer to a ping
        assert statistics["slow_client_names"] == "laggard"
        slow.reader._transport.resume_reading()  # type: ignore[attr-defined]  # it reads again
        while not isinstance((await slow.read())[0], Slow):
            pass


async def test_a_gateway_that_is_stopped_costs_the_other_bounded_memory_and_no_message(rig: GatewayRig) -> None:
    await subscriber(rig, TWO, "a")
    client, sender = await subscriber(rig, ONE, "a"), await rig.client(ONE)
    one = rig.roles[ONE].pid
    os.kill(rig.roles[TWO].pid, signal.SIGSTOP)
    before = resident_bytes(one)
    run = encode_run([b"x" * 250_000])
    for _ in range(800):
        sender.send(Publish("a"), run)
        assert (await client.read())[1] == run
    # 200 MB were published; to the stopped gateway wait its outbox here (16 MiB) and that of the actor system (16 MiB).
    assert resident_bytes(one) - before < 80_000_000


# --- faults of the control actors


@pytest.mark.parametrize("role", ["topic_manager", "rpc_broker", "router"])
async def test_while_a_control_actor_is_killed_traffic_goes_on(rig: GatewayRig, role: Role) -> None:
    client, serves = await subscriber(rig, TWO, "a"), await provider(rig, TWO)
    sender = await rig.client(ONE)
    former = rig.kill(role)
    for number in range(1, 300):
        publish(sender, "a", b"x")
        assert (await client.read())[0] == Publish("a")
        sender.send(Call(number, "f"))
        serves.send(Result((await read_call(serves)).call), b"y")
        assert (await sender.read())[0] == Result(number)
    await rig.recovered(role, former)
    await subscriber(rig, TWO, "b")


async def test_while_the_router_is_stopped_clients_are_admitted(rig: GatewayRig) -> None:
    former = rig.kill("router", signal.SIGSTOP)
    await add(await rig.client(ONE, "c"))
    await rig.recovered("router", former)
    await add(await rig.client(TWO, "d"))


async def test_a_gateway_answers_its_clients_while_all_control_actors_are_stopped(rig: GatewayRig) -> None:
    client = await rig.client(ONE)
    for role in ("router", "topic_manager", "rpc_broker"):
        rig.kill(role, signal.SIGSTOP)
    client.send(Ping(1))
    assert (await client.read())[0] == Pong(1)
    client.send(Subscribe(2, "a"))
    assert (await client.read())[0] == Ack(2, "gateway")
    publish(client, "a", b"x")
    assert split_run((await client.read())[1]) == [b"x"]
