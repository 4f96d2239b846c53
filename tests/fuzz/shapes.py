"""Values of the types that frames and messages are declared with: right in form, and otherwise as odd as the type allows."""

from __future__ import annotations

import types
from random import Random
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import msgspec

TEXTS = (
    "", "a", "a.b", "a.*", "a.>", ">", "*", "$SYS", "$SYS.x", "$SYS.>", "ann", "bob", "client-1", "f", "init", "add", "n1",
    "gateway:1", "gateway:2", "tokens.list", "messages.send", "messages.broadcast", "rpc.services", "node.info", "topics.list",
    "debug.tap", "subscriptions", "interest", "interest.copy", "tokens", "clients", "delivered", "written", "no_route",
    "overloaded", "refused", "x" * 300, "\u202e", "\x1b[2J", "a\r\nb", "\x00", "é", "𝄞" * 60, ".", "..", "{role}", "%s",
    "-publish:a", "publish:>", "*:*",
)  # fmt: skip
NUMBERS = (
    0,
    1,
    2,
    3,
    7,
    8,
    255,
    256,
    1_000,
    60_000,
    65_535,
    65_536,
    3_600_000,
    2**31,
    2**32,
    2**53 - 1,
    2**53,
    2**63 - 1,
    -1,
    -(2**63),
)
FLOATS = (0.0, 1.0, 0.5, -1.0, 1e-300, 1e300, 60.0, 3_600.0, float("inf"), float("-inf"), float("nan"))


def value(wanted: Any, random: Random, depth: int = 0) -> Any:
    """Something that is of this type, or now and then is not."""
    origin = get_origin(wanted)
    if random.random() < 0.01:
        return random.choice((None, True, b"\xff", "x", 2**64 - 1, [], {}, [[]], 0.5))
    if origin is Annotated:
        return value(get_args(wanted)[0], random, depth)
    if origin is Literal:
        return random.choice(get_args(wanted))
    if origin in (Union, types.UnionType):
        return value(random.choice(get_args(wanted)), random, depth)
    if origin in (tuple, list, frozenset, set):
        inner = get_args(wanted)[0] if get_args(wanted) else str
        count = 0 if depth > 3 else random.choice((0, 1, 1, 2, 3, 40))
        return [value(inner, random, depth + 1) for _ in range(count)]
    if origin is dict:
        values = (*get_args(wanted), Any, Any)[1]
        count = 0 if depth > 3 else random.choice((0, 1, 2, 5))
        return {text(random): value(values, random, depth + 1) for _ in range(count)}
    if wanted is str:
        return text(random)
    if wanted is bool:
        return random.random() < 0.5
    if wanted is int:
        return random.choice(NUMBERS[:8]) if random.random() < 0.7 else random.choice(NUMBERS)
    if wanted is float:
        return random.choice(FLOATS)
    if wanted is bytes:
        return random.randbytes(random.choice((0, 1, 4, 30, 200)))
    if wanted is None or wanted is type(None):
        return None
    if isinstance(wanted, type) and issubclass(wanted, msgspec.Struct):
        return struct(wanted, random, depth + 1)
    return random.choice((None, 1, "x", [1, "a"], {"a": 1}, 0.5, True))


def text(random: Random) -> str:
    """A text: mostly one that means something somewhere."""
    if random.random() < 0.9:
        return random.choice(TEXTS)
    return (
        "".join(chr(random.choice((random.randrange(32, 127), random.randrange(0x110000)))) for _ in range(random.randrange(9)))
        .encode("utf-8", "replace")
        .decode()
    )


def struct(kind: type[msgspec.Struct], random: Random, depth: int = 0) -> Any:
    """A struct's fields as plain values: a list where it travels as one, else a dict."""
    hints = get_type_hints(kind, include_extras=True)
    config = kind.__struct_config__
    fields = msgspec.structs.fields(kind)
    if config.array_like:
        count = len(fields) if random.random() < 0.6 else random.randint(0, len(fields))
        values = [value(hints[field.name], random, depth) for field in fields[:count]]
        return ([config.tag] if config.tag is not None else []) + values
    found = {} if config.tag is None else {config.tag_field: config.tag}
    for field in fields:
        if field.required or random.random() < 0.6:
            found[field.encode_name] = value(hints[field.name], random, depth)
    return found


def packed(plain: Any) -> bytes:
    """As MessagePack; texts and numbers that it cannot carry are left out."""
    try:
        return msgspec.msgpack.encode(plain)
    except (OverflowError, ValueError, TypeError, RecursionError):
        return b"\x90"


def as_json(plain: Any) -> bytes:
    """As JSON."""
    try:
        return msgspec.json.encode(plain)
    except (OverflowError, ValueError, TypeError, RecursionError):
        return b"{}"
