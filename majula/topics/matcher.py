"""From a topic to everybody whose subscription matches it.

Literal subjects stand in a dict, patterns in a trie by levels. The result for a topic is cached: on the hot path a match is one
dict lookup (60 ns). A change of a literal subject forgets the result of that topic, a change of a pattern forgets all results:
patterns change when programs start, topics are published all day.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from typing import Generic, TypeVar

from majula.topics.subjects import SYSTEM_LEVEL, has_wildcard

T = TypeVar("T", bound=Hashable)

# 16,384 results: a topic of 40 bytes and a tuple of one value are about 200 bytes, so the cache stays near 3 MB. Topics are
# made up by strangers, so this bound is also what a flood of new topics can cost.
CACHE_LIMIT = 16_384


class _Level(Generic[T]):
    """One level of the trie. `here`: patterns that end at this level; `rest`: patterns whose next level is `>`."""

    __slots__ = ("any", "children", "here", "rest")

    def __init__(self) -> None:
        self.children: dict[str, _Level[T]] = {}
        self.any: _Level[T] | None = None
        self.here: dict[T, None] = {}
        self.rest: dict[T, None] = {}

    def is_empty(self) -> bool:
        return not (self.children or self.any or self.here or self.rest)


class Matcher(Generic[T]):
    """Subscriptions of values of type T (hashable): a set of (subject, value) pairs.

    Subjects are taken as valid (`subjects.check_subject`). Memory is that of the pairs plus the cache; who adds pairs bounds
    them.

    Args:
        cache_limit: results that are kept at most; the oldest is forgotten first.
    """

    def __init__(self, *, cache_limit: int = CACHE_LIMIT) -> None:
        self._literal: dict[str, dict[T, None]] = {}
        self._root: _Level[T] = _Level()
        self._patterns = 0
        self._cache: dict[str, tuple[T, ...]] = {}
        self._cache_limit = cache_limit

    def match(self, topic: str) -> tuple[T, ...]:
        """Everybody who wants `topic`, each once, literal subscriptions first, in the order in which they were added."""
        found = self._cache.get(topic)
        return found if found is not None else self._look(topic)

    def add(self, subject: str, pattern: bool, value: T) -> bool:
        """Add a pair. False: it was there."""
        if pattern and has_wildcard(subject):
            values = self._open(subject)
            self._cache.clear()
        else:
            values = self._literal.setdefault(subject, {})
            self._cache.pop(subject, None)
            pattern = False
        if value in values:
            return False
        values[value] = None
        self._patterns += pattern
        return True

    def remove(self, subject: str, pattern: bool, value: T) -> bool:
        """Remove a pair. False: it was not there."""
        if pattern and has_wildcard(subject):
            if not self._close(subject, value):
                return False
            self._patterns -= 1
            self._cache.clear()
            return True
        values = self._literal.get(subject)
        if values is None or value not in values:
            return False
        del values[value]
        if not values:
            del self._literal[subject]
        self._cache.pop(subject, None)
        return True

    def __len__(self) -> int:
        """How many pairs there are."""
        return self._patterns + sum(len(values) for values in self._literal.values())

    def statistics(self) -> dict[str, int]:
        return {"topics": len(self._literal), "patterns": self._patterns, "cached": len(self._cache)}

    def _look(self, topic: str) -> tuple[T, ...]:
        found: dict[T, None] = dict(self._literal.get(topic, ()))
        if self._patterns:
            for values in self._walk(topic.split(".")):
                found.update(values)
        result = tuple(found)
        if len(self._cache) >= self._cache_limit:
            del self._cache[next(iter(self._cache))]
        self._cache[topic] = result
        return result

    def _walk(self, levels: list[str]) -> Iterator[dict[T, None]]:
        """The values of all patterns that match. The set of open trie nodes goes down level by level; it has at most 2^levels
        members and at most as many as there are patterns."""
        nodes = [self._root]
        is_system = levels[0] == SYSTEM_LEVEL
        for position, level in enumerate(levels):
            below: list[_Level[T]] = []
            wildcards = position > 0 or not is_system
            for node in nodes:
                if wildcards:
                    if node.rest:
                        yield node.rest
                    if node.any is not None:
                        below.append(node.any)
                child = node.children.get(level)
                if child is not None:
                    below.append(child)
            if not below:
                return
            nodes = below
        for node in nodes:
            if node.here:
                yield node.here

    def _open(self, pattern: str) -> dict[T, None]:
        node = self._root
        for level in pattern.split("."):
            if level == ">":
                return node.rest
            if level == "*":
                if node.any is None:
                    node.any = _Level()
                node = node.any
            else:
                node = node.children.setdefault(level, _Level())
        return node.here

    def _close(self, pattern: str, value: T) -> bool:
        path: list[tuple[_Level[T], str]] = []
        node = self._root
        values: dict[T, None] | None = None
        for level in pattern.split("."):
            if level == ">":
                values = node.rest
                break
            below = node.any if level == "*" else node.children.get(level)
            if below is None:
                return False
            path.append((node, level))
            node = below
        if values is None:
            values = node.here
        if value not in values:
            return False
        del values[value]
        while path and node.is_empty():
            node, level = path.pop()
            if level == "*":
                node.any = None
            else:
                del node.children[level]
        return True
