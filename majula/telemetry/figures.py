"""What each figure of `statistics()` means. `/metrics` and docs/reference/metrics.md are made from this table.

A figure is a counter where its name ends in `_total` or it is declared as one here; else it is a gauge. What an actor gives and
nobody has declared is exported all the same, without a sentence about it; a test names it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal

from msgspec import Struct

Kind = Literal["counter", "gauge"]

ROOMS: Final[Mapping[str, str]] = {
    "config": "config",
    "gateway": "gateway",
    "router": "routing",
    "rpc_broker": "rpc",
    "supervisor": "supervision",
    "telemetry": "telemetry",
    "topic_manager": "topics",
}
"""Kind of role -> the room that its metrics are named after."""


class Figure(Struct, frozen=True):
    """One figure: what it counts, and whether it only grows."""

    means: str
    kind: Kind = "gauge"


def _count(means: str) -> Figure:
    return Figure(means, "counter")


ACTOR: Final[Mapping[str, Figure]] = {
    "messages_received": _count("Messages of other actors that came to this one."),
    "messages_undelivered": _count("Messages of this actor that came back: their target was gone or its queue full."),
    "messages_held": Figure("Messages that came before the actor was ready and wait."),
    "batches_lost": _count("Batches of frames that were lost on the way from or to this process."),
    "tasks": Figure("Tasks of the actor."),
}
"""Of every actor: `majula_actor_<name>`."""

TABLE: Final[Mapping[str, Figure]] = {
    "entries": Figure("Entries of the table."),
    "bytes": Figure("Bytes of its entries, where it is published."),
    "version": Figure("Its version; grows with each change."),
    "holders": Figure("Actors that hold a copy of it, where it is published."),
    "behind": Figure("Holders that have not confirmed the newest version."),
    "tokens": Figure("Requests that wait until a change is in force everywhere."),
}
"""Of every table that an actor publishes or holds: `majula_table_<name>`, with the label `table`."""

FIGURES: Final[Mapping[str, Mapping[str, Figure]]] = {
    "routing": {
        "clients": Figure("Clients of the node whose id is claimed."),
    },
    "topics": {
        "retained_bytes": Figure("Bytes of all retained values."),
        "retained_refused": _count("Retained values that were refused because there was no room."),
    },
    "rpc": {},
    "supervision": {},
    "gateway": {
        "clients": Figure("Sessions of clients, those of single HTTP requests included."),
        "peers": Figure("Other gateways of the node that are there."),
        "received_frames_total": _count("Frames that came from clients."),
        "received_messages_total": _count("Messages that clients published here."),
        "dropped_messages_total": _count("Messages that were dropped because a subscriber did not read."),
        "refused_frames_total": _count("Frames of clients that were answered by an error."),
        "slow_clients": Figure("Clients that do not read what they are sent just now."),
        "subscriptions": Figure("Subscriptions of clients."),
        "subjects": Figure("Topics and patterns that somebody here wants."),
        "remote_subjects": Figure("Topics and patterns that somebody at another gateway wants."),
        "routes": Figure("Topics whose route is known."),
        "headers": Figure("Headers of publications whose route is known."),
        "header_misses_total": _count("Publications whose route had to be looked up."),
        "calls": Figure("Calls that wait for their answer."),
        "calls_total": _count("Calls of clients."),
        "calls_failed_total": _count("Calls that ended in an error."),
        "calls_repeated_total": _count("Calls that were given to another provider."),
        "stray_results_total": _count("Answers that nobody waited for any more."),
        "functions": Figure("Functions that clients have registered."),
        "retained": Figure("Retained values that are known."),
        "retaining": Figure("Retained values on their way to the topic manager."),
        "confirmations": Figure("Requests that wait until they are in force everywhere."),
        "private_messages_total": _count("Private messages that were routed."),
        "private_unrouted_total": _count("Private messages whose target was not there."),
        "private_refused_total": _count("Private messages that were refused."),
        "private_lost_receipts_total": _count("Receipts of private messages that found no way back."),
        "native_connections": Figure("Connections at the native port."),
        "native_accepted_total": _count("Connections at the native port, ever."),
        "native_refused_total": _count("Connections at the native port that were refused."),
        "native_received_bytes_total": _count("Bytes that came by the native port."),
        "native_handshakes": Figure("Connections that shake hands for TLS just now."),
        "native_handshakes_failed_total": _count("TLS handshakes that failed or took too long."),
        "native_turned_away_total": _count("Connections that were closed before anything was read of them."),
        "http_connections": Figure("HTTP and WebSocket connections."),
        "http_connections_opened": _count("HTTP and WebSocket connections, ever."),
        "http_requests": _count("HTTP requests."),
        "http_refused": _count("HTTP requests and connections that were refused."),
        "http_late": _count("HTTP connections that were closed because a request did not come in time."),
        "http_failed": _count("HTTP requests that failed by a fault of ours."),
        "http_in_flight": Figure("HTTP requests that are being served."),
        "websockets": Figure("WebSocket connections."),
        "websockets_opened": _count("WebSocket connections, ever."),
        "websocket_received_bytes": _count("Bytes that came by WebSocket."),
        "websocket_sent_bytes": _count("Bytes that went by WebSocket."),
        "websocket_violations": _count("WebSocket connections that were closed because the client broke the protocol."),
        "websocket_failed": _count("WebSocket connections that ended by a fault of ours."),
        "serving": Figure("1 where the gateway takes clients."),
        "broadcasts": Figure("Broadcasts whose answers are being gathered."),
        "http_calls_begun": Figure("Calls over HTTP whose results wait to be fetched."),
        "http_handshakes": Figure("Connections that shake hands for TLS just now."),
        "http_handshakes_failed_total": _count("TLS handshakes that failed or took too long."),
        "http_sessions": Figure("Clients that attach by HTTP alone."),
        "http_turned_away_total": _count("Connections that were closed before anything was read of them."),
        "inboxes": Figure("Clients for whom this gateway keeps the order of private messages."),
        "loop_lag_ms": Figure("By how many milliseconds the gateway's timer came late the last time."),
        "memory_bytes": Figure("Resident memory of the gateway, as it sees it itself."),
        "private_expired_total": _count("Private messages that were not delivered in time."),
        "private_flows": Figure("Flows of private messages that this gateway runs for its clients."),
        "private_given_total": _count("Private messages that were given to a client here."),
        "private_receipts_owed": Figure(
            "Receipts that are given when their messages have been written to their clients' sockets."
        ),
        "private_waiting_bytes": Figure("Bytes of private messages that wait for a receipt."),
        "private_waiting_messages": Figure("Private messages that wait for a receipt."),
        "private_wait_timers": Figure(
            "Deadlines of requests that wait for the end of a private message, with some that have passed."
        ),
        "private_waits": Figure("Requests that wait for the end of a private message."),
        "rate_buckets": Figure("Tokens and addresses whose rate is watched."),
        "refused_by_load_total": _count("Connections and requests that were refused because the node was overloaded."),
        "tokens": Figure("Tokens that are known here."),
        "wrong_token_addresses": Figure("Addresses that have shown a wrong token lately."),
        "wrong_tokens_total": _count("Tokens that were not known, or no more."),
        "bad_batches_total": _count("Batches of another gateway that could not be read."),
        "stray_batches_total": _count("Batches of a gateway that is not known (any more)."),
    },
    "config": {
        "audit_lost": Figure(
            "Audit entries that could not be written down; the audit says so as soon as it can be written again."
        ),
        "changes_refused": _count("Changes of tokens that were refused because they could not be written down."),
        "changes_waiting": Figure("Changes of tokens that wait for the disk."),
        "config_refused": Figure("Reasons for which the configuration's file, as it is now, was not taken."),
        "config_revision": Figure("Number of the configuration in force."),
        "tokens": Figure("Tokens that are valid."),
    },
    "telemetry": {
        "events_total": _count("Events that came."),
        "events_refused_total": _count("Events that were not kept: more names than there can be."),
        "events_unpublished_total": _count("Events that were not published on $SYS: too many at once, or no gateway was there."),
        "clients": Figure("Clients whose figures are known."),
        "flights_total": _count("Recordings that were written."),
        "flights_failed_total": _count("Recordings that could not be written."),
        "questions": Figure("Questions to other roles that wait for their answer."),
    },
}
"""By room: figure -> what it means. The metric is `majula_<room>_<figure>`."""

ROLE: Final[Mapping[str, Figure]] = {
    "running": Figure("1 where the role runs."),
    "restarts_total": _count("How often the role was started again."),
    "up_seconds": Figure("Seconds since the role was ready."),
    "queue_bytes": Figure("Bytes that wait in the role for other roles."),
    "memory_bytes": Figure("Resident memory of its process."),
    "cpu_seconds_total": _count("Processor time of its process."),
}
"""Of every role, from its supervisor and the kernel: `majula_role_<name>`."""

NODE: Final[Mapping[str, Figure]] = {
    "up_seconds": Figure("Seconds since the node was started."),
    "degraded": Figure("1 where a role is in quarantine."),
    "insecure_listeners": Figure("Listeners without the protection that they could have."),
    "trees_total": _count("Trees of actors that were started, the running one included."),
}
"""Of the node: `majula_node_<name>`, without labels."""


def figure(room: str, name: str) -> Figure:
    """What is known of a figure."""
    found = FIGURES.get(room, {}).get(name) or ACTOR.get(name)
    return found if found is not None else Figure("", "counter" if name.endswith("_total") else "gauge")


def metric_name(room: str, name: str, kind: Kind) -> str:
    """`majula_<room>_<name>`; a counter ends in `_total`."""
    clean = "".join(char if char.isascii() and (char.isalnum() or char == "_") else "_" for char in name)
    return f"majula_{room}_{clean}" + ("_total" if kind == "counter" and not clean.endswith("_total") else "")
