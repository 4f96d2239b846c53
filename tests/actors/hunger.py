"""An actor that gets no more memory from the kernel, and needs some."""

from __future__ import annotations

import resource
from pathlib import Path

_PAGE = resource.getpagesize()
_BLOCKS = (1 << 20, 1 << 16, 1 << 12, 1 << 8)


def starve(kept: list[bytes]) -> None:
    """Takes all that this process can get, which is what it has, and puts it into `kept`.

    Raises:
        MemoryError: always; and the next allocation may raise it again.
    """
    size = int(Path("/proc/self/statm").read_text().split()[0]) * _PAGE
    resource.setrlimit(resource.RLIMIT_AS, (size, size))
    for block in _BLOCKS:
        try:
            while True:
                kept.append(bytes(block))
        except MemoryError:
            continue  # smaller ones may still fit
    raise MemoryError("told to have none left")
