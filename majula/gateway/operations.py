"""What clients that have nothing but HTTP can ask of a gateway: a session of their own, and calls whose answer comes later."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

from majula.errors import Conflict
from majula.operations import ClientName, Operation


class SessionOpenRequest(msgspec.Struct, frozen=True):
    """client: the id wanted, empty: the gateway makes one.

    idle_s: without a request or an open event stream for so long, it ends; at least 1, at most 600.
    flows: the client numbers and acknowledges private messages itself, as `args.flows` of REGISTER_CLIENT.
    """

    client: ClientName = ""
    idle_s: Annotated[float, msgspec.Meta(ge=1, le=600)] = 60.0
    flows: bool = False


class SessionOpenAnswer(msgspec.Struct, frozen=True):
    """session: names it in the paths. secret: to be sent with every request to it in the header `Majula-Session`, and takes the
    client id over."""

    session: str
    client: str
    node: str
    secret: str
    idle_s: float


class SessionRequest(msgspec.Struct, frozen=True):
    """session: its name."""

    session: str


class PackagesRequest(msgspec.Struct, frozen=True):
    """packages: as on the WebSocket (SUBSCRIBE, REGISTER_RPC, PUBLISH, RPC, RETURN_RESULT, SEND ...), each with an `id`."""

    session: str
    packages: Annotated[tuple[dict[str, Any], ...], msgspec.Meta(max_length=4_096)]


class PackagesAnswer(msgspec.Struct, frozen=True):
    """taken: so many were handed on. Their answers, and all else, come on the event stream."""

    taken: int


class CallLine(msgspec.Struct, frozen=True):
    """call: names it in the path. state: `open`, `done`, `failed`, `cancelled`."""

    call: str
    state: str
    result: Any = None
    error: dict[str, Any] | None = None


class FetchRequest(msgspec.Struct, frozen=True):
    """call: its name. wait_s: how long to wait for its end, at most 60."""

    call: str
    wait_s: Annotated[float, msgspec.Meta(ge=0, le=60)] = 0.0


class GiveUpRequest(msgspec.Struct, frozen=True):
    """call: its name."""

    call: str


OPEN = Operation(
    name="sessions.open",
    summary="Open a session over HTTP: with its event stream and its packages, a whole client.",
    request=SessionOpenRequest,
    answer=SessionOpenAnswer,
    scope="",
    scope_field="client",
    idempotent=False,
    path="/sessions",
    status=201,
    made="/sessions/{session}",
    errors=(Conflict,),
)

CLOSE = Operation(
    name="sessions.close",
    summary="End a session: its subscriptions, functions and open calls end.",
    request=SessionRequest,
    answer=None,
    scope="",
    scope_field="session",
    idempotent=True,
    path="/sessions/{session}",
    method="DELETE",
)

EVENTS = Operation(
    name="sessions.events",
    summary="Receive everything that a session gets as an event stream.",
    request=SessionRequest,
    answer=None,
    scope="",
    scope_field="session",
    idempotent=True,
    path="/sessions/{session}/events",
    method="GET",
    streams=True,
)

PACKAGES = Operation(
    name="sessions.packages",
    summary="Hand packages to a session, as a WebSocket client would.",
    request=PackagesRequest,
    answer=PackagesAnswer,
    scope="",
    scope_field="session",
    idempotent=False,
    path="/sessions/{session}/packages",
    status=202,
)

FETCH = Operation(
    name="calls.fetch",
    summary="Wait for, or look at, a call that was started.",
    request=FetchRequest,
    answer=CallLine,
    scope="",
    scope_field="call",
    idempotent=True,
    path="/calls/{call}",
    method="GET",
)

CANCEL = Operation(
    name="calls.cancel",
    summary="Give up a call that was started, and forget it; the provider is told.",
    request=GiveUpRequest,
    answer=CallLine,
    scope="",
    scope_field="call",
    idempotent=True,
    path="/calls/{call}",
    method="DELETE",
)

OPERATIONS = (OPEN, CLOSE, EVENTS, PACKAGES, FETCH, CANCEL)
