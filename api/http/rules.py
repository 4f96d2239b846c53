"""Who may ask at all: the rules that hold for every path, before any framework or upgrade sees the request."""

from __future__ import annotations

import re
from collections.abc import Iterable
from urllib.parse import parse_qsl, unquote, unquote_plus

import msgspec

from majula.errors import CrossSite, InvalidRequest, MajulaError, WrongHost
from majula.wire.http_head import Head

TOKEN = re.compile(r"mjl_[A-Za-z0-9_-]{43}")
"""A token of ours. In a URL it would stand in histories, logs and Referer headers."""

_LOOPBACK_HOSTS = frozenset({"localhost", "127.0.0.1", "[::1]"})
_HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::([0-9]{1,5}))?")
_ORIGIN = re.compile(r"([a-z][a-z0-9+.-]*)://(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(?::([0-9]{1,5}))?")
_DEFAULT_PORTS = {"http": "80", "https": "443"}


class Rules(msgspec.Struct, frozen=True):
    """hosts: values of Host that are served, without port, in lower case. origins: other sites' origins that are.

    scheme: `http` or `https`, of this gateway's own origin.
    """

    hosts: frozenset[str]
    origins: frozenset[str]
    scheme: str = "http"


def make_rules(*, bind: str, hosts: Iterable[str] = (), origins: Iterable[str] = (), scheme: str = "http") -> Rules:
    """The rules of a gateway bound to `bind`."""
    bound = f"[{bind}]" if ":" in bind else bind
    known = _LOOPBACK_HOSTS | {bound.lower()} | {host.lower() for host in hosts}
    return Rules(frozenset(known), frozenset(origin.lower().rstrip("/") for origin in origins), scheme)


def refusal(head: Head, rules: Rules) -> MajulaError | None:
    """Why this request is not served, None: it is."""
    host = _HOST.fullmatch(head.get("host"))
    if host is None:
        return InvalidRequest("the Host header is malformed")
    if host[1].lower() not in rules.hosts:
        named = host[1][:255]
        return WrongHost(
            f"this gateway does not serve the host {named}; name it under `hosts` in the configuration if it is yours", host=named
        )
    if not _is_same_site(head, host[1].lower(), host[2], rules):
        return CrossSite("requests from other web sites are not served; name the origin in the configuration if it is yours")
    if sum(name == "authorization" for name, _ in head.headers) > 1:
        return InvalidRequest("Authorization stands once in a request")
    if _holds_token(head.path) or (head.query and _carries_secret(head.query)):
        return InvalidRequest("a token does not belong in a URL; send it in the header Authorization: Bearer")
    return None


def bearer_of(authorization: str) -> str:
    """The token in the value of an Authorization header; empty: there is none (RFC 6750, 2.1)."""
    scheme, _, token = authorization.partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def _is_same_site(head: Head, host: str, port: str | None, rules: Rules) -> bool:
    origin = head.get("origin").lower()
    if not any(name == "origin" for name, _ in head.headers):
        return head.get("sec-fetch-site").lower() in {"", "same-origin", "none"}
    if origin in rules.origins:
        return True
    parts = _ORIGIN.fullmatch(origin)
    if parts is None:  # `null` too: a sandboxed frame, a local file, a redirect
        return False
    default = _DEFAULT_PORTS[rules.scheme]
    return parts[1] == rules.scheme and parts[2] == host and (parts[3] or default) == (port or default)


def _holds_token(text: str) -> bool:
    return TOKEN.search(text) is not None or ("%" in text and TOKEN.search(unquote(text)) is not None)


def _carries_secret(query: str) -> bool:
    if TOKEN.search(query) or TOKEN.search(unquote_plus(query)):
        return True
    return any(name.lower() == "access_token" for name, _ in parse_qsl(query, keep_blank_values=True))
