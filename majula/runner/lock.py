"""One node a directory, by flock: the kernel frees the lock when the process ends, however it ends."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from majula.runner.exits import ALREADY_RUNNING, BAD_CONFIG, NodeExit

NAME = "node.lock"


class DirectoryLock:
    """Holds `directory`, which is made where it is missing. The lock file names the holder's pid, for people and for `status`.

    Raises:
        NodeExit: another process holds it (ALREADY_RUNNING, with its pid), or it cannot be used (BAD_CONFIG).
    """

    def __init__(self, directory: Path) -> None:
        self.path = directory / NAME
        try:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            # No O_TRUNC: who does not get the lock must still be able to read the holder's pid.
            self._file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        except OSError as error:
            raise NodeExit(BAD_CONFIG, f"{self.path}: {error.strerror}") from error
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(self._file, 32, 0).decode("ascii", "replace").strip()
            os.close(self._file)
            raise NodeExit(ALREADY_RUNNING, f"{directory} is in use by the node with pid {holder or 'unknown'}") from None
        os.ftruncate(self._file, 0)
        os.pwrite(self._file, f"{os.getpid()}\n".encode(), 0)

    def release(self) -> None:
        """Gives the directory back. The file stays: to unlink a lock file is a race with who is opening it."""
        os.ftruncate(self._file, 0)
        os.close(self._file)
