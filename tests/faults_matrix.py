"""Which actor does what under which fault, and which test holds it: the table of docs/operations/faults.md, as data.

A cell that no test can have says why. A cell's figure is what its test has recorded in tests/results.
"""

from __future__ import annotations

from dataclasses import dataclass

COLUMNS = ("SIGKILL", "SIGSTOP", "exception", "slow consumer", "disk full", "other")


@dataclass(frozen=True)
class Cell:
    """One fault of one actor.

    words: what happens, for the reader. test: `path::name`; empty: there is none to have, and `words` say why.
    figure: role and fault of what was recorded; empty: nothing to measure.
    """

    words: str
    test: str = ""
    figure: tuple[str, str] = ("", "")


_FAULTS = "tests/cluster/test_node_faults.py"
_RUNNER = "tests/cluster/test_runner_faults.py"
_LIFE = "tests/cluster/test_node_lifecycle.py"
_CLIENTS = "tests/cluster/test_clients_faults.py"
_GATEWAY = "tests/actors/gateway/test_gateway.py"
_TREE = "tests/actors/supervision/test_supervisor.py"
_RAISES = "tests/actors/supervision/test_supervisor_exceptions.py"
_KILLED = f"{_FAULTS}::test_node_serves_again_after_sigkill_of_any_process"
_STOPPED = f"{_FAULTS}::test_node_serves_again_after_sigstop_of_any_process"
_RAISED = "tests/actors/control/test_exceptions.py::test_an_exception_ends_a_control_actor_and_it_comes_back_with_what_it_knew"
_FULL = f"{_RUNNER}::test_node_on_a_full_disk_serves_and_refuses_only_what_needs_disk"
_LOGGER = f"{_FAULTS}::test_logger_that_is_killed_or_stopped_is_replaced_and_disturbs_nobody"
_TOKENS = "tests/actors/control/test_config_tokens.py"
_TELEMETRY = "tests/actors/control/test_telemetry.py"
_NO_CONSUMER = Cell("sends to nobody who could be slow")
_NO_DISK = Cell("writes nothing to disk")


def _control(role: str, slow: Cell, other: Cell) -> dict[str, Cell]:
    """The actors of the control plane: traffic goes on by the last table."""
    return {
        "SIGKILL": Cell("traffic goes on by the last table, back within 1 s", _KILLED, (role, "SIGKILL")),
        "SIGSTOP": Cell("found in 3 s, back in 4 s", _STOPPED, (role, "SIGSTOP")),
        "exception": Cell("as SIGKILL", _RAISED, (role, "exception in handler")),
        "slow consumer": slow,
        "disk full": _NO_DISK,
        "other": other,
    }


