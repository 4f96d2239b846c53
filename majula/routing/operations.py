"""What clients can ask about nodes and the clients on them."""

from __future__ import annotations

import msgspec

from majula.operations import ClientName, ListLimit, ListOffset, Operation
from majula.wire import headers


class ClientsRequest(msgspec.Struct, frozen=True):
    """Empty fields match everything. Lists stop at `limit`, at most 1,024; `offset` goes on."""

    client: ClientName = ""
    node: ClientName = ""
    offset: ListOffset = 0
    limit: ListLimit = 1_024


class ClientLine(msgspec.Struct, frozen=True):
    """One connected client. The figures are a second old at most.

    surface: `native`, `websocket`, `seed`, `http`. token: id of its token, empty without. since: RFC 3339.
    is_slow: it reads more slowly than it is sent to.
    """

    client: str
    node: str
    gateway: str
    surface: str
    agent: str = ""
    token: str = ""
    since: str = ""
    subscriptions: int = 0
    functions: int = 0
    received_messages: int = 0
    sent_messages: int = 0
    received_per_s: float = 0.0
    sent_per_s: float = 0.0
    waiting_bytes: int = 0
    dropped_messages: int = 0
    is_slow: bool = False


class ClientsAnswer(msgspec.Struct, frozen=True):
    """Ordered by client id; `of` is how many there are."""

    clients: tuple[ClientLine, ...]
    of: int


class DisconnectRequest(msgspec.Struct, frozen=True):
    """client: whose session is ended. It may connect again; revoke its token to keep it out."""

    client: ClientName


class NodesRequest(msgspec.Struct, frozen=True):
    """No parameters."""


class NodeLine(msgspec.Struct, frozen=True):
    """One node of the mesh."""

    node: str
    is_self: bool
    version: str
    clients: int
    gateways: tuple[str, ...] = ()


class NodesAnswer(msgspec.Struct, frozen=True):
    nodes: tuple[NodeLine, ...]


CLIENTS = Operation(
    name="clients.list",
    summary="List the connected clients with their queues, rates and slowness.",
    request=ClientsRequest,
    answer=ClientsAnswer,
    scope="observe",
    scope_field="=clients",
    idempotent=True,
    path="/clients",
    method="GET",
    frame=headers.Request,
    sdk="clients",
    cli="clients",
    role="telemetry",
)

DISCONNECT = Operation(
    name="clients.disconnect",
    summary="End the session of a client.",
    request=DisconnectRequest,
    answer=None,
    scope="admin",
    scope_field="=clients",
    idempotent=True,
    path="/clients/{client}",
    method="DELETE",
    frame=headers.Request,
    sdk="disconnect",
    cli="clients disconnect",
    role="router",
)

NODES = Operation(
    name="nodes.list",
    summary="List the nodes of the mesh.",
    request=NodesRequest,
    answer=NodesAnswer,
    scope="observe",
    scope_field="=nodes",
    idempotent=True,
    path="/nodes",
    method="GET",
    frame=headers.Request,
    sdk="nodes",
    role="telemetry",
)

OPERATIONS = (CLIENTS, DISCONNECT, NODES)
