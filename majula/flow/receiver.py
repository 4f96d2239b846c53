"""All flows at their receiver: messages in order, each once; what is given up is left out; receipts say how far it is."""

from __future__ import annotations

from math import inf

import msgspec

from majula.flow.limits import MAX_NUMBER, MAX_TTL_S, FlowLimits, headers_size
from majula.wire.frames import MESSAGE_PREFIX_BYTES
from majula.wire.headers import Receipt, Send

_MAX_TOLD = 64
"""Messages behind a gap that a receipt names; the others are repeated in vain at worst."""


class Arrived(msgspec.Struct, frozen=True):
    """Messages whose turn has come.

    header: of the frame that brought them: source, encoding, headers.
    sequence: of the first.
    """

    header: Send
    sequence: int
    messages: list[bytes]


class _Held(msgspec.Struct):
    """A message that waits for those before it, or for room."""

    header: Send
    data: bytes
    deadline: float
    size: int


class _Inflow:
    """One flow; about 0.5 KB, and for each message that waits its bytes and 0.12 KB."""

    __slots__ = ("bytes", "expected", "header", "heard_at", "held")

    def __init__(self, header: Send, expected: int, now: float) -> None:
        self.header = header  # of the last frame: where receipts go
        self.expected = expected
        self.held: dict[int, _Held] = {}
        self.bytes = 0
        self.heard_at = now


_Key = tuple[str, str, str, int]


