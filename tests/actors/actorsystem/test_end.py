"""When something at the top dies, nothing stays below it."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import psutil
import pytest
from thespian.actors import ActorSystemFailure

from majula.actorsystem.base import System
from majula.errors import Unavailable
from tests.actors.actorsystem.conftest import Rig, wait_gone
from tests.actors.actorsystem.players import Do, KillsAdmin, Nursery, StopsEarly

NODE = """
import asyncio, json, logging, sys
from majula.actorsystem.base import System
from majula.actorsystem.outside import Outside
from majula.messages.supervision import Start, Started
from tests.actors.actorsystem.players import Do, Made, Make, Nursery

async def main() -> None:
    async with Outside(system.run_dir) as outside:
        outside.send(root, Start(role="nursery", node_id="n1", incarnation=1, config=b"\\x80"))
        await outside.receive()
        players = [await outside.ask(root, Make(role, isolation), 10.0)
                   for role, isolation in (("idle", "process"), ("spinning", "process"), ("stopped", "process"), ("h", "host:h"))]
        outside.send(players[1].address, Do("spin"))
        await outside.ask(players[0].address, Do("log"), 10.0)
        print(json.dumps([system.admin.pid, *(player.pid for player in players)]), flush=True)
        await asyncio.Event().wait()

logging.basicConfig(format="main's format: %(message)s")
system = System(sys.argv[1])
root = system.create_root(Nursery)
asyncio.run(main())
"""


@pytest.fixture
async def node(run_dir: Path) -> AsyncIterator[tuple[asyncio.subprocess.Process, list[int]]]:
    """A main process, and the pids of all below it; one of its actors spins, another is stopped."""
    main = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", NODE, str(run_dir)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        cwd=Path(__file__).parents[3],
    )
    assert main.stdout is not None
    pids = json.loads(await main.stdout.readline())
    os.kill(pids[3], signal.SIGSTOP)
    below = [child.pid for child in psutil.Process(main.pid).children(recursive=True)]
    assert set(pids) <= set(below) and len(below) == 7  # admin, logger, nursery, three players, a host
    yield main, below
    if main.returncode is None:
        main.kill()
        await main.wait()


async def test_kill_of_the_main_process_leaves_nothing_after_a_second(
    node: tuple[asyncio.subprocess.Process, list[int]], record_property: Callable[[str, object], None]
) -> None:
    main, below = node
    began = time.monotonic()
    main.kill()
    assert await wait_gone(below, 1.0) == []
    record_property("all_gone_ms", round((time.monotonic() - began) * 1000, 1))


async def test_kill_of_the_main_process_ends_a_stopped_admin_too(node: tuple[asyncio.subprocess.Process, list[int]]) -> None:
    main, below = node
    os.kill(below[0], signal.SIGSTOP)
    main.kill()
    assert await wait_gone(below, 1.0) == []


async def test_death_of_the_admin_ends_all_below_it_and_main_can_see_it(rig: Rig) -> None:
    made = await rig.make()
    ended = asyncio.Event()
    asyncio.get_running_loop().add_reader(rig.system.admin.fileno(), ended.set)
    os.kill(rig.system.admin.pid, signal.SIGKILL)
    await ended.wait()
    asyncio.get_running_loop().remove_reader(rig.system.admin.fileno())
    assert await wait_gone([made.pid], 1.0) == []


async def test_death_of_a_parent_ends_its_children(rig: Rig) -> None:
    made = await rig.make()
    parent = psutil.Process(made.pid).ppid()
    os.kill(parent, signal.SIGKILL)
    assert await wait_gone([made.pid], 1.0) == []


async def test_connect_to_a_parent_that_was_killed_is_refused_although_children_lived(rig: Rig) -> None:
    made = await rig.make()
    os.kill(psutil.Process(made.pid).ppid(), signal.SIGKILL)
    await wait_gone([made.pid], 1.0)
    with pytest.raises(Unavailable):
        await rig.outside.ask(rig.root, Do("greet"), 30.0)


async def test_logger_that_is_killed_is_started_again_and_nothing_else_notices(rig: Rig) -> None:
    made = await rig.make()
    admin = psutil.Process(rig.system.admin.pid)
    nursery = psutil.Process(made.pid).ppid()
    (logger,) = (child for child in admin.children() if child.pid != nursery)
    logger.kill()
    assert await wait_gone([logger.pid], 1.0) == []
    while not {child.pid for child in admin.children()} - {logger.pid, nursery}:
        await rig.say(made.address, "greet")
    assert rig.system.admin.is_alive()


def test_shutdown_ends_every_process_in_order(run_dir: Path) -> None:
    system = System(run_dir)
    system.shutdown()
    assert not system.admin.is_alive() and system.admin.reap() == "stopped"


def test_second_system_in_the_same_directory_uses_other_names(run_dir: Path) -> None:
    names = []
    for _ in range(2):
        system = System(run_dir)
        names.append(system.create_root(Nursery))
        system.kill()
    assert names[0] != names[1]


def test_root_whose_admin_dies_meanwhile_is_given_up_at_once_and_nothing_is_left(run_dir: Path) -> None:
    system = System(run_dir)
    with pytest.raises(ActorSystemFailure, match="KillsAdmin did not come up before its admin died"):
        system.create_root(KillsAdmin)
    assert system.kill() == "killed by SIGKILL"


@pytest.mark.slow
def test_root_that_is_stopped_before_it_is_up_is_given_up_like_a_hung_child(run_dir: Path) -> None:
    system = System(run_dir)
    below = psutil.Process(system.admin.pid)
    with pytest.raises(ActorSystemFailure, match="StopsEarly did not come up within 3 s"):
        system.create_root(StopsEarly)
    left = [child.pid for child in below.children(recursive=True)]
    system.kill()
    assert asyncio.run(wait_gone(left, 1.0)) == []


async def test_system_is_not_started_within_a_running_loop(run_dir: Path) -> None:
    with pytest.raises(RuntimeError, match="start it before"):
        System(run_dir)


async def test_actor_logs_with_the_handlers_of_the_main_process(node: tuple[asyncio.subprocess.Process, list[int]]) -> None:
    main, _ = node
    assert main.stderr is not None
    assert await main.stderr.readline() == b"main's format: said by idle\n"
