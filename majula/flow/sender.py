"""All flows of one sender: numbers, bounds, timers, verdicts."""

from __future__ import annotations

import heapq
from collections.abc import Hashable
from math import inf
from random import Random

from majula.errors import InvalidRequest, Overloaded
from majula.flow.limits import MAX_NUMBER, MAX_TTL_S, FlowLimits, headers_size
from majula.flow.outflow import NO_ROUTE, RUN_BYTES, Entry, Outflow, State, Verdict
from majula.wire.frames import MESSAGE_PREFIX_BYTES
from majula.wire.headers import Encoding, Receipt, Send

PASSING = NO_ROUTE | {"overloaded", "unavailable", "draining"}
"""Codes of receipts after which it is worth to try again."""

RETRY_AFTER_S = 0.05
"""Told with `overloaded`: a round trip of a busy node, after which a part of the buffer is usually free."""

_Key = tuple[str, str, str]


def message_id(flow: int, sequence: int) -> str:
    """The id of a message, the same at both ends."""
    return f"{flow:x}-{sequence}"


class Sender:
    """What one session sends, or a gateway for those who do not speak flows.

    Args:
        random: for numbers of flows and the jitter of repeating.
        limits: bounds.
        via: role of the gateway that runs it, empty in an SDK.
        is_connected: False: nothing is given out before `resume`.

    Attributes:
        run_bytes: of a frame's body, at most, but that one message is given whatever its size: what the way takes.
    """

    def __init__(self, *, random: Random, limits: FlowLimits | None = None, via: str = "", is_connected: bool = True) -> None:
        self.run_bytes = RUN_BYTES
        self._random = random
        self._limits = limits = limits or FlowLimits()
        self._total_bytes, self._flow_bytes, self._flow_messages = limits.total_bytes, limits.bytes, limits.messages
        self._via = via
        self._is_connected = is_connected
        self._last: Outflow | None = None  # the flow of the last message
        self._flows: dict[_Key, Outflow] = {}  # the one that was used last stands last
        self._numbers: dict[int, Outflow] = {}
        self._ready: dict[Outflow, None] = {}
        self._wakes: list[tuple[float, int, Outflow]] = []
        self._order = 0
        self._verdicts: list[Verdict] = []
        self._bytes = 0
        self._counts: dict[str, int] = {"delivered": 0, "written": 0, "expired": 0, "no_route": 0, "refused": 0}
        self._sent = self._frames = 0

    # --- what is to be sent

    def send(
        self,
        target: str,
        data: bytes,
        now: float,
        *,
        node: str = "",
        source: str = "",
        encoding: Encoding = 0,
        headers: dict[str, str] | None = None,
        ttl_s: float = 60.0,
        ticket: Hashable | None = None,
    ) -> tuple[int, int]:
        """Take one message; its (flow, sequence).

        Args:
            target, node: client id of the receiver and its node, empty: this one.
            source: whose flow it is, where this sender serves several.
            ttl_s: seconds in which it may be delivered, more than 0, at most 3,600.
            ticket: who is to hear of the verdict; None: nobody.
        Raises:
            InvalidRequest: `ttl_s` is none.
            Overloaded: the flow, or all flows together, hold as much as they may; nothing was taken.
        """
        if not 0.0 < ttl_s <= MAX_TTL_S:
            raise InvalidRequest(f"ttl_s is more than 0 and at most {MAX_TTL_S:g}")
        # A program mostly goes on with the one that it has just written to: 0.1 us less than to find its flow.
        flow = self._last
        if flow is None or flow.target != target or flow.node != node or flow.source != source:
            flow = self._last = self._flows.get((source, node, target))
        size = len(data) + MESSAGE_PREFIX_BYTES
        if headers:
            size += headers_size(headers)
        total = self._bytes + size
        if (
            flow is None
            or total > self._total_bytes
            or not (waiting := len(flow.entries))
            or waiting >= self._flow_messages
            or flow.bytes + size > self._flow_bytes
        ):
            flow = self._last = self._make_room((source, node, target), size)
            waiting = len(flow.entries)
        deadline = now + ttl_s
        flow.entries.append(Entry(data, size, encoding, headers, now, deadline, ticket))
        flow.bytes += size
        if deadline < flow.expires_at:
            flow.expires_at = deadline
            if deadline < flow.wakes_at:
                self._wake(flow, deadline)
        self._bytes = total
        self._sent += 1
        if not flow.is_halted:
            self._ready[flow] = None
        return flow.number, flow.base + waiting

    def waits(self) -> bool:
        """Whether `frames` would give something."""
        return self._is_connected and bool(self._ready)

    def frames(self, now: float, *, room_bytes: int = 1 << 30) -> list[tuple[Send, bytes]]:
        """What is to be written now, as headers and bodies; each flow in turn, until nothing is left or `room_bytes` are full."""
        frames: list[tuple[Send, bytes]] = []
        if not self._is_connected:
            return frames
        ready, jitter = self._ready, self._jitter()
        while ready and room_bytes > 0:
            flow = next(iter(ready))
            del ready[flow]
            run = flow.next_run(now, min(self.run_bytes, room_bytes), jitter)
            if run is None:
                self._plan(flow)
                continue
            frames.append(run)
            room_bytes -= len(run[1])
            if flow.is_ready():
                ready[flow] = None
            self._plan(flow)
        self._frames += len(frames)
        return frames

    # --- what is heard

    def receive(self, receipt: Receipt, now: float) -> None:
        """A RECEIPT that came. What is none of this sender's, or speaks of what was never sent, changes nothing."""
        flow = self._numbers.get(receipt.flow)
        if flow is None or receipt.source not in ("", flow.target):
            return
        if flow.node and receipt.source_node not in ("", flow.node):
            return
        before = flow.bytes
        if not receipt.code:
            tickets = flow.acknowledge(receipt, now, self._jitter())
            state: State = "written" if receipt.state == "written" else "delivered"
            self._tell(tickets, state)
        elif receipt.code in PASSING:
            flow.refuse(receipt, now, self._jitter())
        elif receipt.up_to >= flow.base:
            self._tell(flow.end(), "refused", receipt.code)
        self._bytes += flow.bytes - before
        if flow.is_ready():
            self._ready[flow] = None
        self._plan(flow)

    def verdicts(self) -> list[Verdict]:
        """What is certain since the last time."""
        verdicts, self._verdicts = self._verdicts, []
        return verdicts

    # --- connections

    def suspend(self) -> None:
        """There is no way to anybody; what expires meanwhile does."""
        self._is_connected = False

    def resume(self, now: float) -> None:
        """There is a way again, another one: what has no receipt goes out once more."""
        self._is_connected = True
        for flow in self._flows.values():
            if flow.entries:
                flow.repeat()
                self._ready[flow] = None
                self._plan(flow)

    def close(self) -> list[Hashable]:
        """Nothing more will be sent or heard. The tickets that never get a verdict."""
        tickets = [entry.ticket for flow in self._flows.values() for entry in flow.entries if not entry.is_over]
        self._last = None
        self._flows.clear()
        self._numbers.clear()
        self._ready.clear()
        self._wakes.clear()
        self._bytes = 0
        self._is_connected = False
        return [ticket for ticket in tickets if ticket is not None]

    # --- time

    def next_deadline(self) -> float:
        """When `timer` is due; infinity: not at all."""
        wakes = self._wakes
        while wakes and wakes[0][2].wakes_at != wakes[0][0]:
            heapq.heappop(wakes)
        return wakes[0][0] if wakes else inf

    def timer(self, now: float) -> None:
        """The deadline came. Early or repeated firing does no harm."""
        while self.next_deadline() <= now:
            _, _, flow = heapq.heappop(self._wakes)
            flow.wakes_at = inf
            before = flow.bytes
            expired, unrouted = flow.timer(now, is_connected=self._is_connected)
            self._tell(expired, "expired", flow.code)
            self._tell(unrouted, "no_route", flow.code)
            self._bytes += flow.bytes - before
            if flow.is_ready():
                self._ready[flow] = None
            self._plan(flow)

    def statistics(self) -> dict[str, int]:
        """Counters since the start, and what is held now."""
        return {
            "sent": self._sent,
            "frames": self._frames,
            **self._counts,
            "flows": len(self._flows),
            "timers": len(self._wakes),
            "waiting_bytes": self._bytes,
            "waiting_messages": sum(len(flow.entries) for flow in self._flows.values()),
        }

    # --- inside

    def _make_room(self, key: _Key, size: int) -> Outflow:
        """The flow for a message, where anything about it is unusual.

        Raises:
            Overloaded: there is no room.
        """
        if self._bytes and self._bytes + size > self._total_bytes:
            raise Overloaded(f"{self._bytes} bytes of messages wait for their receipts", retry_after_s=RETRY_AFTER_S)
        flow = self._flows.get(key)
        if flow is None:
            return self._open(key)
        if not flow.entries:
            self._flows[key] = self._flows.pop(key)
        elif flow.bytes + size > self._flow_bytes or len(flow.entries) >= self._flow_messages:
            raise Overloaded(
                f"{len(flow.entries)} messages to {flow.target!r} wait for their receipts", retry_after_s=RETRY_AFTER_S
            )
        return flow

    def _open(self, key: _Key) -> Outflow:
        if len(self._flows) >= self._limits.flows:
            idle = next((known for known, flow in self._flows.items() if not flow.entries), None)
            if idle is None:
                raise Overloaded(f"messages to {len(self._flows)} clients wait for their receipts", retry_after_s=RETRY_AFTER_S)
            self._forget(idle)
        source, node, target = key
        number = self._random.randint(1, MAX_NUMBER)
        while number in self._numbers:
            number = self._random.randint(1, MAX_NUMBER)
        flow = self._flows[key] = self._numbers[number] = Outflow(
            number, target, node=node, source=source, via=self._via, limits=self._limits
        )
        return flow

    def _forget(self, key: _Key) -> None:
        flow = self._flows.pop(key)
        self._last = None
        del self._numbers[flow.number]
        self._ready.pop(flow, None)
        flow.wakes_at = inf

    def _tell(self, tickets: list[Hashable], state: State, code: str = "") -> None:
        if tickets:
            self._counts[state] += len(tickets)
            self._verdicts.append(Verdict(tuple(tickets), state, code))

    def _plan(self, flow: Outflow) -> None:
        at = flow.deadline(is_connected=self._is_connected)
        if at < flow.wakes_at:
            self._wake(flow, at)

    def _wake(self, flow: Outflow, at: float) -> None:
        self._order += 1
        flow.wakes_at = at
        heapq.heappush(self._wakes, (at, self._order, flow))
        if len(self._wakes) > 2 * len(self._flows) + 64:
            # A later time that an earlier one has replaced stays in the heap until it comes, which may be an hour.
            self._wakes = [wake for wake in self._wakes if wake[2].wakes_at == wake[0]]
            heapq.heapify(self._wakes)

    def _jitter(self) -> float:
        return 1.0 + self._random.random() / 4.0
