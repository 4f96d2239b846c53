"""Paths that belong to the API and are not built in this version: each answers 501 `not_built`, so nobody looks for a typo."""

from __future__ import annotations

from majula.errors import NotBuilt

INNER = (
    "/frp",
    "/upload",
    "/download",
    "/join_raft_learner",
    "/join_raft_learner_with_fast_sync",
    "/leave_raft_learner",
    "/raft/put",
    "/raft/delete",
    "/raft/get",
    "/elect/join",
    "/elect/giveup",
    "/elect/leave",
    "/elect/status",
    "/connect_to_node",
)
"""Below the base path, with `/{client}` or without."""

OTHERS = ("/majula/map/{action}",)
"""Whole paths."""

OUTER = (
    "certificates",
    "channels",
    "elections",
    "links",
    "proxies",
    "raft",
    "routes",
    "transfers",
    "tunnels",
)
"""Below `/majula/v1/`, with everything under them that is not served."""


def not_built(path: str) -> NotBuilt:
    """The error of such a path."""
    return NotBuilt(f"{path[:200]} belongs to the API and is not built yet in this version")
