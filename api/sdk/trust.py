"""What a gateway has to prove before this client says anything to it, and the token that the client says."""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Mapping
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct

from majula.api.sdk.address import Address
from majula.errors import InvalidRequest, Unauthorized

if TYPE_CHECKING:
    import ssl  # loaded where it is used: a client on a Unix socket needs none of it

TOKEN_ENVIRONMENT = "MAJULA_TOKEN"  # noqa: S105  # the variable's name
_TOKEN_FILE_BYTES = 4_096
_PIN_DIGITS = 64


class Distrusted(Unauthorized):
    """Who answers is not whom this client may believe. Fatal at first; later it may be a certificate that is renewed too late."""


class UnknownCertificate(Distrusted):
    """No authority that this client trusts has signed the gateway's certificate, or not for this name and time."""


class Trust(Struct, frozen=True):
    """Whom this client believes to be its gateway.

    ca_file: PEM file of the authorities that may have signed a gateway's certificate; empty: the system's.
    pin: SHA-256 of the gateway's certificate in hexadecimal, colons allowed: exactly that one is accepted, whoever signed it,
        whatever its name and dates.
    server_name: the name that the certificate has to carry; empty: the host of the address.
    node_user: name or number of a user, besides this one and root, whose process may answer at a `unix:` address.
    plaintext: send the token without TLS also beyond this machine.
    """

    ca_file: str = ""
    pin: str = ""
    server_name: str = ""
    node_user: str | int = ""
    plaintext: bool = False

    def digest(self) -> bytes:
        """The pin's bytes, none where there is no pin.

        Raises:
            InvalidRequest: it is no SHA-256.
        """
        digits = self.pin.replace(":", "").lower()
        if not digits:
            return b""
        try:
            if len(digits) == _PIN_DIGITS:
                return bytes.fromhex(digits)
        except ValueError:
            pass  # said below
        raise InvalidRequest("a pin is the SHA-256 of a certificate, 64 hexadecimal digits")


class Hidden:
    """A secret that shows itself to who asks for it, and not to who prints what holds it."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """The secret."""
        return self._value

    def __repr__(self) -> str:
        return "Hidden(***)" if self._value else "Hidden()"


def read_token(given: str | None, environment: Mapping[str, str]) -> str:
    """The token to use: as it stands, or from where `env:NAME` or `file:PATH` says; None: what MAJULA_TOKEN
    says, in the same forms; empty: none.

    Raises:
        InvalidRequest: the variable or file is not there, or holds what is no token. The text never shows it.
    """
    named = TOKEN_ENVIRONMENT if given is None else "the argument"
    if given is None:
        given = environment.get(TOKEN_ENVIRONMENT, "")
    if given.startswith("env:"):
        where = given.removeprefix("env:")
        if where not in environment:
            raise InvalidRequest(f"the token is to come from the environment variable {where}, which is not set")
        text = environment[where]
    elif given.startswith("file:"):
        where = given.removeprefix("file:")
        try:
            with Path(where).expanduser().open("rb") as file:
                text = file.read(_TOKEN_FILE_BYTES).decode("ascii", "replace")
        except OSError as error:
            raise InvalidRequest(f"the token is to come from the file {where}: {error.strerror or error}") from None
        if not text.strip():
            raise InvalidRequest(f"the token is to come from the file {where}, which is empty")
    else:
        text, where = given, named
    token = text.strip()
    # It becomes part of an HTTP header and of a frame: what is not visible ASCII has no place in either.
    if not (token.isascii() and all(33 <= ord(character) <= 126 for character in token)):
        raise InvalidRequest(f"what {where} holds is no token: a token is one word of visible ASCII")
    return token


def check_wire(address: Address, token: str, trust: Trust) -> None:
    """Refuse what would show the token to everybody on the way.

    Raises:
        InvalidRequest: a token, no TLS, and another machine.
    """
    if not token or trust.plaintext or address.is_encrypted or address.kind == "unix" or _is_loopback(address.host):
        return
    encrypted = {"tcp": "majulas", "websocket": "wss", "http": "https"}[address.kind]
    raise InvalidRequest(
        f"{address.text} would carry the token in clear text to another machine: use {encrypted}://, "
        "or Trust(plaintext=True) where the network itself is protected"
    )


def tls_context(trust: Trust) -> ssl.SSLContext:
    """For the client's side of a TLS connection; with a pin the certificate is compared by `check_certificate` instead.

    Raises:
        InvalidRequest: `ca_file` cannot be read, or the pin is none.
    """
    import ssl  # noqa: PLC0415  # as above

    try:
        context = ssl.create_default_context(cafile=trust.ca_file or None)
    except (OSError, ssl.SSLError) as error:
        raise InvalidRequest(f"the authorities in {trust.ca_file} cannot be read: {error}") from None
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if trust.digest():
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def check_certificate(connection: ssl.SSLObject | None, trust: Trust) -> None:
    """Compare the gateway's certificate with the pin, where there is one.

    Raises:
        Distrusted: it is another.
    """
    wanted = trust.digest()
    if not wanted:
        return
    import hashlib  # noqa: PLC0415  # as above
    import hmac  # noqa: PLC0415

    certificate = connection.getpeercert(binary_form=True) if connection is not None else None
    found = hashlib.sha256(certificate or b"").digest()
    if not hmac.compare_digest(found, wanted):
        raise Distrusted(f"the gateway's certificate is not the pinned one; its SHA-256 is {found.hex()}")


def check_peer(endpoint: socket.socket, path: str, trust: Trust) -> None:
    """Whose process is at the other end of a Unix socket? Anybody may listen in a directory such as `/tmp`.

    Raises:
        Distrusted: not this user's, root's or `node_user`'s.
    """
    getuid = getattr(os, "getuid", None)
    if getuid is None:
        return
    peer_credentials = getattr(socket, "SO_PEERCRED", None)
    if peer_credentials is not None:
        _, uid, _ = struct.unpack("iII", endpoint.getsockopt(socket.SOL_SOCKET, peer_credentials, struct.calcsize("iII")))
    else:
        uid = Path(path).stat().st_uid
    if uid not in {0, getuid(), _number_of(trust.node_user)}:
        raise Distrusted(
            f"who answers at {path} is user {uid}, not you: if that is the node's user, say so with Trust(node_user={uid})"
        )


def _number_of(user: str | int) -> int:
    if isinstance(user, int):
        return user
    if not user:
        return 0
    if user.isdecimal():
        return int(user)
    import pwd  # noqa: PLC0415  # not on every system

    try:
        return pwd.getpwnam(user).pw_uid
    except KeyError:
        raise InvalidRequest(f"there is no user {user} on this machine") from None


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
