"""Is this gateway too busy for more? How late its event loop is, and how much memory its process holds, against their marks.

Beyond a mark new clients and plain requests are refused with 503 and a time to come again; who is connected goes on. Without
this a gateway that is asked for too much would serve everybody late instead of most in time.
"""

from __future__ import annotations

from collections import deque

from majula.errors import Overloaded
from majula.gateway.settings import GatewayLimits

SAMPLE_S = 0.25
"""Seconds between two measurements."""

# A second of measurements. One late turn is no overload: a large table, a garbage collection.
_SAMPLES = 4
# It takes clients again below this part of the mark, so that it does not flutter at the mark.
_RELIEF = 0.75
_RETRY_AFTER_S = 2.0


class Load:
    """Of one gateway.

    Args:
        limits: `loop_lag_ms`, `memory_bytes`; 0: no mark.
    """

    def __init__(self, limits: GatewayLimits) -> None:
        self._limits = limits
        self._lags_s: deque[float] = deque(maxlen=_SAMPLES)
        self._memory_bytes = 0
        self._reason = ""
        self._refused = 0

    def renew(self, limits: GatewayLimits) -> None:
        """New marks."""
        self._limits = limits

    def measured(self, *, lag_s: float, memory_bytes: int) -> bool:
        """A measurement. Returns whether the verdict has changed with it."""
        self._lags_s.append(max(lag_s, 0.0))
        self._memory_bytes = memory_bytes
        relief = _RELIEF if self._reason else 1.0
        mark_s = self._limits.loop_lag_ms / 1_000.0
        former = self._reason
        # The least of them: it was late all the time.
        if mark_s and len(self._lags_s) == _SAMPLES and min(self._lags_s) > mark_s * relief:
            self._reason = "loop_lag"
        elif self._limits.memory_bytes and memory_bytes > self._limits.memory_bytes * relief:
            self._reason = "memory"
        else:
            self._reason = ""
        return former != self._reason

    @property
    def reason(self) -> str:
        """`loop_lag`, `memory`, or empty: there is room."""
        return self._reason

    def check(self) -> None:
        """Raises Overloaded where nobody new is taken."""
        if self._reason:
            self._refused += 1
            raise Overloaded(
                "this gateway has more to do than it can; try again", retry_after_s=_RETRY_AFTER_S, reason=self._reason
            )

    def statistics(self) -> dict[str, int | float]:
        return {
            "loop_lag_ms": round(1_000 * max(self._lags_s, default=0.0), 1),
            "memory_bytes": self._memory_bytes,
            "refused_by_load_total": self._refused,
        }
