"""One HTTP request as a short session of the gateway: attached, asked, ended."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec
from aiohttp import web

from majula.errors import InvalidRequest, Unavailable, from_code
from majula.gateway.accounts import Identity
from majula.gateway.edge import EdgeContext
from majula.gateway.exchange import Exchange
from majula.gateway.permissions import check_operation
from majula.gateway.session import Connection, Session
from majula.operations import NO_CONTROL, Operation
from majula.wire.headers import AnyHeader, Call, Error, Publish, Request

_MAX_NAME_BYTES = 128
_NAME = re.compile(f"{NO_CONTROL}*")

ANSWER_S = 10.0
"""A retained value is confirmed by the topic manager, which may be away; a request must not wait for ever."""


def checked_name(name: str, what: str) -> str:
    """A client id, function or node as it came; empty is allowed, as it names nobody.

    Raises:
        InvalidRequest: longer than 128 bytes, or with control characters.
    """
    if len(name.encode("utf-8", "surrogatepass")) > _MAX_NAME_BYTES or not _NAME.fullmatch(name):
        raise InvalidRequest(f"{what} is at most {_MAX_NAME_BYTES} bytes of UTF-8 without control characters")
    return name


def label_of(request: web.Request) -> str:
    """The client id in a path. It is a label only: plain HTTP claims nothing.

    Raises:
        InvalidRequest: it is no name.
    """
    return checked_name(request.match_info.get("client", ""), "a client id")


IDENTITY: web.RequestKey[Identity] = web.RequestKey("identity", Identity)
"""Of each request but those that anybody may make: set before its route serves it."""


def identity_of(http: web.BaseRequest) -> Identity | None:
    """On whose behalf a request was sent; None: it was not asked."""
    return http.get(IDENTITY)


def who_of(context: EdgeContext, http: web.BaseRequest) -> str:
    """As `Session.who` of a session that this request would open.

    Raises:
        Unauthorized: somebody has to say who he is, and was not asked.
    """
    return (identity_of(http) or context.switch.accounts.anybody()).who


def permit(http: web.BaseRequest, operation: Operation, request: msgspec.Struct) -> None:
    """Ask for the scope of an operation before anything is begun for it.

    Raises:
        PermissionDenied: `scope` names what is missing.
    """
    identity = identity_of(http)
    if identity is not None and not identity.grants.is_all and operation.scope:
        is_pattern = bool(getattr(request, "pattern", False))
        check_operation(identity.grants, operation.scope, operation.scope_object(request), pattern=is_pattern)


def attach_for(
    context: EdgeContext, http: web.BaseRequest, connection: Connection, *, surface: str = "http", label: str = ""
) -> Session:
    """A session that claims nothing, on behalf of whoever sent this request.

    Raises:
        InvalidRequest, LimitReached, Draining, Overloaded: as `EdgeContext.attach`.
    """
    return context.attach(connection, surface=surface, label=label, identity=identity_of(http))


async def admit_for(
    context: EdgeContext, http: web.BaseRequest, connection: Connection, *, client_id: str = "", secret: str = ""
) -> Session:
    """A session that owns its client id, on behalf of whoever sent this request.

    Raises:
        Conflict, InvalidRequest, Draining, Overloaded: as `EdgeContext.admit`.
    """
    agent = http.headers.get("User-Agent", "")[:128]
    return await context.admit(
        connection, surface="http", client_id=client_id, secret=secret, agent=agent, identity=identity_of(http)
    )


class Asker:
    """Asks the gateway on behalf of one HTTP request."""

    def __init__(self, context: EdgeContext, exchange: Exchange) -> None:
        self._context = context
        self._exchange = exchange

    @property
    def client_id(self) -> str:
        """The label, or the name that the gateway made."""
        return self._exchange.session.client_id

    async def ask(self, header: Publish | Call | Request, body: bytes, *, answer_s: float = ANSWER_S) -> tuple[AnyHeader, bytes]:
        """The answer: ACK, REPLY or RESULT. A call has a deadline of its own; everything else is given `answer_s` seconds.

        Raises:
            Unavailable: no answer in that time; the request may have been carried out.
            MajulaError: the gateway refused, with the code that it gave.
        """
        answer: asyncio.Future[tuple[AnyHeader, bytes]] = self._context.loop.create_future()

        def on_answer(header: AnyHeader, body: bytes) -> None:
            if not answer.done():
                answer.set_result((header, body))

        self._exchange.ask(header, body, self._context.loop.time(), on_answer)
        self._context.wake()
        try:
            async with asyncio.timeout(None if isinstance(header, Call) else answer_s):
                answered, content = await answer
        except TimeoutError:
            reason = f"the node did not confirm this within {answer_s:g} s; it may have been carried out"
            raise Unavailable(reason, retry_after_s=1.0) from None
        if isinstance(answered, Error):
            raise from_code(answered.code, answered.message, answered.detail)
        return answered, content


@asynccontextmanager
async def attached(context: EdgeContext, http: web.Request, label: str = "") -> AsyncIterator[Asker]:
    """A session for the length of a request. Leaving it ends the session: an open call is cancelled at its provider.

    Args:
        http: the request that it serves.
        label: stands where a client id would; empty: the gateway makes one.

    Raises:
        Draining, Overloaded: the gateway takes no more clients.
        LimitReached: who asks has sent more than he may.
    """
    exchange = Exchange(context.switch)
    exchange.open(attach_for(context, http, exchange, label=label))
    try:
        yield Asker(context, exchange)
    finally:
        context.switch.end(exchange.session, context.loop.time())
        context.wake()
