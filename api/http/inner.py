"""What HTTP takes and answers where it differs from the operations, for the API document: the paths of the inner circle.

They are wider than the operations behind them: every path takes GET and POST, parameters come by query, form or JSON, and text is
taken where a number or an object is meant, because that is what programs send that were written for the system before this one.
"""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

from majula.errors import MajulaError, NoSuchNode, Overloaded
from majula.operations import NO_CONTROL

PRINTABLE = f"^{NO_CONTROL}*$"

Text = str | int | float | bool
"""Numbers and truth values are taken for the text that they are written as."""

# A larger number is refused as JSON, and would be longer than a name may be.
_SHORT = {"minimum": -(1 << 63), "maximum": (1 << 64) - 1}

Topic = Annotated[
    Text, msgspec.Meta(extra_json_schema={"minLength": 1, "maxLength": 256, "pattern": f"^{NO_CONTROL}+$", **_SHORT})
]
"""A literal topic; below `$SYS.` nobody publishes (403)."""

Name = Annotated[Text, msgspec.Meta(extra_json_schema={"maxLength": 128, "pattern": PRINTABLE, **_SHORT})]
"""Of a client, function or node; empty where somebody may choose."""

Number = Annotated[
    float | str, msgspec.Meta(extra_json_schema={"minimum": 0, "maximum": 60, "pattern": r"^([1-5]?[0-9](\.[0-9]{1,3})?|60)$"})
]
"""A number, or its text."""


Lifetime = Annotated[
    float | str,
    msgspec.Meta(
        extra_json_schema={
            "exclusiveMinimum": 0,
            "maximum": 3_600,
            "pattern": r"^(0\.[0-9]{0,3}[1-9]|[1-9][0-9]{0,2}(\.[0-9]{1,3})?|[1-2][0-9]{3}|3[0-5][0-9]{2}|3600)$",
        }
    ),
]
"""The same, up to an hour."""


class PubParameters(msgspec.Struct, frozen=True):
    """topic: literal. msg: text or any JSON; text that is a JSON object is delivered as that object. args: JSON in its place."""

    topic: Topic
    msg: Any = ""
    args: Any = None


class PubAnswer(msgspec.Struct, frozen=True):
    """status is `published`. client: the label in the path."""

    status: str
    topic: str
    client: str
    message: Any


class SubParameters(msgspec.Struct, frozen=True):
    """topic: literal."""

    topic: Topic


class RpcParameters(msgspec.Struct, frozen=True):
    """fun: the function. target_node, provider: who is to answer; given empty, the gateway chooses.

    All other parameters are the arguments. In place of them `args` may hold them, as an object or its JSON text.
    """

    fun: Name
    target_node: Name
    provider: Name


class RpcAnswer(msgspec.Struct, frozen=True, omit_defaults=True):
    """success is false, and `error` says why, where the call failed or `result` is an object with a text `error`."""

    fun: str
    args: dict[str, Any]
    client: str
    provider: str
    target_node: str
    result: Any
    success: bool
    error: str = ""
    code: str = ""


class ListRpcParameters(msgspec.Struct, frozen=True):
    """target_node, provider: whose functions; given empty, all."""

    target_node: Name
    provider: Name


class RpcLine(msgspec.Struct, frozen=True):
    """One function."""

    name: str
    note: str
    parameters: list[dict[str, Any]]
    results: list[dict[str, Any]]


class ListRpcAnswer(msgspec.Struct, frozen=True):
    """The functions that can be called now."""

    target_node: str
    provider: str
    rpcs: list[RpcLine]


class SendParameters(msgspec.Struct, frozen=True):
    """target_client: empty: every client of that node. target_node: empty: this one. msg: text or any JSON.

    wait_s: how long the answer may wait for a verdict. ttl_s: seconds in which it may be delivered.
    """

    target_node: Name
    target_client: Name
    msg: Any = ""
    wait_s: Number = 2
    ttl_s: Lifetime = 60


class SendAnswer(msgspec.Struct, frozen=True, omit_defaults=True):
    """state: `delivered`, `written`, `expired`, `no_route`, `pending`. For several clients so many of them have it."""

    status: str
    source_client: str
    target_node: str
    target_client: str
    message: Any
    message_id: str = ""
    state: str | None = None
    delivered: int | None = None
    written: int | None = None
    of: int | None = None


class ReceiveParameters(msgspec.Struct, frozen=True):
    """No parameters: the client is named in the path."""


class CallResult(msgspec.Struct, frozen=True):
    """result: what the function returned; a failure has the status of its code."""

    result: Any


ANSWERS: dict[str, type[msgspec.Struct]] = {"rpc.call": CallResult}
"""Below `/majula/v1`: by operation, where HTTP says by its status what the operation's answer has a field for."""


class InnerPath(msgspec.Struct, frozen=True):
    """One path of the inner circle. answer: None: an event stream."""

    parameters: type[msgspec.Struct]
    answer: type[msgspec.Struct] | None
    errors: tuple[type[MajulaError], ...] = ()


INNER_PATHS: dict[str, InnerPath] = {
    "topics.publish": InnerPath(PubParameters, PubAnswer),
    "topics.subscribe": InnerPath(SubParameters, None),
    "rpc.call": InnerPath(RpcParameters, RpcAnswer),
    "rpc.services": InnerPath(ListRpcParameters, ListRpcAnswer),
    "messages.send": InnerPath(SendParameters, SendAnswer, (NoSuchNode, Overloaded)),
    "messages.receive": InnerPath(ReceiveParameters, None),
}
"""By operation."""
