"""Who provides what: from the registrations of one gateway's sessions to all services of the node.

Two tables, both with one entry a function and provider (`service_key`): `registrations`, one slice a gateway, and `services`,
made of all slices by the RPC broker. `Services` is a gateway's view: its own registrations, which hold at once and need no
broker, beside the others' from the table.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import msgspec

from majula.errors import InvalidRequest
from majula.messages.base import Role
from majula.tables.gathering import Changes
from majula.wire.headers import Parameter

REGISTRATIONS = "registrations"
SERVICES = "services"

NAME_BYTES = 128

# A function's description as a value of the table: parameters, results and note together. It is sent to every gateway and every
# listing, so it is a description and no document.
DESCRIPTION_BYTES = 16 * 1024


class Service(msgspec.Struct, frozen=True, array_like=True):
    """One function of one provider; value of both tables.

    Args:
        function: its name, any UTF-8 without control characters, 1-128 bytes.
        provider: client id, or `init` for a node's own.
        gateway: role of the gateway that the provider is attached to.
        order: counts registrations of one gateway; listings are in this order.
        parameters, results, note: for people and generators.
        idempotent: a call may be tried on another provider when this one is lost.
    """

    function: str
    provider: str
    gateway: Role
    order: int
    parameters: tuple[Parameter, ...] = ()
    results: tuple[Parameter, ...] = ()
    note: str = ""
    idempotent: bool = False


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Service).decode


def check_name(name: str, *, what: str = "function") -> str:
    """`name` if it can be a function's or client's: any UTF-8 without control characters, 1 to 128 bytes.

    Raises:
        InvalidRequest: it cannot.
    """
    # isprintable refuses spaces of other scripts too; the exact look decides about those.
    if name.isascii() and name.isprintable() and 0 < len(name) <= NAME_BYTES:
        return name
    try:
        size = len(name.encode())
    except UnicodeEncodeError:
        raise InvalidRequest(f"the {what}'s name is not UTF-8 text") from None
    if not 0 < size <= NAME_BYTES:
        raise InvalidRequest(f"the {what}'s name has 1 to {NAME_BYTES} bytes", limit_bytes=NAME_BYTES)
    for character in name:
        code = ord(character)
        if code < 0x20 or 0x7F <= code <= 0x9F or code in (0x2028, 0x2029):
            raise InvalidRequest(f"the {what}'s name has no control characters")
    return name


def service_key(function: str, provider: str) -> str:
    """The key in both tables. Names have no control characters, so the line feed separates them for certain."""
    return f"{function}\n{provider}"


class ServiceMerge:
    """Slices `registrations` of all gateways -> table `services` (a `tables.Merge`).

    A provider is attached to one gateway. While it moves, two slices may have its functions for a moment: the one that spoke last
    stands, and when that ends, the other."""

    def __init__(self) -> None:
        self._services: dict[str, dict[Role, bytes]] = {}
        self.unreadable = 0
        """Entries that could not be decoded; they count as not there."""

    def apply(self, owner: Role, entries: Mapping[str, bytes], removed: Iterable[str]) -> Changes:
        changes: Changes = {}
        for key, value in entries.items():
            if not _is_service(value, key):
                # Another version of a gateway, or a bug there: it must not end those who will decode it.
                self.unreadable += 1
                removed = (*removed, key)
                continue
            owners = self._services.setdefault(key, {})
            owners.pop(owner, None)
            owners[owner] = value
            changes[key] = value
        for key in removed:
            if self._drop(key, owner):
                changes[key] = self._value(key)
        return changes

    def owner_lost(self, owner: Role) -> Changes:
        keys = [key for key, owners in self._services.items() if owner in owners]
        return {key: self._value(key) for key in keys if self._drop(key, owner)}

    def _drop(self, key: str, owner: Role) -> bool:
        owners = self._services.get(key)
        if owners is None or owners.pop(owner, None) is None:
            return False
        if not owners:
            del self._services[key]
        return True

    def _value(self, key: str) -> bytes | None:
        owners = self._services.get(key)
        return next(reversed(owners.values())) if owners else None


class Services:
    """A gateway's own registrations and the other gateways' services.

    Args:
        role: of this gateway; what `services` says of it is ignored, the own registrations are newer.
    """

    def __init__(self, role: Role) -> None:
        self._role = role
        self._order = 0
        self._count = 0  # counted along: `status` asks twice a second
        self._functions: dict[str, dict[str, Service]] = {}
        self._remote: dict[str, Service] = {}  # what the table says of other gateways; an own registration hides it
        self.version = 0
        """Grows with each change."""

    def register(
        self,
        function: str,
        provider: str,
        *,
        parameters: tuple[Parameter, ...] = (),
        results: tuple[Parameter, ...] = (),
        note: str = "",
        idempotent: bool = False,
    ) -> tuple[str, bytes]:
        """A provider of this gateway offers a function; again replaces it and keeps its place in listings.

        Returns:
            The entry of this gateway's slice.
        Raises:
            InvalidRequest: bad name, or a description over 16 KiB.
        """
        check_name(function)
        old = self._functions.get(function, {}).get(provider)
        order = self._order
        if old is not None and old.gateway == self._role:
            order = old.order
        else:
            self._order += 1
        service = Service(function, provider, self._role, order, parameters, results, note, idempotent)
        value = _encode(service)
        if len(value) > DESCRIPTION_BYTES:
            raise InvalidRequest(f"a function's description has at most {DESCRIPTION_BYTES} bytes", limit_bytes=DESCRIPTION_BYTES)
        self._put(service)
        return service_key(function, provider), value

    def unregister(self, function: str, provider: str) -> str | None:
        """The offer ends. Returns the key to remove from this gateway's slice; None: it was not offered here."""
        service = self._functions.get(function, {}).get(provider)
        if service is None or service.gateway != self._role:
            return None
        self._drop(function, provider)
        key = service_key(function, provider)
        hidden = self._remote.get(key)
        if hidden is not None:
            self._put(hidden)
        return key

    def apply(self, entries: Mapping[str, bytes], removed: Iterable[str]) -> None:
        """The table `services` has changed."""
        for key in removed:
            self._forget(key)
        for key, value in entries.items():
            service = _decode(value)
            if service.gateway == self._role:
                self._forget(key)  # its provider is here, or has just left: either way we know better than the table
                continue
            self._remote[key] = service
            here = self._functions.get(service.function, _NOBODY).get(service.provider)
            if here is None or here.gateway != self._role:
                self._put(service)

    def providers(self, function: str) -> Mapping[str, Service]:
        """Provider -> service, for one function; empty: nobody offers it. The mapping stays the same object until the function's
        last provider goes, and changes with the table."""
        return self._functions.get(function, _NOBODY)

    def get(self, function: str, provider: str) -> Service | None:
        return self._functions.get(function, _NOBODY).get(provider)

    def list(self, provider: str = "") -> Iterator[Service]:
        """All services, or one provider's, by gateway and in the order of registration."""
        found = [
            service
            for providers in self._functions.values()
            for service in providers.values()
            if not provider or service.provider == provider
        ]
        found.sort(key=lambda service: (service.gateway, service.order))
        return iter(found)

    def __len__(self) -> int:
        return self._count

    def _forget(self, key: str) -> None:
        service = self._remote.pop(key, None)
        if service is not None and self._functions.get(service.function, _NOBODY).get(service.provider) is service:
            self._drop(service.function, service.provider)

    def _put(self, service: Service) -> None:
        self.version += 1
        providers = self._functions.setdefault(service.function, {})
        self._count += service.provider not in providers
        providers[service.provider] = service

    def _drop(self, function: str, provider: str) -> None:
        self.version += 1
        providers = self._functions[function]
        del providers[provider]
        self._count -= 1
        if not providers:
            del self._functions[function]


def _is_service(value: bytes, key: str) -> bool:
    try:
        service = _decode(value)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    return service_key(service.function, service.provider) == key


_NOBODY: Mapping[str, Service] = {}
