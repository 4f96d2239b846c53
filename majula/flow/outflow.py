"""One flow at its sender: what has no receipt yet, and when it is to be repeated.

`base` is the lowest sequence without a verdict, `cursor` the next to transmit, `following` the next number to give:

    base ......... cursor ......... following         base + burst: beyond it nothing is transmitted now
      transmitted     waits for its turn

Loss comes in one piece here: ways are ordered, and what was on one that broke is gone from some message on. So when the receipts
stay away the cursor goes back to `base` (skipping what the receiver holds already), with a small burst that doubles with every
receipt: a receiver that is away is asked by one frame, one that is back is served at full speed after a few round trips.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable
from itertools import islice
from math import inf
from typing import Literal

import msgspec

from majula.flow.limits import FlowLimits
from majula.wire.frames import MESSAGE_PREFIX_BYTES, encode_run
from majula.wire.headers import Encoding, Receipt, Send

State = Literal["delivered", "written", "expired", "no_route", "refused"]

RUN_BYTES = 65_536
"""A frame is closed at this size: a longer one would only delay its first message, a header's cost is spread over 500 by then."""

FIRST_BURST = 64
"""Messages that are repeated before anything is heard."""

TIMEOUT_FIRST_S = 0.5
TIMEOUT_LEAST_S = 0.2
"""Above the pauses of a busy loop: repeating what has only not been acknowledged yet costs both ends, and helps nobody."""
TIMEOUT_MOST_S = 2.0
"""A receiver that comes back is found by then, and one that is away for an hour costs 1,800 frames."""

REFUSED_FIRST_S = 0.05
"""After the first refusal: a client that has just come is known to all gateways by then, and one that reconnects at once is
back."""

NO_ROUTE = frozenset({"no_route", "no_such_node"})


class Verdict(msgspec.Struct, frozen=True):
    """What became of messages. Every ticket has exactly one verdict.

    tickets: as given to `send`, in order.
    state: `delivered`, `written`; `expired`: no receipt in time, it may have come all the same; `no_route`: nobody has that id;
        `refused`: `code` says why.
    """

    tickets: tuple[Hashable, ...]
    state: State
    code: str = ""


class Entry(msgspec.Struct, gc=False):
    """One message. `size`: what it counts for, headers included. `is_held`: the receiver has it, behind a gap. `is_over`: it has
    its verdict, and only keeps its place until those before it have theirs."""

    data: bytes
    size: int
    encoding: Encoding
    headers: dict[str, str] | None
    queued_at: float
    deadline: float
    ticket: Hashable | None
    is_held: bool = False
    is_over: bool = False


