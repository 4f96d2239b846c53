"""The private directory in which the actors of one node find each other, and the paths of their sockets.

Whoever may enter this directory may speak to every actor of the node. So it belongs to the node's own user, with mode 0700, and a
directory that somebody else made, or that others can enter, is refused rather than repaired.
"""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from pathlib import Path
from typing import Final

SOCKET_PATH_BYTES: Final = 100
"""sun_path holds 108 bytes on Linux and 104 on macOS, the terminating zero included."""

_LONGEST_NAME_BYTES: Final = 24
"""Room for the deepest names that a node makes (`a1.12.1234`, `x4194304.12`), so that a run directory which is accepted at the
start does not fail at the thousandth restart."""


class RunDirError(Exception):
    """The run directory cannot be used. The text says why and what to do."""


def prepare(path: Path) -> Path:
    """Make the directory, or check that it is ours alone. Parents are made with the same mode.

    Raises:
        RunDirError: it belongs to another user, others may enter it, another user could put another one in its place, it is not
            a directory, or its path is too long.
    """
    path = Path(os.path.abspath(path))
    longest = len(os.fsencode(path)) + 1 + _LONGEST_NAME_BYTES
    if longest > SOCKET_PATH_BYTES:
        raise RunDirError(
            f"{path}: sockets in it would have paths of {longest} bytes, the limit is {SOCKET_PATH_BYTES}; set another"
        )
    for folder in (*reversed(path.parents), path):
        try:
            folder.mkdir(mode=0o700)
        except FileExistsError:
            continue
        except OSError as error:
            raise RunDirError(f"{folder}: {error.strerror}") from error
    for folder in path.parents:
        _check_parent(folder)
    found = os.lstat(path)
    if not stat.S_ISDIR(found.st_mode):
        raise RunDirError(f"{path}: not a directory")
    if found.st_uid != os.geteuid():
        raise RunDirError(f"{path}: belongs to user {found.st_uid}, not to {os.geteuid()}; set another run_dir")
    if stat.S_IMODE(found.st_mode) != 0o700:
        raise RunDirError(f"{path}: has mode {stat.S_IMODE(found.st_mode):04o}, must be 0700 (chmod 700 {path})")
    return path


def _check_parent(folder: Path) -> None:
    """Who owns a directory, or may write to it, can rename what is in it; in one that is sticky (`/tmp`) only what is theirs."""
    found = os.stat(folder)
    if found.st_uid not in (0, os.geteuid()):
        raise RunDirError(f"{folder}: belongs to user {found.st_uid}, who could replace what is in it; set another run_dir")
    if found.st_mode & stat.S_IWOTH and not found.st_mode & stat.S_ISVTX:
        raise RunDirError(f"{folder}: every user may replace what is in it (mode {stat.S_IMODE(found.st_mode):04o})")


def socket_path(run_dir: str, name: str) -> str:
    """Where the actor `name` listens.

    Raises:
        RunDirError: the path is longer than a socket's path may be.
    """
    path = f"{run_dir}/{name}"
    if len(os.fsencode(path)) > SOCKET_PATH_BYTES:
        raise RunDirError(f"{path}: longer than {SOCKET_PATH_BYTES} bytes; set a shorter run_dir")
    return path


def remove_sockets_of(run_dir: str, name: str) -> None:
    """Remove what the actor `name`, which has ended, and all below it may have left behind: a killed actor takes its children
    along, and none of them removes its own name."""
    with os.scandir(run_dir) as entries:
        for entry in entries:
            if entry.name == name or entry.name.startswith(f"{name}."):
                with suppress(FileNotFoundError):  # one of those below has just ended in order
                    os.unlink(entry.path)


def remove_actor_sockets(run_dir: Path) -> int:
    """Remove the sockets that actors of an earlier life left behind (`admin*`, `a*`, `e*`, `x*`, `logger*`). Returns how many.

    Only for who holds the node's lock: a socket of a living actor would go too. Other files in the directory stay.
    """
    removed = 0
    with os.scandir(run_dir) as entries:
        for entry in entries:
            if entry.name[0] in "aexl" and stat.S_ISSOCK(entry.stat(follow_symlinks=False).st_mode):
                os.unlink(entry.path)
                removed += 1
    return removed
