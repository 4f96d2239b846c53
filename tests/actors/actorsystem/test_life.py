"""How an actor starts, works and ends, seen by its creator."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import pytest

from majula.errors import Unavailable
from majula.messages.supervision import Drain, Drained, Ping, Pong, RoleEntry, Roles, StartFailed, Stop
from tests.actors.actorsystem.conftest import Rig
from tests.actors.actorsystem.players import Do, Kill, Made, Make, Say


async def test_actor_gets_its_role_and_its_typed_configuration(rig: Rig) -> None:
    made = await rig.make("greeter")
    assert (await rig.say(made.address, "greet")).text == "good morning from greeter"


async def test_message_that_comes_before_the_start_has_finished_is_delivered_after_it(rig: Rig) -> None:
    made = await rig.ask(rig.root, Make("slow"), Made)
    assert (await rig.say(made.address, "greet")).number == 1


async def test_exception_in_a_handler_ends_the_actor_with_its_words(rig: Rig) -> None:
    made = await rig.make()
    rig.tell(made.address, "raise")
    assert await rig.exit_of(made.address) == "ValueError: bad topic"


async def test_exception_in_a_task_ends_the_actor_with_its_words(rig: Rig) -> None:
    made = await rig.make()
    rig.tell(made.address, "raise_in_task")
    assert await rig.exit_of(made.address) == "KeyError: 'in a task'"


async def test_exception_in_a_callback_ends_the_actor_with_its_words(rig: Rig) -> None:
    made = await rig.make()
    rig.tell(made.address, "raise_in_callback")
    assert await rig.exit_of(made.address) == "IndexError: pop from empty list"


async def test_system_exit_in_a_handler_ends_the_actor_like_any_exception(rig: Rig) -> None:
    made = await rig.make()
    rig.tell(made.address, "exit")
    assert await rig.exit_of(made.address) == "SystemExit: 3"


async def test_failed_start_is_reported_with_its_reason_and_ends_the_actor(rig: Rig) -> None:
    made = await rig.ask(rig.root, Make("failing"), Made)
    assert (await rig.expect(StartFailed)).reason == "ValueError: cannot be"
    assert await rig.exit_of(made.address) == "ValueError: cannot be"


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV])
async def test_actor_that_is_killed_ends_with_the_signals_name(rig: Rig, number: signal.Signals) -> None:
    made = await rig.make()
    rig.outside.send(rig.root, Kill(made.address, number))
    assert await rig.exit_of(made.address) == f"killed by {number.name}"


@pytest.mark.parametrize("how", ["Stop", "SIGTERM"])
async def test_actor_that_is_stopped_cleans_up_first(rig: Rig, how: str) -> None:
    made = await rig.make()
    rig.tell(made.address, "remember")
    await rig.say(made.address, "greet")
    if how == "Stop":
        rig.outside.send(made.address, Stop())
    else:
        os.kill(made.pid, signal.SIGTERM)
    assert (await rig.expect(Say)).text == "cleaned up"
    assert await rig.exit_of(made.address) == "stopped"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP])
async def test_signal_of_the_terminal_does_not_reach_an_actor(rig: Rig, number: signal.Signals) -> None:
    made = await rig.make()
    os.kill(made.pid, number)
    assert (await rig.say(made.address, "greet")).number == 1


async def test_message_to_an_actor_that_is_gone_comes_back(rig: Rig) -> None:
    gone, sender = await rig.make(), await rig.make()
    rig.outside.send(rig.root, Kill(gone.address, signal.SIGKILL))
    await rig.exit_of(gone.address)
    rig.tell(sender.address, "pass_on", gone.address)
    await rig.say(sender.address, "greet")
    assert (await rig.say(sender.address, "undelivered")).text == f"Say to {gone.address}"


async def test_question_from_outside_to_an_actor_that_is_gone_fails_at_once(rig: Rig) -> None:
    with pytest.raises(Unavailable):
        await rig.outside.ask("a99", Do("greet"), 30.0)


async def test_ping_is_answered_with_the_actors_figures(rig: Rig) -> None:
    made = await rig.make()
    pong = await rig.ask(made.address, Ping(7), Pong)
    assert pong.sequence == 7
    assert pong.statistics["heard"] == 0
    assert pong.statistics["messages_received"] == 2  # Start and Ping


async def test_ping_is_answered_while_the_actor_starts(rig: Rig) -> None:
    made = await rig.ask(rig.root, Make("slow"), Made)
    await rig.ask(made.address, Ping(1), Pong)


async def test_actor_that_has_nothing_in_flight_is_drained_at_once(rig: Rig) -> None:
    made = await rig.make()
    await rig.ask(made.address, Drain(30.0), Drained)


async def test_actor_that_does_not_finish_is_drained_at_the_deadline(rig: Rig) -> None:
    made = await rig.make("undrainable")
    await rig.ask(made.address, Drain(0.05), Drained)


async def test_armed_timer_fires_once_at_the_time_that_was_given_last(rig: Rig) -> None:
    made = await rig.make()
    rig.tell(made.address, "arm")
    assert (await rig.expect(Say)).text == "deadline"
    pong = await rig.ask(made.address, Ping(1), Pong)
    assert pong.statistics["messages_received"] == 3


async def test_actor_hears_of_roles_that_come_move_and_go(rig: Rig) -> None:
    made = await rig.make("player")
    for version, entries in enumerate(
        [
            {"router": RoleEntry("a8", 1, 1), "player": RoleEntry(made.address, 1, 1)},
            {"router": RoleEntry("a9", 2, 1)},
            {},
        ]
    ):
        rig.outside.send(made.address, Roles(version, entries))
    assert (await rig.say(made.address, "roles")).text == "router=a8/1 router=a9/2 router=None/2"


async def test_registry_that_is_not_newer_is_ignored(rig: Rig) -> None:
    made = await rig.make()
    rig.outside.send(made.address, Roles(5, {"router": RoleEntry("a8", 1, 1)}))
    rig.outside.send(made.address, Roles(4, {}))
    assert (await rig.say(made.address, "roles")).text == "router=a8/1"


async def test_child_holds_no_socket_of_its_parent(rig: Rig) -> None:
    made = await rig.make()
    held = {os.readlink(f"/proc/{made.pid}/fd/{fd}") for fd in os.listdir(f"/proc/{made.pid}/fd")}
    assert not held & _listening_sockets()  # the nursery, which forked it, holds one


def _listening_sockets() -> set[str]:
    rows = Path("/proc/net/tcp").read_text().splitlines()[1:]
    return {f"socket:[{row.split()[9]}]" for row in rows if row.split()[3] == "0A"}


async def test_asyncio_server_runs_inside_an_actor(rig: Rig) -> None:
    made = await rig.make()
    port = (await rig.say(made.address, "serve")).number
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"hello\n")
    assert await reader.read() == b"HELLO\n"
    writer.close()


async def test_trouble_with_one_connection_does_not_end_the_actor(rig: Rig) -> None:
    made = await rig.make()
    port = (await rig.say(made.address, "serve")).number
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"crash\n")
    writer.write_eof()
    assert (await rig.say(made.address, "greet")).number == 1
    writer.close()


async def test_child_is_watched_although_its_parent_ran_a_subprocess(rig: Rig) -> None:
    made = await rig.make()
    assert (await rig.say(made.address, "subprocess")).number == 0
    rig.tell(made.address, "raise")
    assert await rig.exit_of(made.address) == "ValueError: bad topic"


async def test_actor_that_is_stopped_while_it_starts_gets_no_message(rig: Rig) -> None:
    made = await rig.ask(rig.root, Make("slow"), Made)
    rig.outside.send(made.address, Stop())
    rig.tell(made.address, "greet")
    assert await rig.exit_of(made.address) == "stopped"
