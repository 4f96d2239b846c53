"""The OpenAPI 3.1 document of a gateway, built from the declarations of the operations.

    GET /majula/openapi.json

It says what this gateway serves: its kind of authentication, its paths in both circles, and by `x-not-built` those that answer
501. WebSockets have no place in OpenAPI; the description names where they are opened.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from itertools import zip_longest
from typing import Any

import msgspec

from majula.api.http import planned
from majula.api.http.inner import ANSWERS, INNER_PATHS, PRINTABLE
from majula.errors import (
    CrossSite,
    DeadlineExceeded,
    Draining,
    InternalError,
    InvalidRequest,
    LimitReached,
    MajulaError,
    NotBuilt,
    NotFound,
    Overloaded,
    PermissionDenied,
    TooLarge,
    Unauthorized,
    Unavailable,
    UnsupportedMedia,
    WrongHost,
)
from majula.operations import Operation, all_operations

_REF = "#/components/schemas/{name}"
_SESSION_HEADER = "Majula-Session"

_DESCRIPTION = """\
What programs can ask of a Majula node over HTTP.

Below `/majula/v1` stand the operations in the REST manner: GET changes nothing, an unknown parameter is refused, and a failure \
has the status of its code. The other paths are those of programs that were written for the system before this one: GET and POST \
do the same there, and parameters come by query, form or JSON.

Failures are `{"error": "<one sentence>", "code": "<stable code>", "detail": {...}}`. What may succeed later carries \
`Retry-After`.

WebSockets are opened at `/majula/ws` and `/majula/ws/{client}`, with the subprotocol `majula.v1.json`, `majula.v1.msgpack` or \
none.

