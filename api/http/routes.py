"""All paths, derived from the declarations of the operations.

An operation that declares an HTTP path and has nothing here to serve it, or the reverse, is found by `serving` when the gateway
starts, and by a test before that.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import msgspec
from aiohttp import web

from majula.api.http import planned, rpc, topics
from majula.api.http.answers import JSON_TYPE
from majula.api.http.exchange import attached
from majula.api.http.parameters import read_parameters
from majula.api.http.wording import json_answer
from majula.errors import InvalidRequest
from majula.gateway.edge import EdgeContext
from majula.operations import Operation, all_operations
from majula.wire.headers import JSON, Reply
from majula.wire.headers import Request as WireRequest

BASE = "/majula"
OUTER = "/majula/v1"

InnerServing = Callable[[EdgeContext, web.Request, dict[str, Any]], Awaitable[web.StreamResponse]]
OuterServing = Callable[[EdgeContext, web.Request, Any], Awaitable[web.StreamResponse]]
"""The third argument is the operation's typed request."""
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

INNER_SERVINGS: Mapping[str, InnerServing] = {
    "topics.publish": topics.pub,
    "topics.subscribe": topics.sub,
    "rpc.call": rpc.rpc,
    "rpc.services": rpc.list_rpc,
}
"""By operation name: what serves its path of the inner circle."""

OUTER_SERVINGS: Mapping[str, OuterServing] = {
    "topics.publish": topics.publish,
    "topics.subscribe": topics.subscribe,
    "rpc.call": rpc.call,
    "rpc.services": rpc.services,
}
"""By operation name: what serves its path below `/majula/v1`."""


def make_routes(context: EdgeContext) -> list[web.RouteDef]:
    """Every route of the gateway, the most specific first."""
    routes: list[web.RouteDef] = [web.get(f"{BASE}/health", _health(context))]
    for operation in all_operations():
        if operation.inner_path:
            inner = _inner(context, INNER_SERVINGS.get(operation.name, _unbuilt))
            for path in (BASE + operation.inner_path, BASE + operation.inner_path + "/{client}"):
                routes += [web.get(path, inner, allow_head=False), web.post(path, inner)]
        if operation.path:
            serving = OUTER_SERVINGS.get(operation.name) or (_asked(operation) if operation.frame is WireRequest else _unbuilt)
            outer = _outer(context, operation, serving)
            more = {"allow_head": False} if operation.method == "GET" else {}  # HEAD would open an event stream
            routes.append(web.route(operation.method, OUTER + operation.path, outer, **more))
    for path in planned.INNER:
        routes += [web.route("*", BASE + path + ending, _planned) for ending in ("", "/{client}")]
    routes += [web.route("*", path, _planned) for path in planned.OTHERS]
    for path in planned.OUTER:
        # Under a path that is served for one method, the others are 405: the planned subtree begins below it.
        routes += [web.route("*", f"{OUTER}/{path}" + ending, _planned) for ending in ("", r"/{rest:(?!.*/messages$).*}")]
    return routes


def _inner(context: EdgeContext, serving: InnerServing) -> Handler:
    async def handle(request: web.Request) -> web.StreamResponse:
        return await serving(context, request, await read_parameters(request, context.settings.limits))

    return handle


def _outer(context: EdgeContext, operation: Operation, serving: OuterServing) -> Handler:
    async def handle(request: web.Request) -> web.StreamResponse:
        parameters = await read_parameters(request, context.settings.limits) | dict(request.match_info)
        try:
            typed = msgspec.convert(parameters, operation.request, strict=False)
        except msgspec.ValidationError as error:
            raise InvalidRequest(f"{operation.name}: {error}") from None
        return await serving(context, request, typed)

    return handle


def _asked(operation: Operation) -> OuterServing:
    """Serve an operation that is asked by a REQUEST: its typed request goes out, its answer comes back as JSON."""

    async def serve(context: EdgeContext, http: web.Request, request: Any) -> web.StreamResponse:
        async with attached(context, http) as asker:
            header, body = await asker.ask(WireRequest(0, operation.name, JSON), msgspec.json.encode(request))
        if isinstance(header, Reply):
            return json_answer(msgspec.Raw(body))
        return json_answer({"status": "ok"})

    return serve


async def _unbuilt(context: EdgeContext, http: web.Request, request: Any) -> web.StreamResponse:
    raise planned.not_built(http.path)


def _health(context: EdgeContext) -> Handler:
    async def handle(request: web.Request) -> web.StreamResponse:
        health = context.health()
        shown = {"live": bool(health.get("live", True)), "ready": bool(health.get("ready", False))}
        return web.Response(
            status=200 if shown["ready"] else 503, body=msgspec.json.encode(shown), headers={"Content-Type": JSON_TYPE}
        )

    return handle


async def _planned(request: web.Request) -> web.StreamResponse:
    raise planned.not_built(request.path)
