"""From the located tree to the structs of `schema`, with every problem found on the way instead of the first one only.

One walk over the types, as `msgspec.inspect` describes them: what is not in the schema is an error with the nearest valid key,
what is missing or wrong is an error at its own place, and `Places` remembers where each value stands for later checks.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from difflib import get_close_matches
from typing import Any, TypeVar

from msgspec import Struct, inspect

from majula.config.document import Located, Mark, Problems, quote
from majula.config.schema import NodeConfig
from majula.config.values import READERS

Path = tuple[str | int, ...]
"""Way to a value: keys as they stand in the file and list positions, ``("majula_servers", 0, "port")``."""

S = TypeVar("S", bound=Struct)


class Places:
    """Where each value of the file stands."""

    def __init__(self) -> None:
        self._marks: dict[Path, Mark] = {}

    def note(self, path: Path, mark: Mark) -> None:
        self._marks[path] = mark

    def mark(self, *path: str | int) -> Mark:
        """The place of the value, or of the nearest one around it that the file holds."""
        for end in range(len(path), -1, -1):
            found = self._marks.get(path[:end])
            if found is not None:
                return found
        return Mark(1, 1)

    def is_given(self, *path: str | int) -> bool:
        """Whether the file holds the value, or leaves it to its default."""
        return path in self._marks


Check = Callable[[Any, Path, Places, Problems], None]
"""Reports what is wrong with one struct by itself; called as soon as the struct at that path is built."""


def decode_node(tree: Located, problems: Problems, places: Places, checks: Mapping[type, Check]) -> NodeConfig | None:
    """The configuration that the tree describes, usable only where no problem was reported.

    To find as many problems as possible in one run, a wrong value counts as its default and a list with a wrong entry as empty;
    None is returned where a key that must be there is missing or wrong.
    """
    _inherit_limits(tree)
    return decode(NodeConfig, tree, problems, places, checks)


def decode(kind: type[S], tree: Located, problems: Problems, places: Places, checks: Mapping[type, Check]) -> S | None:
    """What the tree says as `kind`, a struct of a schema; as for `decode_node`."""
    found = _Walk(problems, places, checks).convert(inspect.type_info(kind), tree, ())
    return found if isinstance(found, kind) else None


class _Wrong:
    """Stands for a value that could not be read; its problem is reported."""


_WRONG = _Wrong()


def _inherit_limits(tree: Located) -> None:
    """Each gateway's `limits` take what they leave out from the node's `limits`. Done on the tree: places stay true."""
    if not isinstance(tree.value, dict) or "limits" not in tree.value:
        return
    servers = tree.value.get("majula_servers")
    for entry in servers.value if servers is not None and isinstance(servers.value, list) else []:
        if isinstance(entry.value, dict):
            entry.value["limits"] = _overlay(tree.value["limits"], entry.value.get("limits"))


def _overlay(below: Located, above: Located | None) -> Located:
    if above is None or not isinstance(above.value, dict) or not isinstance(below.value, dict):
        return below if above is None else above
    merged = dict(below.value)
    for key, value in above.value.items():
        merged[key] = _overlay(merged[key], value) if key in merged else value
    return Located(merged, above.mark, {**below.keys, **above.keys})


class _Walk:
    """One walk over the schema and the tree together."""

    def __init__(self, problems: Problems, places: Places, checks: Mapping[type, Check]) -> None:
        self._problems, self._places, self._checks = problems, places, checks

    def convert(self, kind: inspect.Type, found: Located, path: Path) -> Any:
        """The value of type `kind`, or `_WRONG` with its problem reported."""
        self._places.note(path, found.mark)
        if found.is_broken:
            return _WRONG
        extra: dict[str, Any] = {}
        if isinstance(kind, inspect.Metadata):
            extra, kind = kind.extra or {}, kind.type
        if isinstance(kind, inspect.UnionType):
            kind = _choose(kind, found)
        if found.value is None:
            label = f"'{path[-1]}'" if path and isinstance(path[-1], str) else "this entry" if path else "the file"
            self._problems.add(found.mark, f"{label} has no value: write one{' or remove the line' if path else ''}")
            return _WRONG
        if isinstance(kind, inspect.StructType):
            return self._struct(kind, found, path)
        if isinstance(kind, inspect.VarTupleType):
            return self._list(kind, found, path)
        if isinstance(kind, inspect.DictType):
            return self._dict(kind, found, path)
        try:
            return _scalar(kind, found.value, extra.get("kind"))
        except ValueError as error:
            self._problems.add(found.mark, str(error))
            return _WRONG

    def _list(self, kind: inspect.VarTupleType, found: Located, path: Path) -> Any:
        if not isinstance(found.value, list):
            self._problems.add(found.mark, f"expected a list, got {_said(found.value)}: begin each entry with '- '")
            return _WRONG
        items = [self.convert(kind.item_type, item, (*path, at)) for at, item in enumerate(found.value)]
        return _WRONG if any(item is _WRONG for item in items) else tuple(items)

    def _dict(self, kind: inspect.DictType, found: Located, path: Path) -> Any:
        """A mapping whose keys are the operator's own."""
        if not isinstance(found.value, dict):
            self._problems.add(found.mark, f"expected a mapping, got {_said(found.value)}")
            return _WRONG
        values: dict[str, Any] = {}
        for key, value in found.value.items():
            name = self.convert(kind.key_type, Located(key, found.keys[key]), (*path, key))
            converted = self.convert(kind.value_type, value, (*path, key))
            if name is not _WRONG and converted is not _WRONG:
                values[name] = converted
        return values if len(values) == len(found.value) else _WRONG

    def _struct(self, kind: inspect.StructType, found: Located, path: Path) -> Any:
        fields = {field.encode_name: field for field in kind.fields}
        if not isinstance(found.value, dict):
            keys = ", ".join(list(fields)[:4])
            self._problems.add(found.mark, f"expected a mapping with keys such as {keys}, got {_said(found.value)}")
            return _WRONG
        values: dict[str, Any] = {}
        for key, value in found.value.items():
            field = fields.get(key)
            if field is None:
                self._problems.add(found.keys.get(key, value.mark), f"unknown key {quote(key)}{_nearest(key, list(fields))}")
                continue
            converted = self.convert(field.type, value, (*path, key))
            if converted is not _WRONG or field.required:
                values[field.name] = converted
        for field in kind.fields:
            if field.required and field.name not in values:
                self._problems.add(found.mark, f"'{field.encode_name}' is missing{' here' if path else ''}")
                values[field.name] = _WRONG
        if any(value is _WRONG for value in values.values()):
            return _WRONG
        built = kind.cls(**values)
        if kind.cls in self._checks:
            self._checks[kind.cls](built, path, self._places, self._problems)
        return built


