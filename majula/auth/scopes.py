"""What a scope may look like: `verb:pattern`, with a leading `-` it denies.

Patterns are those of topics (`majula.topics.subjects`): `*` is one level, `>` the rest. One thing is added: `*` alone as the
whole pattern is everything, whatever its levels. The verb `*` is every verb, so `*:*` grants all.

Reading the node's own topics (`$SYS.`) is a matter of `observe`, not of `subscribe`: who may read all that programs publish does
not thereby see who is connected.
"""

from __future__ import annotations

from difflib import get_close_matches

from msgspec import Struct

from majula.errors import InvalidRequest
from majula.topics.subjects import SYSTEM_LEVEL, check_pattern

VERBS = (
    "publish",
    "subscribe",
    "call",
    "register",
    "send",
    "observe",
    "tunnel",
    "file",
    "raft",
    "elect",
    "proxy",
    "admin",
)
"""Every verb there is. A token may name one before the feature is used: a scope is a wish of its maker, not a promise of ours."""

EVERYTHING = "*"

SCOPES_MOST = 128
"""Scopes of one token at most. A check that is not remembered looks at each of its verb: 128 of them cost 60 us."""

SCOPE_CHARACTERS = 256

CLIENTS_MOST = 32
"""Patterns of client ids of one token at most."""


class Scope(Struct, frozen=True):
    """One scope, understood.

    verb: one of VERBS, or `*`. pattern: as it was written. denies: it takes away instead of giving.
    """

    verb: str
    pattern: str
    denies: bool = False

    def __str__(self) -> str:
        return f"{'-' if self.denies else ''}{self.verb}:{self.pattern}"

    @property
    def levels(self) -> tuple[str, ...]:
        """The levels of its pattern; empty: everything."""
        return () if self.pattern == EVERYTHING else tuple(self.pattern.split("."))


def parse_scope(text: str) -> Scope:
    """The scope that `text` says.

    Raises:
        InvalidRequest: no verb, an unknown one (the nearest is named), no valid pattern, or too long.
    """
    if len(text) > SCOPE_CHARACTERS:
        raise InvalidRequest(f"a scope has at most {SCOPE_CHARACTERS} characters", scope=text[:128])
    denies = text.startswith("-")
    verb, colon, pattern = text[denies:].partition(":")
    if not colon or not verb:
        raise InvalidRequest(f"a scope is `verb:pattern`, such as `publish:sensors.>`, not {text[:128]!r}", scope=text[:128])
    if verb != EVERYTHING and verb not in VERBS:
        near = get_close_matches(verb, VERBS, 1)
        wish = f"; did you mean `{near[0]}`?" if near else f"; the verbs are {', '.join(VERBS)}"
        raise InvalidRequest(f"{verb[:64]!r} is not a verb of scopes{wish}", scope=text[:128])
    try:
        check_pattern(pattern)
    except InvalidRequest as error:
        raise InvalidRequest(f"scope {text[:128]!r}: {error.message}", scope=text[:128]) from None
    return Scope(verb=verb, pattern=pattern, denies=denies)


def parse_scopes(texts: tuple[str, ...]) -> tuple[Scope, ...]:
    """All of them. Raises as `parse_scope`, and InvalidRequest for more than 128."""
    if len(texts) > SCOPES_MOST:
        raise InvalidRequest(f"a token has at most {SCOPES_MOST} scopes", limit=SCOPES_MOST)
    return tuple(parse_scope(text) for text in texts)


def covers(allowed: tuple[str, ...], wanted: tuple[str, ...], *, pattern: bool) -> bool:
    """Whether everything that `wanted` stands for is within `allowed`. Both are levels, no levels are everything.

    Args:
        pattern: wildcards in `wanted` are wildcards; else it is a literal name.
    """
    if not allowed:
        return True
    if not wanted or (allowed[0] in ("*", ">") and wanted[0] == SYSTEM_LEVEL):
        return False
    for position, level in enumerate(allowed):
        if level == ">" and position == len(allowed) - 1:
            return len(wanted) > position
        if position >= len(wanted) or (pattern and wanted[position] == ">"):
            return False
        if level != "*" and (level != wanted[position] or (pattern and wanted[position] == "*")):
            return False
    return len(wanted) == len(allowed)


def overlaps(denied: tuple[str, ...], wanted: tuple[str, ...], *, pattern: bool) -> bool:
    """Whether `denied` and `wanted` have something in common. As `covers`; for a literal `wanted` both say the same."""
    if not pattern:
        return covers(denied, wanted, pattern=False)
    if not denied or not wanted:
        return True
    if (denied[0] in ("*", ">") and wanted[0] == SYSTEM_LEVEL) or (wanted[0] in ("*", ">") and denied[0] == SYSTEM_LEVEL):
        return False
    for ours, theirs in zip(denied, wanted, strict=False):
        if ">" in (ours, theirs):
            return True
        if ours != theirs and "*" not in (ours, theirs):
            return False
    return len(denied) == len(wanted)