MATRIX: dict[str, dict[str, Cell]] = {
    "runner": {
        "SIGKILL": Cell(
            "nothing of the tree is left after 1 s",
            f"{_FAULTS}::test_sigkill_of_the_runner_leaves_no_process_after_a_second",
            ("runner", "SIGKILL"),
        ),
        "SIGSTOP": Cell(
            "no orphan when it is killed after",
            f"{_FAULTS}::test_sigkill_of_a_stopped_runner_leaves_no_process_after_a_second",
            ("runner", "SIGSTOP"),
        ),
        "exception": Cell(
            "ends the node with 70 and the reason",
            f"{_RUNNER}::test_exception_in_the_runner_ends_the_node_with_70_and_its_reason",
            ("runner", "exception"),
        ),
        "slow consumer": Cell(
            "a reader of its log that does not read costs lines, not time",
            "tests/security/test_logs.py::test_a63_standard_error_that_nobody_reads_stops_no_process",
        ),
        "disk full": Cell("goes on", _FULL, ("runner", "disk full")),
        "other": Cell(
            "a second start is refused, naming the pid",
            f"{_LIFE}::test_second_start_on_the_same_data_directory_is_refused_naming_the_pid",
        ),
    },
    "root supervisor": {
        "SIGKILL": Cell("the runner starts the tree again within 2 s", _KILLED, ("supervisor:root", "SIGKILL")),
        "SIGSTOP": Cell("found in 3 s, back in 5 s", _STOPPED, ("supervisor:root", "SIGSTOP")),
        "exception": Cell(
            "as SIGKILL",
            f"{_RAISES}::test_exception_ends_the_root_supervisor_and_all_below_it",
            ("supervisor:root", "exception in handler"),
        ),
        "slow consumer": _NO_CONSUMER,
        "disk full": Cell("goes on", _FULL),
        "other": Cell(
            "budget spent: the node ends with 70", f"{_FAULTS}::test_tree_that_dies_again_and_again_ends_the_node_with_its_reason"
        ),
    },
    "Thespian's admin": {
        "SIGKILL": Cell("the runner starts the tree again within 2 s", _KILLED, ("admin", "SIGKILL")),
        "SIGSTOP": Cell("the same, found in 3 s", _STOPPED, ("admin", "SIGSTOP")),
        "exception": Cell("Thespian's own code, which we do not make fail; as SIGKILL"),
        "slow consumer": _NO_CONSUMER,
        "disk full": _NO_DISK,
        "other": Cell("`status` answers while processes hang", f"{_FAULTS}::test_status_answers_while_a_supervisor_is_stopped"),
    },
    "Thespian's logger": {
        "SIGKILL": Cell("replaced, nobody notices", _LOGGER, ("logger", "SIGKILL under load")),
        "SIGSTOP": Cell("the same", _LOGGER, ("logger", "SIGSTOP under load")),
        "exception": Cell("Thespian's own code, which we do not make fail; as SIGKILL"),
        "slow consumer": Cell(
            "lines are dropped and counted, nobody waits",
            "tests/security/test_logs.py::test_a63_ten_thousand_huge_exceptions_cost_a_hundred_lines_a_second",
        ),
        "disk full": Cell(
            "lines are lost, nobody waits",
            f"{_RUNNER}::test_node_whose_log_goes_to_a_full_disk_serves_all_the_same",
            ("logger", "disk full"),
        ),
        "other": Cell("nothing else depends on it"),
    },
    "supervisor": {
        "SIGKILL": Cell(
            "its children end with it and live again within 2 s",
            f"{_TREE}::test_children_of_a_killed_supervisor_die_with_it_and_live_again",
            ("supervisor", "SIGKILL"),
        ),
        "SIGSTOP": Cell(
            "found in 3 s, back in 5 s",
            f"{_TREE}::test_stopped_supervisor_is_found_and_its_children_live_again",
            ("supervisor", "SIGSTOP"),
        ),
        "exception": Cell(
            "as SIGKILL",
            f"{_RAISES}::test_exception_ends_a_supervisor_with_its_children_and_they_live_again",
            ("supervisor", "exception in handler"),
        ),
        "slow consumer": _NO_CONSUMER,
        "disk full": _NO_DISK,
        "other": Cell(
            "a start that fails is tried again", f"{_TREE}::test_start_that_fails_for_want_of_processes_is_tried_again"
        ),
    },
    "router": _control(
        "router",
        Cell(
            "its word goes before data",
            "tests/unit/actorsystem/test_outbox.py::test_control_is_written_before_data_that_was_queued_earlier",
        ),
        Cell(
            "who is newer is told by incarnations, never by the clock",
            f"{_FAULTS}::test_incarnations_grow_over_the_death_of_the_whole_tree",
        ),
    ),
    "gateway": {
        "SIGKILL": Cell(
            "clients reconnect within 2 s, subscriptions, functions and flows go on",
            "tests/cluster/test_messages_sdk.py::test_nothing_is_lost_doubled_or_overtaken_while_two_gateways_are_killed_in_turn",
            ("gateway", "SIGKILL"),
        ),
        "SIGSTOP": Cell("found in 3 s, back in 4 s", _STOPPED, ("gateway", "SIGSTOP")),
        "exception": Cell(
            "as SIGKILL",
            f"{_GATEWAY}::test_an_exception_ends_the_gateway_and_it_comes_back",
            ("gateway:2", "exception in handler"),
        ),
        "slow consumer": Cell(
            "bounded, told, named; the others get all",
            "tests/cluster/test_clients_beside_bad_peers.py::test_a_subscriber_that_reads_nothing_is_bounded_named_and_told_and_the_others_get_all",
        ),
        "disk full": Cell("507 for what needs disk, the rest goes on", _FULL),
        "other": Cell(
            "in one request: 500 with a trace id, the connection lives",
            "tests/unit/http/test_edge.py::test_a_fault_of_ours_is_told_by_its_trace_id_alone",
        ),
    },
    "gateway, more": {
        "SIGKILL": Cell(
            "subscriptions and functions of the Python client are in force again",
            "tests/cluster/test_sdk_node.py::test_a_killed_gateway_gives_every_call_one_error_and_everything_comes_back",
        ),
        "SIGSTOP": Cell(
            "the other gateway loses nothing",
            f"{_GATEWAY}::test_a_gateway_that_is_stopped_costs_the_other_bounded_memory_and_no_message",
        ),
        "exception": Cell(
            "in one connection: that connection",
            "tests/unit/http/test_edge.py::test_a_fault_in_a_connection_ends_that_connection_alone",
        ),
        "slow consumer": Cell(
            "no byte taken for 60 s: cut off",
            "tests/unit/native/test_native.py::test_a_client_that_takes_no_byte_for_too_long_is_cut_off",
        ),
        "disk full": Cell(
            "a recording is shown and not written",
            f"{_TELEMETRY}::test_recording_that_cannot_be_written_is_said_so_and_harms_nothing",
        ),
        "other": Cell(
            "a half-open client is pinged twice, 20 s apart, then given up",
            "tests/unit/native/test_native.py::test_a_silent_client_is_pinged_twice_and_then_given_up",
        ),
    },
    "topic_manager": _control(
        "topic_manager",
        Cell(
            "a gateway that hangs holds up nobody",
            "tests/actors/control/test_topic_manager.py::test_gateway_that_is_stopped_for_a_moment_holds_up_nobody_else",
        ),
        Cell(
            "retained values are gathered again",
            "tests/actors/control/test_topic_manager.py::test_retained_values_survive_a_sigkill_of_the_topic_manager",
            ("topic_manager", "SIGKILL with 64 MiB retained"),
        ),
    ),
    "rpc_broker": _control(
        "rpc_broker",
        Cell(
            "a provider whose queue is full: `overloaded`",
            "tests/unit/gateway/test_calls.py::test_a_provider_with_too_much_to_answer_is_overloaded",
        ),
        Cell(
            "calls of a lost gateway end in one clear error",
            f"{_GATEWAY}::test_a_call_whose_gateway_is_killed_ends_in_one_clear_error",
        ),
    ),
    "config": {
        "SIGKILL": Cell("no effect on traffic and sessions", _KILLED, ("config", "SIGKILL")),
        "SIGSTOP": Cell(
            "found in 3 s; clients come and go",
            "tests/cluster/test_tokens_node.py::test_clients_with_tokens_come_and_go_while_the_owner_of_the_tokens_hangs",
            ("config", "SIGSTOP"),
        ),
        "exception": Cell(
            "as SIGKILL",
            f"{_TOKENS}::test_exception_ends_it_and_it_comes_back_with_what_it_knew",
            ("config", "exception in handler"),
        ),
        "slow consumer": Cell("gateways keep their copy", f"{_TOKENS}::test_gateways_keep_their_copy_while_it_is_away"),
        "disk full": Cell(
            "changes are refused with 507, clears by itself",
            f"{_TOKENS}::test_full_disk_refuses_changes_with_507_and_reads_go_on_and_it_clears_by_itself",
            ("config", "disk full"),
        ),
        "other": Cell(
            "a file that is wrong or damaged: the old configuration stays",
            "tests/cluster/test_config_reload.py::test_wrong_file_at_sighup_leaves_the_old_one_and_status_shows_why",
        ),
    },
    "telemetry": {
        "SIGKILL": Cell(
            "clients notice nothing",
            "tests/cluster/test_insight.py::test_death_of_telemetry_costs_clients_nothing_and_it_comes_back",
            ("telemetry", "SIGKILL"),
        ),
        "SIGSTOP": Cell(
            "found in 3 s",
            "tests/cluster/test_insight.py::test_death_of_telemetry_costs_clients_nothing_and_it_comes_back",
            ("telemetry", "SIGSTOP"),
        ),
        "exception": Cell(
            "as SIGKILL",
            f"{_TELEMETRY}::test_telemetry_comes_back_and_hears_of_the_clients_anew",
            ("telemetry", "exception in handler"),
        ),
        "slow consumer": Cell(
            "drops, never blocks", f"{_TELEMETRY}::test_flood_of_events_is_kept_within_bounds_and_published_at_a_bounded_rate"
        ),
        "disk full": Cell(
            "no recording, said so in an event",
            f"{_TELEMETRY}::test_recording_that_cannot_be_written_is_said_so_and_harms_nothing",
        ),
        "other": Cell(
            "`/metrics` says that it is away",
            "tests/cluster/test_insight.py::test_metrics_are_unavailable_while_telemetry_is_away",
        ),
    },
}


