"""What a program is told about its connection, by its one state callback."""

from __future__ import annotations

from typing import Literal

import msgspec

StateName = Literal["connecting", "connected", "disconnected", "slow", "closed"]


class State(msgspec.Struct, frozen=True):
    """One change.

    name: `connecting` (an attempt begins), `connected` (every subscription and function is in force again), `disconnected` (the
        client tries again in `retry_in_s` by itself), `slow` (messages were dropped because they were not taken fast enough; the
        connection stands), `closed` (for good).
    reason: one sentence; empty for `connecting` and `connected`.
    retry_in_s: seconds until the next attempt, for `disconnected`.
    dropped: messages lost here, for `slow`.
    topic: the subscription whose own queue overflowed, for `slow`; empty: the gateway dropped them on the way to this client.
    """

    name: StateName
    reason: str = ""
    retry_in_s: float = 0.0
    dropped: int = 0
    topic: str = ""
