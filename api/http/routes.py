"""All paths, derived from the declarations of the operations.

An operation below `/majula/v1` is served by a function of its own, where HTTP has something to add, or by asking for it by name
(`_asked`). One that declares an HTTP path and is served by neither is not built yet and answers 501.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import msgspec
from aiohttp import web

from majula.api.http import calls, messages, openapi, planned, rpc, sessions, topics
from majula.api.http.answers import JSON_TYPE
from majula.api.http.documentation import POLICY, page_files
from majula.api.http.exchange import attached, identity_of, permit
from majula.api.http.metrics import METRICS_PATH, metrics_page
from majula.api.http.parameters import read_parameters, read_parts
from majula.api.http.typed import path_texts, typed_request
from majula.api.http.wording import json_answer
from majula.gateway.edge import EdgeContext
from majula.operations import Operation, all_operations
from majula.wire.headers import JSON, Reply
from majula.wire.headers import Request as WireRequest

BASE = "/majula"
OUTER = "/majula/v1"
HEALTH = f"{BASE}/health"

InnerServing = Callable[[EdgeContext, web.Request, dict[str, Any]], Awaitable[web.StreamResponse]]
OuterServing = Callable[[EdgeContext, web.Request, Any], Awaitable[web.StreamResponse]]
"""The third argument is the operation's typed request."""
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

INNER_SERVINGS: Mapping[str, InnerServing] = {
    "topics.publish": topics.pub,
    "topics.subscribe": topics.sub,
    "rpc.call": rpc.rpc,
    "rpc.services": rpc.list_rpc,
    "messages.send": messages.send_inner,
    "messages.receive": messages.receive_inner,
}
"""By operation name: what serves its path of the inner circle."""

OUTER_SERVINGS: Mapping[str, OuterServing] = {
    "topics.publish": topics.publish,
    "topics.subscribe": topics.subscribe,
    "rpc.call": rpc.call,
    "rpc.services": rpc.services,
    "sessions.open": sessions.open_session,
    "sessions.close": sessions.close_session,
    "sessions.events": sessions.events,
    "sessions.packages": sessions.take_packages,
    "calls.fetch": calls.fetch,
    "calls.cancel": calls.cancel,
    "messages.send": messages.send,
    "messages.broadcast": messages.broadcast,
    "messages.receive": messages.receive,
}
"""By operation name: what serves its path below `/majula/v1`; others are asked for by name."""

DOCUMENT_PATH = f"{BASE}/openapi.json"

SHORT_PATHS: Mapping[str, str] = {f"{BASE}/info": "node.info"}
"""Paths outside `/majula/v1` that answer as an operation does. They take no parameters."""


def is_built(operation: Operation) -> bool:
    """Whether its path below `/majula/v1` is served."""
    return operation.name in OUTER_SERVINGS or operation.frame is WireRequest


def template(operation: Operation) -> str:
    """Its path below `/majula/v1` for the router: a name in it is any text without a slash, braces too."""
    return OUTER + re.sub(r"\{(\w+)\}", r"{\1:[^/]+}", operation.path)


def make_routes(context: EdgeContext) -> list[web.RouteDef]:
    """Every route of the gateway, the most specific first."""
    routes: list[web.RouteDef] = [web.get(HEALTH, _health(context))]
    operations = {operation.name: operation for operation in all_operations()}
    for path, name in SHORT_PATHS.items():
        routes.append(web.get(path, _outer(context, operations[name])))
    routes.append(web.get(METRICS_PATH, _outer(context, operations["metrics.show"], metrics_page)))
    for operation in operations.values():
        if operation.inner_path:
            inner = _inner(context, INNER_SERVINGS.get(operation.name, _unbuilt))
            for path in (BASE + operation.inner_path, BASE + operation.inner_path + "/{client}"):
                # HEAD would do what GET does and hide the answer.
                routes += [web.get(path, inner, allow_head=False), web.post(path, inner)]
    # A path without names in it first: `/config/revisions` is no `/config/{name}`.
    for operation in sorted(operations.values(), key=lambda one: one.path.count("{")):
        if operation.path:
            more = {"allow_head": not operation.streams} if operation.method == "GET" else {}
            routes.append(web.route(operation.method, template(operation), _outer(context, operation), **more))
    routes += _documents(context)
    for path in planned.INNER:
        routes += [web.route("*", BASE + path + ending, _planned) for ending in ("", "/{client}")]
    routes += [web.route("*", path, _planned) for path in planned.OTHERS]
    for path in planned.OUTER:
        routes += [web.route("*", f"{OUTER}/{path}{ending}", _planned) for ending in ("", "/{rest:.*}")]
    return routes


