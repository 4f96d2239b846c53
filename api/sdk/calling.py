"""`Calling`: what a client does with functions, its own and those of others."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from math import inf
from typing import Any, TypeVar, overload

from majula.api.sdk import events
from majula.api.sdk.attachment import REQUEST_S, Attachment
from majula.api.sdk.calls import Call, check_name, check_timeout
from majula.api.sdk.functions import Function, describe
from majula.api.sdk.retry import Retry
from majula.api.sdk.session import Phase, wish_key
from majula.api.sdk.shape import Shape
from majula.errors import InvalidRequest, MajulaError, RemoteError
from majula.wire import headers as wire

F = TypeVar("F", bound=Callable[..., Any])

_ONCE = Retry(attempts=1)


class Calling(Attachment):
    """Call, and offer functions."""

    async def call(
        self,
        function: str,
        arguments: object = None,
        *,
        timeout_s: float = 10.0,
        provider: str = "",
        node: str = "",
        idempotent: bool = False,
        headers: dict[str, str] | None = None,
        type: Any = None,
        retry: Retry | None = None,
    ) -> Any:
        """Call a function and return its one answer. The deadline travels with the call: whoever holds it when it passes drops
        it. Cancelling the task sends CANCEL on; the handler may have run by then.

        Args:
            function: its registered name.
            arguments: a map is passed as keyword arguments, any other value as the one argument.
            timeout_s: seconds from now, more than 0, at most 3,600. Without a connection, the call waits for one within it.
            provider: client id of who is to answer, `init` for the node's own functions; empty: the gateway chooses.
            node: node id, empty: any.
            idempotent: another provider may be tried when one is lost.
            headers: strings for the application.
            type: what the result has to be; it is converted. None: whatever came.
            retry: how often an idempotent call is made again where it failed for a reason that passes; None: never.
        Raises:
            DeadlineExceeded: no answer in `timeout_s`; whether the handler ran is unknown.
            NoProvider: nobody offers `function`; known at once.
            InvalidRequest: the provider says that the arguments do not fit; the text names the place, as `$.order.price`.
            RemoteError: the handler raised, `type` and `message` are its own; or its result does not fit `type`.
            ProviderLost: the provider went away before it answered.
            ConnectionLost: the connection broke before the answer came; whether the handler ran is unknown.
            Overloaded: the provider, or this client's buffer, is full.
            LimitReached: too many calls are open.
        Promise: docs/promises.md, "RPC". Wire: docs/protocol.md, frames CALL, RESULT, CANCEL.
        """
        loop = self._running_loop()
        if type is not None or retry is not None:
            options: dict[str, Any] = {"provider": provider, "node": node, "idempotent": idempotent, "headers": headers}
            retry = retry or _ONCE
            return await self._call_again(function, arguments, timeout_s=timeout_s, type=type, retry=retry, options=options)
        if not self._is_open:
            self._check_not_closed()
        future: asyncio.Future[Any] = loop.create_future()
        number = self._caller.start(
            future,
            function,
            arguments,
            loop.time(),
            timeout_s=timeout_s,
            provider=provider,
            node=node,
            idempotent=idempotent,
            headers=headers,
        )
        try:
            return await future
        except asyncio.CancelledError:
            self._give_up(future, number)
            raise

    def start_call(
        self,
        function: str,
        arguments: object = None,
        *,
        timeout_s: float = 10.0,
        provider: str = "",
        node: str = "",
        idempotent: bool = False,
        headers: dict[str, str] | None = None,
    ) -> Call:
        """`call` that returns at once: a future to await, to pass to `asyncio.wait`, or to cancel."""
        loop = self._running_loop()
        self._check_not_closed()
        call = Call(self._give_up_call, loop=loop)
        call.number = self._caller.start(
            call,
            function,
            arguments,
            loop.time(),
            timeout_s=timeout_s,
            provider=provider,
            node=node,
            idempotent=idempotent,
            headers=headers,
        )
        return call

    @overload
    def rpc(self, function: F, /) -> F: ...

    @overload
    def rpc(self, /, *, name: str = "", note: str = "", idempotent: bool = False) -> Callable[[F], F]: ...

    def rpc(self, function: F | None = None, /, *, name: str = "", note: str = "", idempotent: bool = False) -> Any:
        """Decorator: offer a function, plain or async. Its signature becomes the metadata that `services` lists.

        It is in force when the gateway has read it: `await client.flush()`, or use `register`, which also tells a refusal.
        """

        def offer(callable_: F) -> F:
            described = describe(callable_, name=name, note=note, idempotent=idempotent)
            self._step(events.Want(self._offer(described), None, inf, again=True))
            return callable_

        return offer if function is None else offer(function)

    async def register(
        self,
        name: str,
        function: Callable[..., Any],
        *,
        note: str = "",
        idempotent: bool = False,
        sync: bool = False,
        timeout_s: float = REQUEST_S,
    ) -> None:
        """Offer a function; again with the same name replaces it. Returns when it can be called at this gateway.

        Args:
            name: 1-128 bytes without control characters.
            function: plain (must not block the loop) or async.
            note: one sentence for people; empty: the first line of its docstring.
            idempotent: running it twice does no harm.
            sync: return only when it can be called at every gateway of every reachable node.
            timeout_s: seconds until the attempt is given up.
        Raises:
            DeadlineExceeded: not in force in time; it is taken back.
            InvalidRequest, PermissionDenied, LimitReached, Unavailable: the gateway's refusal.
        """
        deadline = self._running_loop().time() + check_timeout(timeout_s)
        described = describe(function, name=name, note=note, idempotent=idempotent)
        template = self._offer(described, sync=sync)
        try:
            await self._settled(lambda ticket: events.Want(template, ticket, deadline, again=True))
        except BaseException:
            if self._provider.functions.get(described.name) is described:
                del self._provider.functions[described.name]
                self._step(events.Unwant(wish_key(template)))
            raise

    async def unregister(self, name: str, *, timeout_s: float = REQUEST_S) -> None:
        """Take a function back; nothing happens where it is not offered. Calls that run go on."""
        loop = self._running_loop()
        if self._provider.functions.pop(name, None) is not None:
            deadline = loop.time() + check_timeout(timeout_s)
            await self._settled(lambda ticket: events.Unwant(("function", name), ticket, deadline))

    async def _call_again(
        self, function: str, arguments: object, *, timeout_s: float, type: Any, retry: Retry, options: dict[str, Any]
    ) -> Any:
        """`call` with a type or with more than one attempt."""
        if retry.attempts > 1 and not options["idempotent"]:
            raise InvalidRequest("only an `idempotent` call is made again: another might be carried out twice")
        shape = None if type is None else Shape(type)
        loop = self._running_loop()
        deadline = loop.time() + check_timeout(timeout_s)
        attempt = 0
        while True:
            attempt += 1
            try:
                result = await self.call(function, arguments, timeout_s=max(deadline - loop.time(), 1e-3), **options)
                break
            except MajulaError as error:
                pause_s = retry.pause_s(attempt, error, self._random)
                if pause_s is None or loop.time() + pause_s >= deadline or self._core.phase is Phase.CLOSED:
                    raise
            await asyncio.sleep(pause_s)
        try:
            return result if shape is None else shape.convert(result)
        except InvalidRequest as error:
            raise RemoteError(f"{function}: {error}", type="ValidationError") from None

    def _offer(self, described: Function, *, sync: bool = False) -> wire.Register:
        check_name("function", described.name)
        self._provider.functions[described.name] = described
        return wire.Register(
            0, described.name, described.parameters, described.results, described.note, described.idempotent, sync
        )
