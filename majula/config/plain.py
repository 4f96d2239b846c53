"""A configuration as plain values: as the file says it, or with every default; and without its secrets."""

from __future__ import annotations

from typing import Any

import msgspec

from majula.config.document import SECRET_KEYS, Located, Problems, read_document

HIDDEN = "***"


def plain_of(tree: Located) -> Any:
    """What the file says, without places. What could not be read is None."""
    if isinstance(tree.value, dict):
        return {key: plain_of(value) for key, value in tree.value.items()}
    if isinstance(tree.value, list):
        return [plain_of(value) for value in tree.value]
    return tree.value


def given(text: bytes) -> dict[str, Any]:
    """What a text says, as far as it can be read; problems are left out. May hold secrets."""
    tree = read_document(text, Problems())
    found = None if tree is None else plain_of(tree)
    return found if isinstance(found, dict) else {}


def complete(config: msgspec.Struct) -> dict[str, Any]:
    """Every key with its value, defaults included, under the names of the file. May hold secrets."""
    # By way of JSON, so that lists are lists: what is compared and shown has one form.
    found: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(config))
    return found


def hidden(value: Any, key: str = "", *, shows_names: bool = False) -> Any:
    """The same without secrets. `shows_names`: as the file says it; where that only names a secret (`file:PATH`, `env:NAME`), the
    name stays."""
    if isinstance(value, dict):
        return {name: hidden(inner, name, shows_names=shows_names) for name, inner in value.items()}
    if isinstance(value, list):
        return [hidden(inner, key, shows_names=shows_names) for inner in value]
    if key in SECRET_KEYS and value not in ("", None):
        is_name = isinstance(value, str) and value.startswith(("file:", "env:"))
        return value if shows_names and is_name else HIDDEN
    return value