Event streams are `text/event-stream`; a comment `: ping` comes each 15 s.
"""

_ANY: tuple[type[MajulaError], ...] = (
    InvalidRequest,
    Unauthorized,
    PermissionDenied,
    CrossSite,
    TooLarge,
    UnsupportedMedia,
    WrongHost,
    LimitReached,
    InternalError,
    Overloaded,
    Draining,
    Unavailable,
)
"""What any request may be refused with."""

_STREAMED = {
    "topics.subscribe": 'Each event is `data: {"method": "PUBLISH", "topic": ..., "args": ...}`.',
    "messages.receive": 'Each event is `data: {"method": "PRIVATE_MESSAGE", "args": ...}`.',
    "sessions.events": "Each event has a number (`id:`) and as `data:` one package, as a WebSocket of `majula.v1.json` gets it.",
}


_LABEL = {"type": "string", "maxLength": 128, "pattern": PRINTABLE, "description": "A label for answers and logs."}

_SECRETS = (
    "The session's secret, as it was answered when it was opened.",
    "The secret of the session that holds this client id.",
)
"""What the header of a session is said to be: of one that is open, of one that is to be taken over."""

_JSON = {"$ref": "#/components/schemas/Json"}


def build(*, version: str, auth: str, built: Iterable[str], short_paths: Mapping[str, str]) -> dict[str, Any]:
    """The document.

    Args:
        version: of Majula.
        auth: `none` or `token`, of the gateway.
        built: names of the operations whose paths are served.
        short_paths: paths outside `/majula/v1` that answer as an operation does.
    """
    return _Document(version=version, auth=auth, built=frozenset(built)).build(short_paths)


class _Document:
    def __init__(self, *, version: str, auth: str, built: frozenset[str]) -> None:
        self._version = version
        self._auth = auth
        self._built = built
        self._operations = all_operations()
        types: list[type] = [operation.request for operation in self._operations]
        types += [one for o in self._operations for one in (o.answer, o.begun) if one is not None]
        types += ANSWERS.values()
        for inner in INNER_PATHS.values():
            types += [inner.parameters, *([inner.answer] if inner.answer is not None else [])]
        refs, self._schemas = msgspec.json.schema_components(types, ref_template=_REF)
        self._refs = dict(zip(types, refs, strict=True))
        self._paths: dict[str, dict[str, Any]] = {}
        self._refusals: dict[str, tuple[int, frozenset[str]]] = {}

    def build(self, short_paths: Mapping[str, str]) -> dict[str, Any]:
        named = {operation.name: operation for operation in self._operations}
        for operation in self._operations:
            if operation.inner_path:
                self._inner(operation)
            if operation.path:
                self._add("/majula/v1" + operation.path, operation.method, self._outer(operation, operation.name))
        for path, name in short_paths.items():
            self._add(path, "GET", self._outer(named[name], "short." + name))
        self._plain()
        self._not_built()
        used = self._used()
        return {
            "openapi": "3.1.0",
            "info": {
                "title": "Majula",
                "version": self._version or "0",
                "summary": "Publish, subscribe, call functions and send messages through a node.",
                "description": _DESCRIPTION,
                "license": {"name": "MIT", "identifier": "MIT"},
            },
            "servers": [{"url": "/"}],
            "security": self._security(),
            "tags": [{"name": room} for room in dict.fromkeys(o.name.partition(".")[0] for o in self._operations if o.path)],
            "paths": dict(sorted(self._paths.items())),
            "components": {
                "schemas": {name: schema for name, schema in sorted(self._schemas.items()) if name in used} | _ERROR_SCHEMA,
                "responses": {name: self._refused(*what) for name, what in sorted(self._refusals.items())},
                "securitySchemes": {
                    "token": {"type": "http", "scheme": "bearer", "description": "A token of this node, `mjl_...`."},
                },
            },
        }

    # --- one operation

    def _outer(self, operation: Operation, operation_id: str) -> dict[str, Any]:
        if operation.name not in self._built:
            return self._unbuilt(operation_id, operation.summary, re.findall(r"\{(\w+)\}", operation.path))
        fields, required = self._fields(operation.request)
        in_path = re.findall(r"\{(\w+)\}", operation.path)
        found = self._start(operation, operation_id)
        parameters = [_parameter(name, "path", fields.pop(name)) for name in in_path]
        if operation.name.startswith("sessions."):
            secret = {"type": "string", "description": _SECRETS[operation.name == "sessions.open"]}
            parameters.append(_parameter(_SESSION_HEADER, "header", secret, required=operation.name != "sessions.open"))
        if operation.name == "sessions.events":
            last = {"type": "integer", "minimum": 0, "description": "`id` of the last event that was seen; goes on behind it."}
            parameters.append(_parameter("Last-Event-ID", "header", last))
        if operation.method in {"GET", "DELETE"}:
            parameters += [_parameter(name, "query", schema, required=name in required) for name, schema in fields.items()]
        elif fields:
            still = [name for name in required if name in fields]
            body = _object(fields, still)
            if operation.one_of:
                body["oneOf"] = [_one_given(fields, name, operation.one_of) for name in operation.one_of]
            found["requestBody"] = _body(body, required=bool(still or operation.one_of))
        if parameters:
            found["parameters"] = parameters
        found["responses"] = self._responses(operation, in_path)
        return found

    def _responses(self, operation: Operation, in_path: list[str]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        if operation.streams:
            found["200"] = _stream(_STREAMED.get(operation.name, ""))
        elif operation.answer is None:
            found["204"] = {"description": "Done."}
        else:
            answer = ANSWERS.get(operation.name, operation.answer)
            found[str(operation.success)] = self._answer(answer, made=bool(operation.made))
            if links := self._links(operation.made):
                found[str(operation.success)]["links"] = links
        if operation.begun is not None:
            found["202"] = self._answer(operation.begun, made=True) | {"links": self._links("/calls/{call}")}
        errors = [*_ANY, *operation.errors]
        if in_path:
            errors.append(NotFound)
        if operation.role:
            errors.append(DeadlineExceeded)
        return found | self._errors(errors)

    def _links(self, made: str) -> dict[str, Any]:
        """The operations on what was made: the name in their path stands in the answer."""
        start, _, field = made.removesuffix("}").partition("{")
        found: dict[str, Any] = {}
        for operation in self._operations if made else ():
            name = re.match(rf"{re.escape(start)}\{{(\w+)\}}", operation.path)
            if name is not None and operation.name in self._built:
                value = f"$response.body#/{field.replace('.', '/')}"
                given = {name[1]: value}
                if start == "/sessions/":
                    given[f"header.{_SESSION_HEADER}"] = "$response.body#/secret"
                found[operation.name] = {"operationId": operation.name, "parameters": given}
        return found

    def _answer(self, answer: type, *, made: bool) -> dict[str, Any]:
        found: dict[str, Any] = {"description": "The answer.", "content": {"application/json": {"schema": self._refs[answer]}}}
        if made:
            found["headers"] = {"Location": {"description": "Where it is found.", "schema": {"type": "string"}}}
        return found

    def _inner(self, operation: Operation) -> None:
        taken = INNER_PATHS[operation.name]
        fields, required = self._fields(taken.parameters)
        for ending in ("", "/{client}"):
            label = [_parameter("client", "path", _LABEL)] if ending else []
            for method in ("GET", "POST"):
                name = f"inner.{operation.name}.{method.lower()}{'.labelled' if ending else ''}"
                if operation.name not in self._built:
                    self._add(
                        f"/majula{operation.inner_path}{ending}",
                        method,
                        self._unbuilt(name, operation.summary, ["client"] if ending else []),
                    )
                    continue
                found = self._start(operation, name)
                parameters = list(label)
                if method == "GET":
                    texts = {one: _as_text(schema) for one, schema in fields.items()}
                    parameters += [_parameter(one, "query", schema, required=one in required) for one, schema in texts.items()]
                elif fields:
                    body = _object(fields, required, more=True)
                    found["requestBody"] = _body(body, required=bool(required), form=True)
                if parameters:
                    found["parameters"] = parameters
                ok = _stream(_STREAMED[operation.name]) if taken.answer is None else self._answer(taken.answer, made=False)
                found["responses"] = {"200": ok} | self._errors([*_ANY, *taken.errors])
                self._add(f"/majula{operation.inner_path}{ending}", method, found)

    def _start(self, operation: Operation, operation_id: str) -> dict[str, Any]:
        found: dict[str, Any] = {"operationId": operation_id, "summary": operation.summary}
        found["tags"] = [operation.name.partition(".")[0]]
        if operation.scope:
            field = operation.scope_field
            wanted = field[1:] if field.startswith("=") else f"<{field}>"
            found["description"] = f"Needs the scope `{operation.scope}:{wanted}`."
        if operation.websocket:
            found["x-websocket-method"] = operation.websocket
        if operation.cli:
            found["x-command"] = f"majula {operation.cli}"
        return found

    def _plain(self) -> None:
        """Paths that are no operations."""
        ready = {
            "type": "object",
            "properties": {"live": {"type": "boolean"}, "ready": {"type": "boolean"}},
            "required": ["live", "ready"],
        }
        health: dict[str, Any] = {
            "operationId": "health",
            "summary": "Say whether this gateway lives and serves; anybody may ask.",
            "security": [{}],
            "responses": {
                "200": {"description": "It serves.", "content": {"application/json": {"schema": ready}}},
                "503": {"description": "It starts or stops.", "content": {"application/json": {"schema": ready}}},
            }
            | {status: one for status, one in self._errors(_ANY).items() if status != "503"},
        }
        self._add("/majula/health", "GET", health)
        for path, kind, what in (
            ("/metrics", "text/plain", "The node's figures in the Prometheus text format."),
            ("/majula/openapi.json", "application/json", "This document."),
            ("/majula/docs", "text/html", "The page that shows this document."),
        ):
            content = {kind: {"schema": {"type": "object" if kind.endswith("json") else "string"}}}
            found = {"operationId": path.rpartition("/")[2].replace(".", "-"), "summary": what}
            self._add(path, "GET", found | {"responses": {"200": {"description": what, "content": content}} | self._errors(_ANY)})

    def _not_built(self) -> None:
        paths = [f"/majula{path}{ending}" for path in planned.INNER for ending in ("", "/{client}")]
        paths += [*planned.OTHERS, *(f"/majula/v1/{path}" for path in planned.OUTER)]
        for path in paths:
            for method in ("GET", "POST"):
                name = f"later.{path.strip('/').replace('/', '.').replace('{', '').replace('}', '')}.{method.lower()}"
                self._add(path, method, self._unbuilt(name, "Not built yet in this version.", re.findall(r"\{(\w+)\}", path)))

    def _unbuilt(self, name: str, summary: str, in_path: list[str]) -> dict[str, Any]:
        found: dict[str, Any] = {"operationId": name, "summary": summary, "x-not-built": True}
        if in_path:
            found["parameters"] = [_parameter(one, "path", {"type": "string"}) for one in in_path]
        return found | {"responses": self._errors([*_ANY, NotBuilt])}

    # --- parts

    def _add(self, path: str, method: str, operation: dict[str, Any]) -> None:
        self._paths.setdefault(path, {})[method.lower()] = operation

    def _fields(self, request: type[msgspec.Struct]) -> tuple[dict[str, Any], list[str]]:
        """(schemas by name, with what the docstring says of each; names that must be there)."""
        schema = self._schemas[self._refs[request]["$ref"].rpartition("/")[2]]
        said = field_notes(request)
        fields = {
            name: _any_json(one) | ({"description": said[name]} if name in said and "$ref" not in one else {})
            for name, one in schema.get("properties", {}).items()
        }
        return fields, list(schema.get("required", ()))

    def _errors(self, errors: Iterable[type[MajulaError]]) -> dict[str, Any]:
        codes: dict[int, set[str]] = {}
        for error in errors:
            codes.setdefault(error.status, set()).add(error.code)
        found: dict[str, Any] = {}
        usual = {error.code for error in _ANY}
        for status, named in sorted(codes.items()):
            name = ".".join([f"Refused{status}", *sorted(named - usual)])
            self._refusals[name] = (status, frozenset(named))
            found[str(status)] = {"$ref": f"#/components/responses/{name}"}
        return found

    def _refused(self, status: int, named: frozenset[str]) -> dict[str, Any]:
        codes = ", ".join(f"`{code}`" for code in sorted(named))
        found: dict[str, Any] = {
            "description": f"Refused: {codes}.",
            "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Refusal"}}},
        }
        if status in {429, 503, 504}:
            found["headers"] = {"Retry-After": {"description": "Seconds.", "schema": {"type": "integer", "minimum": 1}}}
        return found

    def _security(self) -> list[dict[str, list[str]]]:
        return [{"token": []}] if self._auth == "token" else [{}]

    def _used(self) -> set[str]:
        """Names of the schemas that the paths lead to."""
        used: set[str] = set()
        text = [msgspec.json.encode(self._paths).decode()]
        while text:
            for name in set(re.findall(r'"#/components/schemas/([^"]+)"', text.pop())) - used:
                used.add(name)
                if name in self._schemas:
                    text.append(msgspec.json.encode(self._schemas[name]).decode())
        return used


_ERROR_SCHEMA: dict[str, Any] = {
    "Json": {
        "title": "Json",
        "description": "Any JSON that every program reads alike: whole numbers of at most 64 bits, at most 64 levels.",
        "type": ["null", "boolean", "string", "number", "array", "object"],
        "items": _JSON,
        "additionalProperties": _JSON,
    },
    "Refusal": {
        "title": "Refusal",
        "type": "object",
        "properties": {
            "error": {"type": "string", "description": "One sentence that says what is wrong, and where it can, what to do."},
            "code": {"type": "string", "description": "Stable; the same on every surface."},
            "detail": {"type": "object", "description": "For machines."},
        },
        "required": ["error", "code", "detail"],
    },
}


def field_notes(struct: type[msgspec.Struct]) -> dict[str, str]:
    """What the docstring of a struct says of its fields, where it says it as `name: text` or `one, other: text`."""
    text = " ".join((struct.__doc__ or "").split())
    names = "|".join(map(re.escape, struct.__struct_encode_fields__))
    if not names:
        return {}
    starts = list(re.finditer(rf"(?:^|(?<=[.:;?)] ))((?:{names})(?:, (?:{names}))*): ", text))
    found: dict[str, str] = {}
    for start, following in zip_longest(starts, starts[1:]):
        note = text[start.end() : following.start() if following else len(text)].strip()
        found |= dict.fromkeys(start[1].split(", "), note[:1].upper() + note[1:])
    return found


def _parameter(name: str, place: str, schema: dict[str, Any], *, required: bool = False) -> dict[str, Any]:
    schema = dict(schema)
    said = schema.pop("description", "")
    found: dict[str, Any] = {"name": name, "in": place, "required": required or place == "path", "schema": schema}
    if place == "path" and schema.get("type") == "string":
        schema.pop("default", None)
        schema["minLength"] = max(1, schema.get("minLength", 1))
    if said:
        found["description"] = said
    return found


def _as_text(schema: dict[str, Any]) -> dict[str, Any]:
    """The same in a query, where everything is text."""
    kept = {name: schema[name] for name in ("description", "minLength", "maxLength", "pattern") if name in schema}
    return {"type": "string"} | kept


def _any_json(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema of a parameter, with what JSON we take where any would do."""
    if not schema.keys() - {"default", "description", "title"}:
        return schema | _JSON
    found = dict(schema)
    if found.get("type") == "object" and not found.keys() & {"properties", "additionalProperties"}:
        found["additionalProperties"] = _JSON
    if "items" in found:
        found["items"] = _any_json(found["items"])
    if "anyOf" in found and all(one.keys() == {"type"} and one["type"] != "object" for one in found["anyOf"]):
        found["type"] = [one["type"] for one in found.pop("anyOf")]
    if "anyOf" in found:
        found["anyOf"] = [_any_json(one) for one in found["anyOf"]]
    return found


def _one_given(fields: dict[str, Any], given: str, names: tuple[str, ...]) -> dict[str, Any]:
    """One of these parameters is given, the others have what stands for "not given"."""
    found: dict[str, Any] = {"required": [given], "properties": {name: {"const": fields[name]["default"]} for name in names}}
    found["properties"][given] = {"not": {"const": fields[given]["default"]}}
    return found


def _object(fields: dict[str, Any], required: list[str], *, more: bool = False) -> dict[str, Any]:
    found: dict[str, Any] = {"type": "object", "properties": fields, "additionalProperties": _JSON if more else False}
    return found | ({"required": required} if required else {})


def _body(schema: dict[str, Any], *, required: bool, form: bool = False) -> dict[str, Any]:
    content = {"application/json": {"schema": schema}}
    if form:
        texts = {name: _as_text(one) for name, one in schema["properties"].items()}
        more = {"type": "string"}
        content["application/x-www-form-urlencoded"] = {"schema": schema | {"properties": texts, "additionalProperties": more}}
    return {"required": required, "content": content}


def _stream(said: str) -> dict[str, Any]:
    return {
        "description": f"An event stream that stays open. {said}".strip(),
        "content": {"text/event-stream": {"schema": {"type": "string"}}},
    }
