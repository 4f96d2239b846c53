"""How fast do two actors talk, beside stock Thespian? Round trip of 100 B, one-way flood, large messages while small ones pass.

    python -m benchmarks.actors [--json FILE] [--rounds N]

Both bases run in turn in fresh processes, pinned to one core and free, all in one run: absolute times differ between machines and
between states of one machine, the ratios less so. Every message is counted and its number checked.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from thespian.actors import Actor, ActorAddress, ActorSystem

from majula.actorsystem.actor import MajulaActor
from majula.actorsystem.base import System
from majula.actorsystem.outside import Outside
from majula.messages.base import Address, Message
from majula.messages.supervision import Start, Started

PAYLOAD = b"x" * 100
LARGE_BYTES = 5 * 1024 * 1024
LARGE_COUNT = 40
SMALL_PAUSE_S = 0.005


class Ball(Message, frozen=True, array_like=True, tag="bench.Ball"):
    """A small message, numbered."""

    number: int
    payload: bytes


class Order(Message, frozen=True, array_like=True, tag="bench.Order"):
    """What the driver tells a player to do: `round_trips`, `flood` or `large`, with this partner."""

    what: str
    partner: Address
    count: int


class Result(Message, frozen=True, array_like=True, tag="bench.Result"):
    """What came of it."""

    seconds: float
    latencies_us: list[float]
    lost: int
    reordered: int


class Expect(Message, frozen=True, array_like=True, tag="bench.Expect"):
    """To a player: count so many balls (or batches), then tell this address. Answered at once: nothing may come too early."""

    count: int
    report_to: Address


class Player(MajulaActor):
    """Throws, returns and counts balls."""

    async def on_start(self, config: object) -> None:
        self._expected = self._seen = self._next = self._reordered = 0
        self._report_to: Address = ""
        self._latencies: list[float] = []
        self._order: Order | None = None
        self._driver: Address = ""
        self._thrown = 0
        self._thrown_at = self._began = 0.0

    def on_message(self, message: Message, sender: Address) -> None:
        if isinstance(message, Ball):
            self._ball(message, sender)
        elif isinstance(message, Order):
            self._order, self._driver, self._thrown, self._latencies = message, sender, 0, []
            self._began = time.perf_counter()
            if message.what == "round_trips":
                self._throw()
            elif message.what == "flood":
                self._flood()
            else:
                self._large()
        elif isinstance(message, Expect):
            self._expected, self._seen, self._next, self._reordered = message.count, 0, 0, 0
            self._report_to = message.report_to
            self.send(sender, Result(0.0, [], 0, 0))

    def _ball(self, ball: Ball, sender: Address) -> None:
        if self._expected:
            self._seen += 1
            if ball.number != self._next:
                self._reordered += 1
            self._next = ball.number + 1
            if self._seen == self._expected:
                self._counted()
        elif self._order is None or self._order.what != "round_trips":
            self.send(sender, ball)
        else:
            self._latencies.append((time.perf_counter() - self._thrown_at) * 1e6)
            if len(self._latencies) < self._order.count:
                self._throw()
            else:
                self.send(self._driver, Result(time.perf_counter() - self._began, self._latencies, 0, 0))
                self._order = None

    def _throw(self) -> None:
        assert self._order is not None
        self._thrown += 1
        self._thrown_at = time.perf_counter()
        self.send(self._order.partner, Ball(self._thrown, PAYLOAD))

    def _flood(self) -> None:
        # In slices, so that the own loop turns: an actor that sends a million messages in one handler is its own bottleneck.
        order = self._order
        assert order is not None
        for _ in range(500):
            if self._thrown == order.count:
                return
            if self.outbox_bytes(order.partner) > 4 * 1024 * 1024:
                break
            self.send(order.partner, Ball(self._thrown, PAYLOAD))
            self._thrown += 1
        self.loop.call_soon(self._flood)

    def _large(self) -> None:
        order = self._order
        assert order is not None
        while self._thrown < order.count and self.send_frames(order.partner, bytes(LARGE_BYTES)):
            self._thrown += 1

    def on_writable(self, target: Address) -> None:
        if self._order is not None and self._order.what == "large":
            self._large()

    def on_frames(self, frames: bytes, sender: Address) -> None:
        self._seen += 1
        if self._seen == self._expected:
            self._counted()

    def _counted(self) -> None:
        self.send(self._report_to, Result(0.0, [], self._expected - self._seen, self._reordered))
        self._expected = 0


class Stage(MajulaActor):
    """The root: holds the two players, so that both are children of one actor, as in a node."""

    async def on_start(self, config: object) -> None:
        for role in ("one", "two", "three"):
            self.create_child(Player, role=role, node_id="bench", incarnation=1, config=b"\x80")


class StockPartner(Actor):  # type: ignore[misc]  # Thespian has no types
    """Returns, or counts, what comes; a plain actor."""

    seen = 0
    expected = 0
    reordered = 0
    report_to: ActorAddress = None

    def receiveMessage(self, message: Any, sender: ActorAddress) -> None:
        if isinstance(message, tuple) and message[0] == "ball":
            if self.expected:
                self.reordered += message[1] != self.seen
                self.seen += 1
                if self.seen == self.expected:
                    self.send(self.report_to, ("counted", self.reordered))
            else:
                self.send(sender, message)
        elif isinstance(message, tuple) and message[0] == "expect":
            self.expected, self.seen, self.report_to = message[1], 0, message[2]


class StockPlayer(Actor):  # type: ignore[misc]  # Thespian has no types
    """Throws balls at a partner and measures; a plain actor."""

    def receiveMessage(self, message: Any, sender: ActorAddress) -> None:
        if not isinstance(message, tuple):
            return
        if message[0] == "round_trips":
            self.driver, self.count, self.latencies = sender, message[1], []
            self.partner = self.createActor(StockPartner)
            self.throw()
        elif message[0] == "ball":
            self.latencies.append((time.perf_counter() - self.thrown_at) * 1e6)
            if len(self.latencies) < self.count:
                self.throw()
            else:
                self.send(self.driver, ("latencies", self.latencies))
        elif message[0] == "flood":
            self.driver, self.began = sender, time.perf_counter()
            self.send(self.partner, ("expect", message[1], self.myAddress))
            for number in range(message[1]):
                self.send(self.partner, ("ball", number, PAYLOAD))
        elif message[0] == "counted":
            self.send(self.driver, ("flooded", time.perf_counter() - self.began, message[1]))

    def throw(self) -> None:
        self.thrown_at = time.perf_counter()
        self.send(self.partner, ("ball", 0, PAYLOAD))


async def _answer(outside: Outside, kind: type[Message]) -> Any:
    while True:
        message, _ = await outside.receive()
        if isinstance(message, kind):
            return message


async def _play(run_dir: Path, root: Address, round_trips: int, flood: int) -> dict[str, float]:
    async with Outside(run_dir) as outside:
        outside.send(root, Start(role="stage", node_id="bench", incarnation=1, config=b"\x80"))
        await _answer(outside, Started)
        one, two, three = (f"{root}.{number}" for number in (1, 2, 3))
        await asyncio.sleep(0.2)  # the players start meanwhile; nothing here depends on it

        outside.send(one, Order("round_trips", two, round_trips // 10))
        await _answer(outside, Result)
        outside.send(one, Order("round_trips", two, round_trips))
        trips: Result = await _answer(outside, Result)

        await outside.ask(two, Expect(flood, outside.address), 10.0)
        began = time.perf_counter()
        outside.send(one, Order("flood", two, flood))
        flooded: Result = await _answer(outside, Result)
        flood_s = time.perf_counter() - began

        await outside.ask(two, Expect(LARGE_COUNT, outside.address), 10.0)
        began = time.perf_counter()
        outside.send(one, Order("large", two, LARGE_COUNT))
        small: list[float] = []
        counting = asyncio.create_task(_answer(outside, Result))
        while not counting.done():
            thrown_at = time.perf_counter()
            await outside.ask(three, Ball(0, PAYLOAD), 10.0)
            small.append((time.perf_counter() - thrown_at) * 1e6)
            await asyncio.sleep(SMALL_PAUSE_S)
        large_s = time.perf_counter() - began
        return {
            "round_trip_p50_us": statistics.median(trips.latencies_us),
            "round_trip_p99_us": statistics.quantiles(trips.latencies_us, n=100)[98],
            "flood_per_s": flood / flood_s,
            "flood_lost": flooded.lost,
            "flood_reordered": flooded.reordered,
            "large_s": large_s,
            "small_meanwhile_p50_us": statistics.median(small),
            "small_meanwhile_max_us": max(small),
        }


def _measure_ours(round_trips: int, flood: int) -> dict[str, float]:
    run_dir = Path(tempfile.mkdtemp(prefix="bench-"))
    system = System(run_dir)
    try:
        root = system.create_root(Stage)
        return asyncio.run(_play(run_dir, root, round_trips, flood))
    finally:
        system.kill()
        shutil.rmtree(run_dir)


def _measure_stock(round_trips: int, flood: int) -> dict[str, float]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    system = ActorSystem("multiprocTCPBase", {"Admin Port": port}, transientUnique=True)
    try:
        player = system.createActor(StockPlayer)
        system.ask(player, ("round_trips", round_trips // 10), 120)
        answer: Any = system.ask(player, ("round_trips", round_trips), 240)
        flooded: Any = system.ask(player, ("flood", flood), 240)
        return {
            "round_trip_p50_us": statistics.median(answer[1]),
            "round_trip_p99_us": statistics.quantiles(answer[1], n=100)[98],
            "flood_per_s": flood / flooded[1],
            "flood_reordered": flooded[2],
        }
    finally:
        system.shutdown()


def _one(base: str, pinned: bool) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.actors", "--one", base, *(["--pinned"] if pinned else [])]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    if done.returncode:
        sys.exit(f"{base} failed:\n{done.stderr}")
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def _summary(key: str, values: list[float]) -> float:
    """The median; what must not happen at all is added up."""
    return sum(values) if key in {"flood_lost", "flood_reordered"} else statistics.median(values)


def main() -> None:
    """Run all, print the table, write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="write the figures here")
    parser.add_argument("--rounds", type=int, default=3, help="how often each is measured; the median counts")
    parser.add_argument("--one", choices=["ours", "stock"], help=argparse.SUPPRESS)
    parser.add_argument("--pinned", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        if arguments.pinned:
            os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
        found = _measure_ours(5000, 100_000) if arguments.one == "ours" else _measure_stock(1000, 3000)
        print(json.dumps(found))
        return
    table: dict[str, dict[str, float]] = {}
    for pinned in (True, False):
        place = "one core" if pinned else "free"
        rounds: dict[str, list[dict[str, float]]] = {"ours": [], "stock": []}
        for _ in range(arguments.rounds):
            for base, measured in rounds.items():
                measured.append(_one(base, pinned))
        for base, measured in rounds.items():
            table[f"{base}, {place}"] = {key: _summary(key, [m[key] for m in measured]) for key in measured[0]}
    for row, figures in table.items():
        print(row)
        for key, value in figures.items():
            print(f"    {key:26} {value:12,.1f}")
    for place in ("one core", "free"):
        ours, stock = table[f"ours, {place}"], table[f"stock, {place}"]
        print(f"round trip, {place}: 1/{stock['round_trip_p50_us'] / ours['round_trip_p50_us']:.1f} of stock")
        print(f"flood, {place}: {ours['flood_per_s'] / stock['flood_per_s']:.0f} times stock")
    if arguments.json:
        arguments.json.write_text(json.dumps(table, indent=2) + "\n")


if __name__ == "__main__":
    main()
