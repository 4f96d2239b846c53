"""The wall clock jumps by an hour while a node serves: nobody notices, but what expires by it.

libfaketime (Debian: faketime) shows every process of the node another wall clock; the monotonic one is left alone.
"""

from __future__ import annotations

import ctypes.util
import time
from datetime import datetime
from pathlib import Path

import pytest

import majula
from majula.errors import Unauthorized
from tests.cluster.node_clients import Clients, Load, running_node
from tests.cluster.node_rig import record_recovery

pytestmark = pytest.mark.slow
HOUR_S = 3_600


def library() -> str:
    """Path of the library that fakes the clock; empty: it is not installed."""
    found = ctypes.util.find_library("faketimeMT")
    beside = sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))
    return found or (str(beside[0]) if beside else "")


class Clock:
    """Of all processes that were started with `environment`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.set(0)

    @property
    def environment(self) -> dict[str, str]:
        return {
            "LD_PRELOAD": library(),
            "FAKETIME_TIMESTAMP_FILE": str(self._path),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "NO_FAKE_STAT": "1",
        }

    def set(self, by_s: int) -> None:
        """How far the clock is off from now on."""
        new = self._path.with_suffix(".new")
        new.write_text(f"{by_s:+d}s\n")
        new.replace(self._path)


@pytest.fixture
def clock(tmp_path: Path) -> Clock:
    if not library():
        pytest.skip("needs libfaketime: apt-get install faketime")
    return Clock(tmp_path / "clock")


@pytest.mark.parametrize("by_s", [HOUR_S, -HOUR_S], ids=["forward", "backward"])
async def test_jump_of_the_clock_by_an_hour_ends_no_process_no_session_and_no_call(
    tmp_path: Path, clock: Clock, by_s: int, request: pytest.FixtureRequest
) -> None:
    async with running_node(tmp_path / "node", environment=clock.environment) as clients:
        async with Load(clients) as load:
            before = await pids(clients)
            clock.set(by_s)
            silence_s = await goes_on_for_all(clients, load)
            assert await is_off_by(clients, by_s)
            clock.set(0)  # and back again
            silence_s = max(silence_s, await goes_on_for_all(clients, load))
            after = await pids(clients)
        assert {role for role in before if before[role] != after[role]} == {"topic_manager"}  # it was killed here
        assert load.received == list(range(len(load.received)))
        assert set(load.outcomes) == {"answer"}
        assert load.near.statistics().connections == load.far.statistics().connections == 1
        record_recovery("every actor", "clock " + ("forward" if by_s > 0 else "backward"), silence_s, request.node.nodeid)


async def pids(clients: Clients) -> dict[str, int]:
    return {role: found["pid"] for role, found in (await clients.node.roles()).items()}


async def goes_on_for_all(clients: Clients, load: Load) -> float:
    """Traffic, private messages, questions to every actor, and the death of one. The longest silence meanwhile, in seconds."""
    began_at = time.monotonic()
    operator = await clients.connect(1)
    await operator.register("once", lambda: 1, sync=True)
    assert await load.near.call("once") == 1
    assert await operator.send(load.near.client_id, "hello") == "delivered"
    assert (await operator.status()).state in ("serving", "degraded")
    assert (await operator.create_token(["publish:a"])).secret
    await clients.node.kill("topic_manager")
    await clients.node.until_serving()
    await operator.subscribe("late", sync=True)
    await load.goes_on()
    await operator.close()
    return load.silence_s(began_at)


async def is_off_by(clients: Clients, by_s: int) -> bool:
    """The node's actors see that clock, so the test is none of a clock that nobody looks at."""
    shown = (await clients.connect(0)).call("time", provider="init")
    told: str = (await shown)["time"]
    return abs(datetime.fromisoformat(told).timestamp() - time.time() - by_s) < 60


async def test_token_expires_by_the_wall_clock_and_not_before_its_leeway(tmp_path: Path, clock: Clock) -> None:
    async with running_node(tmp_path / "node", environment=clock.environment, entry="auth: token") as clients:
        node = clients.node
        operator = await clients.connect(0)
        made = await operator.create_token(["publish:*"], expires_in_s=1_800)
        short = await operator.create_token(["publish:*"], expires_in_s=3_580)
        clock.set(HOUR_S)
        address = f"ws://127.0.0.1:{node.ports[1]}/majula/ws"
        with pytest.raises(Unauthorized):
            await majula.connect(address, token=made.secret, timeout_s=5.0)
        async with majula.connect(address, token=short.secret) as client:
            await client.publish("a", 1, ack=True)  # 20 s over, within the minute of leeway
        assert (await operator.token(made.token.id)).state == "expired"
        assert (await node.status())["state"] == "serving"
