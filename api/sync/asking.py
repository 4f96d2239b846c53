"""`Asking` of the synchronous client."""

# Written by `python api/sync/generate.py` from majula/api/sdk/asking.py: change that one.

from __future__ import annotations

from typing import Any

import msgspec

from majula.api.sdk.asking import ASK_S
from majula.api.sync.attached import Attached
from majula.operations import Operation


class Asking(Attached):
    """What the verbs that ask the node something are made of."""

    def ask(self, operation: Operation, request: msgspec.Struct, *, timeout_s: float = ASK_S) -> Any:
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
        return self._thread.wait(self._async.ask(operation, request, timeout_s=timeout_s))
