"""Calls over HTTP."""

from __future__ import annotations

from typing import Any

import msgspec
from aiohttp import web

from majula.api.http.calls import STARTED_CALLS, fault_error
from majula.api.http.exchange import Asker, attached, checked_name, label_of, permit
from majula.api.http.parameters import as_text
from majula.api.http.wording import json_answer
from majula.errors import InvalidRequest
from majula.gateway.edge import EdgeContext
from majula.rpc.operations import CALL, CallRequest, Service, ServicesAnswer, ServicesRequest
from majula.wire import jsontext
from majula.wire.headers import JSON, MSGPACK, Call, Fault, Request, Result
from majula.wire.package import to_json_text

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode
_decode_services = msgspec.msgpack.Decoder(ServicesAnswer).decode
_NAMING = frozenset({"fun", "target_node", "provider", "args"})


async def call(context: EdgeContext, http: web.Request, request: CallRequest) -> web.StreamResponse:
    """`POST /majula/v1/calls`: the result, or an error with the status of its code; with `wait: false` its name at once."""
    checked_name(request.function, "function")
    head = Call(
        0, request.function, JSON, request.timeout_ms, request.provider, request.node, request.idempotent, "", request.headers
    )
    arguments = {} if request.arguments is None else request.arguments
    if not request.wait:
        started = http.app[STARTED_CALLS].start(http, head, _encode(arguments))
        return json_answer(started.line, 202, location=f"/majula/v1/calls/{started.name}")
    async with attached(context, http) as asker:
        fault, result = await _called(asker, head, _encode(arguments))
    if fault is not None:
        raise fault_error(fault)
    return json_answer({"result": msgspec.Raw(result)})


async def services(context: EdgeContext, http: web.Request, request: ServicesRequest) -> web.StreamResponse:
    """`GET /majula/v1/services`."""
    async with attached(context, http) as asker:
        return json_answer(ServicesAnswer(await _services(asker, request)))


async def rpc(context: EdgeContext, http: web.Request, parameters: dict[str, Any]) -> web.StreamResponse:
    """`/majula/rpc`: always 200 once the call was made; `success` says how it went."""
    function = checked_name(as_text(parameters, "fun"), "fun")
    node = checked_name(as_text(parameters, "target_node"), "target_node")
    provider = checked_name(as_text(parameters, "provider"), "provider")
    permit(http, CALL, CallRequest(function))
    arguments = _arguments(parameters, nesting=context.settings.limits.nesting)
    async with attached(context, http, label_of(http)) as asker:
        fault, result = await _called(asker, Call(0, function, JSON, 10_000, provider, node), _encode(arguments))
        answer: dict[str, Any] = {"fun": function, "args": arguments, "client": asker.client_id}
    answer |= {"provider": provider, "target_node": node}
    if fault is not None:
        message = fault.message or fault.code
        return json_answer(answer | {"result": {"error": message}, "success": False, "error": message, "code": fault.code})
    try:
        value = _decode(result)
    except msgspec.DecodeError:
        value = msgspec.Raw(result)  # JSON whose numbers no program of ours can hold; the caller's may
    error = value.get("error") if isinstance(value, dict) else None
    answer |= {"result": value, "success": not isinstance(error, str)}
    if isinstance(error, str):
        answer["error"] = error
    return json_answer(answer)


async def list_rpc(context: EdgeContext, http: web.Request, parameters: dict[str, Any]) -> web.StreamResponse:
    """`/majula/list_rpc`."""
    node = checked_name(as_text(parameters, "target_node"), "target_node")
    provider = checked_name(as_text(parameters, "provider"), "provider")
    async with attached(context, http, label_of(http)) as asker:
        found = await _services(asker, ServicesRequest(provider=provider, node=node))
    rpcs = [{"name": one.name, "note": one.note, "parameters": one.parameters, "results": one.results} for one in found]
    return json_answer({"target_node": node, "provider": provider, "rpcs": rpcs})


async def _called(asker: Asker, head: Call, arguments: bytes) -> tuple[Fault | None, bytes]:
    header, body = await asker.ask(head, arguments)
    assert isinstance(header, Result), "the gateway answers a call by RESULT"
    if header.fault is not None:
        return header.fault, b""
    return None, to_json_text(header.encoding, body) or b"null"


async def _services(asker: Asker, request: ServicesRequest) -> tuple[Service, ...]:
    _, body = await asker.ask(Request(0, "rpc.services", MSGPACK), msgspec.msgpack.encode(request))
    return _decode_services(body).services


def _arguments(parameters: dict[str, Any], *, nesting: int) -> dict[str, Any]:
    """`args` as an object or its JSON text; without it all that does not name the call."""
    if "args" not in parameters:
        return {name: value for name, value in parameters.items() if name not in _NAMING}
    value = parameters["args"]
    if isinstance(value, str):
        value = jsontext.decode(value.encode("utf-8", "surrogatepass"), nesting=nesting) if value.strip() else {}
    if not isinstance(value, dict):
        raise InvalidRequest("args is a JSON object, or the text of one")
    return value
