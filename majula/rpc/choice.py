"""Which provider gets a call: the named one, else the one with the least outstanding calls, in turn among equals.

*Outstanding* is what this gateway has sent to a provider and has no answer for. Each gateway counts its own: the counts of the
others would be old when they come, and with several callers the own count is a fair sample.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from majula.rpc.services import Service

# Providers of one function that are compared. A pick among 64 costs 4 us; of more, the 64 that come next in turn are compared.
COMPARED = 64
TURNS_LIMIT = 4_096


class Choice:
    """Outstanding calls by provider, and whose turn it is by function. Memory: providers with calls under way, and 4,096
    functions."""

    def __init__(self) -> None:
        self._outstanding: dict[str, int] = {}
        self._turns: dict[str, int] = {}

    def pick(
        self,
        providers: Mapping[str, Service],
        *,
        provider: str = "",
        without: str = "",
        is_usable: Callable[[Service], bool] | None = None,
    ) -> Service | None:
        """The provider of a call; None: nobody. Say `started` when the call was sent.

        Args:
            providers: of the function (`Services.providers`).
            provider: the wanted one; empty: choose.
            without: one that has just failed and is not to be tried again.
            is_usable: says whether a provider can be reached now; None: all can.
        """
        if provider:
            wanted = providers.get(provider)
            return wanted if wanted is not None and (is_usable is None or is_usable(wanted)) else None
        count = len(providers)
        if count == 1:
            (only,) = providers.values()
            return only if only.provider != without and (is_usable is None or is_usable(only)) else None
        if not count:
            return None
        candidates = list(providers.values())
        function = candidates[0].function
        first = self._turns.get(function, -1) + 1
        if first >= count:
            first = 0
        outstanding = self._outstanding
        best, best_at, least = None, first, -1
        at = first
        for _ in range(min(count, COMPARED)):
            candidate = candidates[at]
            calls = outstanding.get(candidate.provider, 0)
            if (best is None or calls < least) and candidate.provider != without and (is_usable is None or is_usable(candidate)):
                best, best_at, least = candidate, at, calls
                if calls == 0:
                    break
            at = at + 1 if at + 1 < count else 0
        if best is not None:
            if function not in self._turns and len(self._turns) >= TURNS_LIMIT:
                del self._turns[next(iter(self._turns))]
            self._turns[function] = best_at
        return best

    def started(self, provider: str) -> None:
        """A call was sent to this provider."""
        self._outstanding[provider] = self._outstanding.get(provider, 0) + 1

    def ended(self, provider: str) -> None:
        """A call to this provider has its answer, or will have none. Once for each `started`."""
        calls = self._outstanding.get(provider, 0) - 1
        if calls > 0:
            self._outstanding[provider] = calls
        else:
            self._outstanding.pop(provider, None)

    def outstanding(self, provider: str) -> int:
        return self._outstanding.get(provider, 0)
