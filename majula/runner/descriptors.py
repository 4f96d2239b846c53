"""How many descriptors a process of the node may have: the limit is inherited by every child."""

from __future__ import annotations

import resource


def raise_limit(wanted: int) -> int:
    """Raise this process's soft limit to `wanted` where it is lower, as far as the hard limit lets. Returns what holds now."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return wanted if soft == resource.RLIM_INFINITY else soft
    allowed = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
    return allowed
