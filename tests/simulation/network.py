"""A clock that jumps from event to event, and a network whose faults are drawn from one seed.

Between two actors messages keep their order (they have one connection); between different pairs they do not. A message to an
actor that has ended is lost. A `droppable` message may be lost, and is refused where the way holds too many.
"""

from __future__ import annotations

import heapq
import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from math import inf

from majula.messages.base import Message, decode, encode


class SimulationFailure(AssertionError):
    """An invariant does not hold. The text says which, when, and how to see it again."""


@dataclass
class Faults:
    """How bad the network is.

    Args:
        loss: share of droppable messages that vanish.
        delay_s: longest delay of a message.
        way_limit: messages on one way beyond which a droppable one is refused.
    """

    loss: float = 0.0
    delay_s: float = 0.005
    way_limit: int = 64


@dataclass
class _Way:
    """Messages from one actor to another, in order; `refused`: something was, and the sender is to hear when there is room."""

    messages: deque[tuple[float, bytes]] = field(default_factory=deque)
    last_at: float = 0.0
    was_refused: bool = False


class Network:
    """Time, ways and the living actors.

    Args:
        seed: of every choice.
        faults: may be changed at any time.
        trace: takes a line for everything that happens; None: nobody wants to know.
    """

    def __init__(self, *, seed: int, faults: Faults, trace: Callable[[str], None] | None = None) -> None:
        self.random = random.Random(seed)
        self.faults = faults
        self.now = 0.0
        self.steps = 0
        self.log = trace
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._order = 0
        self._ways: dict[tuple[str, str], _Way] = {}
        self._receivers: dict[str, Callable[[Message, str], None]] = {}
        self._writable: dict[str, Callable[[str], None]] = {}
        self._paused: dict[str, float] = {}

    def trace(self, line: str) -> None:
        if self.log is not None:
            self.log(f"{self.now:10.4f} {line}")

    def at(self, when: float, action: Callable[[], None]) -> None:
        """Do this at a time; things of one time in the order in which they were asked for."""
        self._order += 1
        heapq.heappush(self._events, (max(when, self.now), self._order, action))

    def step(self) -> bool:
        """The next event. False: there is none."""
        if not self._events:
            return False
        self.now, _, action = heapq.heappop(self._events)
        self.steps += 1
        action()
        return True

    def next_at(self) -> float:
        return self._events[0][0] if self._events else inf

    # --- actors

    def join(self, address: str, receive: Callable[[Message, str], None], writable: Callable[[str], None]) -> None:
        self._receivers[address] = receive
        self._writable[address] = writable

    def leave(self, address: str) -> None:
        """The actor has ended; what is on its ways is lost."""
        del self._receivers[address], self._writable[address]
        self._paused.pop(address, None)
        for way in [way for way in self._ways if address in way]:
            del self._ways[way]

    def is_alive(self, address: str) -> bool:
        return address in self._receivers

    def pause(self, address: str, until: float) -> None:
        """The actor is stopped (SIGSTOP): it reads nothing until then."""
        self._paused[address] = until

    def paused_until(self, address: str) -> float:
        return self._paused.get(address, 0.0)

    # --- messages

    def send(self, sender: str, to: str, message: Message) -> bool:
        """Send; False: refused (droppable messages only)."""
        if to not in self._receivers:
            return True
        way = self._ways.setdefault((sender, to), _Way())
        if message.droppable:
            if len(way.messages) >= self.faults.way_limit:
                way.was_refused = True
                self.trace(f"REFUSED {sender} -> {to} {message}")
                return False
            if self.random.random() < self.faults.loss:
                self.trace(f"LOST    {sender} -> {to} {message}")
                return True
        arrives = max(way.last_at, self.now + self.random.uniform(0.00005, self.faults.delay_s))
        way.last_at = arrives
        # By its bytes, as between processes: a message that cannot be encoded fails here, and nothing is shared.
        way.messages.append((arrives, encode(message)))
        if len(way.messages) == 1:
            self.at(arrives, lambda: self._deliver(sender, to))
        return True

    def _deliver(self, sender: str, to: str) -> None:
        way = self._ways.get((sender, to))
        if way is None or not way.messages:
            return
        wakes = self._paused.get(to, 0.0)
        if wakes > self.now:
            self.at(wakes, lambda: self._deliver(sender, to))
            return
        _, data = way.messages.popleft()
        if way.messages:
            self.at(way.messages[0][0], lambda: self._deliver(sender, to))
        message = decode(data)
        self.trace(f"        {sender} -> {to} {message}")
        self._receivers[to](message, sender)
        # The receiver's step may have ended actors, and with them this way.
        if self._ways.get((sender, to)) is way and way.was_refused and len(way.messages) <= self.faults.way_limit // 2:
            way.was_refused = False
            self._writable[sender](to)
