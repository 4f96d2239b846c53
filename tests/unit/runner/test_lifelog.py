"""One line a lifecycle event; a reader that does not read costs lines, never time."""

from __future__ import annotations

import fcntl
import json
import logging
import os
from collections.abc import Iterator
from typing import Any

import pytest

from majula.runner.lifelog import LifeLog, LogBridge

F_SETPIPE_SZ = 1031


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    reading, writing = os.pipe()
    fcntl.fcntl(writing, F_SETPIPE_SZ, 4_096)
    yield reading, writing
    os.close(reading)
    os.close(writing)


def log(descriptor: int, **fields: Any) -> LifeLog:
    return LifeLog(node="n1", format=fields.pop("format", "json"), descriptor=descriptor, clock=lambda: 1.5, **fields)


def test_json_line_has_node_role_pid_and_reason(pipe: tuple[int, int]) -> None:
    log(pipe[1]).write("child.died", "error", role="router", pid=7, reason="killed by SIGKILL", incarnation=2)
    assert json.loads(os.read(pipe[0], 4_096)) == {
        "time": "1970-01-01T00:00:01.500Z",
        "level": "error",
        "event": "child.died",
        "node": "n1",
        "role": "router",
        "pid": 7,
        "reason": "killed by SIGKILL",
        "incarnation": 2,
    }


def test_console_line_is_one_line_for_people(pipe: tuple[int, int]) -> None:
    log(pipe[1], format="console").write("child.died", "error", role="router", pid=7, reason="a\nb\x1b[31m")
    assert os.read(pipe[0], 4_096) == b"00:00:01.500 error   child.died         router (pid 7): a\\nb\\x1b[31m\n"


def test_event_below_the_level_is_not_written(pipe: tuple[int, int]) -> None:
    writer = log(pipe[1], level="warning")
    writer.write("child.started", "info", role="router", pid=7)
    writer.write("child.died", "error", role="router", pid=7)
    assert os.read(pipe[0], 4_096).count(b"\n") == 1


def test_full_pipe_drops_lines_and_the_next_one_says_how_many(pipe: tuple[int, int]) -> None:
    writer = log(pipe[1])
    os.write(pipe[1], b"x" * 4_000)
    for _ in range(3):
        writer.write("child.died", "error", role="router", pid=7)
    os.read(pipe[0], 4_000)
    writer.write("child.died", "error", role="router", pid=7)
    assert json.loads(os.read(pipe[0], 4_096))["lines_dropped"] == 3


def test_closed_pipe_is_no_error() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    writer = log(writing)
    writer.write("child.died", "error", role="router", pid=7)
    os.close(writing)
    assert writer.dropped == 1


def bridged(pipe: tuple[int, int], message: str, **fields: Any) -> dict[str, Any]:
    logger = logging.Logger("majula.test")  # without a parent: pytest's own handlers stay out
    logger.addHandler(LogBridge(log(pipe[1]), "n1"))
    logger.warning(message, **fields)
    found: dict[str, Any] = json.loads(os.read(pipe[0], 4_096))
    return found


def test_record_of_python_logging_becomes_a_line(pipe: tuple[int, int]) -> None:
    line = bridged(pipe, "peer is slow")
    assert (line["event"], line["level"], line["reason"], line["logger"]) == (
        "log.warning",
        "warning",
        "peer is slow",
        "majula.test",
    )


def test_exception_of_a_record_is_in_its_line(pipe: tuple[int, int]) -> None:
    try:
        raise ValueError("bad topic")
    except ValueError:
        assert "ValueError: bad topic" in bridged(pipe, "ends", exc_info=True)["traceback"]


def test_message_that_is_too_long_is_cut_and_not_lost(pipe: tuple[int, int]) -> None:
    assert bridged(pipe, "x" * 100_000)["reason"] == "x" * 1_500


def test_line_that_is_too_long_for_the_pipe_loses_its_details_only(pipe: tuple[int, int]) -> None:
    log(pipe[1]).write("child.died", "error", role="router", pid=7, reason="é" * 2_000, note="x" * 5_000)
    line = json.loads(os.read(pipe[0], 4_096))
    assert (line["event"], line["is_cut"]) == ("child.died", True)


def test_extra_fields_of_a_record_are_in_its_line(pipe: tuple[int, int]) -> None:
    line = bridged(pipe, "request.failed", extra={"trace_id": "ab12", "role": "forged"})
    assert (line["reason"], line["trace_id"]) == ("request.failed", "ab12") and line["role"] != "forged"
