"""Which transport an address means, and what a failed attempt tells the session."""

from __future__ import annotations

from typing import Literal

from majula.api.sdk.address import Address
from majula.api.sdk.connection import Connection, Receiver
from majula.api.sdk.native import open_native
from majula.api.sdk.trust import Distrusted, Hidden, Trust, UnknownCertificate
from majula.errors import MajulaError


async def dial(
    address: Address, receiver: Receiver, *, trust: Trust, token: Hidden, encoding: Literal["msgpack", "json"]
) -> Connection:
    """Connect to a gateway.

    Raises:
        OSError, ConnectionLost: it cannot be reached, or does not answer as a gateway does.
        Unauthorized: the token is not accepted, or who answers is not whom `trust` names.
        InvalidRequest: this system, or `trust`, does not allow it.
    """
    # Loaded where they are used: both bring a whole HTTP library along.
    if address.kind == "websocket":
        from majula.api.sdk.websocket import open_websocket  # noqa: PLC0415

        return await open_websocket(address, receiver, trust, token=token.reveal(), encoding=encoding)
    if address.kind == "http":
        from majula.api.sdk.http import open_http  # noqa: PLC0415

        return await open_http(address, receiver, trust, token=token.reveal())
    return await open_native(address, receiver, trust)


def verdict(address: Address, error: OSError | MajulaError, *, was_connected: bool) -> MajulaError | None:
    """What the session is to know of an attempt that failed; None: only that it did."""
    if getattr(error, "verify_code", None):  # ssl.SSLCertVerificationError, without loading that module
        reason = getattr(error, "verify_message", "") or str(error)
        text = f"the certificate of {address.text} is not trusted: {reason}; see Trust.ca_file and Trust.pin"
        error = UnknownCertificate(text)
    if isinstance(error, OSError) or (isinstance(error, Distrusted) and was_connected):
        return None
    return error
