"""How the C library keeps freed memory, for processes that move many large messages."""

from __future__ import annotations

import ctypes
import mmap

_M_TRIM_THRESHOLD = -1  # malloc.h
_M_MMAP_THRESHOLD = -3
# Reads of a socket are chunks of up to 256 KB and messages up to 1 MiB: both from the heap, where they are found again.
_MMAP_BYTES = 4 << 20
# So much free memory at the heap's end is kept instead of given back.
_KEPT_BYTES = 16 << 20


def keep_freed_memory() -> bool:
    """Let this process keep up to 16 MiB of freed memory for its next allocations. False: this C library cannot (no glibc).

    By default glibc gives a freed chunk of 256 KB back to the kernel at once, and the next one costs a page fault for each 4 KiB
    of it: 14 faults for each message of 64 KiB that a gateway moves, 40 us of system time instead of 12.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    return bool(mallopt(_M_MMAP_THRESHOLD, _MMAP_BYTES)) and bool(mallopt(_M_TRIM_THRESHOLD, _KEPT_BYTES))


def resident_bytes() -> int:
    """What this process holds of the machine's memory (RSS). Some 10 us, so it may be asked on an event loop."""
    with open("/proc/self/statm", "rb") as file:
        return int(file.read().split()[1]) * mmap.PAGESIZE
