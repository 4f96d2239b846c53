"""How much a client may send: token buckets, its own, its token's and the gateway's.

Nothing is refused on a stream for going too fast: what has come is served, and then its connection is not read until the debt
is paid. So a fast sender feels the back-pressure that any slow receiver gives, and loses nothing. A plain HTTP request has no
stream that could be slowed; it gets 429 while there is a debt.
"""

from __future__ import annotations

from collections import OrderedDict
from math import inf

from majula.errors import LimitReached
from majula.gateway.settings import GatewayLimits

# Buckets that outlive a session (of tokens, and of who asks by plain HTTP). The longest unused goes first; it begins anew then,
# which gives whoever had it one second's worth. 100 bytes each.
_KEPT = 16_384
# Control frames: twice a second's worth at once. A program that connects again restores all it had, 10,000 subscriptions and
# 1,000 functions by the default limits, and should not be slowed for that.
_CONTROL_BURST_S = 2.0


class Bucket:
    """So many a second on average, and `burst` at once. It is kept as one number, the moment at which it will be full again.

    Args:
        per_s: more than 0.
        burst: at least 1.
    """

    __slots__ = ("burst_s", "full_at", "interval_s")

    def __init__(self, per_s: float, burst: float) -> None:
        self.interval_s = 1.0 / per_s
        self.burst_s = max(burst, 1.0) / per_s
        self.full_at = -inf

    def take(self, amount: float, now: float) -> None:
        """Take so many, also those that are not there: a debt."""
        self.full_at = max(self.full_at, now) + amount * self.interval_s

    def wait_s(self, now: float) -> float:
        """Seconds until there is one to take; 0: there is."""
        return max(0.0, self.full_at + self.interval_s - self.burst_s - now)

    def wait_for_debt_s(self, now: float) -> float:
        """Seconds until nothing is owed; 0: nothing is."""
        return max(0.0, self.full_at - self.burst_s - now)


class Meter:
    """The buckets that one session takes from.

    Args:
        messages, size: buckets of messages and of bytes.
        controls: bucket of what changes or asks; None: unlimited.

    Attributes:
        counts_messages: whether messages and bytes are limited at all; where not, nobody needs to count them.
    """

    __slots__ = ("_controls", "_messages", "_size", "counts_messages")

    def __init__(self, messages: tuple[Bucket, ...], size: tuple[Bucket, ...], controls: Bucket | None) -> None:
        self._messages = messages
        self._size = size
        self._controls = controls
        self.counts_messages = bool(messages or size)

    def charge(self, *, messages: int, size: int, controls: int, now: float) -> float:
        """Take what was sent. Returns seconds for which nothing more is to be read."""
        # Once a chunk and for up to six buckets: `take` and `wait_for_debt_s` written out, 0.7 us instead of 2.0.
        paid_at = now
        for bucket in self._messages:
            full_at = bucket.full_at
            bucket.full_at = full_at = (full_at if full_at > now else now) + messages * bucket.interval_s
            even_at = full_at - bucket.burst_s
            paid_at = even_at if even_at > paid_at else paid_at
        for bucket in self._size:
            full_at = bucket.full_at
            bucket.full_at = full_at = (full_at if full_at > now else now) + size * bucket.interval_s
            even_at = full_at - bucket.burst_s
            paid_at = even_at if even_at > paid_at else paid_at
        wait_s = paid_at - now
        if controls and self._controls is not None:
            self._controls.take(controls, now)
            wait_s = max(wait_s, self._controls.wait_for_debt_s(now))
        return wait_s

    def check(self, now: float) -> None:
        """For a request that cannot be slowed.

        Raises:
            LimitReached: something is used up; `retry_after_s` says for how long.
        """
        for limit, buckets in (("messages_per_s", self._messages), ("bytes_per_s", self._size)):
            wait_s = max((bucket.wait_s(now) for bucket in buckets), default=0.0)
            if wait_s > 0:
                raise LimitReached("more was sent than is allowed in this time", limit=limit, retry_after_s=round(wait_s, 3))


UNMETERED = Meter((), (), None)
"""Of a session that may send what it likes."""


class Rates:
    """Makes the meters of a gateway's sessions.

    Args:
        limits: `messages_per_s`, `bytes_per_s` and `controls_per_s` of a client; `gateway_messages_per_s` and
            `gateway_bytes_per_s` of all of them together.
    """

    def __init__(self, limits: GatewayLimits) -> None:
        self._kept: OrderedDict[tuple[str, str], tuple[float, Bucket]] = OrderedDict()
        self.renew(limits)

    def renew(self, limits: GatewayLimits) -> None:
        """New limits, for the meters that are made from now on."""
        self._limits = limits
        self._kept.clear()
        self._all_messages = _bucket(limits.gateway_messages_per_s)
        self._all_size = _bucket(limits.gateway_bytes_per_s)

    def meter(
        self, *, key: str = "", token: str = "", token_messages_per_s: float = 0.0, token_bytes_per_s: float = 0.0
    ) -> Meter:
        """A meter.

        Args:
            key: what outlives the session and stands for its client (plain HTTP: a token's id or an address); empty: the session
                is a stream and has buckets of its own.
            token: id of its token, which has rates of its own; all its sessions here share them.
        """
        limits = self._limits
        messages = (
            self._shared("messages", key, limits.messages_per_s),
            self._shared("token messages", token, token_messages_per_s) if token else None,
            self._all_messages,
        )
        size = (
            self._shared("bytes", key, limits.bytes_per_s),
            self._shared("token bytes", token, token_bytes_per_s) if token else None,
            self._all_size,
        )
        controls = Bucket(limits.controls_per_s, limits.controls_per_s * _CONTROL_BURST_S) if limits.controls_per_s else None
        return Meter(
            tuple(bucket for bucket in messages if bucket is not None),
            tuple(bucket for bucket in size if bucket is not None),
            controls,
        )

    def statistics(self) -> dict[str, int]:
        return {"rate_buckets": len(self._kept)}

    def _shared(self, kind: str, key: str, per_s: float) -> Bucket | None:
        if not per_s:
            return None
        if not key:
            return _bucket(per_s)
        name = (kind, key)
        found = self._kept.get(name)
        if found is not None and found[0] == per_s:
            self._kept.move_to_end(name)
            return found[1]
        bucket = Bucket(per_s, per_s)
        self._kept[name] = (per_s, bucket)
        if len(self._kept) > _KEPT:
            self._kept.popitem(last=False)
        return bucket


def _bucket(per_s: float) -> Bucket | None:
    return Bucket(per_s, per_s) if per_s else None