def _inner(context: EdgeContext, serving: InnerServing) -> Handler:
    async def handle(request: web.Request) -> web.StreamResponse:
        path_texts(request)  # refuses what is not UTF-8
        return await serving(context, request, await read_parameters(request, context.settings.limits))

    return handle


def _outer(context: EdgeContext, operation: Operation, serving: OuterServing | None = None) -> Handler:
    serving = serving or OUTER_SERVINGS.get(operation.name) or (_asked(operation) if is_built(operation) else _unbuilt)

    async def handle(request: web.Request) -> web.StreamResponse:
        path = path_texts(request)
        parts = await read_parts(request, context.settings.limits)
        typed = typed_request(operation, parts, path, nesting=context.settings.limits.nesting)
        permit(request, operation, typed)
        return await serving(context, request, typed)

    return handle


def _asked(operation: Operation) -> OuterServing:
    """Serve an operation by asking for it by its name: its typed request goes out, its answer comes back as JSON."""

    async def serve(context: EdgeContext, http: web.Request, request: Any) -> web.StreamResponse:
        async with attached(context, http) as asker:
            header, body = await asker.ask(WireRequest(0, operation.name, JSON), msgspec.json.encode(request))
        if operation.answer is None or not isinstance(header, Reply):
            return web.Response(status=204)
        return json_answer(msgspec.Raw(body), operation.status, location=made_at(operation, body))

    return serve


def made_at(operation: Operation, answer: bytes) -> str:
    """The path of what an operation has made, by its answer in JSON; empty: it makes nothing."""
    if not operation.made or operation.answer is None:
        return ""
    found = msgspec.json.decode(answer, type=operation.answer)
    return OUTER + operation.made.format_map({name: getattr(found, name) for name in found.__struct_fields__})


async def _unbuilt(context: EdgeContext, http: web.Request, request: Any) -> web.StreamResponse:
    raise planned.not_built(http.path)


def _documents(context: EdgeContext) -> list[web.RouteDef]:
    """The API document and the page that shows it."""
    routes = [web.get(DOCUMENT_PATH, _document(context))]
    for file in page_files():
        headers = {"Content-Type": f"{file.content_type}; charset=utf-8", "Content-Security-Policy": POLICY}
        routes.append(web.get(file.path, _still(file.body, headers)))
    return routes


def _document(context: EdgeContext) -> Handler:
    built = [operation.name for operation in all_operations() if is_built(operation)]
    made: dict[str, bytes] = {}  # by the kind of authentication, which a new configuration may change

    async def handle(request: web.Request) -> web.StreamResponse:
        settings = context.settings
        if settings.auth not in made:
            document = openapi.build(version=settings.version, auth=settings.auth, built=built, short_paths=SHORT_PATHS)
            made[settings.auth] = msgspec.json.encode(document)
        return web.Response(body=made[settings.auth], headers={"Content-Type": JSON_TYPE})

    return handle


def _still(body: bytes, headers: dict[str, str]) -> Handler:
    async def handle(request: web.Request) -> web.StreamResponse:
        return web.Response(body=body, headers=headers)

    return handle


def _health(context: EdgeContext) -> Handler:
    async def handle(request: web.Request) -> web.StreamResponse:
        health = context.health()
        shown: dict[str, object] = {"live": bool(health.get("live", True)), "ready": bool(health.get("ready", False))}
        identity = identity_of(request)
        if identity is not None and identity.token is not None and identity.grants.allows("observe", "status"):
            shown["roles"] = health.get("roles", {})
        return web.Response(
            status=200 if shown["ready"] else 503, body=msgspec.json.encode(shown), headers={"Content-Type": JSON_TYPE}
        )

    return handle


async def _planned(request: web.Request) -> web.StreamResponse:
    raise planned.not_built(request.path)
