"""Exit codes of the commands, one a kind of failure, so that a script can tell them apart. `majula node run` has a node's."""

from __future__ import annotations

from collections.abc import Mapping

from majula.errors import (
    Conflict,
    ConnectionLost,
    DeadlineExceeded,
    DiskFull,
    InvalidRequest,
    MajulaError,
    NoSuchNode,
    NotFound,
    NotNow,
    PermissionDenied,
    RemoteError,
    Unauthorized,
)

OK = 0
FAILED = 1
USAGE = 2
NO_NODE = 3
NOT_ALLOWED = 4
NOT_FOUND = 5
CONFLICT = 6
TOO_LATE = 7
REMOTE = 8
INTERRUPTED = 130

MEANINGS: Mapping[int, str] = {
    OK: "done",
    FAILED: "anything else; the sentence on standard error says what",
    USAGE: "the command line, or the request, cannot be understood",
    NO_NODE: "no node answers: none runs here, the connection broke, or it is not ready; trying again may help",
    NOT_ALLOWED: "the token is missing, not accepted, or lacks the scope that is named",
    NOT_FOUND: "no such client, function, token, revision or role",
    CONFLICT: "somebody else was first: a client id in use, another revision in force",
    TOO_LATE: "no answer, or no delivery, in time",
    REMOTE: "the function that was called raised an error of its own",
    INTERRUPTED: "Ctrl-C",
}
"""For docs/reference/cli.md."""

# The first that fits, so what is special stands before what it is a kind of.
_CODES: tuple[tuple[type[MajulaError], int], ...] = (
    (Unauthorized, NOT_ALLOWED),
    (PermissionDenied, NOT_ALLOWED),
    (NoSuchNode, NO_NODE),
    (NotFound, NOT_FOUND),
    (Conflict, CONFLICT),
    (InvalidRequest, USAGE),
    (DeadlineExceeded, TOO_LATE),
    (RemoteError, REMOTE),
    (ConnectionLost, NO_NODE),
    (DiskFull, FAILED),
    (NotNow, NO_NODE),
)


def exit_code(error: MajulaError) -> int:
    """The code that `error` ends a command with."""
    return next((code for kind, code in _CODES if isinstance(error, kind)), FAILED)
