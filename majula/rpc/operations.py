"""What clients can ask of functions."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

from majula.errors import (
    Cancelled,
    DeadlineExceeded,
    NoProvider,
    NoSuchNode,
    Overloaded,
    ProviderLost,
    RemoteError,
)
from majula.gateway.operations import CallLine
from majula.operations import ClientName, FunctionName, Operation
from majula.wire import headers
from majula.wire.headers import Fault, Parameter


class RegisterRequest(msgspec.Struct, frozen=True):
    """function: its name. parameters, results, note: for people and generators. idempotent: running it twice does no harm.

    sync: answer when the function can be called at every gateway of every reachable node.
    """

    function: str
    parameters: tuple[Parameter, ...] = ()
    results: tuple[Parameter, ...] = ()
    note: str = ""
    idempotent: bool = False
    sync: bool = False


class RegisterAnswer(msgspec.Struct, frozen=True):
    """guarantee: `gateway` (callable at this gateway) or `everywhere`."""

    guarantee: str


class UnregisterRequest(msgspec.Struct, frozen=True):
    """function: the name that was registered by this session."""

    function: str


class CallRequest(msgspec.Struct, frozen=True):
    """function: its name. arguments: any value; most functions take an object. provider: a client id or `init` (the node's own);
    empty: the gateway chooses. node: where the provider is; empty: any. headers: handed on to the provider.

    timeout_ms: the deadline travels with the call. idempotent: another provider may be tried after a failure.
    wait: over HTTP alone: false answers at once with the call's name, its result is fetched by `calls.fetch`.
    """

    function: FunctionName
    arguments: Any = None
    provider: ClientName = ""
    node: ClientName = ""
    timeout_ms: Annotated[int, msgspec.Meta(ge=1, le=3_600_000)] = 10_000
    idempotent: bool = False
    headers: dict[str, str] | None = None
    wait: bool = True


class CallAnswer(msgspec.Struct, frozen=True):
    """result, where fault is None; exactly one answer or one fault before the deadline."""

    result: Any = None
    fault: Fault | None = None


class ResultRequest(msgspec.Struct, frozen=True):
    """What a provider answers to a call that it received."""

    call: int
    result: Any = None
    fault: Fault | None = None


class CancelRequest(msgspec.Struct, frozen=True):
    """call: the number of an open call of this session."""

    call: int


class ServicesRequest(msgspec.Struct, frozen=True):
    """Empty fields match everything."""

    provider: ClientName = ""
    node: ClientName = ""
    function: ClientName = ""


class Service(msgspec.Struct, frozen=True):
    """One function of one provider."""

    name: str
    provider: str
    node: str
    note: str = ""
    parameters: tuple[Parameter, ...] = ()
    results: tuple[Parameter, ...] = ()
    idempotent: bool = False


class ServicesAnswer(msgspec.Struct, frozen=True):
    """The functions that can be called now, ordered by provider and name."""

    services: tuple[Service, ...]


REGISTER = Operation(
    name="rpc.register",
    summary="Offer a function; registering it again replaces it.",
    request=RegisterRequest,
    answer=RegisterAnswer,
    scope="register",
    scope_field="function",
    idempotent=True,
    websocket="REGISTER_RPC",
    frame=headers.Register,
    sdk="register",
)

UNREGISTER = Operation(
    name="rpc.unregister",
    summary="Take a function back.",
    request=UnregisterRequest,
    answer=None,
    scope="register",
    scope_field="function",
    idempotent=True,
    websocket="UNREGISTER_RPC",
    frame=headers.Unregister,
    sdk="unregister",
)

CALL = Operation(
    name="rpc.call",
    summary="Call a function and get its one answer or one clear error before the deadline.",
    request=CallRequest,
    answer=CallAnswer,
    scope="call",
    scope_field="function",
    idempotent=False,
    inner_path="/rpc",
    path="/calls",
    begun=CallLine,
    errors=(NoProvider, NoSuchNode, RemoteError, ProviderLost, DeadlineExceeded, Cancelled, Overloaded),
    websocket="RPC",
    frame=headers.Call,
    sdk="call",
    cli="call",
)

RESULT = Operation(
    name="rpc.result",
    summary="Answer a call that this client received as a provider.",
    request=ResultRequest,
    answer=None,
    scope="register",
    scope_field="call",
    idempotent=True,
    websocket="RETURN_RESULT",
    frame=headers.Result,
)

CANCEL = Operation(
    name="rpc.cancel",
    summary="Give up an open call; the provider is told.",
    request=CancelRequest,
    answer=None,
    scope="call",
    scope_field="call",
    idempotent=True,
    websocket="CANCEL",
    frame=headers.Cancel,
)

SERVICES = Operation(
    name="rpc.services",
    summary="List the functions that can be called, with their providers and what they take and return.",
    request=ServicesRequest,
    answer=ServicesAnswer,
    scope="observe",
    scope_field="provider",
    idempotent=True,
    inner_path="/list_rpc",
    path="/services",
    method="GET",
    frame=headers.Request,
    sdk="services",
    cli="services",
)

OPERATIONS = (REGISTER, UNREGISTER, CALL, RESULT, CANCEL, SERVICES)
