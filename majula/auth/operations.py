"""What clients can ask about tokens and the audit."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

from majula.auth.scopes import CLIENTS_MOST, SCOPES_MOST, VERBS
from majula.errors import DiskFull
from majula.operations import NO_CONTROL, PATTERN, ListLimit, ListOffset, Operation, Rate
from majula.wire import headers

_VERBS = "|".join(VERBS)

ScopeText = Annotated[str, msgspec.Meta(extra_json_schema={"maxLength": 256, "pattern": rf"^-?(?:\*|{_VERBS}):(?!$){PATTERN}$"})]
"""`verb:pattern`, with a leading `-` it denies."""

ClientPattern = Annotated[str, msgspec.Meta(extra_json_schema={"minLength": 1, "maxLength": 128, "pattern": f"^{PATTERN}$"})]
"""A pattern of client ids."""

Lifetime = Annotated[float, msgspec.Meta(ge=0, le=315_360_000, extra_json_schema={"anyOf": [{"const": 0}, {"minimum": 1}]})]
"""Seconds, ten years at most; 0: for ever."""


class TokenLine(msgspec.Struct, frozen=True):
    """A token as it is shown: never the secret itself.

    id: names it in lists, logs and the audit. scopes: `verb:pattern`, with a leading `-` it denies; deny wins.
    clients: patterns of the client ids that its sessions may take. expires: RFC 3339, empty: never.
    single_use: the first session that it opens is its only one.
    messages_per_s, bytes_per_s: what all its sessions together may send; 0: no limit of its own.
    state: `active`, `expired`, `revoked`, `used`.
    """

    id: str
    note: str
    scopes: tuple[str, ...]
    clients: tuple[str, ...] = ("*",)
    created: str = ""
    created_by: str = ""
    expires: str = ""
    single_use: bool = False
    messages_per_s: float = 0.0
    bytes_per_s: float = 0.0
    last_used: str = ""
    state: str = "active"


class TokenCreateRequest(msgspec.Struct, frozen=True):
    """As in `TokenLine`; `expires_in_s` 0: never."""

    scopes: Annotated[tuple[ScopeText, ...], msgspec.Meta(min_length=1, max_length=SCOPES_MOST)]
    note: Annotated[str, msgspec.Meta(max_length=256, extra_json_schema={"pattern": f"^{NO_CONTROL}*$"})] = ""
    clients: Annotated[tuple[ClientPattern, ...], msgspec.Meta(min_length=1, max_length=CLIENTS_MOST)] = ("*",)
    expires_in_s: Lifetime = 0.0
    single_use: bool = False
    messages_per_s: Rate = 0.0
    bytes_per_s: Rate = 0.0


class TokenCreateAnswer(msgspec.Struct, frozen=True):
    """secret: the token, shown this once."""

    token: TokenLine
    secret: str

    def __repr__(self) -> str:
        """Without the secret: an answer may end up in a log or a traceback."""
        return f"TokenCreateAnswer(token={self.token!r}, secret='***')"


class TokensRequest(msgspec.Struct, frozen=True):
    """Lists stop at `limit`, at most 1,024; `offset` goes on."""

    offset: ListOffset = 0
    limit: ListLimit = 1_024


class TokensAnswer(msgspec.Struct, frozen=True):
    """Ordered by time of creation."""

    tokens: tuple[TokenLine, ...]
    of: int


class TokenRequest(msgspec.Struct, frozen=True):
    """token: its id."""

    token: str


class AuditRequest(msgspec.Struct, frozen=True):
    """The newest first; lists stop at `limit`, at most 1,024; `before` (an entry's number) goes on."""

    before: ListOffset = 0
    limit: ListLimit = 100


class AuditEntry(msgspec.Struct, frozen=True):
    """Who changed what.

    who: a token's id, `uid:1000` for the node's own user, `signal` or `file`. what: an operation's name. detail: without secrets.
    """

    number: int
    at: str
    who: str
    what: str
    detail: dict[str, Any] = {}


class AuditAnswer(msgspec.Struct, frozen=True):
    entries: tuple[AuditEntry, ...]


CREATE = Operation(
    name="tokens.create",
    summary="Make a token; its secret is shown this once.",
    request=TokenCreateRequest,
    answer=TokenCreateAnswer,
    scope="admin",
    scope_field="=tokens",
    idempotent=False,
    path="/tokens",
    status=201,
    errors=(DiskFull,),
    made="/tokens/{token.id}",
    frame=headers.Request,
    sdk="create_token",
    cli="token create",
    role="config",
)

LIST = Operation(
    name="tokens.list",
    summary="List the tokens, without their secrets.",
    request=TokensRequest,
    answer=TokensAnswer,
    scope="admin",
    scope_field="=tokens",
    idempotent=True,
    path="/tokens",
    method="GET",
    frame=headers.Request,
    sdk="tokens",
    cli="token list",
    role="config",
)

SHOW = Operation(
    name="tokens.show",
    summary="Show one token, without its secret.",
    request=TokenRequest,
    answer=TokenLine,
    scope="admin",
    scope_field="=tokens",
    idempotent=True,
    path="/tokens/{token}",
    method="GET",
    frame=headers.Request,
    sdk="token",
    cli="token show",
    role="config",
)

REVOKE = Operation(
    name="tokens.revoke",
    summary="Revoke a token for good; its sessions are closed within two seconds.",
    request=TokenRequest,
    answer=TokenLine,
    scope="admin",
    scope_field="=tokens",
    idempotent=True,
    path="/tokens/{token}",
    method="DELETE",
    errors=(DiskFull,),
    frame=headers.Request,
    sdk="revoke_token",
    cli="token revoke",
    role="config",
)

AUDIT = Operation(
    name="audit.list",
    summary="Read who changed what: tokens, configuration, log levels, disconnections.",
    request=AuditRequest,
    answer=AuditAnswer,
    scope="admin",
    scope_field="=audit",
    idempotent=True,
    path="/audit",
    method="GET",
    frame=headers.Request,
    sdk="audit",
    cli="audit",
    role="config",
)

OPERATIONS = (CREATE, LIST, SHOW, REVOKE, AUDIT)
