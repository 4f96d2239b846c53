"""`Retry`: when an idempotent call is made again. Pure."""

from __future__ import annotations

from random import Random

from msgspec import Struct

from majula.errors import Cancelled, ConnectionLost, DeadlineExceeded, InvalidRequest, MajulaError, NotNow, ProviderLost


class Retry(Struct, frozen=True):
    """A call that failed for a reason that passes is made again, within its own deadline.

    Such reasons are: overloaded, unavailable, draining, a provider or connection that was lost. Not: what the handler raised, a
    function that nobody offers, a request that cannot be served, the deadline.

    attempts: how often it is made at most, the first time included.
    first_s: the pause before the second attempt; each later one is twice as long.
    limit_s: the longest pause. Who refused may have named a longer one (`retry_after_s`); that is kept to.
    """

    attempts: int = 3
    first_s: float = 0.05
    limit_s: float = 2.0

    def __post_init__(self) -> None:
        if self.attempts < 1 or not (0 <= self.first_s < float("inf") and 0 <= self.limit_s < float("inf")):
            raise InvalidRequest("Retry has at least one attempt, and pauses of 0 s or more")

    def pause_s(self, attempt: int, error: MajulaError, random: Random) -> float | None:
        """How long to wait after attempt number `attempt` (from 1) ended with `error`; None: it is not made again."""
        passes = isinstance(error, NotNow | ProviderLost | ConnectionLost)
        if attempt >= self.attempts or not passes or isinstance(error, DeadlineExceeded | Cancelled):
            return None
        # Half of it is drawn: calls that one event refused must not all come back at one moment.
        pause_s = min(self.limit_s, self.first_s * 2.0 ** min(attempt - 1, 32)) * random.uniform(0.5, 1.0)
        return max(pause_s, error.retry_after_s if isinstance(error, NotNow) else 0.0)
