"""The roles, as their supervisors see them."""

from __future__ import annotations

from majula.messages.supervision import ChildStatus, Death, Status
from majula.telemetry.board import RoleBoard


def status(supervisor: str, *roles: str, degraded: bool = False) -> Status:
    children = tuple(
        ChildStatus(
            role=role,
            state="running",
            pid=7,
            address="a7",
            incarnation=3,
            restarts=2,
            deaths=(Death(ago_s=1.0, reason="killed by SIGKILL", incarnation=2),),
            retry_in_s=-1.0,
            up_s=5.0,
            silent_s=0.1,
            statistics={"clients": 1},
            queues={"a9": 100},
        )
        for role in roles
    )
    return Status(number=1, supervisor=supervisor, pid=1, degraded=degraded, children=children)


def test_roles_stand_below_their_supervisors_the_root_first() -> None:
    board = RoleBoard(fresh_s=3.0)
    board.told(status("supervisor:data", "gateway:1"), 0.0)
    board.told(status("supervisor:root", "telemetry", "supervisor:data"), 0.0)
    assert [line.role for line in board.lines({}, 0.0)] == ["supervisor:root", "telemetry", "supervisor:data", "gateway:1"]


def test_root_was_started_with_each_tree() -> None:
    board = RoleBoard(fresh_s=3.0)
    board.told(status("supervisor:root"), 0.0)
    (line,) = board.lines({}, 0.0, trees=3)
    assert (line.role, line.pid, line.restarts, line.supervisor) == ("supervisor:root", 1, 2, "runner")


def test_line_says_why_the_role_ended_and_names_its_queues_by_role() -> None:
    board = RoleBoard(fresh_s=3.0)
    board.told(status("supervisor:root", "router"), 0.0)
    _, line = board.lines({"a9": "gateway:1"}, 0.0)
    assert (line.last_exit, line.restarts, line.queues) == ("killed by SIGKILL", 2, {"gateway:1": 100})


def test_word_of_a_supervisor_that_is_silent_is_marked() -> None:
    board = RoleBoard(fresh_s=3.0)
    board.told(status("supervisor:root", "router"), 0.0)
    assert [board.lines({}, now)[0].is_fresh for now in (3.0, 3.1)] == [True, False]


def test_quarantine_below_any_supervisor_makes_the_node_degraded() -> None:
    board = RoleBoard(fresh_s=3.0)
    board.told(status("supervisor:root", "router"), 0.0)
    assert not board.is_degraded()
    board.told(status("supervisor:data", "gateway:1", degraded=True), 0.0)
    assert board.is_degraded()
