"""What the paths of the inner circle take and answer, for the API document.

They are wider than the operations behind them: every path takes GET and POST, parameters come by query, form or JSON, and text is
taken where a number or an object is meant, because that is what programs send that were written for the system before this one.
"""

from __future__ import annotations

from typing import Any

import msgspec

Text = str | int | float | bool
"""Numbers and truth values are taken for the text that they are written as."""


class PubParameters(msgspec.Struct, frozen=True):
    """topic: literal. msg: text or any JSON; text that is a JSON object is delivered as that object. args: JSON in its place."""

    topic: Text
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

    topic: Text


class RpcParameters(msgspec.Struct, frozen=True):
    """fun: the function. target_node, provider: who is to answer; given empty, the gateway chooses.

    args: the arguments as an object or its JSON text; without it all other parameters are the arguments.
    """

    fun: Text
    target_node: Text
    provider: Text
    args: dict[str, Any] | str | None = None


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

    target_node: Text
    provider: Text


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

    wait_s: how long the answer may wait for a verdict.
    """

    target_node: Text
    target_client: Text
    msg: Any = ""
    wait_s: Text = 2


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


class InnerPath(msgspec.Struct, frozen=True):
    """One path of the inner circle. answer: None: an event stream."""

    parameters: type[msgspec.Struct]
    answer: type[msgspec.Struct] | None


INNER_PATHS: dict[str, InnerPath] = {
    "topics.publish": InnerPath(PubParameters, PubAnswer),
    "topics.subscribe": InnerPath(SubParameters, None),
    "rpc.call": InnerPath(RpcParameters, RpcAnswer),
    "rpc.services": InnerPath(ListRpcParameters, ListRpcAnswer),
    "messages.send": InnerPath(SendParameters, SendAnswer),
    "messages.receive": InnerPath(ReceiveParameters, None),
}
"""By operation."""
