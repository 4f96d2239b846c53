"""Log levels: configured, changed, and back again."""

from __future__ import annotations

from math import inf

from majula.telemetry.levels import LogLevels


def test_role_logs_as_configured_by_name_then_by_kind_then_as_usual() -> None:
    levels = LogLevels("info", {"gateway": "warning", "gateway:1": "debug"})
    assert [levels.level(role) for role in ("gateway:1", "gateway:2", "router")] == ["debug", "warning", "info"]


def test_change_for_some_seconds_is_taken_back() -> None:
    levels = LogLevels("info", {})
    levels.change("router", "debug", 5.0, now=10.0)
    assert (levels.level("router"), levels.next_deadline()) == ("debug", 15.0)
    assert levels.expire(15.0)
    assert (levels.level("router"), levels.next_deadline()) == ("info", inf)


def test_change_of_everybody_replaces_those_of_single_roles() -> None:
    levels = LogLevels("info", {})
    levels.change("router", "debug", 0.0, now=0.0)
    levels.change("*", "error", 0.0, now=1.0)
    assert levels.level("router") == "error"


def test_role_that_starts_again_logs_as_it_was_told() -> None:
    levels = LogLevels("info", {})
    levels.change("router", "debug", 0.0, now=0.0)
    assert (levels.is_usual("router"), levels.is_usual("telemetry")) == (False, True)
