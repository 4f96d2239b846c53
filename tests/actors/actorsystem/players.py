"""Actors for the tests of the actor system, and what they are told. Each does one thing per `Do`."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
from collections.abc import Mapping
from typing import Any

import msgspec

from majula.actorsystem.actor import MajulaActor
from majula.messages.base import Address, Message, Role


class Do(Message, frozen=True, array_like=True, tag="test.Do"):
    """Told to a player: do this, with this partner, so often."""

    what: str
    partner: Address = ""
    count: int = 0


class Say(Message, frozen=True, array_like=True, tag="test.Say"):
    """What a player answers."""

    text: str
    number: int = 0


class Droppable(Message, frozen=True, array_like=True, tag="test.Droppable"):
    """A message that a newer one makes up for."""

    payload: bytes
    droppable = True


class Parcel(Message, frozen=True, array_like=True, tag="test.Parcel"):
    """A message of any size, numbered."""

    number: int
    payload: bytes = b""


class Make(Message, frozen=True, array_like=True, tag="test.Make"):
    """Told to the nursery: create a player. Answered by Made, later by Exited."""

    role: Role
    isolation: str = "process"


class Made(Message, frozen=True, array_like=True, tag="test.Made"):
    """Where the player lives, and in which process; or that it has started."""

    address: Address
    pid: int


class Exited(Message, frozen=True, array_like=True, tag="test.Exited"):
    """A player has ended."""

    address: Address
    reason: str


class Kill(Message, frozen=True, array_like=True, tag="test.Kill"):
    """Told to the nursery: `kill_child`."""

    address: Address
    number: int


class PlayerConfig(msgspec.Struct):
    """Nothing that matters."""

    greeting: str = "hello"


class Player(MajulaActor):
    """Does as it is told. Roles change how it starts: `failing` raises, `slow` waits for an event that never comes for 0.2 s."""

    config_type = PlayerConfig

    async def on_start(self, config: PlayerConfig) -> None:
        self.greeting = config.greeting
        self.heard = 0
        self.next = 0
        self.out_of_order = 0
        self.undelivered: list[str] = []
        self.roles_seen: list[str] = []
        self.state = 0
        self.asked: Address = ""
        self.sent = 0
        self.refused = 0
        self.writable = 0
        self.expected = 0
        self.batches_left = 0
        if self.role == "failing":
            raise ValueError("cannot be")
        if self.role == "slow":
            await asyncio.sleep(0.2)

    def on_message(self, message: Message, sender: Address) -> None:
        if isinstance(message, Do):
            getattr(self, f"do_{message.what}")(message, sender)
        elif isinstance(message, Parcel):
            self.heard += 1
            self.out_of_order += message.number != self.next
            self.next = message.number + 1
            if self.heard == self.expected:
                self.send(self.asked, Say("counted", self.out_of_order))
        elif isinstance(message, Droppable):
            self.heard += 1

    def on_frames(self, frames: bytes, sender: Address) -> None:
        self.heard += 1
        if self.heard == self.expected:
            self.send(self.asked, Say("counted", len(frames)))

    def on_role(self, role: Role, address: Address | None, incarnation: int) -> None:
        self.roles_seen.append(f"{role}={address}/{incarnation}")

    def on_undeliverable(self, message: Message, target: Address) -> None:
        self.undelivered.append(f"{type(message).__name__} to {target}")

    def on_writable(self, target: Address) -> None:
        self.writable += 1
        self._send_batches(target)

    def on_deadline(self, deadline: float) -> None:
        self.send(self.asked, Say("deadline", round((self.loop.time() - deadline) * 1000)))

    async def on_drain(self, deadline: float) -> None:
        if self.role == "undrainable":
            await asyncio.Event().wait()

    async def on_stop(self) -> None:
        if self.asked:
            await asyncio.sleep(0.01)
            self.send(self.asked, Say("cleaned up"))

    def statistics(self) -> Mapping[str, int | float | str]:
        return {"heard": self.heard}

    # --- what it may be told

    def do_greet(self, order: Do, sender: Address) -> None:
        self.state += 1
        self.send(sender, Say(f"{self.greeting} from {self.role}", self.state))

    def do_pass_on(self, order: Do, sender: Address) -> None:
        self.send(order.partner, Say("passed on"))

    def do_raise(self, order: Do, sender: Address) -> None:
        raise ValueError("bad topic")

    def do_exit(self, order: Do, sender: Address) -> None:
        raise SystemExit(3)

    def do_raise_in_task(self, order: Do, sender: Address) -> None:
        async def fail() -> None:
            await asyncio.sleep(0)
            raise KeyError("in a task")

        self.spawn(fail(), name="failing")

    def do_raise_in_callback(self, order: Do, sender: Address) -> None:
        self.loop.call_soon([].pop)

    def do_spin(self, order: Do, sender: Address) -> None:
        self.send(sender, Say("spinning next"))
        self.loop.call_soon(self._spin)

    def _spin(self) -> None:
        while True:
            pass

    def do_remember(self, order: Do, sender: Address) -> None:
        self.asked = sender

    def do_arm(self, order: Do, sender: Address) -> None:
        self.asked = sender
        now = self.loop.time()
        self.arm(now + 10)
        self.arm(now + 0.01)
        self.arm(now + 0.02)

    def do_expect(self, order: Do, sender: Address) -> None:
        self.asked, self.expected, self.heard = order.partner, order.count, 0
        self.send(sender, Say("expecting"))

    def do_flood(self, order: Do, sender: Address) -> None:
        for number in range(order.count):
            self.send(order.partner, Parcel(number))

    def do_large(self, order: Do, sender: Address) -> None:
        self.batches_left += order.count
        self._send_batches(order.partner)

    def _send_batches(self, target: Address) -> None:
        while self.batches_left and self.send_frames(target, [b"x" * 1024] * 5 * 1024):
            self.batches_left -= 1

    def do_fill(self, order: Do, sender: Address) -> None:
        """Send 1 MB pieces until refused: droppable messages, frames, then one that is not droppable."""
        piece = bytes(1_000_000)
        while self.send(order.partner, Droppable(piece)) and self.sent < 1000:
            self.sent += 1
        while self.send_frames(order.partner, piece) and self.sent < 1000:
            self.sent += 1
        self.refused += not self.send(order.partner, Parcel(0, piece))
        self.loop.call_soon(self.loop.call_soon, lambda: self.send(sender, Say("filled", self.outbox_bytes(order.partner))))

    def do_undelivered(self, order: Do, sender: Address) -> None:
        self.send(sender, Say("; ".join(self.undelivered), len(self.undelivered)))

    def do_writable(self, order: Do, sender: Address) -> None:
        self.send(sender, Say("writable", self.writable))

    def do_roles(self, order: Do, sender: Address) -> None:
        self.send(sender, Say(" ".join(self.roles_seen)))

    def do_descriptors(self, order: Do, sender: Address) -> None:
        """How many sockets this process holds."""
        kinds = []
        for entry in os.scandir("/proc/self/fd"):
            try:
                kinds.append(os.readlink(entry.path))
            except FileNotFoundError:
                continue
        self.send(sender, Say("sockets", sum(kind.startswith("socket:") for kind in kinds)))

    def do_serve(self, order: Do, sender: Address) -> None:
        self.spawn(self._serve(sender), name="serve")

    async def _serve(self, sender: Address) -> None:
        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            line = await reader.readline()
            if line == b"crash\n":
                raise ValueError("one party's trouble")
            writer.write(line.upper())
            writer.close()

        self.server = await asyncio.start_server(answer, "127.0.0.1", 0)
        self.send(sender, Say("serving", self.server.sockets[0].getsockname()[1]))

    def do_log(self, order: Do, sender: Address) -> None:
        logging.getLogger(f"made.in.{self.role}").warning("said by %s", self.role)
        self.send(sender, Say("logged"))

    def do_make(self, order: Do, sender: Address) -> None:
        child = self.create_child(Player, role="grandchild", node_id=self.node_id, incarnation=1, config=PlayerConfig())
        self.send(sender, Say(child, self.child_pid(child)))

    def do_subprocess(self, order: Do, sender: Address) -> None:
        self.spawn(self._subprocess(sender), name="subprocess")

    async def _subprocess(self, sender: Address) -> None:
        process = await asyncio.create_subprocess_exec("true")
        self.send(sender, Say("exit", await process.wait()))


class Nursery(MajulaActor):
    """The root of a test: creates players, and tells its parent of their ends."""

    async def on_start(self, config: Any) -> None:
        self.kept = socket.create_server(("127.0.0.1", 0))  # what a child must not inherit

    def on_message(self, message: Message, sender: Address) -> None:
        if isinstance(message, Make):
            address = self.create_child(
                Player,
                role=message.role,
                node_id=self.node_id,
                incarnation=1,
                config=PlayerConfig(greeting="good morning"),
                isolation=message.isolation,
            )
            self.send(sender, Made(address, self.child_pid(address)))
        elif isinstance(message, Kill):
            self.kill_child(message.address, message.number)
        elif isinstance(message, Do) and message.what == "stop_self":
            os.kill(os.getpid(), signal.SIGSTOP)
        else:
            self.send(self.parent, message)  # Started, StartFailed, Pong of a child

    def on_child_exited(self, address: Address, reason: str) -> None:
        self.send(self.parent, Exited(address, reason))


class KillsAdmin(MajulaActor):
    """Ends the admin, its parent, before it says that it is up."""

    def __init__(self) -> None:
        super().__init__()
        os.kill(os.getppid(), signal.SIGKILL)


class StopsEarly(MajulaActor):
    """Is stopped before it says that it is up."""

    def __init__(self) -> None:
        super().__init__()
        os.kill(os.getpid(), signal.SIGSTOP)
