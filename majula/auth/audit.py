"""The audit: who changed what, numbered, oldest first, a JSON line each, in files of bounded size.

What is written is never changed. After a crash the last line may be torn: it was never acknowledged, so it is cut off. A line in
the middle that cannot be read (a broken disk, an editor) is left where it is and left out of answers.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

import msgspec

from majula.auth.operations import AuditEntry
from majula.auth.tokens import without_tokens

FILE_BYTES = 8 << 20
FILES = 4
"""At 200 bytes an entry, 160,000 of them: years of a node that people run, and the bound for one that is attacked."""

DETAIL_BYTES = 4_096
NAME_CHARACTERS = 256
ENTRIES_MOST = 1_024

_decode = msgspec.json.Decoder(AuditEntry).decode
_encode = msgspec.json.Encoder().encode


def make_entry(number: int, wall: float, who: str, what: str, detail: dict[str, Any]) -> AuditEntry:
    """An entry without secrets and within bounds. wall: seconds since 1970."""
    at = datetime.fromtimestamp(wall, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    cleaned = _clean(detail, 8)
    try:
        size = len(_encode(cleaned))
    except (msgspec.EncodeError, TypeError, ValueError, OverflowError):
        cleaned, size = {"unreadable": True}, 0
    if size > DETAIL_BYTES:
        cleaned = {"too_large": size}
    return AuditEntry(number=number, at=at, who=_name(who), what=_name(what), detail=cleaned)


def encode_lines(entries: Iterable[AuditEntry]) -> bytes:
    """The entries as lines of a file."""
    return b"".join(_encode(entry) + b"\n" for entry in entries)


def whole_bytes(data: bytes) -> int:
    """How much of a file's bytes are whole lines; the rest is a torn one."""
    return data.rfind(b"\n") + 1


def last_number(data: bytes) -> int:
    """The number of the last line that can be read; 0: there is none."""
    return next((entry.number for entry in map(_entry, reversed(data.splitlines())) if entry is not None), 0)


def newest(data: bytes, *, before: int, limit: int) -> list[AuditEntry]:
    """The newest entries of a file with numbers under `before` (0: all), the newest first, at most `limit`."""
    found: list[AuditEntry] = []
    for line in reversed(data.splitlines()):
        if len(found) >= limit:
            break
        entry = _entry(line)
        if entry is not None and (not before or entry.number < before):
            found.append(entry)
    return found


def _entry(line: bytes) -> AuditEntry | None:
    try:
        return _decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def _name(text: str) -> str:
    return without_tokens(text[:NAME_CHARACTERS].encode("utf-8", "replace").decode())


def _clean(value: Any, depth: int) -> Any:
    """The value with `mjl_***` in place of every token, and nothing deeper than `depth`."""
    match value:
        case str():
            return without_tokens(value.encode("utf-8", "replace").decode())
        case dict() if depth:
            return {without_tokens(str(name)): _clean(inner, depth - 1) for name, inner in value.items()}
        case list() | tuple() if depth:
            return [_clean(inner, depth - 1) for inner in value]
        case None | bool() | int() | float():
            return value
        case _:
            return "..."
