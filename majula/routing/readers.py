"""Event streams that read the private messages of a client id, beside whoever has it: at which gateways there are some.

Two tables by client id: `reading`, one slice a gateway (its value is empty), and `readers`, made of them by the router: the
gateways, in the order of their names.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import msgspec

from majula.messages.base import Role
from majula.tables.gathering import Changes

READING = "reading"
READERS = "readers"

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(tuple[Role, ...]).decode


class ReaderMerge:
    """Slices `reading` of all gateways -> table `readers` (a `tables.Merge`)."""

    def __init__(self) -> None:
        self._gateways: dict[str, set[Role]] = {}

    def apply(self, owner: Role, entries: Mapping[str, bytes], removed: Iterable[str]) -> Changes:
        changes: Changes = {}
        for client_id in entries:
            self._gateways.setdefault(client_id, set()).add(owner)
            changes[client_id] = self._value(client_id)
        for client_id in removed:
            changes |= self._drop(client_id, owner)
        return changes

    def owner_lost(self, owner: Role) -> Changes:
        changes: Changes = {}
        for client_id in [client_id for client_id, gateways in self._gateways.items() if owner in gateways]:
            changes |= self._drop(client_id, owner)
        return changes

    def _drop(self, client_id: str, owner: Role) -> Changes:
        gateways = self._gateways.get(client_id)
        if gateways is None or owner not in gateways:
            return {}
        gateways.remove(owner)
        if not gateways:
            del self._gateways[client_id]
            return {client_id: None}
        return {client_id: self._value(client_id)}

    def _value(self, client_id: str) -> bytes:
        return _encode(tuple(sorted(self._gateways[client_id])))


class Readers:
    """A gateway's copy of the table `readers`."""

    def __init__(self) -> None:
        self._gateways: dict[str, tuple[Role, ...]] = {}

    def apply(self, entries: Mapping[str, bytes], removed: Iterable[str]) -> None:
        """The table has changed."""
        for client_id in removed:
            self._gateways.pop(client_id, None)
        for client_id, value in entries.items():
            self._gateways[client_id] = _decode(value)

    def of(self, client_id: str) -> Sequence[Role]:
        """The gateways with streams that read for this id."""
        return self._gateways.get(client_id, ())

    def ids(self) -> Iterable[str]:
        """Every id that is read."""
        return self._gateways
