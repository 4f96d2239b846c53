"""Messages and batches between actors: order, size, floods, peers that do not read, garbage, strangers."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from pathlib import Path

import pytest

from majula.actorsystem.outbox import CONTROL_HIGH_BYTES, DATA_HIGH_BYTES
from majula.messages.supervision import Ping, Pong
from tests.actors.actorsystem.conftest import Rig
from tests.actors.actorsystem.players import Do, Kill, Made, Say


async def pair(rig: Rig) -> tuple[Made, Made]:
    return await rig.make("one"), await rig.make("two")


async def test_flood_arrives_whole_and_in_order(rig: Rig) -> None:
    one, two = await pair(rig)
    await rig.say(two.address, "expect", rig.outside.address, 100_000)
    rig.tell(one.address, "flood", two.address, 100_000)
    assert (await rig.expect(Say)).number == 0


async def test_floods_of_several_senders_arrive_whole(rig: Rig) -> None:
    sink, *senders = [await rig.make(f"n{number}") for number in range(4)]
    await rig.say(sink.address, "expect", rig.outside.address, 30_000)
    for sender in senders:
        rig.tell(sender.address, "flood", sink.address, 10_000)
    assert (await rig.expect(Say)).text == "counted"


async def test_batches_of_5_mb_arrive_whole_while_small_messages_pass(rig: Rig) -> None:
    one, two = await pair(rig)
    await rig.say(two.address, "expect", rig.outside.address, 40)
    rig.tell(one.address, "large", two.address, 1)
    for _ in range(39):
        await rig.say(two.address, "greet")
        rig.tell(one.address, "large", two.address, 1)
    assert (await rig.expect(Say)).number == 5 * 1024 * 1024


@pytest.fixture
async def frozen(rig: Rig) -> tuple[Made, Made]:
    """A sender, and a peer that is stopped and whose outbox has been filled to the mark."""
    one, two = await pair(rig)
    os.kill(two.pid, signal.SIGSTOP)
    filled = await rig.say(one.address, "fill", two.address)
    mark = CONTROL_HIGH_BYTES + DATA_HIGH_BYTES
    assert mark <= filled.number <= mark + 2_100_000  # each lane may exceed its mark by one frame
    return one, two


async def test_sender_to_a_frozen_peer_keeps_working(rig: Rig, frozen: tuple[Made, Made]) -> None:
    one, _ = frozen
    assert (await rig.say(one.address, "greet")).number == 1


async def test_message_beyond_the_mark_comes_back_unless_it_is_droppable(rig: Rig, frozen: tuple[Made, Made]) -> None:
    one, two = frozen
    assert (await rig.say(one.address, "undelivered")).text == f"Parcel to {two.address}"


async def test_queue_to_a_frozen_peer_shows_in_the_senders_figures(rig: Rig, frozen: tuple[Made, Made]) -> None:
    one, two = frozen
    pong = await rig.ask(one.address, Ping(1), Pong)
    assert pong.queues[two.address] > DATA_HIGH_BYTES


async def test_sender_is_told_once_when_a_frozen_peer_reads_again(rig: Rig, frozen: tuple[Made, Made]) -> None:
    one, two = frozen
    os.kill(two.pid, signal.SIGCONT)
    while (await rig.say(one.address, "writable")).number == 0:
        await rig.say(two.address, "greet")  # the peer works off what was queued
    while (await rig.ask(one.address, Ping(1), Pong)).queues:
        await rig.say(two.address, "greet")
    assert (await rig.say(one.address, "writable")).number <= 2  # one for each lane


async def test_what_a_frozen_peer_had_not_taken_comes_back_when_it_is_killed(rig: Rig, frozen: tuple[Made, Made]) -> None:
    one, two = frozen
    rig.outside.send(rig.root, Kill(two.address, signal.SIGKILL))
    await rig.exit_of(two.address)
    while (back := await rig.say(one.address, "undelivered")).number < 10:
        continue
    assert "Droppable" in back.text


def _connect(rig: Rig, name: str) -> socket.socket:
    connected = socket.socket(socket.AF_UNIX)
    connected.connect(str(rig.system.run_dir / name))
    return connected


@pytest.mark.parametrize(
    "garbage",
    [
        os.urandom(4096),
        b"GET / HTTP/1.1\r\n\r\n",
        b"\xff" * 64,
        b"\x0a\x00\x00\x00\x01" + bytes(8) + b"x",  # a message before HELLO
        b"\x0b\x00\x00\x00\x00" + bytes(8) + b"\xff\xfe",  # a name that is none
        b"\x10\x00\x00\x00\x00" + bytes(8) + b"../../x",  # a path
        b"\x00\x00\x00\x05\x00" + bytes(8),  # 80 MB announced by somebody without a name
    ],
)
async def test_garbage_closes_its_connection_and_leaves_the_actor_alone(rig: Rig, garbage: bytes) -> None:
    made = await rig.make()
    loop = asyncio.get_running_loop()
    with _connect(rig, made.address) as stranger:
        stranger.setblocking(False)
        await loop.sock_sendall(stranger, garbage)
        assert await loop.sock_recv(stranger, 1) == b""
    assert (await rig.say(made.address, "greet")).number == 1


async def test_message_that_does_not_decode_closes_its_connection_and_leaves_the_actor_alone(rig: Rig) -> None:
    made = await rig.make()
    loop = asyncio.get_running_loop()
    hello = b"\x0d\x00\x00\x00\x00" + bytes(8) + b"evil"
    bad = b"\x0c\x00\x00\x00\x01" + bytes(8) + b"\x91\xa1?"
    with _connect(rig, made.address) as stranger:
        stranger.setblocking(False)
        await loop.sock_sendall(stranger, hello + bad)
        assert await loop.sock_recv(stranger, 1) == b""
    assert (await rig.say(made.address, "greet")).number == 1


async def test_connections_that_say_nothing_do_not_disturb(rig: Rig) -> None:
    made = await rig.make()
    silent = [_connect(rig, made.address) for _ in range(200)]
    assert (await rig.say(made.address, "greet")).number == 1
    for each in silent:
        each.close()


@pytest.mark.skipif(os.geteuid() != 0, reason="needs a second user")
async def test_process_of_another_user_cannot_enter_the_directory(rig: Rig) -> None:
    made = await rig.make()
    assert await _connect_as_nobody(rig.system.run_dir / made.address) == "PermissionError"


@pytest.mark.skipif(os.geteuid() != 0, reason="needs a second user")
async def test_process_of_another_user_is_refused_by_the_socket_even_where_files_let_it_in(rig: Rig) -> None:
    made = await rig.make()
    rig.system.run_dir.chmod(0o711)
    (rig.system.run_dir / made.address).chmod(0o666)
    assert await _connect_as_nobody(rig.system.run_dir / made.address) == "closed"
    assert (await rig.say(made.address, "greet")).number == 1


async def _connect_as_nobody(path: Path) -> str:
    program = f"""
import os, socket
os.setuid(65534)
s = socket.socket(socket.AF_UNIX)
try:
    s.connect({str(path)!r})
    print("closed" if s.recv(1) == b"" else "open")
except ConnectionResetError:
    print("closed")
except OSError as error:
    print(type(error).__name__)
"""
    process = await asyncio.create_subprocess_exec("/usr/bin/env", "python3", "-c", program, stdout=asyncio.subprocess.PIPE)
    out, _ = await process.communicate()
    return out.decode().strip()


async def test_actors_can_send_to_themselves(rig: Rig) -> None:
    made = await rig.make()
    await rig.say(made.address, "expect", rig.outside.address, 10)
    rig.tell(made.address, "flood", made.address, 10)
    assert (await rig.expect(Say)).number == 0


async def test_answer_to_a_question_that_nobody_waits_for_is_dropped(rig: Rig) -> None:
    made = await rig.make()
    with pytest.raises(Exception, match="did not answer"):
        await rig.outside.ask(made.address, Do("writable"), 0.0)
    assert (await rig.say(made.address, "greet")).number == 1
