"""What /proc knows: CPU seconds and memory of processes, how busy the rest of the machine is.

Linux only, like the node's process tree itself. A process that is gone counts as zero: it may end at any time.
"""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Iterable

import msgspec

TICKS_PER_S = os.sysconf("SC_CLK_TCK")


class Machine(msgspec.Struct, frozen=True):
    """Where a record was made; ratios travel between machines, absolute figures do not."""

    cpu: str
    cores: int
    memory_mb: int
    kernel: str
    python: str


def describe() -> Machine:
    with open("/proc/cpuinfo") as lines:
        cpu = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2**20
    return Machine(
        cpu=cpu, cores=len(os.sched_getaffinity(0)), memory_mb=memory, kernel=platform.release(), python=platform.python_version()
    )


def cpu_s(pids: Iterable[int]) -> float:
    """CPU seconds, user and system, that these processes have used so far; their own threads included, their children not."""
    ticks = 0
    for pid in pids:
        try:
            with open(f"/proc/{pid}/stat") as stat:
                fields = stat.read().rsplit(")", 1)[1].split()
        except OSError:
            continue
        ticks += int(fields[11]) + int(fields[12])  # utime, stime: proc(5), fields 14 and 15
    return ticks / TICKS_PER_S


def pss_mb(pids: Iterable[int]) -> float:
    """Memory of these processes in MB, each shared page divided by the number of processes that share it."""
    kilobytes = 0
    for pid in pids:
        try:
            with open(f"/proc/{pid}/smaps_rollup") as lines:
                kilobytes += sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
        except OSError:
            continue
    return kilobytes / 1024


def descendants(pid: int) -> list[int]:
    """Children of `pid`, their children and so on; not `pid` itself."""
    found: list[int] = []
    try:
        threads = os.listdir(f"/proc/{pid}/task")
    except OSError:
        return found
    for thread in threads:
        try:
            with open(f"/proc/{pid}/task/{thread}/children") as children:
                direct = [int(child) for child in children.read().split()]
        except OSError:
            continue
        for child in direct:
            found += [child, *descendants(child)]
    return found


def busy_s() -> float:
    """CPU seconds, summed over all cores, in which this machine was not idle since it started."""
    with open("/proc/stat") as stat:
        ticks = [int(field) for field in stat.readline().split()[1:9]]
    idle = ticks[3] + ticks[4]
    return (sum(ticks) - idle) / TICKS_PER_S


def wait_until_quiet(*, limit_cores: float = 0.3, patience_s: float = 8.0) -> float:
    """Wait until the machine uses less than `limit_cores`, at most `patience_s`; returns how many cores were in use at last."""
    give_up_at = time.monotonic() + patience_s
    while True:
        before, at = busy_s(), time.monotonic()
        time.sleep(0.15)
        cores = (busy_s() - before) / (time.monotonic() - at)
        if cores < limit_cores or time.monotonic() > give_up_at:
            return cores


def title(pid: int) -> str:
    """What the process calls itself, at most 60 characters."""
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as words:
            return words.read().replace(b"\0", b" ").decode(errors="replace").strip()[:60]
    except OSError:
        return "gone"
