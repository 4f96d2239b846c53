"""`Grants`: what a session may do, compiled once from the scopes of its token.

Deny wins over allow. A subscription with wildcards is allowed only where *all* that it can match is within one allowed pattern
and none of it is denied: the alternative, to let it in and filter each message at delivery, would cost every delivery a check
(and a forgotten filter would be a leak). So `subscribe:orders.>` with `-subscribe:orders.secret.>` can subscribe `orders.eu.>`,
but not `orders.>`, and is told that `-subscribe:orders.secret.>` is in the way.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

from majula.auth.scopes import EVERYTHING, VERBS, Scope, covers, overlaps, parse_scopes
from majula.errors import PermissionDenied
from majula.topics.subjects import SYSTEM_LEVEL, SYSTEM_PREFIX

# Answers that one Grants remembers. Names come from clients, up to 256 bytes each: with 256 different sets of scopes that is
# 50 MB at the very worst, and a program uses a few dozen names.
_REMEMBERED = 512
_SETS = 256

_Rule = tuple[tuple[str, ...], str]
"""The levels of a pattern, and its scope as it was written."""


class Grants:
    """What scopes permit. Immutable; equal scopes share one (`grants_of`).

    Args:
        scopes: compiled in this order; the order has no meaning.

    Attributes:
        is_all: nothing is refused, ever. Ask this first where each 100 ns counts.
    """

    __slots__ = ("_allowed", "_denied", "_remembered", "is_all", "scopes")

    def __init__(self, scopes: Iterable[Scope]) -> None:
        self.scopes = tuple(scopes)
        self._allowed = _by_verb(scope for scope in self.scopes if not scope.denies)
        self._denied = _by_verb(scope for scope in self.scopes if scope.denies)
        self._remembered: dict[tuple[str, str, bool], str] = {}
        self.is_all = not any(self._denied.values()) and all(
            any(not levels for levels, _ in self._allowed[verb]) for verb in VERBS
        )

    def __repr__(self) -> str:
        return f"Grants({', '.join(map(str, self.scopes))})"

    def allows(self, verb: str, obj: str, *, pattern: bool = False) -> bool:
        """Whether the verb is permitted on the object.

        Args:
            verb: one of `scopes.VERBS`.
            obj: a topic, function, client id, or what the operation's declaration says. Empty, and `*` for `send`: all there are.
            pattern: wildcards in `obj` stand for what they match (a subscription); else it is a literal name.
        """
        return self.is_all or not self.missing(verb, obj, pattern=pattern)

    def missing(self, verb: str, obj: str, *, pattern: bool = False) -> str:
        """The scope to name where it is not permitted: the one that is lacking (`publish:orders.eu`), or the one that denies
        (`-publish:orders.>`). Empty: it is permitted. Arguments as `allows`."""
        if self.is_all:
            return ""
        key = (verb, obj, pattern)
        found = self._remembered.get(key)
        if found is None:
            found = self._find_missing(verb, obj, pattern)
            if len(self._remembered) >= _REMEMBERED:
                self._remembered.clear()
            self._remembered[key] = found
        return found

    def require(self, verb: str, obj: str, *, pattern: bool = False) -> None:
        """Nothing, where it is permitted. Arguments as `allows`.

        Raises:
            PermissionDenied: it is not; `scope` names what is missing or in the way.
        """
        scope = self.missing(verb, obj, pattern=pattern)
        if scope:
            raise denied(scope)

    def _find_missing(self, verb: str, obj: str, pattern: bool) -> str:
        if verb == "subscribe" and (obj == SYSTEM_LEVEL or obj.startswith(SYSTEM_PREFIX)):
            verb = "observe"
        # `send:*` is a broadcast: it reaches everybody, so a deny of anybody is in its way.
        is_whole = not obj or (verb == "send" and obj == EVERYTHING)
        wanted = () if is_whole else tuple(obj.split("."))
        pattern = pattern or is_whole
        for levels, scope in self._denied.get(verb, ()):
            if overlaps(levels, wanted, pattern=pattern):
                return scope
        if any(covers(levels, wanted, pattern=pattern) for levels, _ in self._allowed.get(verb, ())):
            return ""
        return f"{verb}:{EVERYTHING if is_whole else obj}"


def denied(scope: str) -> PermissionDenied:
    """The error for a scope that `missing` has named."""
    if scope.startswith("-"):
        return PermissionDenied(f"the token denies this: {scope}", scope=scope)
    return PermissionDenied(f"the token does not grant {scope}", scope=scope)


@lru_cache(maxsize=_SETS)
def grants_of(scopes: tuple[str, ...]) -> Grants:
    """The Grants of these scopes, as texts. Raises InvalidRequest where one is no scope."""
    return Grants(parse_scopes(scopes))


def _by_verb(scopes: Iterable[Scope]) -> dict[str, tuple[_Rule, ...]]:
    rules: dict[str, list[_Rule]] = {verb: [] for verb in VERBS}
    for scope in scopes:
        for verb in VERBS if scope.verb == EVERYTHING else (scope.verb,):
            rules[verb].append((scope.levels, str(scope)))
    return {verb: tuple(found) for verb, found in rules.items()}


ALL = grants_of(("*:*",))
"""Of a session that has to prove nothing: `auth: none`, and the node's own user on the Unix socket."""
