"""`Calling` of the synchronous client."""

# Written by `python api/sync/generate.py` from majula/api/sdk/calling.py: change that one.

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from majula.api.sdk.attachment import REQUEST_S
from majula.api.sdk.retry import Retry
from majula.api.sync.attached import Attached


class Calling(Attached):
    """Call, and offer functions."""

    def call(
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
        it. Ctrl-C sends CANCEL on; the handler may have run by then.

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
        return self._thread.wait(
            self._async.call(
                function,
                arguments,
                timeout_s=timeout_s,
                provider=provider,
                node=node,
                idempotent=idempotent,
                headers=headers,
                type=type,
                retry=retry,
            )
        )

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
    ) -> Future[Any]:
        """`call` that returns at once: a future, as those of `concurrent.futures`."""
        return self._thread.future(
            self._async.start_call,
            function,
            arguments,
            timeout_s=timeout_s,
            provider=provider,
            node=node,
            idempotent=idempotent,
            headers=headers,
        )

    def register(
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
            function: a plain function; it runs in a callback thread.
            note: one sentence for people; empty: the first line of its docstring.
            idempotent: running it twice does no harm.
            sync: return only when it can be called at every gateway of every reachable node.
            timeout_s: seconds until the attempt is given up.
        Raises:
            DeadlineExceeded: not in force in time; it is taken back.
            InvalidRequest, PermissionDenied, LimitReached, Unavailable: the gateway's refusal.
        """
        self._thread.wait(
            self._async.register(name, self._handed(function), note=note, idempotent=idempotent, sync=sync, timeout_s=timeout_s)
        )

    def unregister(self, name: str, *, timeout_s: float = REQUEST_S) -> None:
        """Take a function back; nothing happens where it is not offered. Calls that run go on."""
        self._thread.wait(self._async.unregister(name, timeout_s=timeout_s))
