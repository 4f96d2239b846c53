"""`GET /metrics`: what Prometheus reads, on every gateway."""

from __future__ import annotations

from typing import Any

import msgspec
from aiohttp import web

from majula.api.http.exchange import attached
from majula.gateway.edge import EdgeContext
from majula.telemetry.operations import METRICS, MetricsAnswer
from majula.wire.headers import JSON, Request

METRICS_PATH = "/metrics"

# Of the text format; its parsers take no other name for it.
_CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


async def metrics_page(context: EdgeContext, http: web.Request, request: Any) -> web.StreamResponse:
    """The node's figures, as telemetry knows them; 503 while it is away."""
    async with attached(context, http) as asker:
        _, body = await asker.ask(Request(0, METRICS.name, JSON), b"")
    text = msgspec.json.decode(body, type=MetricsAnswer).text
    return web.Response(body=text.encode(), headers={"Content-Type": _CONTENT_TYPE})