class Outflow:
    """State of one flow; about 1.4 KB, and for each message its bytes and 0.12 KB.

    Args:
        number: of the flow.
        target, node, source, via: as in SEND.
    """

    __slots__ = (
        "_backoff",
        "_burst",
        "_cursor",
        "_deviation_s",
        "_is_known",
        "_limits",
        "_noticed",
        "_retry_at",
        "_round_trip_s",
        "_sampled_at",
        "_sampled_to",
        "_transmitted",
        "base",
        "bytes",
        "code",
        "entries",
        "expires_at",
        "is_halted",
        "node",
        "number",
        "source",
        "target",
        "via",
        "wakes_at",
    )

    def __init__(self, number: int, target: str, *, node: str, source: str, via: str, limits: FlowLimits) -> None:
        self.number, self.target, self.node, self.source, self.via = number, target, node, source, via
        self.base = 1
        self.entries: deque[Entry] = deque()  # of the sequences from `base` on
        self.bytes = 0
        self.is_halted = False  # refused a moment ago: nothing is transmitted before the retry
        self.wakes_at = inf  # the sender's note of when it looks here again
        self._limits = limits
        self._cursor = 1
        self._transmitted = 1  # beyond the highest sequence that ever went out
        self._burst = limits.messages
        self._retry_at = inf
        self._backoff = 0
        self.expires_at = inf  # not after the first deadline of an entry
        self.code = ""  # of the last refusal, where nothing better was heard since
        self._is_known = False
        self._noticed = 0
        self._sampled_to, self._sampled_at = 0, inf
        self._round_trip_s = self._deviation_s = 0.0

    @property
    def following(self) -> int:
        """The number that the next message gets."""
        return self.base + len(self.entries)

    def deadline(self, *, is_connected: bool) -> float:
        """When `timer` has something to do."""
        return min(self.expires_at, self._retry_at) if is_connected else self.expires_at

    def is_ready(self) -> bool:
        """Whether `next_run` would give something."""
        return not self.is_halted and (self._cursor < min(self.following, self.base + self._burst) or self._owes_notice())

    # --- to the receiver

    def next_run(self, now: float, room_bytes: int, jitter: float) -> tuple[Send, bytes] | None:
        """The next frame; None: nothing may go now.

        Args:
            room_bytes: of body; one message is given whatever its size.
            jitter: a factor of the time until it is repeated.
        """
        if self.is_halted:
            return None
        end = min(self.following, self.base + self._burst)
        messages: list[bytes] = []
        first = self._cursor
        size, deadline = 0, inf
        head: Entry | None = None
        encoding: Encoding = 0
        headers: dict[str, str] | None = None
        for entry in islice(self.entries, self._cursor - self.base, end - self.base):
            if entry.is_over or entry.is_held:
                if head is not None:
                    break
                first += 1
                continue
            data = entry.data
            size += len(data) + MESSAGE_PREFIX_BYTES
            if head is None:
                head = entry
                encoding, headers = entry.encoding, entry.headers
            elif size > room_bytes or entry.encoding != encoding or (entry.headers is not headers and entry.headers != headers):
                break
            messages.append(data)
            if entry.deadline < deadline:  # noqa: PLR1730  # `min` costs three times as much, and this is done for each message
                deadline = entry.deadline
        self._cursor = first + len(messages)
        if head is None:
            if not self._owes_notice():
                # All that is left waits for receipts, at the receiver or on its way there.
                if self.entries and self._retry_at == inf:
                    self._retry_at = now + self._timeout_s() * jitter
                return None
            head, deadline = self.entries[0], self.entries[0].deadline
        self._noticed = self.base
        if self._cursor > self._transmitted:
            if self._sampled_at == inf:
                self._sampled_to, self._sampled_at = self._cursor - 1, now
            self._transmitted = self._cursor
        if self._retry_at == inf:
            self._retry_at = now + self._timeout_s() * jitter
        ttl_ms = max(1, int((deadline - now) * 1000.0))
        header = Send(
            self.target,
            self.node,
            self.number,
            first,
            self.base,
            ttl_ms,
            head.encoding,
            self.source,
            "",
            self.via,
            head.headers,
        )
        return header, encode_run(messages)

    def repeat(self) -> None:
        """The way to the receiver is another one: everything without a receipt goes out again."""
        self._backoff = 0
        self._go_back()

    def _owes_notice(self) -> bool:
        """Messages below `base` were given up after they had gone out, and the receiver may wait for them."""
        return self._noticed == -1 and bool(self.entries)

    def _timeout_s(self) -> float:
        # RFC 6298, 2: round trip and four deviations.
        usual_s = self._round_trip_s + 4.0 * self._deviation_s if self._round_trip_s else TIMEOUT_FIRST_S
        return min(TIMEOUT_MOST_S, max(TIMEOUT_LEAST_S, usual_s) * 2.0 ** min(self._backoff, 8))

    # --- from the receiver

    def acknowledge(self, receipt: Receipt, now: float, jitter: float) -> list[Hashable]:
        """A receipt without a code. The tickets of messages that it covers."""
        self._is_known = True
        self.code = ""
        up_to = min(receipt.up_to, self._transmitted - 1)
        entries = self.entries
        tickets: list[Hashable] = []
        count = up_to + 1 - self.base
        if count > 0:
            for _ in range(count):
                entry = entries.popleft()
                if not entry.is_over:
                    self.bytes -= entry.size
                    if entry.ticket is not None:
                        tickets.append(entry.ticket)
            self.base = up_to + 1
            if up_to >= self._sampled_to and self._sampled_at < inf:
                self._sample(now - self._sampled_at)
                self._sampled_at = inf
            self._backoff = 0
            self._burst = min(self._burst * 2, self._limits.messages)
        for sequence in receipt.received:
            at = sequence - self.base
            if 0 <= at < self._transmitted - self.base:
                entries[at].is_held = True
        self._skip_over()
        if self.is_halted:
            # It is there again: what was refused meanwhile goes now, at least the news of what was given up.
            self.is_halted = False
            self._cursor = self.base
            self._retry_at = inf
            self._noticed = -1
        elif count > 0:
            self._retry_at = now + self._timeout_s() * jitter if self.base < self._transmitted and entries else inf
        if self.base > up_to + 1 and entries and self._noticed != self.base:
            self._noticed = -1
        return tickets

    def refuse(self, receipt: Receipt, now: float, jitter: float) -> None:
        """A receipt whose code may be over soon."""
        if receipt.up_to < self.base or not self.entries:
            return
        self.code = receipt.code
        if self._has_no_route():
            self.expires_at = min(self.expires_at, self.entries[0].queued_at + self._limits.unknown_s)
        if not self.is_halted:
            self.is_halted = True
            self._cursor = self.base
            self._burst = FIRST_BURST
            self._sampled_at = inf
            self._retry_at = now + min(TIMEOUT_MOST_S, REFUSED_FIRST_S * 2.0 ** min(self._backoff, 8)) * jitter
            self._backoff += 1

    def end(self) -> list[Hashable]:
        """A receipt whose code is for good: the tickets of all that had gone out."""
        tickets: list[Hashable] = []
        for entry in islice(self.entries, self._transmitted - self.base):
            self._settle(entry, tickets)
        self._skip_over()
        self._retry_at = inf
        self.is_halted = False
        return tickets

    # --- time

    def timer(self, now: float, *, is_connected: bool) -> tuple[list[Hashable], list[Hashable]]:
        """The deadline came. The tickets that have expired, and those without a route."""
        expired: list[Hashable] = []
        unrouted: list[Hashable] = []
        if now >= self.expires_at:
            self._expire(now, expired, unrouted)
        if is_connected and now >= self._retry_at:
            self._retry_at = inf
            if self.entries:
                if not self.is_halted:
                    self._backoff += 1
                self._burst = FIRST_BURST
                self._go_back()
        return expired, unrouted

    def _go_back(self) -> None:
        self.is_halted = False
        self._cursor = self.base
        self._retry_at = self._sampled_at = inf
        for entry in islice(self.entries, self._transmitted - self.base):
            entry.is_held = False  # the receiver may have begun anew since it said so (as RFC 2018, 8)

    def _expire(self, now: float, expired: list[Hashable], unrouted: list[Hashable]) -> None:
        is_unrouted = self._has_no_route()
        late = unrouted if is_unrouted else expired
        unknown_s = self._limits.unknown_s if is_unrouted else inf
        base = self.base
        next_at = inf
        for entry in self.entries:
            if entry.is_over:
                continue
            # The very numbers that `deadline` is made of, so that the timer never finds them a bit short.
            given_up_at = min(entry.deadline, entry.queued_at + unknown_s)
            if given_up_at <= now:
                self._settle(entry, late)
            else:
                next_at = min(next_at, given_up_at)
        self.expires_at = next_at
        self._skip_over()
        if self.base > base and self._transmitted > self.base:
            self._noticed = -1

    def _has_no_route(self) -> bool:
        return self.code in NO_ROUTE and not self._is_known

    def _settle(self, entry: Entry, tickets: list[Hashable]) -> None:
        if entry.is_over:
            return
        entry.is_over = True
        self.bytes -= entry.size
        entry.data, entry.headers = b"", None
        if entry.ticket is not None:
            tickets.append(entry.ticket)

    def _skip_over(self) -> None:
        """`base` is a message that has no verdict yet."""
        entries = self.entries
        while entries and entries[0].is_over:
            entries.popleft()
            self.base += 1
        self._cursor = max(self._cursor, self.base)
        self._transmitted = max(self._transmitted, self.base)
        if not entries:
            self._retry_at = self.expires_at = inf
            self._backoff = 0
            self.is_halted = False

    def _sample(self, took_s: float) -> None:
        if not self._round_trip_s:
            self._round_trip_s, self._deviation_s = took_s, took_s / 2.0
            return
        self._deviation_s += (abs(took_s - self._round_trip_s) - self._deviation_s) / 4.0
        self._round_trip_s += (took_s - self._round_trip_s) / 8.0
