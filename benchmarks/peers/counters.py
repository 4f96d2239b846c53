"""Shared memory in which each subscriber counts what it received, and which the publisher reads: flow control off the wire."""

from __future__ import annotations

import mmap
from collections.abc import Callable
from pathlib import Path

_STRIDE = 8  # in 64-bit numbers: each subscriber writes its own cache line


class Counters:
    """Counters of `subscribers` subscribers in the file at `path`.

    Args:
        create: make the file, all zero; else it must exist.
    """

    def __init__(self, path: Path | str, subscribers: int, *, create: bool = False) -> None:
        size = 8 * _STRIDE * subscribers
        with open(path, "w+b" if create else "r+b") as file:
            if create:
                file.truncate(size)
            self._numbers = memoryview(mmap.mmap(file.fileno(), size)).cast("q")
        self._messages = range(0, _STRIDE * subscribers, _STRIDE)
        self._probes = range(1, _STRIDE * subscribers, _STRIDE)

    def slowest(self) -> int:
        """Messages received by the subscriber that received fewest."""
        numbers = self._numbers
        return min([numbers[at] for at in self._messages])

    def total(self) -> int:
        numbers = self._numbers
        return sum([numbers[at] for at in self._messages])

    def are_all_subscribed(self) -> bool:
        """Has each subscriber seen a probe?"""
        return all(self._numbers[at] for at in self._probes)

    def receiver(self, subscriber: int, size: int) -> Callable[[int], None]:
        """What subscriber number `subscriber` calls with the length of each payload.

        A payload of length 1 is a probe, any other length than `size` an error.
        """
        numbers, messages, probes, count = self._numbers, self._messages[subscriber], self._probes[subscriber], 0

        def receive(length: int) -> None:
            nonlocal count
            if length != size:
                if length == 1:
                    numbers[probes] += 1
                    return
                raise ValueError(f"a message of {length} bytes, not {size}")
            count += 1
            numbers[messages] = count

        return receive
