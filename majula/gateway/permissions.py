"""May this session do that? The scope of each frame that a client sends, as the operations declare it.

A session that may do everything has no `grants` and is never asked. For the others the frames that are checked are those whose
headers are decoded anyway; the common PUBLISH, which is not decoded, is known by its header's bytes (`Session.allowed`).
"""

from __future__ import annotations

from majula.auth import Grants, denied
from majula.topics.subjects import SYSTEM_LEVEL, SYSTEM_PREFIX
from majula.wire.headers import Call, Header, Publish, Register, Send, Subscribe

KEPT_HEADERS = 1_024
"""PUBLISH headers that one session is remembered to be allowed; of more the memory begins anew."""

KEPT_HEADER_BYTES = 512


def check_frame(grants: Grants, header: Header) -> None:
    """The frames whose scope stands in their header; what a REQUEST needs is known when its body is (`check_operation`).

    Raises:
        PermissionDenied: `scope` names what is missing.
    """
    match header:
        case Publish():
            grants.require("publish", header.topic)
        case Call():
            grants.require("call", header.function)
        case Subscribe():
            check_subscribe(grants, header.topic, pattern=header.pattern)
        case Register():
            grants.require("register", header.function)
        case Send():
            grants.require("send", header.target)


def check_operation(grants: Grants, verb: str, what: str, *, pattern: bool = False) -> None:
    """As an operation declares it: `scope`, and `scope_object` of its request. Raises as `check_frame`."""
    if verb == "subscribe":
        check_subscribe(grants, what, pattern=pattern)
    elif verb:
        grants.require(verb, what, pattern=pattern)


def check_subscribe(grants: Grants, topic: str, *, pattern: bool) -> None:
    """The events of the node (`$SYS.`) are a matter of `observe:events`, or of `observe` with the very topic.

    Raises as `check_frame`.
    """
    scope = grants.missing("subscribe", topic, pattern=pattern)
    if not scope:
        return
    if topic == SYSTEM_LEVEL or topic.startswith(SYSTEM_PREFIX):
        if scope.startswith("-") or not grants.allows("observe", "events"):
            raise denied(scope if scope.startswith("-") else "observe:events")
        return
    raise denied(scope)
