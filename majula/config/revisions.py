"""The configurations that a node had: one file a revision, newest last, a bounded number of them.

A revision is a line of JSON (number, time, who, whence) and below it the whole text of the file, byte for byte. Each is written
whole or not at all, so whatever dies at whatever moment, what is there can be read.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Literal

import msgspec

from majula.config.files import write_error, write_whole

KEPT = 50
"""Revisions that are kept: 50 of at most 128 KiB are 6 MiB at the very most, and usually 100 KiB."""

Source = Literal["file", "api", "rollback"]
_FILE = re.compile(r"([0-9]{8})\.revision")


class Entry(msgspec.Struct, frozen=True):
    """About one revision. at: seconds since 1970. who: asked for it; empty where it was the file's editor."""

    revision: int
    at: float
    who: str
    source: Source


class RevisionStore:
    """Revisions in `directory`, which is made (mode 0700) with the first of them. The files may hold secrets: mode 0600.

    Args:
        keep: how many; the oldest beyond are removed.
    """

    def __init__(self, directory: Path, *, keep: int = KEPT) -> None:
        self._directory, self._keep = directory, keep

    def numbers(self) -> list[int]:
        """Of all that are kept, in order."""
        try:
            names = [path.name for path in self._directory.iterdir()]
        except OSError:
            return []
        return sorted(int(found[1]) for found in map(_FILE.fullmatch, names) if found is not None)

    def put(self, entry: Entry, text: bytes) -> None:
        """Keep one more, and no longer the oldest beyond the limit.

        Raises:
            DiskFull, Conflict: it cannot be written; nothing has changed.
        """
        try:
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise write_error(self._directory, error) from error
        write_whole(self._path(entry.revision), msgspec.json.encode(entry) + b"\n" + text, mode=0o600)
        for number in self.numbers()[: -self._keep]:
            self.drop(number)

    def drop(self, number: int) -> None:
        """Forget this one. Where it cannot be removed it stays, one too many."""
        with suppress(OSError):
            self._path(number).unlink()

    def read(self, number: int) -> tuple[Entry, bytes] | None:
        """One revision; None where it is not kept, or cannot be read any more."""
        try:
            head, _, text = self._path(number).read_bytes().partition(b"\n")
            return msgspec.json.decode(head, type=Entry), text
        except (OSError, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return None

    def newest_first(self) -> Iterator[tuple[Entry, bytes]]:
        """All that can be read."""
        for number in reversed(self.numbers()):
            found = self.read(number)
            if found is not None:
                yield found

    def _path(self, number: int) -> Path:
        return self._directory / f"{number:08d}.revision"
