"""The files of the flight recorder. The one module of this room that touches the disk; it blocks, so it is called in a thread."""

from __future__ import annotations

import os
from pathlib import Path

KEPT = 8
_NAME = "flight-{stamp}-{number:03d}.json"


def write(directory: Path, stamp: str, content: bytes) -> Path:
    """A new file, readable by its owner only, in a directory that is made if it is not there; the last 8 are kept.

    Args:
        stamp: what its name tells of the time, sorted as text: `20260102T150405Z`.
    Raises:
        OSError: the disk is full, or the directory may not be written. Nothing of the file is left then.
    """
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    # Behind those of the same second, also where the first of them are gone already: the order of names is that of time.
    earlier = sorted(directory.glob(f"flight-{stamp}-*.json"))
    number = int(earlier[-1].stem.rpartition("-")[2]) + 1 if earlier else 0
    path = directory / _NAME.format(stamp=stamp, number=number)
    unfinished = path.with_suffix(".part")
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
        unfinished.rename(path)
    except OSError:
        unfinished.unlink(missing_ok=True)
        raise
    for old in sorted(directory.glob("flight-*.json"))[:-KEPT]:
        old.unlink(missing_ok=True)
    return path
