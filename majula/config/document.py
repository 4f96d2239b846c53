"""Strict YAML: bytes in, a tree of located values or a list of problems out. Pure: no file is opened here.

PyYAML's own constructors never run. The loader below composes nodes only, so a tag cannot call anything, and every plain scalar
reaches `_plain`, which knows the JSON forms of a number, `true`, `false` and nothing else. What other readers of YAML 1.1 would
take for another value (`22:22` is 1342 to them, `0123` is 83) is refused rather than guessed.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

import yaml

MAX_BYTES = 128 * 1024
"""A node file of a hundred channels has 20 KB. PyYAML reads about 150 KB a second: this bounds the time as well."""

MAX_VALUES = 10_000
"""Values in one file, containers counted: bounds the memory (a composed node weighs 1 KB)."""

MAX_DEPTH = 32
"""The schema is four levels deep; composing is recursive, so this bounds the stack."""

MAX_PROBLEMS = 100
"""Beyond this many lines nobody reads on."""

SECRET_KEYS = ("token",)
"""Keys whose values no message shows."""


@dataclass(frozen=True, slots=True)
class Mark:
    """A place in the file, both counted from 1 as editors do."""

    line: int
    column: int


@dataclass(slots=True)
class Located:
    """One value of the tree and where it begins.

    `value` is None, bool, int, float, str, a list of `Located`, or a dict from key to `Located`. `keys` holds, for a dict, where
    each key stands. `is_broken` says that a problem is already reported here, so that no second one follows from it.
    """

    value: Any
    mark: Mark
    keys: dict[str, Mark] = field(default_factory=dict)
    is_broken: bool = False


@dataclass(slots=True)
class Problems:
    """Collects problems, in the order of the file once rendered; beyond `MAX_PROBLEMS` they are counted only."""

    found: list[tuple[Mark, str]] = field(default_factory=list)
    dropped: int = 0

    def add(self, mark: Mark, message: str) -> None:
        if len(self.found) >= MAX_PROBLEMS:
            self.dropped += 1
        elif (mark, message) not in self.found:
            self.found.append((mark, message))

    def render(self, name: str) -> tuple[str, ...]:
        """One line each: ``file:line:column: message``."""
        ordered = sorted(self.found, key=lambda entry: (entry[0].line, entry[0].column))
        lines = [f"{name}:{mark.line}:{mark.column}: {message}" for mark, message in ordered]
        if self.dropped:
            lines.append(f"{name}:1:1: and {self.dropped} more problems")
        return tuple(lines)


def quote(value: object) -> str:
    """A value as an error message may show it: one line, printable, short. What a file holds never reaches a terminal raw."""
    text = ascii(value) if not isinstance(value, str) or not value.isprintable() else f"'{value}'"
    return text if len(text) <= 64 else text[:60] + "...'"


def read_document(data: bytes, problems: Problems) -> Located | None:
    """The one document in `data`, or None where nothing could be read; what is wrong goes to `problems`."""
    if len(data) > MAX_BYTES:
        problems.add(Mark(1, 1), f"the file has {len(data)} bytes, more than the {MAX_BYTES} that a node file may have")
        return None
    text = _decode(data, problems)
    if text is None:
        return None
    loader = _Loader(text, problems)
    try:
        node = loader.get_single_node()
        return None if node is None else _build(node, problems)
    except _TooMuch:
        return None
    except yaml.MarkedYAMLError as error:
        where = error.problem_mark or error.context_mark
        problems.add(_mark(where), f"not YAML: {_sentence(error.problem, error.context)}")
    except (yaml.YAMLError, ValueError, OverflowError) as error:
        # PyYAML hands escapes such as "\U00110000" and version numbers to chr() and int() unchecked.
        problems.add(_mark(loader.get_mark()), f"not YAML: {quote(str(error))}")
    finally:
        loader.dispose()
    return None


class _TooMuch(Exception):
    """Ends composing early; the problem is already reported."""


class _Loader(yaml.SafeLoader):
    """Composes nodes and refuses anchors, aliases and tags on the way, each with its place."""

    # No implicit types at all: each plain scalar stays the text that the file holds, and `_plain` decides.
    yaml_implicit_resolvers: dict[str, list[Any]] = {}  # noqa: RUF012 - overrides a plain class attribute of PyYAML

    def __init__(self, text: str, problems: Problems) -> None:
        super().__init__(text)
        self._problems = problems
        self._depth = 0
        self._values = 0

    def fetch_flow_collection_start(self, TokenClass: type[yaml.Token]) -> None:
        # Whether a bracket begins a key is known up to 1,024 characters later, and PyYAML asks all that are open at each of them:
        # 1,000 brackets take 0.2 s, before the first of them gets to `compose_node`.
        if self.flow_level > MAX_DEPTH:
            self._problems.add(_mark(self.get_mark()), f"nested more than {MAX_DEPTH} levels deep")
            raise _TooMuch
        super().fetch_flow_collection_start(TokenClass)

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        event: Any = self.peek_event()  # type: ignore[no-untyped-call] # the stubs leave the parser untyped
        mark = _mark(event.start_mark)
        self._values += 1
        if self._values > MAX_VALUES:
            self._problems.add(mark, f"more than {MAX_VALUES} values in one file")
            raise _TooMuch
        if self._depth >= MAX_DEPTH:
            self._problems.add(mark, f"nested more than {MAX_DEPTH} levels deep")
            raise _TooMuch
        is_alias = isinstance(event, yaml.AliasEvent)
        if is_alias:
            self._problems.add(mark, f"aliases are not allowed: write the value out instead of {quote(f'*{event.anchor}')}")
            self.get_event()  # type: ignore[no-untyped-call] # as above
            return yaml.ScalarNode(_BROKEN, "", event.start_mark, event.end_mark)
        if getattr(event, "anchor", None) is not None:
            self._problems.add(mark, f"anchors are not allowed: remove {quote('&' + event.anchor)}")
            event.anchor = None
        if getattr(event, "tag", None) is not None:
            self._problems.add(mark, f"tags are not allowed: remove {quote(event.tag)}")
            event.tag = _BROKEN
        self._depth += 1
        node = super().compose_node(parent, index)
        self._depth -= 1
        return node


_BROKEN = "broken"  # the tag of a node whose problem is already reported
_CONTROL = re.compile(r"[^\t\n\r\x20-\x7e\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def _decode(data: bytes, problems: Problems) -> str | None:
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = data[: error.start]
        column = len(before[before.rfind(b"\n") + 1 :].decode("utf-8", "replace")) + 1
        problems.add(Mark(before.count(b"\n") + 1, column), f"not UTF-8: byte 0x{data[error.start]:02x}")
        return None
    bad = _CONTROL.search(text)
    if bad is not None:
        before_text = text[: bad.start()]
        mark = Mark(before_text.count("\n") + 1, len(before_text) - before_text.rfind("\n"))
        problems.add(mark, f"control character U+{ord(bad.group()):04X} is not allowed")
        return None
    return text


def _mark(mark: yaml.Mark | None) -> Mark:
    return Mark(1, 1) if mark is None else Mark(mark.line + 1, mark.column + 1)


def _sentence(problem: str | None, context: str | None) -> str:
    text = ", ".join(part for part in (context, problem) if part) or "cannot be understood"
    return text if text.isprintable() and len(text) <= 160 else quote(text)


def _build(node: yaml.Node, problems: Problems, *, is_secret: bool = False) -> Located:
    found = Located(None, _mark(node.start_mark), is_broken=node.tag == _BROKEN)
    if isinstance(node, yaml.MappingNode):
        entries: dict[str, Located] = {}
        for key_node, value_node in node.value:
            key_mark = _mark(key_node.start_mark)
            value = _build(value_node, problems, is_secret=is_secret or key_node.value in SECRET_KEYS)
            if key_node.tag == _BROKEN:
                continue
            if not isinstance(key_node, yaml.ScalarNode):
                problems.add(key_mark, "a key must be text")
            elif key_node.value in found.keys:
                first = found.keys[key_node.value]
                problems.add(key_mark, f"{quote(key_node.value)} stands here twice, first in line {first.line}")
            else:
                found.keys[key_node.value] = key_mark
                entries[key_node.value] = value
        found.value = entries
    elif isinstance(node, yaml.SequenceNode):
        found.value = [_build(item, problems, is_secret=is_secret) for item in node.value]
    elif isinstance(node, yaml.ScalarNode) and not found.is_broken:
        try:
            found.value = _plain(node.value) if node.style is None else _quoted(node.value)
        except ValueError as error:
            problems.add(found.mark, "this value must be text in quotes" if is_secret else str(error))
            found.is_broken = True
    return found


_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?")
# What readers of YAML take for a number, each in its own way: signs, octal, hex, binary, underscores, base 60, bare points.
_ODD_NUMBER = re.compile(
    r"[-+]?(?:0[0-9_]+|0[xob][0-9a-fA-F_]+|[0-9][0-9_]*(?::[0-5]?[0-9])+(?:\.[0-9_]*)?|[0-9][0-9_]*\.?[0-9_]*(?:[eE][-+]?[0-9]+)?"
    r"|\.[0-9][0-9_]*(?:[eE][-+]?[0-9]+)?|\.(?:inf|Inf|INF))|\.(?:nan|NaN|NAN)"
)
_DATE = re.compile(r"[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}(?:[Tt \t].*)?")


def _plain(text: str) -> object:
    """What a scalar without quotes means. Raises ValueError where readers of YAML disagree."""
    if text in ("", "~", "null"):
        return None
    if text in ("true", "false"):
        return text == "true"
    number = _NUMBER.fullmatch(text)
    if number is not None:
        # 18 digits: within 64 bits, and int() of a longer text takes quadratic time.
        if len(text) > 18:
            raise ValueError(f"the number {quote(text)} is too long")
        return int(text) if number.group(1) is None and number.group(2) is None else _finite(text)
    if text[0] in "+-.0123456789" and (_ODD_NUMBER.fullmatch(text) or _DATE.fullmatch(text)):
        raise ValueError(
            f"{quote(text)} means different things to different readers of YAML: quote it, or write a plain decimal number"
        )
    return _quoted(text)


def _finite(text: str) -> float:
    value = float(text)
    if value in (float("inf"), float("-inf")):
        raise ValueError(f"the number {quote(text)} is too large")
    return value


def _quoted(text: str) -> str:
    bad = _CONTROL.search(text)  # an escape in double quotes can still make one
    if bad is not None:
        raise ValueError(f"control character U+{ord(bad.group()):04X} is not allowed")
    return text
