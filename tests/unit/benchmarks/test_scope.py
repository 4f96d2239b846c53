"""Nothing outlives the scope of a benchmark."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.scope import Scope, StartFailed

# A shell starts fast; its background job detaches into a session of its own and outlives it.
DAEMON = ["/bin/sh", "-c", "setsid sleep 60 & echo $!; exit 0"]


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_process_and_directory_end_with_the_scope() -> None:
    with Scope() as scope:
        process = scope.spawn(["/bin/sleep", "60"], name="sleeper")
        directory = scope.directory
        assert directory.is_dir()
    assert process.poll() is not None
    assert not directory.exists()


def test_process_that_detached_itself_ends_with_the_scope() -> None:
    with Scope() as scope:
        daemon = int(scope.worker(DAEMON, name="daemon").line(5.0))
        assert is_alive(daemon)
    assert not is_alive(daemon)


def test_process_that_detached_itself_counts_to_the_tree() -> None:
    with Scope() as scope:
        worker = scope.worker(DAEMON, name="daemon")
        daemon = int(worker.line(5.0))
        worker.process.wait(5)
        assert daemon in scope.tree(worker.pid)


def test_processes_end_when_the_body_raises() -> None:
    with pytest.raises(KeyboardInterrupt), Scope() as scope:
        process = scope.spawn(["/bin/sleep", "60"], name="sleeper")
        raise KeyboardInterrupt
    assert process.poll() is not None


def test_ended_worker_is_reported_with_what_it_said() -> None:
    with Scope() as scope, pytest.raises(StartFailed, match=r"ended with status 3.*no such thing"):
        scope.worker(["/bin/sh", "-c", "echo no such thing >&2; exit 3"], name="worker").line(5.0)
