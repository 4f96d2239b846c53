"""A disk so small that a test can fill it, and the way to fill it."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def mounted(path: Path, *, kib: int) -> Iterator[Path]:
    """`path` is a disk of that size meanwhile. Skips the test where this user may not mount."""
    path.mkdir()
    options = f"size={kib}k,mode=700"
    if os.geteuid() or subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", path], check=False).returncode:
        pytest.skip("needs root, to mount a small tmpfs")
    try:
        yield path
    finally:
        subprocess.run(["umount", "--lazy", path], check=True)


def fill(path: Path) -> None:
    """A file that takes what is left of its disk; unlink it to have room again."""
    with path.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(1_024))
        except OSError:
            return
