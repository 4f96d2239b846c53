"""A change to the operator's file that keeps his comments, his order and his quotes.

The text is edited by a round trip through ruamel.yaml; whether it then says what was asked for is decided by this room's own
strict reader, which is also the one that the next start uses.
"""

from __future__ import annotations

import re
from copy import copy
from typing import Any

from majula.config.compare import NAMED_BY
from majula.config.document import MAX_DEPTH, Problems, quote, read_document
from majula.config.plain import plain_of
from majula.errors import ConfigError, Conflict, InvalidRequest

Change = dict[str, Any]


def merged(document: Any, change: Any, key: str = "") -> Any:
    """`document` with the change: mappings are merged, None takes a key out, anything else replaces (RFC 7396). Where the
    document has a list of entries and the change a mapping, its keys name entries: by the port of a gateway, the group of a Raft
    group, or the position.

    Raises:
        InvalidRequest: it names an entry that is not there.
    """
    if not isinstance(change, dict):
        return change
    if isinstance(document, list) and document and all(isinstance(entry, dict) for entry in document):
        found = list(document)
        for name, inner in change.items():
            at = _position(document, key, name)
            found[at] = None if inner is None else merged(found[at], inner)
        return [entry for entry in found if entry is not None]
    base = dict(document) if isinstance(document, dict) else {}
    for name, inner in change.items():
        if inner is None:
            base.pop(name, None)
        else:
            base[name] = merged(base.get(name), inner, name)
    return base


def edited(text: bytes, change: Change) -> bytes:
    """The text with the change in it; everything else stays as it stands.

    Raises:
        ConfigError: the text itself cannot be read. InvalidRequest: as for `merged`. Conflict: the text is written in a way in
            which it cannot be edited: change it by hand, or give a whole text.
    """
    # Imported where it is used: 5 MB in one process, and only where a change comes.
    from ruamel.yaml import YAML  # noqa: PLC0415 - see above
    from ruamel.yaml.error import YAMLError  # noqa: PLC0415 - see above

    _check_shape(change)
    wanted = merged(_strictly(text), change)
    yaml = YAML()
    yaml.preserve_quotes = True
    yaml.width = 10_000  # no line is folded
    _keep_indentation(yaml, text)
    try:
        document = yaml.load(text.decode("utf-8-sig"))
        if document is None:
            document = {}
        _apply(document, change)
        out = _Lines()
        yaml.dump(document, out)
    except (YAMLError, ValueError, KeyError, IndexError, TypeError, AttributeError) as error:
        raise Conflict(f"this file cannot be edited in place ({type(error).__name__}): change it by hand") from error
    result = "".join(out.written).encode()
    if _strictly(result) != wanted:
        raise Conflict("this file is written in a way that cannot be edited in place: change it by hand, or give a whole text")
    return result


def _check_shape(change: Any, depth: int = 0) -> None:
    """MessagePack has keys of every type, a configuration of text only; and what is nested deeper than a file may be is none."""
    if depth > MAX_DEPTH:
        raise InvalidRequest(f"a change is nested at most {MAX_DEPTH} levels deep")
    if isinstance(change, dict):
        if not all(isinstance(name, str) for name in change):
            raise InvalidRequest("the keys of a change are text")
        for inner in change.values():
            _check_shape(inner, depth + 1)
    elif isinstance(change, list):
        for inner in change:
            _check_shape(inner, depth + 1)


class _Lines:
    """Takes what is written. Not io.StringIO: this room does no I/O, and need not look as if."""

    def __init__(self) -> None:
        self.written: list[str] = []

    def write(self, text: str | bytes) -> int:
        self.written.append(text if isinstance(text, str) else text.decode())
        return len(text)

    def flush(self) -> None:
        return None


def _strictly(text: bytes) -> Any:
    problems = Problems()
    tree = read_document(text, problems)
    if problems.found:
        raise ConfigError(problems=problems.render("<text>"))
    return {} if tree is None else plain_of(tree) or {}


def _apply(document: Any, change: Change, key: str = "") -> None:
    if isinstance(document, list):
        gone = []
        for name, inner in change.items():
            at = _position(document, key, name)
            if inner is None:
                gone.append(at)
            else:
                _apply(document[at], inner)
        for at in sorted(gone, reverse=True):
            del document[at]
        return
    for name, inner in change.items():
        there = document.get(name)
        if inner is None:
            if name in document:
                _take_out(document, name)
        elif isinstance(inner, dict) and (isinstance(there, dict) or _is_of_entries(there)):
            _apply(there, inner, name)
        elif name in document:
            document[name] = _quoted(merged(None, inner))
        else:
            _append(document, name, _quoted(merged(None, inner)))


