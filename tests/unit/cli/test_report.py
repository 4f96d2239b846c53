"""The status, for people."""

from __future__ import annotations

from typing import Any

import pytest

from majula.api.cli.report import render
from majula.api.cli.show import seconds, size


def role(**fields: Any) -> dict[str, Any]:
    plain = {
        "role": "router",
        "state": "running",
        "pid": 7,
        "restarts": 0,
        "deaths": [],
        "retry_in_s": -1.0,
        "up_s": 3.0,
        "queues": {},
        "is_fresh": True,
    }
    return plain | fields


def status(*roles: dict[str, Any]) -> dict[str, Any]:
    return {
        "node_id": "n1",
        "state": "serving",
        "pid": 1,
        "up_s": 60.0,
        "data_dir": "/d",
        "run_dir": "/r",
        "addresses": [{"name": "http-1", "role": "gateway:1", "address": "http://127.0.0.1:1/majula"}],
        "roles": list(roles),
    }


def test_role_is_shown_with_its_pid_and_state() -> None:
    assert any(line.split()[:3] == ["router", "running", "7"] for line in render(status(role())).splitlines())


def test_restart_is_shown_with_its_reason() -> None:
    death = {"ago_s": 5.0, "reason": "killed by SIGKILL", "incarnation": 1}
    text = render(status(role(restarts=1, deaths=[death])))
    assert "5.0 s ago  router: killed by SIGKILL" in text


def test_role_that_does_not_run_shows_when_it_is_tried_again() -> None:
    text = render(status(role(state="quarantined", pid=0, up_s=-1.0, retry_in_s=42.0)))
    assert "quarantined (42 s)" in text


def test_role_whose_supervisor_does_not_answer_is_marked() -> None:
    assert "running, as its silent supervisor said last" in render(status(role(is_fresh=False)))


def test_clients_that_do_not_read_are_named_with_their_gateway() -> None:
    shown = render(status(role(role="gateway:1", statistics={"slow_client_names": "ann bob"}), role()))
    assert "  gateway:1: ann bob\n" in shown + "\n" and shown.count("do not read") == 1


def test_queues_are_summed_up() -> None:
    assert "3 KiB" in render(status(role(queues={"a1": 1_024, "a2": 2_048})))


@pytest.mark.parametrize(
    ("value", "shown"), [(0.41, "0.4 s"), (12.0, "12 s"), (180.0, "3 min"), (18_000.0, "5 h"), (200_000.0, "2 d")]
)
def test_duration_reads_as_people_say_it(value: float, shown: str) -> None:
    assert seconds(value) == shown


@pytest.mark.parametrize(("value", "shown"), [(5, "5 B"), (5_000, "5 KiB"), (5_000_000, "4.8 MiB")])
def test_size_reads_as_people_say_it(value: int, shown: str) -> None:
    assert size(value) == shown


def test_reason_that_quotes_a_stranger_cannot_reach_the_terminal_raw() -> None:
    death = {"ago_s": 1.0, "reason": "ValueError: \x1b[2Jgone\nrouter: fine", "incarnation": 1}
    shown = render(status(role(deaths=[death])))
    assert "\x1b" not in shown
    assert "\\x1b[2Jgone\\nrouter: fine" in shown


def test_configuration_that_is_in_force_takes_no_line() -> None:
    plain = {"revision": 3, "restart": [], "refused": [], "warnings": ["w"]}
    assert render(status() | {"configuration": plain}) == render(status())


def test_configuration_that_waits_or_is_wrong_is_shown() -> None:
    found = {"revision": 3, "restart": ["log.format", "data_dir"], "refused": ["n.yaml:1:1: unknown key 'x'"], "warnings": []}
    lines = render(status() | {"configuration": found}).splitlines()
    assert "  waits for a restart: log.format, data_dir" in lines
    assert "  configuration refused, revision 3 stays: n.yaml:1:1: unknown key 'x'" in lines


def test_listener_without_protection_is_shown() -> None:
    text = render(status() | {"insecure": ["the gateway on 0.0.0.0:1 is served without TLS"]})
    assert "  insecure: the gateway on 0.0.0.0:1 is served without TLS" in text.splitlines()
