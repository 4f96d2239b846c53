"""Tables are computed from a recorded run alone."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from benchmarks import targets
from benchmarks.peers.records import PeersRun
from benchmarks.peers.table import figure, ratio, render


@pytest.fixture(scope="module")
def run() -> PeersRun:
    return msgspec.json.decode(Path(__file__).with_name("recorded_peers.json").read_bytes(), type=PeersRun)


def lines_of(run: PeersRun, begin: str) -> list[str]:
    return [" ".join(line.split()) for line in render(run).splitlines() if line.startswith(begin)]


def test_ratio_is_that_of_the_medians(run: PeersRun) -> None:
    assert ratio(run, "majula-unix", "nats", "topic128", "deliveries_per_s") == pytest.approx(520 / 200)


def test_sample_of_a_busy_machine_is_left_out_where_quiet_ones_suffice(run: PeersRun) -> None:
    found = figure(run, "majula-unix", "topic128", "deliveries_per_s")
    assert found is not None
    assert (found.low, found.samples, found.is_quiet) == (500e3, 3, True)


def test_figure_without_quiet_samples_is_taken_from_the_quietest_and_marked(run: PeersRun) -> None:
    assert "majula-tcp ~400k ±12% 2.00x" in lines_of(run, "majula-tcp")


def test_row_shows_median_spread_and_ratio(run: PeersRun) -> None:
    assert "majula-unix 520k ±10% 2.60x" in lines_of(run, "majula-unix")


def test_target_between_must_and_goal_is_reached_with_the_goal_missed(run: PeersRun) -> None:
    rows = lines_of(run, "majula-unix / nats: topic 128 B")
    assert rows == ["majula-unix / nats: topic 128 B, messages/s 2.60 at least 2 4 reached, goal missed by 35%"]


def test_target_where_less_is_better_is_missed_from_above(run: PeersRun) -> None:
    rows = lines_of(run, "majula-unix / nats: RPC p50")
    assert rows == ["majula-unix / nats: RPC p50, one at a time 0.88 at most 0.8 0.45 MISSED by 9%"]


def test_target_beyond_its_goal_says_so(run: PeersRun) -> None:
    assert lines_of(run, "majula-unix / nats: RPC, 64")[0].endswith("4.00 at least 1.5 3 goal reached")


def test_tcp_is_compared_with_the_unix_socket(run: PeersRun) -> None:
    assert lines_of(run, "majula-tcp / majula-unix: topic 128")[0].endswith("0.77 at least 0.8 - MISSED by 4%")


def test_void_case_is_reported_and_its_target_not_measured(run: PeersRun) -> None:
    text = render(run)
    assert "majula-ws-json, topic128, round 1: lost: the slowest subscriber got 9 of 10" in text
    assert lines_of(run, "majula-ws-json / nats: topic 128")[0].endswith("not measured")


def test_server_that_did_not_start_is_reported(run: PeersRun) -> None:
    assert "zenoh, round 1, did not start: broker ended with status 1" in render(run)


def test_cpu_is_split_by_side(run: PeersRun) -> None:
    assert "nats 1.0 + 1.4 + 2.0 5.0 + 3.0 + 2.0" in lines_of(run, "nats")


def test_target_met_exactly_is_reached() -> None:
    target = targets.Target(title="x", must=2.0, is_ceiling=True)
    assert target.verdict(2.0) == "reached"
