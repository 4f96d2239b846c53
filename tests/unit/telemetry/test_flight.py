"""The flight recorder: the last minutes, bounded, and no secret in it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from majula.telemetry import recordings
from majula.telemetry.flight import EventRing, FigureTape, recording
from majula.telemetry.operations import RoleLine


def role(**figures: int | float | str) -> RoleLine:
    return RoleLine(role="router", state="running", pid=7, restarts=0, statistics=figures)


def rebuilt(tape: FigureTape) -> dict[str, int | float]:
    """What the figures are after the last sample."""
    shown = tape.shown()
    found: dict[str, int | float] = dict(shown["base"].get("router", {}))
    for sample in shown["samples"]:
        found.update(sample["changed"].get("router", {}))
    return found


@given(st.lists(st.dictionaries(st.sampled_from("abc"), st.integers(0, 3), min_size=3, max_size=3), min_size=1, max_size=40))
def test_figures_are_rebuilt_from_the_base_and_what_changed(samples: list[dict[str, int]]) -> None:
    tape = FigureTape(seconds=5, limit_bytes=200)
    for at, figures in enumerate(samples):
        tape.add([role(**figures)], float(at))
    assert {name: value for name, value in rebuilt(tape).items() if name in "abc"} == samples[-1]


def test_tape_is_bounded_in_time() -> None:
    tape = FigureTape(seconds=5)
    for at in range(100):
        tape.add([role(a=at)], float(at))
    assert (tape.begins_at(), len(tape.shown()["samples"])) == (95.0, 5)


def test_text_among_the_figures_is_not_recorded() -> None:
    tape = FigureTape()
    line = role(slow_client_names="canary", clients=1)
    tape.add([line], 0.0)
    shown = recording(node="n1", version="1", reason="r", at=1.0, roles=[line], events=EventRing(first=1), tape=tape)
    assert b"canary" not in shown
    assert json.loads(shown)["roles"][0]["figures"] == {"clients": 1}


def test_recording_is_readable_by_its_owner_only(tmp_path: Path) -> None:
    path = recordings.write(tmp_path / "flight", "20260102T030405Z", b"{}")
    assert (path.stat().st_mode & 0o777, path.parent.stat().st_mode & 0o777) == (0o600, 0o700)


def test_last_eight_recordings_are_kept(tmp_path: Path) -> None:
    for number in range(12):
        recordings.write(tmp_path, "20260102T030405Z", str(number).encode())
    assert sorted(int(path.read_text()) for path in tmp_path.iterdir()) == list(range(4, 12))


def test_recording_that_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    target = tmp_path / "flight"
    target.write_text("a file where the directory should be")
    with pytest.raises(OSError):
        recordings.write(target, "20260102T030405Z", b"{}")
    assert [path.name for path in tmp_path.iterdir()] == ["flight"]
