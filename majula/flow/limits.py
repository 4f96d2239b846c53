"""What a flow may hold at either end, and how long things last."""

from __future__ import annotations

import msgspec

MAX_TTL_S = 3_600.0
DEFAULT_TTL_S = 60.0

MAX_NUMBER = (1 << 53) - 1
"""Of flows and sequences: a JSON number that every language reads exactly."""


def headers_size(headers: dict[str, str] | None) -> int:
    """What the headers of a message take, in characters: they are kept as long as it is, and so counted with it."""
    return sum(len(name) + len(value) for name, value in headers.items()) if headers else 0


class FlowLimits(msgspec.Struct, frozen=True):
    """Bounds of one end; each end has one for all its flows.

    flows: flows at once. A sender reuses the place of one that has nothing under way, the longest unused first. A receiver
        forgets the one that it has not heard of for the longest; should its sender repeat something after that, it comes twice.
    messages, bytes: of one flow, at the sender without a receipt, at the receiver waiting for their turn.
    total_bytes: of all flows together. One message is taken whatever its size where nothing else waits.
    unknown_s: a message to a client that has never acknowledged anything in this flow is given up after so long without a route.
    idle_s: a receiver forgets a flow that it has not heard of for so long. Over the largest TTL, so that nothing that its sender
        may still repeat is taken for new.
    """

    flows: int = 4_096
    messages: int = 1_024
    bytes: int = 4 << 20
    total_bytes: int = 64 << 20
    unknown_s: float = 5.0
    idle_s: float = MAX_TTL_S + 60.0
