"""Secrets that came by the environment are taken out of it, so that no child, and no `/proc/<pid>/environ`, shows them."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterable
from pathlib import Path

_START, _END = 47, 48
"""Fields 50 and 51 of proc(5)'s `stat`, counted after the name: where the kernel has put the environment."""


def forget_variables(names: Iterable[str]) -> None:
    """Remove them from this process. A variable that is unset still stands in the memory that the process was started with, which
    children that are forked have too: there it is overwritten."""
    wanted = {os.fsencode(name) for name in names if os.environ.pop(name, None) is not None}
    if not wanted:
        return
    fields = Path("/proc/self/stat").read_text().rpartition(") ")[2].split()
    start, end = int(fields[_START]), int(fields[_END])
    at = start
    for entry in ctypes.string_at(start, end - start).split(b"\0") if start else ():
        if entry.partition(b"=")[0] in wanted:
            ctypes.memset(at, 0, len(entry))
        at += len(entry) + 1
