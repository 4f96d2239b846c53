"""Exit codes of a node, after sysexits.h. The last line on standard error says the same in words."""

from __future__ import annotations

OK = 0
"""Stopped because it was asked to (SIGTERM, SIGINT, the control socket)."""

USAGE = 64
"""The command line cannot be understood."""

CANNOT_BIND = 69
"""An address or socket path that a gateway is to serve cannot be listened on; role and address are named."""

CRASHED = 70
"""A vital role, or the tree as a whole, spent its restart budget; role and reason are named."""

WRONG_SYSTEM = 71
"""A node needs Linux, and this is another system."""

ALREADY_RUNNING = 75
"""Another node holds the data directory or the run directory; its pid is named."""

BAD_CONFIG = 78
"""The configuration, or a directory that it names, cannot be used; every problem is listed."""

MEANINGS = {
    "OK": "it was asked to stop: SIGTERM, SIGINT (Ctrl-C), or `majula node stop`; or its terminal has gone (SIGHUP; "
    "else that reads the configuration again)",
    "USAGE": "the command line cannot be understood",
    "CANNOT_BIND": "an address or socket path of a gateway cannot be listened on; role and address are named",
    "CRASHED": "a vital role, or the tree as a whole, spent its restart budget; role and reason are named",
    "WRONG_SYSTEM": "a node needs Linux, and this is another system; the client and the other commands run there",
    "ALREADY_RUNNING": "another node holds the data directory or the run directory; its pid is named",
    "BAD_CONFIG": "the configuration, or a directory that it names, cannot be used; every problem is listed",
}
"""For docs/reference/exit-codes.md, by the name of the code."""


class NodeExit(Exception):
    """Ends the node with this exit code and this reason, one sentence or several lines."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason
