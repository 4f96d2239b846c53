"""What a token looks like: `mjl_` and 43 characters of base64url, 256 random bits.

Stored is its SHA-256 alone. A slow hash, as for passwords, would protect nothing here: nobody guesses 256 random bits, and the
gateway would spend 50 ms on each connection, which is an attack of its own.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from typing import Generic, TypeVar

from majula.auth.secret import Secret

T = TypeVar("T")

PREFIX = "mjl_"
SECRET_BYTES = 32
TOKEN_CHARACTERS = 47

_START = 16
_SHAPE = re.compile(r"mjl_[A-Za-z0-9_-]{43}")
_ID_LETTERS = "abcdefghjkmnpqrstuvwxyz23456789"  # without i, l, o, 0, 1, which are read as each other


def make_token(random: bytes) -> Secret:
    """The token of 32 random bytes.

    Raises:
        ValueError: not 32 bytes.
    """
    if len(random) != SECRET_BYTES:
        raise ValueError(f"a token is made of {SECRET_BYTES} random bytes, not {len(random)}")
    return Secret(PREFIX + base64.urlsafe_b64encode(random).decode().rstrip("="))


def make_token_id(random: bytes) -> str:
    """`tok-` and 8 characters of 8 random bytes: what lists, logs and the audit call a token. It opens nothing."""
    return "tok-" + "".join(_ID_LETTERS[byte % len(_ID_LETTERS)] for byte in random[:8])


def is_token(text: str) -> bool:
    """Whether the whole text has the shape of a token."""
    return len(text) == TOKEN_CHARACTERS and _SHAPE.fullmatch(text) is not None


def has_token(text: str) -> bool:
    """Whether something in the text has the shape of a token."""
    return PREFIX in text and _SHAPE.search(text) is not None


def without_tokens(text: str) -> str:
    """The text with `***` in place of everything that has the shape of a token."""
    return _SHAPE.sub(f"{PREFIX}***", text) if PREFIX in text else text


def digest_of(token: str) -> str:
    """SHA-256 of a token in hex: under this it is stored and found."""
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).hexdigest()


class TokenIndex(Generic[T]):
    """Values of type T by the digest of their token.

    The dict is asked for the first 64 bits only, and the whole digest is then compared in constant time. Who guesses tokens
    learns from the time of a lookup at most whether 64 bits of a SHA-256 were met, which no guess can steer.
    """

    def __init__(self) -> None:
        self._by_start: dict[str, dict[str, T]] = {}

    def put(self, digest: str, value: T) -> None:
        """Set the value of this digest."""
        self._by_start.setdefault(digest[:_START], {})[digest] = value

    def remove(self, digest: str) -> None:
        """Forget this digest, if it is there."""
        found = self._by_start.get(digest[:_START])
        if found is not None and found.pop(digest, None) is not None and not found:
            del self._by_start[digest[:_START]]

    def find(self, token: str) -> T | None:
        """The value of a token, None where there is none."""
        wanted = digest_of(token)
        found = None
        for digest, value in self._by_start.get(wanted[:_START], {}).items():
            if hmac.compare_digest(digest, wanted):
                found = value
        return found
