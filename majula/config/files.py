"""Reading and writing around a configuration: the file, secrets that stand beside it, the name that a node was given.

With `load` and `revisions` all of this room that touches the file system. What is written is whole or not there: a new file
beside the old one, synced, then renamed over it.
"""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path

from majula.config.document import MAX_BYTES
from majula.errors import Conflict, DiskFull

MAX_SECRET_BYTES = 4_096
_NAME = re.compile(r"[A-Za-z0-9._-]{1,128}")
_FULL = (28, 122)  # ENOSPC, EDQUOT: numbers of Linux, where nodes run


def read_limited(path: Path) -> bytes:
    """At most one byte more than a configuration may have: a device or an endless pipe does not fill the memory.

    Raises:
        OSError: it cannot be read. ValueError: there is a NUL in the path.
    """
    with path.open("rb") as file:
        return file.read(MAX_BYTES + 1)


def read_secret(path: Path) -> str:
    """The secret in a file that only its owner can read: its first line.

    Raises:
        ValueError: it cannot be used; one sentence that says why and what to do, without the content.
    """
    name = shown(path)
    try:
        # Not blocking: a pipe that nobody writes to must not stop the start.
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK), "rb") as file:
            found = os.fstat(file.fileno())
            if not stat.S_ISREG(found.st_mode):
                raise ValueError(f"{name} is not a file")
            if found.st_mode & 0o077:
                mode = stat.S_IMODE(found.st_mode)
                raise ValueError(f"{name} holds a secret and others may use it (mode {mode:04o}): chmod 600 it")
            if found.st_uid not in (os.geteuid(), 0):
                raise ValueError(f"{name} holds a secret and belongs to another user (uid {found.st_uid})")
            data = file.read(MAX_SECRET_BYTES + 1)
    except OSError as error:
        raise ValueError(f"{name} cannot be read: {error.strerror}") from None
    line = data.partition(b"\n")[0].rstrip(b"\r")
    try:
        text = line.decode()
    except UnicodeDecodeError:
        raise ValueError(f"{name} is not UTF-8 text") from None
    if not text or len(line) > MAX_SECRET_BYTES:
        raise ValueError(f"{name} has no secret in its first line")
    return text


def file_sign(path: Path | None) -> tuple[int, int, int] | None:
    """Something that is another one when the file has been written or replaced; None: it is not there."""
    try:
        found = None if path is None else path.stat()
    except OSError:
        return None
    return None if found is None else (found.st_ino, found.st_mtime_ns, found.st_size)


def shown(path: Path) -> str:
    """A path as messages show it: whole, as it is to be typed, and never raw to a terminal."""
    text = str(path)
    return text if text.isprintable() else ascii(text)


def is_private(path: Path) -> bool:
    """Whether nobody but its owner can read the file; one that cannot be looked at counts as private."""
    try:
        return not path.stat().st_mode & 0o077
    except OSError:
        return True


def unusable(path: Path, *, is_secret: bool) -> str:
    """Why a file that is only read later cannot be used; empty: it can."""
    name = shown(path)
    try:
        with path.open("rb") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
    except OSError as error:
        return f"{name} cannot be read: {error.strerror}"
    return f"{name} is a secret and others may use it (mode {mode:04o}): chmod 600 it" if is_secret and mode & 0o077 else ""


def made_name() -> str:
    """A node's name where the file gives none: that of the host, and six characters of chance. 24 bits: among a hundred nodes of
    one host name two are alike in one of 3,400 meshes."""
    host = re.sub(r"[^A-Za-z0-9._-]+", "-", os.uname().nodename.partition(".")[0])[:64].strip("-.")
    return f"{host or 'node'}-{os.urandom(3).hex()}"


def kept_name(path: Path, *, makes: bool) -> str:
    """The name in the file `path`; where there is none yet a new one, which is kept there if `makes`.

    Raises:
        ValueError: what stands there is no name, or none can be kept; one sentence.
    """
    try:
        with path.open("rb") as file:
            name = file.read(256).decode("ascii", "replace").strip()
    except FileNotFoundError:
        if not makes:
            return made_name()
        return _keep_name(path)
    except OSError as error:
        raise ValueError(f"the node's name cannot be read from {shown(path)}: {error.strerror}") from None
    if not _NAME.fullmatch(name):
        raise ValueError(f"{shown(path)} should hold the node's name, but holds none: remove it, or set node_id")
    return name


def _keep_name(path: Path) -> str:
    name = made_name()
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        beside = path.with_name(f".{path.name}.{os.getpid()}")
        _write(beside, f"{name}\n".encode(), 0o600)
        try:
            os.link(beside, path)  # fails where another start was faster: its name is the node's
        except FileExistsError:
            return kept_name(path, makes=False)
        finally:
            beside.unlink()
        _sync_directory(path.parent)
    except OSError as error:
        raise ValueError(f"the node's name cannot be kept in {shown(path)}: {error.strerror}; set node_id") from None
    return name


def write_whole(path: Path, data: bytes, *, mode: int | None = None) -> None:
    """Replace the file by `data`, synced to the disk; a link is followed.

    Args:
        mode: of the file; None keeps that of the old one (and its owner, where this process may set it).
    Raises:
        DiskFull: no room. Conflict: it may not be written.
    """
    target = Path(os.path.realpath(path))
    beside = target.with_name(f".{target.name[:200]}.{os.getpid()}")
    try:
        old = None if mode is not None else target.stat()
        try:
            _write(beside, data, mode if old is None or mode is not None else stat.S_IMODE(old.st_mode))
            if old is not None and (old.st_uid, old.st_gid) != (os.geteuid(), os.getegid()):
                os.chown(beside, old.st_uid, old.st_gid)
            beside.replace(target)
        except BaseException:
            beside.unlink(missing_ok=True)
            raise
        _sync_directory(target.parent)
    except OSError as error:
        raise write_error(path, error) from error


def write_error(path: Path, error: OSError) -> DiskFull | Conflict:
    """What a caller is told when a file cannot be written."""
    if error.errno in _FULL:
        return DiskFull(f"there is no room on the disk to write {shown(path)}; nothing was changed")
    return Conflict(f"{shown(path)} cannot be written ({error.strerror}); nothing was changed", path=str(path))


def _write(path: Path, data: bytes, mode: int | None) -> None:
    path.unlink(missing_ok=True)  # of a process of this number that died
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
    with os.fdopen(os.open(path, flags, 0o600), "wb") as file:
        file.write(data)
        file.flush()
        if mode is not None:
            os.fchmod(file.fileno(), mode)
        os.fsync(file.fileno())


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
