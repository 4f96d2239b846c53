"""Where tokens and the audit lie on disk: the only module of this room that touches files. All of it blocks; call it in a thread.

    <data_dir>/auth/            0700
        tokens.json             0600, replaced as a whole
        audit.jsonl             0600, appended to; audit.1.jsonl .. audit.3.jsonl are older

Who opens a `Vault` holds the lock of the data directory: the config actor of the node that runs, or a command while none does.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path

from majula.auth import audit
from majula.auth.ledger import Applied, Change, Ledger, Noted, RandomBytes, Touch, decode_ledger, encode_ledger
from majula.auth.operations import AuditAnswer, AuditEntry, AuditRequest
from majula.errors import ConfigError, DiskFull, InvalidRequest, MajulaError, Unavailable

# When tokens were last used is written with the next change, or after so long.
TOUCHED_S = 300.0

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class AuditFiles:
    """The audit in a directory. Opening it cuts off a torn last line.

    Args:
        directory: there already.
        file_bytes: a file that has this is closed and the next one begun.
        files: how many are kept.
    """

    def __init__(self, directory: Path, *, file_bytes: int = audit.FILE_BYTES, files: int = audit.FILES) -> None:
        self._file_bytes = file_bytes
        self._paths = [directory / (f"audit.{n}.jsonl" if n else "audit.jsonl") for n in range(files)]
        self._number = 0
        self._end = self._former_end = audit.whole_bytes(_read(self._paths[0]))
        self._cut()
        for path in self._paths:
            if number := audit.last_number(_read(path)):
                self._number = number
                break

    @property
    def number(self) -> int:
        """Of the newest entry; 0: there is none."""
        return self._number

    def append(self, noted: Iterable[Noted], wall: float) -> list[AuditEntry]:
        """Write entries down; they are on disk when this returns.

        Raises:
            OSError: they are not, and count for nothing.
        """
        entries = [audit.make_entry(self._number + n, wall, *note) for n, note in enumerate(noted, 1)]
        if not entries:
            return entries
        path = self._paths[0]
        self._cut()
        if self._end >= self._file_bytes:
            self._rotate()
        is_new = not path.exists()
        data = audit.encode_lines(entries)
        _append(path, data)
        if is_new:
            _sync_directory(path.parent)
        self._former_end, self._end = self._end, self._end + len(data)
        self._number = entries[-1].number
        return entries

    def take_back(self, entries: Sequence[AuditEntry]) -> None:
        """Forget what the last `append` wrote: the change that it tells of could not be stored.

        Raises:
            OSError: it is cut off the file later, before the next `append`.
        """
        if entries:
            self._end = self._former_end
            self._number -= len(entries)
        self._cut()

    def read(self, *, before: int = 0, limit: int = 100) -> list[AuditEntry]:
        """The newest entries first, those with numbers under `before` (0: all), at most `limit`."""
        found: list[AuditEntry] = []
        for path in self._paths:
            if len(found) >= limit:
                break
            found += audit.newest(_read(path), before=before, limit=limit - len(found))
        return found

    def _cut(self) -> None:
        """Cut off what is behind the last entry that counts: a torn line, or one taken back. A full disk is no obstacle."""
        if _size(self._paths[0]) > self._end:
            with self._paths[0].open("r+b") as file:
                file.truncate(self._end)
                os.fsync(file.fileno())

    def _rotate(self) -> None:
        for newer, older in reversed(list(zip(self._paths, self._paths[1:], strict=False))):
            if newer.exists():
                newer.replace(older)
        self._end = self._former_end = 0
        _sync_directory(self._paths[0].parent)


class Vault:
    """Tokens and audit of one data directory: what is in `ledger` is on disk.

    Args:
        data_dir: of the node. Nothing is made before the first change.
        random: unguessable bytes, `secrets.token_bytes`.
    Raises:
        ConfigError: a file is damaged or cannot be read. To go on without tokens would lock everybody out in silence, to go on
            without revocations would let them in.
    """

    def __init__(self, data_dir: Path, random: RandomBytes) -> None:
        self.directory = data_dir / "auth"
        self._path = self.directory / "tokens.json"
        self._random = random
        self._is_touched, self._saved_at = False, 0.0
        try:
            self.ledger = decode_ledger(data) if (data := _read(self._path)) else Ledger()
            self._audit = AuditFiles(self.directory)
        except OSError as error:
            raise ConfigError(f"{error.filename or self.directory} cannot be read: {error.strerror}") from error
        except ValueError as error:
            raise ConfigError(
                f"{self._path} is damaged ({error}): restore it from a backup, or remove it and make new tokens"
            ) from error

    def commit(self, changes: Sequence[Change], wall: float) -> list[Applied | MajulaError]:
        """Carry out changes in order and store them as one. What came to each, in their order; an error has changed nothing.

        Args:
            wall: seconds since 1970.
        Raises:
            OSError: the directory itself could not be synced, so it is unknown what is on disk. Open the vault again.
        """
        draft = self.ledger.copy()
        results: list[Applied | MajulaError] = []
        for change in changes:
            try:
                results.append(draft.apply(change, wall, self._random))
            except MajulaError as error:
                results.append(error)
        noted = [result.noted for result in results if isinstance(result, Applied) and result.noted is not None]
        self._is_touched = self._is_touched or any(isinstance(change, Touch) and change.at for change in changes)
        if not noted and not (self._is_touched and wall - self._saved_at >= TOUCHED_S):
            self.ledger = draft  # at most `last_used` is newer
            return results
        draft.forget(wall)
        try:
            self._store(draft, noted, wall)
        except _NotStored as failure:
            return [self._refused(change, wall, failure.error) for change in changes]
        self.ledger, self._is_touched, self._saved_at = draft, False, wall
        return results

    def note(self, noted: Sequence[Noted], wall: float) -> None:
        """Write down what others have changed.

        Raises:
            DiskFull, Unavailable: it could not be written.
        """
        try:
            self._make_directory()
            self._audit.append(noted, wall)
        except OSError as error:
            with suppress(OSError):  # likewise
                self._audit.take_back(())
            raise _refusal(error) from error

    def audited(self, request: AuditRequest) -> AuditAnswer:
        """A page of the audit.

        Raises:
            InvalidRequest: a negative number. Unavailable: it cannot be read.
        """
        if request.before < 0 or request.limit < 0:
            raise InvalidRequest("before and limit are 0 or more")
        try:
            found = self._audit.read(before=request.before, limit=min(request.limit, audit.ENTRIES_MOST))
        except OSError as error:
            raise Unavailable(f"the audit cannot be read: {error.strerror}") from error
        return AuditAnswer(entries=tuple(found))

    def close(self, wall: float) -> None:
        """Write what was not worth a write so far. Where that fails, when tokens were last used is a few minutes older."""
        if self._is_touched:
            try:
                self._store(self.ledger, (), wall)
            except _NotStored:
                return
            self._is_touched = False

    def _refused(self, change: Change, wall: float, error: MajulaError) -> Applied | MajulaError:
        """What a change comes to where nothing can be stored: what is wrong with it by itself, else `error`."""
        try:
            result = self.ledger.copy().apply(change, wall, self._random)
        except MajulaError as own:
            return own
        return result if result.noted is None else error

    def _store(self, ledger: Ledger, noted: Sequence[Noted], wall: float) -> None:
        """First the audit, then the tokens: no change without its entry. Where a crash comes between, an entry tells of a change
        that was never acknowledged and did not happen."""
        entries: list[AuditEntry] = []
        temporary = self._path.with_suffix(".new")
        try:
            self._make_directory()
            entries = self._audit.append(noted, wall)
            _write(temporary, encode_ledger(ledger))
            temporary.replace(self._path)
        except OSError as error:
            with suppress(OSError):  # what is left over here is cut off before the next entry
                self._audit.take_back(entries)
            with suppress(OSError):  # it is written over the next time
                temporary.unlink(missing_ok=True)
            raise _NotStored(_refusal(error)) from error
        _sync_directory(self.directory)

    def _make_directory(self) -> None:
        if not self.directory.exists():
            self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            _sync_directory(self.directory.parent)


class _NotStored(Exception):
    """Nothing was changed; `error` says why."""

    def __init__(self, error: MajulaError) -> None:
        super().__init__(error.message)
        self.error = error


def _refusal(error: OSError) -> MajulaError:
    if error.errno in _FULL:
        return DiskFull("the disk of the data directory is full; nothing was changed", retry_after_s=60.0)
    return Unavailable(f"the change cannot be stored: {error.strerror}; nothing was changed")


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return b""


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _write(path: Path, data: bytes) -> None:
    """The file has exactly this, on disk."""
    _put(path, os.O_TRUNC, data)


def _append(path: Path, data: bytes) -> None:
    """The file has this at its end, on disk."""
    _put(path, os.O_APPEND, data)


def _put(path: Path, flag: int, data: bytes) -> None:
    # No O_EXCL: what a crash has left of an earlier try is overwritten. O_NOFOLLOW: nobody points us elsewhere.
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | flag, 0o600)
    try:
        view = memoryview(data)
        while view:
            view = view[os.write(descriptor, view) :]
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sync_directory(path: Path) -> None:
    """A new or renamed file is in its directory also after a power cut."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
