"""Topics over HTTP."""

from __future__ import annotations

from typing import Any

import msgspec
from aiohttp import web

from majula.api.http import events
from majula.api.http.exchange import attached, label_of
from majula.api.http.parameters import as_text
from majula.api.http.wording import json_answer, json_object
from majula.gateway.edge import EdgeContext
from majula.topics.operations import PublishAnswer, PublishRequest, SubscribeRequest
from majula.wire.frames import encode_run
from majula.wire.headers import JSON, RETAIN, Publish, Subscribe

_encode = msgspec.json.Encoder().encode


async def publish(context: EdgeContext, http: web.Request, request: PublishRequest) -> web.StreamResponse:
    """`POST /majula/v1/topics/{topic}/messages`."""
    head = Publish(request.topic, JSON, RETAIN if request.retain else 0, 0, "", request.headers)
    async with attached(context, http) as asker:
        await asker.ask(head, encode_run([_encode(request.message)]))
    return json_answer(PublishAnswer("published", request.topic))


async def subscribe(context: EdgeContext, http: web.Request, request: SubscribeRequest) -> web.StreamResponse:
    """`GET /majula/v1/topics/{topic}/messages`, an event stream."""
    head = Subscribe(1, request.topic, request.pattern, request.queue, request.retained, request.sync)
    return await events.stream(context, http, "", head, only_objects=False)


async def pub(context: EdgeContext, http: web.Request, parameters: dict[str, Any]) -> web.StreamResponse:
    """`/majula/pub`: `msg` is text, or any JSON; text that is a JSON object is delivered as that object."""
    topic = as_text(parameters, "topic")
    message = parameters["args"] if "args" in parameters and "msg" not in parameters else parameters.get("msg", "")
    payload = json_object(message, nesting=context.settings.limits.nesting)
    async with attached(context, http, label_of(http)) as asker:
        await asker.ask(Publish(topic, JSON), encode_run([payload]))
        answer = {"status": "published", "topic": topic, "client": asker.client_id, "message": message}
    return json_answer(answer)


async def sub(context: EdgeContext, http: web.Request, parameters: dict[str, Any]) -> web.StreamResponse:
    """`/majula/sub`, an event stream."""
    head = Subscribe(1, as_text(parameters, "topic"))
    return await events.stream(context, http, label_of(http), head, only_objects=True)
