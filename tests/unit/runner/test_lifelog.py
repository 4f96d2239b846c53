"""One line a lifecycle event; a reader that does not read costs lines, never time."""

from __future__ import annotations

import fcntl
import json
import logging
import os
import socket
import subprocess
import sys
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
    return LifeLog(
        node="n1",
        format=fields.pop("format", "json"),
        descriptor=descriptor,
        clock=lambda: 1.5,
        monotonic=fields.pop("monotonic", lambda: 7.0),
        **fields,
    )


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
    assert (line["event"], line["trace_id"]) == ("request.failed", "ab12") and line["role"] != "forged"


def test_event_of_an_actor_is_a_line_of_its_name_with_its_fields(pipe: tuple[int, int]) -> None:
    line = bridged(pipe, "client.slow", extra={"fields": {"client_id": "c1", "waiting_bytes": 7}})
    assert (line["event"], line["client_id"], line["waiting_bytes"], line["reason"]) == ("client.slow", "c1", 7, "")


def test_storm_of_errors_costs_a_hundred_lines_a_second_and_then_says_how_many_were_left_out() -> None:
    reading, writing = os.pipe()
    fcntl.fcntl(writing, F_SETPIPE_SZ, 1 << 20)
    now = [0.0]
    logger = logging.Logger("majula.test")
    logger.addHandler(LogBridge(log(writing, monotonic=lambda: now[0]), "n1"))
    for number in range(10_000):
        now[0] = number / 10_000
        logger.error("stray result %d", number)
    first = os.read(reading, 1 << 20).count(b"\n")
    now[0] = 2.0
    logger.error("another")
    lines = [json.loads(line) for line in os.read(reading, 1 << 20).splitlines()]
    os.close(reading)
    os.close(writing)
    assert 90 <= first <= 100
    assert [line["event"] for line in lines] == ["log.suppressed", "log.error"] and lines[0]["lines"] >= 9_900


def test_line_that_repeats_is_written_five_times_in_ten_seconds(pipe: tuple[int, int]) -> None:
    now = [0.0]
    writer = log(pipe[1], monotonic=lambda: now[0])
    for number in range(9):
        now[0] = float(number)
        writer.write("auth.failed", "warning", role="gateway:1", pid=7)
    assert os.read(pipe[0], 4_096).count(b"auth.failed") == 5
    now[0] = 10.0
    writer.write("auth.failed", "warning", role="gateway:1", pid=7)
    after = [json.loads(line)["event"] for line in os.read(pipe[0], 4_096).splitlines()]
    assert after == ["log.suppressed", "auth.failed"]


def test_two_writers_on_one_full_pipe_lose_lines_and_never_wait(pipe: tuple[int, int]) -> None:
    """The pipe's flags stay as they were: they belong to whoever gave it to us, too."""
    first, second = log(pipe[1]), log(pipe[1])
    for number in range(40):
        for writer in (first, second):
            writer.write("child.died", "error", role="router", pid=number, reason="x" * 500 + str(number))
    assert first.dropped and second.dropped
    assert not fcntl.fcntl(pipe[1], fcntl.F_GETFL) & os.O_NONBLOCK


def test_what_python_would_print_is_a_line_of_the_log() -> None:
    program = """
import warnings
from majula.runner.lifelog import LifeLog, LogBridge
LogBridge.install(LifeLog(node="n1", format="json"), "n1", "info")
class Falls:
    def __del__(self):
        raise ValueError("in a finalizer")
falls = Falls()
del falls
warnings.warn("old ways")
"""
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=True)
    first, second = map(json.loads, ended.stderr.splitlines())
    assert "ValueError: in a finalizer" in first["traceback"] and "old ways" in second["reason"]


def test_log_goes_to_a_socket_too_and_does_not_wait_for_its_reader() -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    with ours, theirs:
        writer = log(ours.fileno())
        for number in range(2_000):
            writer.write("child.died", "error", role="router", pid=number, reason=str(number) + "x" * 1_000)
            if writer.dropped:
                break
        assert json.loads(theirs.recv(65_536).splitlines()[0])["event"] == "child.died"