def _append(document: Any, name: str, value: Any) -> None:
    """A new last key. Comment lines that stand below a mapping, but not in it, hang on its last value: the new one gets them."""
    last = _last_value(document)
    document[name] = value
    new = _last_value(document)
    if last is None or new is None:
        return
    token = (last[0].ca.items.get(last[1]) or [None] * 4)[2]
    if token is None:
        return
    own, *lines = token.value.split("\n")
    inside = 0
    while (
        inside < len(lines) and lines[inside].strip() and len(lines[inside]) - len(lines[inside].lstrip()) >= document.lc.col > 0
    ):
        inside += 1
    below = lines[inside:]
    if not any(line.strip() for line in below):
        return
    moved = copy(token)
    token.value = "\n".join([own, *lines[:inside], ""])
    if not token.value.strip():
        del last[0].ca.items[last[1]]
    moved.value = "\n" + "\n".join(below)
    new[0].ca.items[new[1]] = [None, None, moved, None]


def _last_value(document: Any) -> tuple[Any, str] | None:
    """The mapping and key of the last value in the text of this mapping; None where it is not the value of a key."""
    if not isinstance(document, dict) or not document:
        return None
    name = list(document)[-1]
    value: Any = document[name]
    if isinstance(value, dict | list) and value and not _is_in_one_line(value):
        return _last_value(value[-1] if isinstance(value, list) else value)
    return document, name


def _is_in_one_line(value: Any) -> bool:
    return bool(value.fa.flow_style())


def _take_out(document: Any, name: str) -> None:
    """Remove a key. The comment lines that follow it belong to what comes next, so they go to the key before it."""
    names = list(document)
    at = names.index(name)
    behind = document.ca.items.pop(name, None)
    del document[name]
    tail = behind[2] if behind is not None and len(behind) > 2 else None
    lines = None if tail is None else tail.value.partition("\n")[2]
    if not lines:
        return
    if at == 0:
        rest = [line.strip().lstrip("#").strip() for line in lines.splitlines() if line.strip()]
        if rest and len(names) > 1:
            document.yaml_set_comment_before_after_key(names[1], before="\n".join(rest), indent=document.lc.col or 0)
        return
    before = names[at - 1]
    token = document.ca.items.get(before)
    if token is not None and len(token) > 2 and token[2] is not None:
        token[2].value = token[2].value.rstrip("\n") + "\n" + lines
    elif tail is not None:
        tail.value = "\n" + lines
        document.ca.items[before] = [None, None, tail, None]


def _quoted(value: Any) -> Any:
    """New text in double quotes: what is plain to one reader of YAML (`22:22`) is a number to another."""
    from ruamel.yaml.comments import CommentedMap, CommentedSeq  # noqa: PLC0415 - as in `edited`
    from ruamel.yaml.scalarstring import DoubleQuotedScalarString  # noqa: PLC0415 - as in `edited`

    if isinstance(value, dict):
        return CommentedMap((name, _quoted(inner)) for name, inner in value.items())
    if isinstance(value, list):
        entries = CommentedSeq(_quoted(inner) for inner in value)
        if not any(isinstance(inner, dict | list) for inner in value):
            entries.fa.set_flow_style()  # `[a, b]`: a comment that stands behind stays at its line
        return entries
    return DoubleQuotedScalarString(value) if isinstance(value, str) else value


def _keep_indentation(yaml: Any, text: bytes) -> None:
    """Lists are indented as the first one in the file is."""
    found = re.search(rb"^( *)[^\s#-][^\n]*:[ \t]*(?:#[^\n]*)?\n(?:[ \t]*(?:#[^\n]*)?\n)*( *)- ", text, re.MULTILINE)
    offset = 2 if found is None else max(0, len(found[2]) - len(found[1]))
    yaml.indent(mapping=2, sequence=offset + 2, offset=offset)


def _is_of_entries(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(entry, dict) for entry in value)


def _position(entries: list[Any], key: str, name: str) -> int:
    named_by = NAMED_BY.get(key)
    for at, entry in enumerate(entries):
        if named_by is not None and str(entry.get(named_by)) == name:
            return at
    if named_by is None and name.isdecimal() and len(name) < 6 and int(name) < len(entries):
        return int(name)
    raise InvalidRequest(f"{key} has no entry {quote(name)}" + (f": name it by its {named_by}" if named_by else ""))
