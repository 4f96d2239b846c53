"""Metrics: read by Prometheus' own parser, described, and free of what clients choose."""

from __future__ import annotations

from math import inf, nan
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from majula.telemetry import reference
from majula.telemetry.figures import FIGURES, ROOMS
from majula.telemetry.metrics import NodeFigures, ProcessUse, expose
from majula.telemetry.operations import RoleLine

ROOT = Path(__file__).parents[3]
NODE = NodeFigures(version="1.2", up_s=3.5, is_degraded=False, insecure=1, trees=2, event_counts={"client.slow": 4, "no.such": 9})


def role(name: str = "gateway:1", **fields: Any) -> RoleLine:
    return RoleLine(role=name, state="running", pid=7, restarts=2, **fields)


def families(*roles: RoleLine) -> dict[str, Any]:
    page = expose(roles, {"gateway:1": ProcessUse(memory_bytes=4_096, cpu_s=1.25)}, NODE)
    return {family.name: family for family in text_string_to_metric_families(page)}


def value(found: dict[str, Any], family: str, **labels: str) -> float:
    (sample,) = [sample for sample in found[family].samples if sample.labels == labels]
    return float(sample.value)


def test_figure_of_a_role_is_a_metric_of_its_room_with_the_role_as_label() -> None:
    found = families(
        role(statistics={"received_messages_total": 5}), role("gateway:2", statistics={"received_messages_total": 6})
    )
    assert value(found, "majula_gateway_received_messages", role="gateway:2") == 6.0
    assert found["majula_gateway_received_messages"].type == "counter"


def test_figure_of_a_table_has_the_table_as_label() -> None:
    found = families(role("router", statistics={"clients.entries": 3}))
    assert value(found, "majula_table_entries", role="router", table="clients") == 3.0


def test_restarts_memory_and_processor_time_of_a_role_are_metrics() -> None:
    found = families(role())
    assert value(found, "majula_role_restarts", role="gateway:1") == 2.0
    assert value(found, "majula_role_memory_bytes", role="gateway:1") == 4_096.0
    assert value(found, "majula_role_cpu_seconds", role="gateway:1") == 1.25


def test_event_that_is_declared_is_a_counter_of_its_name() -> None:
    found = families()
    assert value(found, "majula_client_slow") == 4.0
    assert "majula_no_such" not in found


def test_texts_among_the_figures_are_no_metrics() -> None:
    """A18: a client's name is neither a label nor a value."""
    page = expose([role(statistics={"slow_client_names": 'evil"}\n1'})], {}, NODE)
    assert "evil" not in page


@given(st.text(min_size=1, max_size=30), st.one_of(st.integers(), st.floats()))
def test_page_is_readable_whatever_a_figure_is_called(name: str, number: float) -> None:
    list(text_string_to_metric_families(expose([role(statistics={name: number})], {}, NODE)))


def test_numbers_that_are_none_are_written_as_prometheus_reads_them() -> None:
    found = families(role(statistics={"a": nan, "b": inf, "c": -inf}))
    assert value(found, "majula_gateway_b", role="gateway:1") == inf


def test_every_metric_has_one_help_and_one_type_before_its_samples() -> None:
    page = expose([role(statistics={"clients": 1}), role("gateway:2", statistics={"clients": 2})], {}, NODE)
    kinds = [line.split()[2] for line in page.splitlines() if line.startswith("# TYPE")]
    assert len(kinds) == len(set(kinds))


def test_every_room_that_has_figures_is_one_of_a_role() -> None:
    assert FIGURES.keys() <= set(ROOMS.values())


def test_document_of_metrics_is_the_declared_one() -> None:
    assert (ROOT / "docs/reference/metrics.md").read_text() == reference.metrics()