@dataclass(frozen=True)
class Everywhere:
    """A fault that every actor answers in the same way."""

    fault: str
    cells: tuple[Cell, ...]


_JUMP = "tests/cluster/test_wall_clock.py"
EVERY_ACTOR = (
    Everywhere(
        "wall clock off by an hour, forward and backward",
        (
            Cell(
                "no process, session or call ends",
                f"{_JUMP}::test_jump_of_the_clock_by_an_hour_ends_no_process_no_session_and_no_call",
                ("every actor", "clock forward"),
            ),
            Cell(
                "tokens expire by it, after a minute of leeway",
                f"{_JUMP}::test_token_expires_by_the_wall_clock_and_not_before_its_leeway",
            ),
        ),
    ),
    Everywhere(
        "no more memory (RLIMIT_AS)",
        (
            Cell("router, topic_manager, rpc_broker: as an exception", _RAISED, ("router", "out of memory")),
            Cell("config", f"{_TOKENS}::test_exception_ends_it_and_it_comes_back_with_what_it_knew", ("config", "out of memory")),
            Cell(
                "telemetry",
                f"{_TELEMETRY}::test_telemetry_comes_back_and_hears_of_the_clients_anew",
                ("telemetry", "out of memory"),
            ),
            Cell("gateway", f"{_GATEWAY}::test_an_exception_ends_the_gateway_and_it_comes_back", ("gateway:2", "out of memory")),
            Cell(
                "supervisors",
                f"{_RAISES}::test_exception_ends_a_supervisor_with_its_children_and_they_live_again",
                ("supervisor", "out of memory"),
            ),
            Cell(
                "a gateway and the topic manager, starved under load",
                "tests/cluster/test_out_of_memory.py::test_role_without_memory_ends_and_is_started_again",
                ("gateway", "out of memory"),
            ),
        ),
    ),
    Everywhere(
        "garbage from a peer",
        (
            Cell(
                "what is no frame closes its connection",
                "tests/actors/actorsystem/test_traffic.py::test_garbage_closes_its_connection_and_leaves_the_actor_alone",
            ),
            Cell(
                "so does a message that does not decode",
                "tests/actors/actorsystem/test_traffic.py::test_message_that_does_not_decode_closes_its_connection_and_leaves_the_actor_alone",
            ),
            Cell("garbage at a gateway harms nobody", f"{_GATEWAY}::test_garbage_from_clients_and_from_an_actor_harms_nobody"),
            Cell(
                "a pickle to any socket of a node runs nothing",
                "tests/security/test_host.py::test_a59_pickle_to_any_socket_of_a_node_runs_nothing_and_ends_nobody",
            ),
        ),
    ),
)


def named_tests() -> list[str]:
    """Every test that the table names, each once."""
    rows = [cell for row in MATRIX.values() for cell in row.values()]
    rows += [cell for every in EVERY_ACTOR for cell in every.cells]
    return sorted({cell.test for cell in rows if cell.test})
