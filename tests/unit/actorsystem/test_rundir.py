"""The run directory: ours alone, or refused."""

from __future__ import annotations

import os
import shutil
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from majula.actorsystem.rundir import RunDirError, prepare, remove_actor_sockets, remove_sockets_of, socket_path


@pytest.fixture
def short() -> Iterator[Path]:
    """A private directory with a path short enough for sockets: pytest's own are too long."""
    folder = Path(tempfile.mkdtemp(prefix="rd"))
    yield folder
    shutil.rmtree(folder)


def test_a_missing_directory_is_made_with_its_parents_for_its_owner_alone(short: Path) -> None:
    made = prepare(short / "majula" / "n1")
    assert [oct(p.stat().st_mode & 0o777) for p in (made, made.parent)] == ["0o700", "0o700"]


def test_an_own_private_directory_is_accepted(short: Path) -> None:
    assert prepare(short) == short


@pytest.mark.parametrize("mode", [0o755, 0o750, 0o701, 0o777])
def test_a_directory_that_others_can_enter_is_refused_with_its_mode(short: Path, mode: int) -> None:
    (short / "open").mkdir()
    (short / "open").chmod(mode)
    with pytest.raises(RunDirError, match=f"{mode:04o}.*chmod 700"):
        prepare(short / "open")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a directory away")
def test_a_directory_of_another_user_is_refused_with_the_user(short: Path) -> None:
    (short / "theirs").mkdir(mode=0o700)
    os.chown(short / "theirs", 12345, 12345)
    with pytest.raises(RunDirError, match="belongs to user 12345"):
        prepare(short / "theirs")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a directory away")
def test_a_directory_below_one_of_another_user_is_refused(short: Path) -> None:
    (short / "theirs").mkdir(mode=0o755)
    os.chown(short / "theirs", 12345, 12345)
    with pytest.raises(RunDirError, match=r"theirs: belongs to user 12345, who could replace"):
        prepare(short / "theirs" / "n1")


def test_a_directory_below_one_in_which_all_may_rename_is_refused(short: Path) -> None:
    (short / "open").mkdir()
    (short / "open").chmod(0o777)
    with pytest.raises(RunDirError, match=r"every user may replace what is in it \(mode 0777\)"):
        prepare(short / "open" / "n1")


def test_a_directory_below_a_sticky_one_is_accepted(short: Path) -> None:
    (short / "open").mkdir()
    (short / "open").chmod(0o1777)
    assert prepare(short / "open" / "n1").is_dir()


def test_a_link_to_a_directory_is_refused(short: Path) -> None:
    (short / "real").mkdir(mode=0o700)
    (short / "link").symlink_to(short / "real")
    with pytest.raises(RunDirError, match="not a directory"):
        prepare(short / "link")


def test_a_path_in_which_sockets_would_not_fit_is_refused_at_the_start(short: Path) -> None:
    with pytest.raises(RunDirError, match="limit is 100"):
        prepare(short / ("n" * 80))


def test_a_socket_path_over_100_bytes_is_refused() -> None:
    assert len(socket_path("/r", "a" * 97)) == 100
    with pytest.raises(RunDirError, match="longer than 100"):
        socket_path("/r", "a" * 98)


def test_only_sockets_of_actors_are_removed(short: Path) -> None:
    for name in ("admin", "a1.2", "e2a1", "x5.1", "native-1.sock"):
        with socket.socket(socket.AF_UNIX) as left:
            left.bind(str(short / name))
    (short / "alpha").write_text("a file")
    assert remove_actor_sockets(short) == 4
    assert sorted(p.name for p in short.iterdir()) == ["alpha", "native-1.sock"]


def test_names_of_an_ended_actor_and_of_all_below_it_are_removed_and_no_others(short: Path) -> None:
    for name in ("a1", "a1.1", "a1.1.2", "a1.1.h3.1", "a1.10", "a2", "control.sock"):
        (short / name).touch()
    remove_sockets_of(str(short), "a1.1")
    assert sorted(path.name for path in short.iterdir()) == ["a1", "a1.10", "a2", "control.sock"]