class Receiver:
    """What one session receives.

    Args:
        limits: bounds.
        state: what receipts say: `delivered`, or `written` where a gateway does it for a client that does not acknowledge.
    """

    def __init__(self, *, limits: FlowLimits | None = None, state: str = "delivered") -> None:
        self._limits = limits or FlowLimits()
        self._state = state
        self._flows: dict[_Key, _Inflow] = {}  # the one that was heard last stands last
        self._holding: dict[_Key, _Inflow] = {}
        self._due: dict[_Key, _Inflow] = {}
        self._bytes = 0
        self._held_until = inf  # not after the first deadline of a message that waits
        self._is_paused = False
        self._received = self._duplicates = self._given_up = self._refused = self._forgotten = 0

    def receive(self, header: Send, messages: list[bytes], now: float) -> list[Arrived]:
        """A SEND that came. What is to be handed on now; nothing that a sender says raises."""
        first, count = header.sequence, len(messages)
        if not (0 < header.flow <= MAX_NUMBER and 0 < first <= MAX_NUMBER - count and 0 < header.oldest <= MAX_NUMBER):
            self._refused += count
            return []
        key = (header.source_node, header.source, header.via, header.flow)
        flow = self._flows.pop(key, None)
        if flow is None:
            flow = self._begin(header, now)
        flow.heard_at, flow.header = now, header
        self._flows[key] = self._due[key] = flow
        if header.oldest > flow.expected:
            self._skip(flow, header.oldest)
        arrived: list[Arrived] = []
        known = flow.expected - first
        if known >= count:
            self._duplicates += count
        elif known >= 0 and not flow.held and not self._is_paused:
            self._duplicates += known
            self._received += count - known
            arrived.append(Arrived(header, flow.expected, messages[known:] if known else messages))
            flow.expected = first + count
        elif count:
            self._hold(key, flow, header, messages, now)
        if flow.held and not self._is_paused:
            self._release(key, flow, arrived)
        return arrived

    def receipts(self, source: str = "", source_node: str = "") -> list[Receipt]:
        """One for each flow that was heard since the last time. The gateway writes who the receiver is; where that stands there
        already, it need not write the header anew."""
        due, self._due = self._due, {}
        return [self._receipt(flow, source, source_node) for flow in due.values()]

    def owes_receipts(self) -> bool:
        """Whether `receipts` would give something."""
        return bool(self._due)

    # --- room

    def pause(self) -> None:
        """There is no room for more: what comes waits here, unacknowledged, and beyond the limits is left to its sender."""
        self._is_paused = True

    def resume(self, now: float) -> list[Arrived]:
        """There is room again; what has waited for it."""
        arrived: list[Arrived] = []
        if self._is_paused:
            self._is_paused = False
            self._expire(now)
            for key, flow in list(self._holding.items()):
                self._release(key, flow, arrived)
                self._due[key] = flow
        return arrived

    def announce(self, now: float) -> None:
        """There is a way again: tell the senders of the last hour, who may have been told that there is none."""
        for key, flow in reversed(self._flows.items()):
            if flow.heard_at + MAX_TTL_S < now or len(self._due) >= self._limits.messages:
                return
            self._due[key] = flow

    # --- time

    def next_deadline(self) -> float:
        """When `timer` is due; infinity: not at all."""
        flow = next(iter(self._flows.values()), None)
        return self._held_until if flow is None else min(self._held_until, flow.heard_at + self._limits.idle_s)

    def timer(self, now: float) -> None:
        """The deadline came. Early or repeated firing does no harm."""
        if now >= self._held_until:
            self._expire(now)
        while self._flows:
            key, flow = next(iter(self._flows.items()))
            if flow.heard_at + self._limits.idle_s > now:
                return
            self._forget(key)

    def statistics(self) -> dict[str, int]:
        """Counters since the start, and what is held now."""
        return {
            "received": self._received,
            "duplicates": self._duplicates,
            "given_up": self._given_up,
            "refused": self._refused,
            "forgotten_flows": self._forgotten,
            "flows": len(self._flows),
            "waiting_bytes": self._bytes,
            "waiting_messages": sum(len(flow.held) for flow in self._holding.values()),
        }

    # --- inside

    def _begin(self, header: Send, now: float) -> _Inflow:
        if len(self._flows) >= self._limits.flows:
            self._forget(next(iter(self._flows)))
            self._forgotten += 1
        # What is below `oldest` has its verdict: another session of this client had it, or nobody will.
        return _Inflow(header, header.oldest, now)

    def _forget(self, key: _Key) -> None:
        flow = self._flows.pop(key)
        self._bytes -= flow.bytes
        self._holding.pop(key, None)
        self._due.pop(key, None)

    def _skip(self, flow: _Inflow, oldest: int) -> None:
        """The sender has given up what is below `oldest`, also what is here already: it was told to be expired."""
        for sequence in [sequence for sequence in flow.held if sequence < oldest]:
            self._drop(flow, sequence)
            self._given_up += 1
        flow.expected = oldest

    def _hold(self, key: _Key, flow: _Inflow, header: Send, messages: list[bytes], now: float) -> None:
        limits = self._limits
        deadline = now + min(max(header.ttl_ms, 0) / 1000.0, MAX_TTL_S)
        # What a frame carries beside its messages is kept with each of them, so it is counted: headers are not free.
        beside = MESSAGE_PREFIX_BYTES + headers_size(header.headers)
        for sequence, data in enumerate(messages, header.sequence):
            if sequence < flow.expected or sequence in flow.held:
                self._duplicates += 1
                continue
            size = len(data) + beside
            is_next = sequence == flow.expected and not self._is_paused
            is_far = sequence >= flow.expected + limits.messages
            is_full = bool(flow.held) and flow.bytes + size > limits.bytes
            is_full |= self._bytes > 0 and self._bytes + size > limits.total_bytes
            if (is_far or is_full) and not is_next:
                self._refused += 1
                continue
            flow.held[sequence] = _Held(header, data, deadline, size)
            flow.bytes += size
            self._bytes += size
            self._holding[key] = flow
            self._held_until = min(self._held_until, deadline)

    def _release(self, key: _Key, flow: _Inflow, arrived: list[Arrived]) -> None:
        """What is next in order, as runs of one header."""
        run: list[bytes] = []
        header: Send | None = None
        first = flow.expected
        while (held := flow.held.get(flow.expected)) is not None:
            if held.header is not header:
                if header is not None:
                    arrived.append(Arrived(header, first, run))
                header, first, run = held.header, flow.expected, []
            run.append(held.data)
            self._drop(flow, flow.expected)
            flow.expected += 1
            self._received += 1
        if header is not None:
            arrived.append(Arrived(header, first, run))
        if not flow.held:
            self._holding.pop(key, None)

    def _drop(self, flow: _Inflow, sequence: int) -> None:
        size = flow.held.pop(sequence).size
        flow.bytes -= size
        self._bytes -= size

    def _expire(self, now: float) -> None:
        """What has waited for longer than its sender wants it."""
        self._held_until = inf
        for key, flow in list(self._holding.items()):
            late = [sequence for sequence, held in flow.held.items() if held.deadline <= now]
            for sequence in late:
                self._drop(flow, sequence)
            self._given_up += len(late)
            if flow.held:
                self._held_until = min(self._held_until, *(held.deadline for held in flow.held.values()), inf)
            else:
                del self._holding[key]

    def _receipt(self, flow: _Inflow, source: str, source_node: str) -> Receipt:
        header = flow.header
        received = tuple(sorted(flow.held)[:_MAX_TOLD]) if flow.held else ()
        return Receipt(
            header.source,
            header.source_node,
            header.flow,
            flow.expected - 1,
            received,
            self._state,
            "",
            source,
            source_node,
            header.via,
        )
