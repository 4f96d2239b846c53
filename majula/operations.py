"""`Operation`: one declaration for each thing that a client can ask of a node.

The rooms declare theirs in `majula/<room>/operations.py`; `all_operations` is the list of them. HTTP routes, WebSocket methods,
native frames, SDK methods, CLI words and the reference documents are derived from it or held against it by a test, so that no
surface can drift from the others.
"""

from __future__ import annotations

import importlib
from typing import Annotated, Literal

import msgspec

from majula.errors import MajulaError
from majula.wire.headers import Header

HttpMethod = Literal["GET", "POST", "PUT", "PATCH", "DELETE"]

# What the documents say of a text. Whether it holds is looked at by the room that takes it: its refusal says more than a pattern.
NO_CONTROL = r"[^\u0000-\u001f\u007f-\u009f\u2028\u2029]"
# The end, for those too that take `$` for the place before a last line feed.
END = r"$(?!\n)"

# Wildcards only as whole levels, `>` only as the last one; levels without dots, stars and angle brackets.
_LEVEL = r"[^\u0000-\u001f\u007f-\u009f\u2028\u2029.*>]*"
PATTERN = rf"(?:(?:{_LEVEL}|\*)(?:\.(?:{_LEVEL}|\*)){{0,14}}(?:\.>)?|>)"

ClientName = Annotated[str, msgspec.Meta(max_length=128, pattern=f"^{NO_CONTROL}*{END}")]
"""Of a client, function or provider: at most 128 bytes of UTF-8 without control characters; empty where somebody may choose."""

FunctionName = Annotated[str, msgspec.Meta(min_length=1, max_length=128, pattern=f"^{NO_CONTROL}+{END}")]
"""The same where it must be there."""

TopicName = Annotated[
    str,
    msgspec.Meta(extra_json_schema={"minLength": 1, "maxLength": 256, "pattern": rf"^(?!\$SYS(\.|$)){NO_CONTROL}+$"}),
]
"""A literal topic that clients may publish to: 1 to 256 bytes of UTF-8 without control characters, not below `$SYS.`."""

PatternText = Annotated[str, msgspec.Meta(max_length=256, pattern=f"^{PATTERN}{END}")]
"""A pattern of topics, names or event names; empty: all."""

Seconds = Annotated[float, msgspec.Meta(ge=0, le=1e9)]
"""A time that is to pass; at most 30 years."""

Rate = Annotated[float, msgspec.Meta(ge=0, le=1e12)]
"""So much a second; 0: no limit."""

ListLimit = Annotated[int, msgspec.Meta(ge=0, le=1_024)]
"""How many lines of a list are wanted."""

ListOffset = Annotated[int, msgspec.Meta(ge=0, le=1 << 53)]
"""How many lines of a list are skipped."""

_ROOMS = ("topics", "rpc", "flow", "gateway", "routing", "auth", "config", "telemetry")


class Operation(msgspec.Struct, frozen=True, kw_only=True):
    """One operation.

    Args:
        name: `room.verb`, the same in logs and metrics.
        summary: one sentence for every reference document.
        request: the parameters, one typed struct on all surfaces.
        answer: what comes back, None where success is the answer.
        scope: `verb` of the permission that is needed; what it is checked against is told by `scope_object`; empty: anybody may.
        scope_field: see `scope_object`.
        idempotent: doing it twice is the same as doing it once.
        inner_path: HTTP path of the inner circle, served for GET and POST below the base path; empty: none.
        path: HTTP path of the outer circle, below `/majula/v1`; empty: none.
        method: HTTP method of `path`.
        status: HTTP status of its success at `path`; an operation without an answer has 204, an event stream 200.
        begun: the HTTP answer with status 202 where the request asks for no more than to begin; None: it cannot.
        made: where `status` is 201, the path below `/majula/v1` of what was made; `{field}` stands for that field of the answer.
        streams: the HTTP answer is an event stream.
        websocket: method word of the JSON packages; empty: none.
        frame: header class on the native port and in binary WebSocket messages; None: not sent as a frame of its own.
        sdk: method of the Python client; empty: none (it is part of another method).
        cli: words of the command line; empty: none.
        one_of: exactly one of these parameters is given.
        errors: what it may be refused with beside that which any operation may.
        role: the actor that answers where it is asked by a REQUEST; empty: the gateway itself. `{field}` stands for that field of
            the request.
    """

    name: str
    summary: str
    request: type[msgspec.Struct]
    answer: type[msgspec.Struct] | None
    scope: str
    scope_field: str
    idempotent: bool
    inner_path: str = ""
    path: str = ""
    method: HttpMethod = "POST"
    status: int = 200
    begun: type[msgspec.Struct] | None = None
    made: str = ""
    streams: bool = False
    websocket: str = ""
    frame: type[Header] | None = None
    sdk: str = ""
    cli: str = ""
    one_of: tuple[str, ...] = ()
    errors: tuple[type[MajulaError], ...] = ()
    role: str = ""

    def role_of(self, request: msgspec.Struct) -> str:
        """Who answers this request; empty: the gateway itself."""
        return self.role.format_map({name: getattr(request, name) for name in request.__struct_fields__}) if self.role else ""

    @property
    def success(self) -> int:
        """HTTP status of its success at `path`."""
        return 204 if self.answer is None and not self.streams else self.status

    def scope_object(self, request: msgspec.Struct) -> str:
        """What the permission is checked against: the value of `scope_field` in the request. A `scope_field` that begins with `=`
        is a fixed word, such as `=tokens`; `{field}` in it stands for that field of the request."""
        if self.scope_field.startswith("="):
            fixed = self.scope_field[1:]
            return (
                fixed.format_map({name: getattr(request, name) for name in request.__struct_fields__}) if "{" in fixed else fixed
            )
        return str(getattr(request, self.scope_field))


def all_operations() -> tuple[Operation, ...]:
    """Every declared operation, in the order of the rooms."""
    found: list[Operation] = []
    for room in _ROOMS:
        module = importlib.import_module(f"majula.{room}.operations")
        found += module.OPERATIONS
    return tuple(found)
