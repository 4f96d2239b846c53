"""Names of actors within a run directory, as text for Majula and wrapped for Thespian.

A name is never used twice in the life of a run directory: whoever starts an actor names it after itself and a counter, and a
system that is started again in the same directory has a later epoch. So a connect that is refused means that the actor is gone
for good, and nobody keeps lists of the dead.
"""

from __future__ import annotations

import itertools
import os
import re
from typing import Final

from majula.actorsystem.frames import FrameError

ADMIN: Final = "admin"

_NAME: Final = re.compile(rb"[A-Za-z0-9][A-Za-z0-9.-]{0,63}")


class SocketAddress:
    """What Thespian's `ActorAddress` holds here: the file name of the actor's socket, relative to the run directory."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SocketAddress) and other.name == self.name

    def __hash__(self) -> int:
        return hash(self.name)

    def __str__(self) -> str:
        return self.name

    def __repr__(self) -> str:
        return f"SocketAddress({self.name!r})"

    def __getstate__(self) -> str:
        return self.name

    def __setstate__(self, state: str) -> None:
        self.name = state


def admin_name(port: int | None) -> str:
    """The admin's name. Systems share a run directory only in Thespian's own test suite, which tells them apart by a port."""
    return ADMIN if port is None else f"{ADMIN}-{port}"


class NameSource:
    """Names the children of one actor.

    Args:
        parent: the name of who starts them.
        epoch: which system start in this run directory this is; only the admin's children carry it.
    """

    def __init__(self, parent: str, epoch: int = 1) -> None:
        if parent == ADMIN:
            self._prefix = "a" if epoch == 1 else f"e{epoch}a"
        elif parent.startswith(ADMIN):
            self._prefix = f"a{parent[len(ADMIN) + 1 :]}e{epoch}-"
        else:
            self._prefix = f"{parent}."
        self._count = 0

    def next(self) -> str:
        """A name that nobody had before."""
        self._count += 1
        return f"{self._prefix}{self._count}"


def checked_name(said: memoryview) -> str:
    """The name that a peer gave itself, if it is one: a file name in the run directory.

    Raises:
        FrameError: it is not.
    """
    text = bytes(said)
    if not _NAME.fullmatch(text):
        raise FrameError(f"{text[:40]!r} is not the name of an actor")
    return text.decode()


def split(address: str) -> tuple[str, int]:
    """The process's name and the local id of an address, `a7#3` or `a7`."""
    name, _, local = address.partition("#")
    return name, int(local) if local else 0


_outsiders = itertools.count(1)


def outside_name() -> str:
    """A name for a process that is not an actor, unique in the run directory while its pid is not used again."""
    return f"x{os.getpid()}.{next(_outsiders)}"
