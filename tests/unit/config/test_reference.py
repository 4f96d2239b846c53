"""The reference document is the schema, and the schema is complete enough to be one."""

from __future__ import annotations

from pathlib import Path

from msgspec import inspect

from majula.config.reference import render
from majula.config.schema import NodeConfig
from majula.config.values import READERS
from tests.unit.config.files import Files

DOCUMENT = Path(__file__).parents[3] / "docs" / "reference" / "configuration.md"


def metadata(kind: inspect.Type) -> list[tuple[str, inspect.Metadata]]:
    """All fields of the schema with what is said about them."""
    if isinstance(kind, inspect.Metadata):
        return metadata(kind.type)
    if isinstance(kind, inspect.VarTupleType):
        return metadata(kind.item_type)
    if isinstance(kind, inspect.UnionType):
        return [found for member in kind.types for found in metadata(member)]
    if not isinstance(kind, inspect.StructType):
        return []
    found = []
    for field in kind.fields:
        assert isinstance(field.type, inspect.Metadata), f"{kind.cls.__name__}.{field.name} says nothing about itself"
        found += [(f"{kind.cls.__name__}.{field.name}", field.type), *metadata(field.type)]
    return found


def test_reference_document_is_what_the_schema_says() -> None:
    assert DOCUMENT.read_text() == render(), "run: python -m majula.config.reference > docs/reference/configuration.md"


def test_example_of_the_reference_loads(files: Files) -> None:
    example = render().split("```yaml\n")[1].split("```")[0]
    assert files.load(example).config.majula_servers[0].limits.slow_consumer.age_s == 30.0


def test_every_key_has_a_meaning() -> None:
    fields = metadata(inspect.type_info(NodeConfig))
    assert [name for name, found in fields if not (found.extra_json_schema or {}).get("description")] == []


def test_every_number_has_both_bounds() -> None:
    fields = [(name, found.type) for name, found in metadata(inspect.type_info(NodeConfig))]
    numbers = [(name, kind) for name, kind in fields if isinstance(kind, inspect.IntType | inspect.FloatType)]
    assert numbers and [name for name, kind in numbers if None in (kind.ge, kind.le)] == []


def test_every_kind_has_a_reader() -> None:
    kinds = {(found.extra or {}).get("kind") for _, found in metadata(inspect.type_info(NodeConfig))} - {None}
    assert kinds <= READERS.keys()
