"""Errors as HTTP: translated here and nowhere else."""

from __future__ import annotations

import math
import secrets
from collections.abc import Mapping

import msgspec

from majula.errors import InternalError, LimitReached, MajulaError, NotNow, Unauthorized

JSON_TYPE = "application/json; charset=utf-8"

_REASONS = {
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    408: "Request Timeout",
    409: "Conflict",
    413: "Content Too Large",
    415: "Unsupported Media Type",
    421: "Misdirected Request",
    429: "Too Many Requests",
    499: "Client Closed Request",
    500: "Internal Server Error",
    501: "Not Implemented",
    502: "Bad Gateway",
    503: "Service Unavailable",
    504: "Gateway Timeout",
}

SAFETY_HEADERS: Mapping[str, str] = {
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
}
"""On every answer: what a gateway says is data, never a document."""

_encode = msgspec.json.Encoder(enc_hook=str).encode


def error_body(error: MajulaError) -> bytes:
    """`{"error": sentence, "code": code, "detail": {...}}`."""
    return _encode(error.to_dict())


def error_headers(error: MajulaError) -> dict[str, str]:
    """Headers that belong to an error beside its body."""
    if isinstance(error, NotNow) and error.retry_after_s:
        return {"Retry-After": str(max(1, math.ceil(error.retry_after_s)))}
    if isinstance(error, LimitReached):
        after_s = error.detail.get("retry_after_s")
        return {"Retry-After": str(max(1, math.ceil(after_s))) if isinstance(after_s, int | float) else "1"}
    if isinstance(error, Unauthorized):
        return {"WWW-Authenticate": 'Bearer realm="majula"'}  # RFC 9110, 11.6.1
    return {}


def internal_error() -> InternalError:
    """What a stranger hears of a fault of ours; the log has the story under the same trace id."""
    trace_id = secrets.token_hex(8)
    return InternalError(f"something broke in this node; its log has the story under {trace_id}", trace_id=trace_id)


def raw_refusal(error: MajulaError) -> bytes:
    """A whole HTTP answer that ends its connection, for requests that never reach the framework."""
    body = error_body(error)
    lines = [f"HTTP/1.1 {error.status} {_REASONS.get(error.status, 'Error')}", f"Content-Type: {JSON_TYPE}"]
    lines += [f"{name}: {value}" for name, value in {**SAFETY_HEADERS, **error_headers(error)}.items()]
    lines += [f"Content-Length: {len(body)}", "Connection: close", "", ""]
    return "\r\n".join(lines).encode("ascii") + body