def _choose(union: inspect.UnionType, found: Located) -> inspect.Type:
    """The member of the union that the shape of the value asks for: a struct for a mapping, else the scalar."""
    wants_struct = isinstance(found.value, dict)
    members = [member for member in union.types if not isinstance(member, inspect.NoneType)]
    return next((member for member in members if isinstance(member, inspect.StructType) == wants_struct), members[0])


def _nearest(key: str, keys: list[str]) -> str:
    found = get_close_matches(key[:64].lower().replace("-", "_"), keys, n=1, cutoff=0.55)
    return f" (did you mean '{found[0]}'?)" if found else f": the keys here are {', '.join(keys)}"


def _scalar(kind: inspect.Type, value: object, reader: str | None) -> object:
    """The scalar as its type. Raises ValueError with the sentence for the reader of the file."""
    if isinstance(value, dict | list):
        raise ValueError(f"expected one value, got {_said(value)}")
    if reader is not None:
        value = READERS[reader](value)
    if isinstance(kind, inspect.LiteralType):
        if value not in kind.values or isinstance(value, bool):
            choices = [str(choice) for choice in kind.values]
            near = get_close_matches(str(value)[:64], choices, n=1, cutoff=0.55)
            meant = f" (did you mean '{near[0]}'?)" if near else ""
            raise ValueError(f"expected {_alternatives(choices)}, got {quote(value)}{meant}")
        return value
    if isinstance(kind, inspect.BoolType):
        if not isinstance(value, bool):
            raise ValueError(f"expected true or false, got {quote(value)}")
        return value
    if isinstance(kind, inspect.IntType):
        if not isinstance(value, int) or isinstance(value, bool):
            raise ValueError(f"expected a whole number, got {quote(value)}")
        return _in_range(value, kind)
    if isinstance(kind, inspect.FloatType):
        if not isinstance(value, int | float) or isinstance(value, bool):
            raise ValueError(f"expected a number, got {quote(value)}")
        return _in_range(float(value), kind)
    assert isinstance(kind, inspect.StrType), kind  # the schema uses no other type
    if not isinstance(value, str):
        raise ValueError(f"expected text, got {quote(value)}: put it in quotes")
    if not value and reader is None:
        raise ValueError("expected text, got an empty one")
    return value


def _in_range(value: int | float, kind: inspect.IntType | inspect.FloatType) -> int | float:
    assert kind.ge is not None and kind.le is not None, kind  # every number of the schema has both bounds
    if not kind.ge <= value <= kind.le:
        raise ValueError(f"{value} is out of range: {kind.ge} to {kind.le}")
    return value


def _alternatives(choices: list[str]) -> str:
    return choices[0] if len(choices) == 1 else f"{', '.join(choices[:-1])} or {choices[-1]}"


def _said(value: object) -> str:
    if isinstance(value, dict):
        return "a mapping"
    return "a list" if isinstance(value, list) else quote(value)
