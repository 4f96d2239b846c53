"""Whether the node serves, whichever of report and registry comes first."""

from __future__ import annotations

from majula.messages.supervision import Happening, Report, RoleEntry
from majula.runner.readiness import Readiness


def registry(**incarnations: int) -> dict[str, RoleEntry]:
    return {role: RoleEntry(address=f"a{number}", incarnation=number, pid=number) for role, number in incarnations.items()}


def report(context: Happening, incarnation: int = 1, role: str = "router") -> Report:
    return Report("supervisor:control", context, role, 7, incarnation)


def serving() -> Readiness:
    readiness = Readiness(["router", "gateway"])
    readiness.roles_came(registry(router=1, gateway=1))
    return readiness


def test_node_serves_when_every_role_is_listed() -> None:
    assert serving().verdict() == "serving"


def test_node_without_one_role_is_incomplete() -> None:
    readiness = serving()
    readiness.roles_came(registry(gateway=1))
    assert readiness.verdict() == "incomplete"


def test_role_that_is_reported_dead_is_away_though_the_registry_lists_it_still() -> None:
    readiness = serving()
    readiness.reported(report("child.died"))
    assert readiness.verdict() == "incomplete"


def test_role_is_back_when_the_registry_lists_its_next_life() -> None:
    readiness = serving()
    readiness.reported(report("child.died"))
    readiness.reported(report("child.started", 2))
    assert readiness.verdict() == "incomplete"
    readiness.roles_came(registry(router=2, gateway=1))
    assert readiness.verdict() == "serving"


def test_registry_that_overtakes_the_report_of_the_start_counts() -> None:
    readiness = serving()
    readiness.reported(report("child.died"))
    readiness.roles_came(registry(router=2, gateway=1))
    assert readiness.verdict() == "serving"


def test_node_with_a_role_in_quarantine_is_degraded() -> None:
    readiness = serving()
    readiness.reported(report("child.died", 6))
    readiness.reported(report("child.quarantined", 6))
    assert readiness.verdict() == "degraded"


def test_registry_that_lists_a_role_in_quarantine_late_changes_nothing() -> None:
    readiness = serving()
    readiness.reported(report("child.quarantined", 6))
    readiness.roles_came(registry(router=6, gateway=1))
    assert readiness.verdict() == "degraded"


def test_role_that_comes_out_of_quarantine_makes_the_node_serve() -> None:
    readiness = serving()
    readiness.reported(report("child.quarantined", 6))
    readiness.reported(report("child.started", 7))
    readiness.roles_came(registry(router=7, gateway=1))
    assert readiness.verdict() == "serving"


def test_nothing_serves_after_the_end_of_the_tree() -> None:
    readiness = serving()
    readiness.tree_ended()
    assert readiness.verdict() == "incomplete"
