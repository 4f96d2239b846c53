"""`Asking`: operations that a client asks of its node by name, REQUEST and REPLY."""

from __future__ import annotations

from typing import Any

import msgspec

from majula.api.sdk import events
from majula.api.sdk.attachment import Attachment
from majula.api.sdk.calls import check_timeout
from majula.errors import InvalidRequest, ProtocolError
from majula.operations import Operation
from majula.wire.headers import JSON, Request

ASK_S = 10.0
"""A role that was killed is back within 4 s, and a gateway gives up after ten."""


class Asking(Attachment):
    """What the verbs that ask the node something are made of."""

    async def ask(self, operation: Operation, request: msgspec.Struct, *, timeout_s: float = ASK_S) -> Any:
        """Ask for any declared operation; the methods that ask the node something are this with their own words.

        Args:
            operation: from `majula.<room>.operations`; one that travels as a REQUEST.
            request: of the operation's `request` type.
            timeout_s: seconds until it is given up; whether it was carried out is then unknown.
        Returns:
            The operation's `answer` type, None where it has none.
        Raises:
            ConnectionLost: there is no connection, or it broke.
            DeadlineExceeded: no answer in `timeout_s`.
            Unavailable: the part of the node that answers is away just now.
            PermissionDenied: the token does not grant it; `scope` names what is missing.
            MajulaError: any other refusal of the node.
        """
        deadline = self._running_loop().time() + check_timeout(timeout_s)
        try:
            body = msgspec.msgpack.encode(request)
        except (TypeError, OverflowError, ValueError, RecursionError) as error:
            raise InvalidRequest(f"{operation.name}: this cannot be sent: {error}") from None
        reply = await self._settled(lambda ticket: events.Ask(Request(0, operation.name), ticket, deadline, body))
        if operation.answer is None:
            return None
        try:
            if reply.encoding == JSON:
                return msgspec.json.decode(reply.body, type=operation.answer, strict=False)
            return msgspec.msgpack.decode(reply.body, type=operation.answer, strict=False)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise ProtocolError(f"the answer to {operation.name} cannot be read: {error}") from None
