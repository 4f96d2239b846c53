"""`Secret`: a text that must not get into a log, a traceback, a dump or a comparison that stops early."""

from __future__ import annotations

import hmac
from typing import NoReturn

_HIDDEN = "***"


class Secret:
    """Carries a secret. Whatever prints it prints `***`; only `reveal` gives it.

    Equal by content, compared in constant time; not hashable, so it cannot become a key by accident; not picklable.
    """

    __slots__ = ("_text",)
    __hash__ = None  # type: ignore[assignment]  # the language's own way to say so

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """The secret itself."""
        return self._text

    def __bool__(self) -> bool:
        return bool(self._text)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return hmac.compare_digest(self._text.encode("utf-8", "surrogateescape"), other._text.encode("utf-8", "surrogateescape"))

    def __repr__(self) -> str:
        return _HIDDEN

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return _HIDDEN

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret is not pickled")
