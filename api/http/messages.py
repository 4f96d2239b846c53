"""Private messages over HTTP: sent by a request, received as an event stream beside whoever has the client id."""

from __future__ import annotations

from math import isfinite
from typing import Any

import msgspec
from aiohttp import web

from majula.api.http import events
from majula.api.http.exchange import ANSWER_S, Asker, attached, checked_name, label_of
from majula.api.http.parameters import as_text
from majula.api.http.wording import json_answer
from majula.errors import InvalidRequest
from majula.flow.operations import (
    BroadcastAnswer,
    BroadcastRequest,
    ReceiveRequest,
    SendAnswer,
    SendRequest,
)
from majula.gateway.edge import EdgeContext
from majula.wire.headers import JSON, Request

_encode = msgspec.json.Encoder().encode
_decode_send = msgspec.json.Decoder(SendAnswer).decode
_decode_broadcast = msgspec.json.Decoder(BroadcastAnswer).decode


async def send(context: EdgeContext, http: web.Request, request: SendRequest) -> web.StreamResponse:
    """`POST /majula/v1/messages`."""
    async with attached(context, http) as asker:
        return json_answer(await _send(asker, request))


async def broadcast(context: EdgeContext, http: web.Request, request: BroadcastRequest) -> web.StreamResponse:
    """`POST /majula/v1/broadcast`."""
    async with attached(context, http) as asker:
        return json_answer(await _broadcast(asker, request))


async def receive(context: EdgeContext, http: web.Request, request: ReceiveRequest) -> web.StreamResponse:
    """`GET /majula/v1/clients/{client}/messages`, an event stream."""
    return await events.stream(context, http, _reader(request.client), None, only_objects=False)


async def send_inner(context: EdgeContext, http: web.Request, parameters: dict[str, Any]) -> web.StreamResponse:
    """`/majula/send`: `target_client` given empty is every client of the node."""
    node = checked_name(as_text(parameters, "target_node"), "target_node")
    client = checked_name(as_text(parameters, "target_client"), "target_client")
    message = parameters.get("msg", "")
    wait_s, ttl_s = _seconds(parameters, "wait_s", 2.0), _seconds(parameters, "ttl_s", 60.0)
    async with attached(context, http, label_of(http)) as asker:
        answer: dict[str, Any] = {"status": "sent", "source_client": asker.client_id}
        answer |= {"target_node": node, "target_client": client, "message": message}
        if client:
            sent = await _send(asker, SendRequest(client, message, node, ttl_s, wait_s))
            answer |= {"message_id": sent.message_id, "state": sent.state}
        else:
            told = await _broadcast(asker, BroadcastRequest(message, node, ttl_s, wait_s))
            answer |= {"message_id": told.message_id, "delivered": told.delivered, "written": told.written, "of": told.of}
    return json_answer(answer)


async def receive_inner(context: EdgeContext, http: web.Request, parameters: dict[str, Any]) -> web.StreamResponse:
    """`/majula/h/{client}`, an event stream."""
    return await events.stream(context, http, _reader(label_of(http)), None, only_objects=True)


async def _send(asker: Asker, request: SendRequest) -> SendAnswer:
    _, body = await asker.ask(Request(0, "messages.send", JSON), _encode(request), answer_s=request.wait_s + ANSWER_S)
    return _decode_send(body)


async def _broadcast(asker: Asker, request: BroadcastRequest) -> BroadcastAnswer:
    _, body = await asker.ask(Request(0, "messages.broadcast", JSON), _encode(request), answer_s=request.wait_s + ANSWER_S)
    return _decode_broadcast(body)


def _reader(client_id: str) -> str:
    if not client_id:
        raise InvalidRequest("the path names the client whose messages are read")
    return checked_name(client_id, "a client id")


def _seconds(parameters: dict[str, Any], name: str, usual: float) -> float:
    if name not in parameters:
        return usual
    try:
        seconds = float(as_text(parameters, name))
    except ValueError:
        seconds = -1.0
    if not isfinite(seconds) or seconds < 0:
        raise InvalidRequest(f"{name} is a number of seconds")
    return seconds
