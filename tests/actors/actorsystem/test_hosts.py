"""Actors that share a process: same messages, own state, own end."""

from __future__ import annotations

import asyncio
import os
import signal

import pytest

from majula.messages.supervision import Started, StartFailed, Stop
from tests.actors.actorsystem.conftest import Rig, wait_gone
from tests.actors.actorsystem.players import Kill, Made, Make, Say

HOSTED = 1000


async def hosted(rig: Rig, count: int) -> list[Made]:
    """So many players in one host."""
    made = [await rig.ask(rig.root, Make(f"p{number}", "host:h"), Made) for number in range(count)]
    for _ in range(count):
        await rig.expect(Started)
    return made


async def test_hosted_actors_share_one_process_and_no_state(rig: Rig) -> None:
    one, two = await hosted(rig, 2)
    assert one.pid == two.pid != os.getpid()
    await rig.say(one.address, "greet")
    assert (await rig.say(one.address, "greet")).number == 2
    assert (await rig.say(two.address, "greet")).text == "good morning from p1"


async def test_hosted_actor_that_raises_ends_alone_and_the_others_keep_their_state(rig: Rig) -> None:
    players = await hosted(rig, HOSTED)
    await asyncio.gather(*(rig.say(player.address, "greet") for player in players))
    rig.tell(players[500].address, "raise")
    assert await rig.exit_of(players[500].address) == "ValueError: bad topic"
    replacement = await rig.make("p500", "host:h")
    assert (await rig.say(replacement.address, "greet")).number == 1
    answers = await asyncio.gather(*(rig.say(p.address, "greet") for p in players if p is not players[500]))
    assert {answer.number for answer in answers} == {2} and len(answers) == HOSTED - 1


async def test_exception_in_a_task_of_a_hosted_actor_ends_it_alone(rig: Rig) -> None:
    one, two = await hosted(rig, 2)
    rig.tell(one.address, "raise_in_task")
    assert await rig.exit_of(one.address) == "KeyError: 'in a task'"
    assert (await rig.say(two.address, "greet")).number == 1


async def test_hosted_actor_whose_start_fails_is_reported_like_a_process(rig: Rig) -> None:
    made = await rig.ask(rig.root, Make("failing", "host:h"), Made)
    assert (await rig.expect(StartFailed)).reason == "ValueError: cannot be"
    assert await rig.exit_of(made.address) == "ValueError: cannot be"


async def test_end_of_a_host_ends_all_in_it_with_its_reason(rig: Rig) -> None:
    players = await hosted(rig, 3)
    os.kill(players[0].pid, signal.SIGKILL)
    reasons = {await rig.exit_of(player.address) for player in players}
    assert reasons == {"its host h ended: killed by SIGKILL"}


async def test_host_that_ended_is_started_again_with_the_next_child(rig: Rig) -> None:
    (one,) = await hosted(rig, 1)
    os.kill(one.pid, signal.SIGKILL)
    await rig.exit_of(one.address)
    again = await rig.make("p0", "host:h")
    assert again.pid != one.pid
    assert (await rig.say(again.address, "greet")).number == 1


async def test_stopped_hosted_actor_cleans_up_and_leaves_its_neighbour(rig: Rig) -> None:
    one, two = await hosted(rig, 2)
    rig.tell(one.address, "remember")
    await rig.say(one.address, "greet")
    rig.outside.send(one.address, Stop())
    assert (await rig.expect(Say)).text == "cleaned up"
    assert await rig.exit_of(one.address) == "stopped"
    assert (await rig.say(two.address, "greet")).number == 1


async def test_hosted_actor_that_is_killed_leaves_its_neighbour(rig: Rig) -> None:
    one, two = await hosted(rig, 2)
    rig.outside.send(rig.root, Kill(one.address, signal.SIGKILL))
    assert await rig.exit_of(one.address) == "killed"
    assert (await rig.say(two.address, "greet")).number == 1


@pytest.mark.slow
async def test_killing_a_hosted_actor_that_hangs_kills_the_host(rig: Rig) -> None:
    one, two = await hosted(rig, 2)
    await rig.say(one.address, "spin")
    rig.outside.send(rig.root, Kill(one.address, signal.SIGKILL))
    assert await rig.exit_of(two.address) == "its host h ended: killed by SIGKILL"


async def test_message_to_a_hosted_actor_that_is_gone_comes_back(rig: Rig) -> None:
    one, two = await hosted(rig, 2)
    other = await rig.make()
    rig.outside.send(rig.root, Kill(one.address, signal.SIGKILL))
    await rig.exit_of(one.address)
    for sender in (two, other):
        rig.tell(sender.address, "pass_on", one.address)
        while (await rig.say(sender.address, "undelivered")).text != f"Say to {one.address}":
            continue


async def test_hosted_actors_flood_each_other_in_order(rig: Rig) -> None:
    one, two = await hosted(rig, 2)
    await rig.say(two.address, "expect", rig.outside.address, 50_000)
    rig.tell(one.address, "flood", two.address, 50_000)
    assert (await rig.expect(Say)).number == 0


async def test_end_of_a_hosted_actor_ends_the_processes_that_it_has_created(rig: Rig) -> None:
    one, two = await hosted(rig, 2)
    grandchild = await rig.say(one.address, "make")
    rig.tell(one.address, "raise")
    await rig.exit_of(one.address)
    assert await wait_gone([grandchild.number], 1.0) == []
    assert (await rig.say(two.address, "greet")).number == 1
