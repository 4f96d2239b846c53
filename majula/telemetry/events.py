"""Every event of a node: its name, how loud it is in the log, what its fields say.

One happening has one name everywhere: the line of the log, the entry in `events.list`, the topic `$SYS.<name>`, and the counter
`majula_<thing>_<happened>_total`. docs/reference/events.md is printed from this table (`python -m majula.telemetry.reference`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal

from msgspec import Struct

Level = Literal["debug", "info", "warning", "error"]

TOPICS: Final = "$SYS."
"""What the topics of events begin with."""


class Declared(Struct, frozen=True):
    """One kind of event.

    Args:
        level: of its line in the log.
        means: one sentence.
        fields: name and meaning of each.
        dumps: the flight recorder is written to disk when it happens.
    """

    level: Level
    means: str
    fields: Mapping[str, str] = {}
    dumps: bool = False


_CHILD = {
    "offender": "the role that it happened to",
    "supervisor": "who watches it",
    "incarnation": "which start of the role it was",
    "reason": "why, in words",
    "in_s": "seconds until the restart that follows",
}

EVENTS: Final[Mapping[str, Declared]] = {
    "auth.failed": Declared(
        "warning",
        "Somebody came with a token that is not known, or no more.",
        {
            "address": "from where",
            "gateway": "to which gateway",
            "reason": "what was wrong with it",
            "repeated": "how often more since it was told last, at most once a minute",
        },
    ),
    "child.died": Declared("error", "A role has ended, and not because it was asked to.", _CHILD, dumps=True),
    "child.drained": Declared("info", "A role has finished what was in flight.", _CHILD),
    "child.escalated": Declared("error", "A role cannot be kept alive, and its supervisor gives up.", _CHILD, dumps=True),
    "child.hung": Declared("error", "A role does not answer and is being killed.", _CHILD, dumps=True),
    "child.killed": Declared("warning", "A role did not stop in time and was killed.", _CHILD),
    "child.quarantined": Declared("error", "A role died too often; it is tried again in a minute.", _CHILD, dumps=True),
    "child.restarting": Declared("warning", "A role is being started again.", _CHILD),
    "child.start_failed": Declared("error", "A role could not start.", _CHILD, dumps=True),
    "child.started": Declared("info", "A role is ready.", _CHILD),
    "child.stopped": Declared("info", "A role has ended as it was asked to.", _CHILD),
    # debug: of some nodes they are the daily business of thousands, and a log has its bounds. Topic and list have them all.
    "client.connected": Declared(
        "debug",
        "A client is there.",
        {"client_id": "which", "gateway": "where", "surface": "native, websocket, seed or http", "agent": "what it says it is"},
    ),
    "client.disconnected": Declared(
        "debug", "A client has gone.", {"client_id": "which", "gateway": "where it was", "reason": "why, in words"}
    ),
    "client.slow": Declared(
        "warning",
        "A client does not read what it is sent; messages to it are dropped from now on.",
        {"client_id": "which", "gateway": "where", "waiting_bytes": "what waits for it", "dropped": "which messages are dropped"},
    ),
    "config.changed": Declared(
        "info",
        "The configuration was changed.",
        {"revision": "the new one", "who": "by whom", "keys": "which keys", "restart": "which need a restart"},
    ),
    "config.inactive": Declared("warning", "Parts of the configuration have no effect in this version.", {"reason": "which"}),
    "config.refused": Declared(
        "error", "A changed configuration was not taken; the old one stays.", {"reason": "what is wrong", "source": "where"}
    ),
    "config.warning": Declared("warning", "Something in the configuration deserves a look.", {"reason": "what"}),
    "flight.dumped": Declared("info", "The flight recorder was written.", {"file": "where to", "reason": "why"}),
    "flight.failed": Declared("warning", "The flight recorder could not be written.", {"reason": "why"}),
    "gateway.overloaded": Declared(
        "warning",
        "A gateway takes no new clients and requests.",
        {"gateway": "which", "reason": "loop_lag or memory", "lag_ms": "how late its loop is", "memory_bytes": "what it holds"},
    ),
    "gateway.relieved": Declared(
        "info",
        "A gateway takes new clients again.",
        {"gateway": "which", "lag_ms": "how late its loop is", "memory_bytes": "what it holds"},
    ),
    "gateway.slow": Declared(
        "warning",
        "A gateway does not take what another one has for its clients; messages are dropped from now on.",
        {
            "client_id": "which",
            "gateway": "who says it",
            "waiting_bytes": "what waits for it",
            "dropped": "which messages are dropped",
        },
    ),
    "log.level_changed": Declared(
        "info", "A role logs from another level on.", {"changed_role": "whose", "level": "from which level", "who": "by whom"}
    ),
    "node.draining": Declared("info", "The node takes nothing new and finishes what is in flight.", {"deadline_s": "at most"}),
    "node.killed": Declared("warning", "Some processes did not stop in time and were killed.", {"reason": "in words"}),
    "node.not_drained": Declared("warning", "Work was still in flight at the deadline.", {"reason": "in words"}),
    "node.ready": Declared("info", "Every role of the node is there.", {"after_s": "seconds since its start"}),
    "node.stopped": Declared("info", "The node has stopped as it was asked to."),
    "token.created": Declared("info", "A token was made.", {"token": "its id", "who": "by whom"}),
    "token.revoked": Declared("info", "A token was revoked.", {"token": "its id", "who": "by whom"}),
    "tree.died": Declared("error", "The tree of actors has ended as a whole.", {"reason": "why"}),
    "tree.restarting": Declared(
        "warning", "The tree of actors is being started again.", {"reason": "why it had ended", "in_s": "seconds until then"}
    ),
}
"""By name, in the alphabet's order."""


def level_of(name: str) -> Level:
    """How loud an event is; one that is not in the table is `info`."""
    found = EVENTS.get(name)
    return found.level if found is not None else "info"


def matches(name: str, wanted: str) -> bool:
    """Whether an event is what a request asks for: its name, `client.*` for one level, `>` or nothing for all."""
    if wanted in ("", ">", "*"):
        return True
    levels, pattern = name.split("."), wanted.split(".")
    for at, level in enumerate(pattern):
        if level == ">":
            return len(levels) > at
        if at >= len(levels) or level not in ("*", levels[at]):
            return False
    return len(levels) == len(pattern)
