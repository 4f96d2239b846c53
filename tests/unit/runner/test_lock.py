"""One node a directory."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from majula.runner.exits import ALREADY_RUNNING, BAD_CONFIG, NodeExit
from majula.runner.lock import DirectoryLock


def test_directory_that_is_missing_is_made_private(tmp_path: Path) -> None:
    DirectoryLock(tmp_path / "a" / "data").release()
    assert stat.S_IMODE((tmp_path / "a" / "data").stat().st_mode) == 0o700


def test_second_holder_is_refused_and_told_the_pid_of_the_first(tmp_path: Path) -> None:
    lock = DirectoryLock(tmp_path)
    with pytest.raises(NodeExit) as caught:
        DirectoryLock(tmp_path)
    lock.release()
    assert caught.value.code == ALREADY_RUNNING
    assert f"pid {os.getpid()}" in caught.value.reason


def test_directory_that_was_released_can_be_held_again(tmp_path: Path) -> None:
    DirectoryLock(tmp_path).release()
    DirectoryLock(tmp_path).release()


@pytest.mark.slow
def test_lock_of_a_killed_process_is_free(tmp_path: Path) -> None:
    script = (
        "import os, pathlib, sys; from majula.runner.lock import DirectoryLock;"
        "lock = DirectoryLock(pathlib.Path(sys.argv[1])); os.kill(os.getpid(), 9)"
    )
    subprocess.run([sys.executable, "-c", script, str(tmp_path)], check=False, cwd=Path(__file__).parents[3])
    DirectoryLock(tmp_path).release()


def test_directory_that_cannot_be_made_is_a_configuration_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(NodeExit) as caught:
        DirectoryLock(tmp_path / "file" / "data")
    assert caught.value.code == BAD_CONFIG


def test_lock_file_that_is_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "node.lock").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(NodeExit):
        DirectoryLock(tmp_path)
    assert not (tmp_path / "elsewhere").exists()
