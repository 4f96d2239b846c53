"""What clients can ask of private messages."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

from majula.errors import NoSuchNode, Overloaded
from majula.operations import ClientName, FunctionName, Operation
from majula.wire import headers

Lifetime = Annotated[float, msgspec.Meta(gt=0, le=3_600)]
"""Seconds in which a message may be delivered."""

Patience = Annotated[float, msgspec.Meta(ge=0, le=60)]
"""Seconds that an answer may wait for a verdict."""


class SendRequest(msgspec.Struct, frozen=True):
    """client: id of the receiver. node: its node, empty: this one. message: any value.

    ttl_s: seconds in which it may be delivered, at most 3,600. wait_s: how long the answer may wait for a verdict.
    """

    client: FunctionName
    message: Any = None
    node: ClientName = ""
    ttl_s: Lifetime = 60.0
    wait_s: Patience = 2.0
    headers: dict[str, str] | None = None


class SendAnswer(msgspec.Struct, frozen=True):
    """state: `delivered` (the receiver's SDK has it), `written` (to the socket of a receiver that does not acknowledge),
    `expired`, `no_route` (nobody has that id), or `pending` after `wait_s`."""

    message_id: str
    state: str


class BroadcastRequest(msgspec.Struct, frozen=True):
    """To every client of `node`; empty: of all nodes. The sender itself is left out."""

    message: Any = None
    node: ClientName = ""
    ttl_s: Lifetime = 60.0
    wait_s: Patience = 2.0
    headers: dict[str, str] | None = None


class BroadcastAnswer(msgspec.Struct, frozen=True):
    """Of `of` clients so many have it (`delivered`), or had it written to their sockets (`written`), within `wait_s`."""

    message_id: str
    delivered: int
    written: int
    of: int


class ReceiveRequest(msgspec.Struct, frozen=True):
    """client: whose messages are read."""

    client: str = ""


SEND = Operation(
    name="messages.send",
    summary="Send a private message to one client: in order, once, and with a verdict.",
    request=SendRequest,
    answer=SendAnswer,
    scope="send",
    scope_field="client",
    idempotent=False,
    inner_path="/send",
    path="/messages",
    errors=(NoSuchNode, Overloaded),
    websocket="SEND",
    frame=headers.Send,
    sdk="send",
    cli="send",
)

BROADCAST = Operation(
    name="messages.broadcast",
    summary="Send a private message to every client of a node, or of all nodes.",
    request=BroadcastRequest,
    answer=BroadcastAnswer,
    scope="send",
    scope_field="=*",
    idempotent=False,
    path="/broadcast",
    errors=(NoSuchNode, Overloaded),
    websocket="BROADCAST",
    frame=headers.Request,
    sdk="broadcast",
    cli="send --all",
)

RECEIVE = Operation(
    name="messages.receive",
    summary="Receive the private messages of a client as an event stream.",
    request=ReceiveRequest,
    answer=None,
    scope="observe",
    scope_field="=messages.{client}",
    idempotent=True,
    inner_path="/h",
    path="/clients/{client}/messages",
    method="GET",
    streams=True,
)

OPERATIONS = (SEND, BROADCAST, RECEIVE)
