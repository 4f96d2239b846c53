"""The ledger: every token that was made and not yet forgotten. Who owns it decides alone, so one of N claims of a token wins.

A change is tried on a copy (`copy`, `apply`), stored, and only then does the copy become what is in force: a change that cannot
be stored has not happened.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, NamedTuple

import msgspec
from msgspec import Meta, Struct
from msgspec.structs import replace

from majula.auth.book import LEEWAY_S, TokenEntry
from majula.auth.operations import TokenCreateAnswer, TokenCreateRequest, TokenLine, TokensAnswer, TokensRequest
from majula.auth.scopes import CLIENTS_MOST, parse_scopes
from majula.auth.tokens import SECRET_BYTES, digest_of, has_token, make_token, make_token_id
from majula.errors import InvalidRequest, LimitReached, NotFound, Unauthorized
from majula.topics.subjects import check_pattern, is_control

TOKENS_MOST = 10_000
LINES_MOST = 1_024
NOTE_CHARACTERS = 256
CLIENT_CHARACTERS = 128
YEARS_10_S = 3_650 * 86_400.0

# What opens nothing any more is shown for a month, so that a list answers "what was that token?"; then it is forgotten.
REMEMBERED_S = 30 * 86_400.0

Wall = Annotated[float, Meta(ge=0, le=253_402_300_799)]
"""Seconds since 1970, up to the year 9999: beyond it has no date that could be shown. 0: never."""

Name = Annotated[str, Meta(min_length=1, max_length=64)]
Digest = Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]

RandomBytes = Callable[[int], bytes]


class TokenRecord(Struct, frozen=True, omit_defaults=True):
    """One token as it is stored. Times are of the wall clock; 0: never. Others as in `operations.TokenLine`.

    digest: SHA-256 of the secret, in hex. used_by: the claimant that has used up a single-use token.
    """

    id: Name
    digest: Digest
    scopes: tuple[str, ...]
    clients: tuple[str, ...] = ("*",)
    note: str = ""
    created_at: Wall = 0.0
    created_by: str = ""
    expires_at: Wall = 0.0
    single_use: bool = False
    messages_per_s: float = 0.0
    bytes_per_s: float = 0.0
    last_used_at: Wall = 0.0
    revoked_at: Wall = 0.0
    used_at: Wall = 0.0
    used_by: str = ""

    def is_expired(self, wall: float) -> bool:
        """Whether its time is over, leeway included."""
        return 0 < self.expires_at <= wall - LEEWAY_S

    def state(self, wall: float) -> str:
        """`active`, `expired`, `revoked` or `used`."""
        if self.revoked_at:
            return "revoked"
        if self.is_expired(wall):
            return "expired"
        return "used" if self.used_at else "active"

    def line(self, wall: float) -> TokenLine:
        """How it is shown."""
        return TokenLine(
            id=self.id,
            note=self.note,
            scopes=self.scopes,
            clients=self.clients,
            created=rfc3339(self.created_at),
            created_by=self.created_by,
            expires=rfc3339(self.expires_at),
            single_use=self.single_use,
            messages_per_s=self.messages_per_s,
            bytes_per_s=self.bytes_per_s,
            last_used=rfc3339(self.last_used_at),
            state=self.state(wall),
        )

    def entry(self) -> TokenEntry:
        """What gateways know of it."""
        return TokenEntry(
            id=self.id,
            scopes=self.scopes,
            clients=self.clients,
            expires_at=self.expires_at,
            single_use=self.single_use,
            used_by=self.used_by,
            messages_per_s=self.messages_per_s,
            bytes_per_s=self.bytes_per_s,
        )


class Create(Struct, frozen=True):
    """Make a token. who: on whose behalf."""

    request: TokenCreateRequest
    who: str


class Revoke(Struct, frozen=True):
    """Revoke a token for good."""

    token: str
    who: str


class Claim(Struct, frozen=True):
    """A session wants to be the one that a single-use token opens."""

    token: str
    claimant: str
    client_id: str = ""


class Touch(Struct, frozen=True):
    """Tokens were used, when, by id. Not worth a write of its own."""

    at: Mapping[str, float]


Change = Create | Revoke | Claim | Touch


class Noted(NamedTuple):
    """An entry for the audit."""

    who: str
    what: str
    detail: dict[str, Any]


class Applied(NamedTuple):
    """What a change came to.

    answer: of the operation. noted: for the audit; None: nothing was changed that anybody must know of.
    """

    answer: Struct | None
    noted: Noted | None


class Ledger:
    """The records of all tokens, in the order in which they were made.

    Args:
        records: of an earlier life.
        most: tokens that it holds at most, those that have ended included.
    Raises:
        ValueError: two of them have one id or one digest.
    """

    def __init__(self, records: Iterable[TokenRecord] = (), *, most: int = TOKENS_MOST) -> None:
        self._most = most
        self._records: dict[str, TokenRecord] = {}
        digests = set()
        for record in records:
            if record.id in self._records or record.digest in digests:
                raise ValueError(f"the token {record.id} is there twice")
            self._records[record.id] = record
            digests.add(record.digest)

    def copy(self) -> Ledger:
        """Another ledger that is equal now."""
        found = Ledger(most=self._most)
        found._records = dict(self._records)
        return found

    def __iter__(self) -> Iterator[TokenRecord]:
        return iter(self._records.values())

    def __len__(self) -> int:
        return len(self._records)

    # --- to look

    def get(self, token: str) -> TokenRecord:
        """The record of a token, by its id.

        Raises:
            NotFound: there is none.
        """
        found = self._records.get(token)
        if found is None:
            raise NotFound(f"there is no token {token[:64]!r}", token=token[:64])
        return found

    def lines(self, request: TokensRequest, wall: float) -> TokensAnswer:
        """A page of the list.

        Raises:
            InvalidRequest: a negative offset or limit.
        """
        if request.offset < 0 or request.limit < 0:
            raise InvalidRequest("offset and limit are 0 or more")
        records = list(self._records.values())[request.offset : request.offset + min(request.limit, LINES_MOST)]
        return TokensAnswer(tokens=tuple(record.line(wall) for record in records), of=len(self._records))

    def entries(self, wall: float) -> dict[str, TokenEntry]:
        """The table: what may open a session, or has opened one that goes on, by digest."""
        live = (record for record in self._records.values() if not record.revoked_at and not record.is_expired(wall))
        return {record.digest: record.entry() for record in live}

    # --- to change

    def apply(self, change: Change, wall: float, random: RandomBytes) -> Applied:
        """Carry out one change.

        Args:
            wall: seconds since 1970.
            random: unguessable bytes, so many.
        Raises:
            InvalidRequest, NotFound, LimitReached, Unauthorized: nothing was changed, and why.
        """
        match change:
            case Create():
                return self._create(change, wall, random)
            case Revoke():
                return self._revoke(change, wall)
            case Claim():
                return self._claim(change, wall)
            case Touch():
                return self._touch(change, wall)

    def forget(self, wall: float) -> list[TokenRecord]:
        """Forget what has been revoked or expired for a month; what was forgotten."""
        dead = [record for record in self._records.values() if 0 < _ended_at(record) <= wall - REMEMBERED_S]
        for record in dead:
            del self._records[record.id]
        return dead

    # --- inside

    def _create(self, change: Create, wall: float, random: RandomBytes) -> Applied:
        request = change.request
        check_request(request)
        if len(self._records) >= self._most:
            self._make_room(wall)
        token_id = make_token_id(random(8))
        while token_id in self._records:
            token_id = make_token_id(random(8))
        secret = make_token(random(SECRET_BYTES)).reveal()
        record = TokenRecord(
            id=token_id,
            digest=digest_of(secret),
            scopes=request.scopes,
            clients=request.clients,
            note=request.note,
            created_at=wall,
            created_by=change.who,
            expires_at=wall + request.expires_in_s if request.expires_in_s else 0.0,
            single_use=request.single_use,
            messages_per_s=request.messages_per_s,
            bytes_per_s=request.bytes_per_s,
        )
        self._records[token_id] = record
        line = record.line(wall)
        detail: dict[str, Any] = {"token": line.id, "scopes": list(line.scopes), "clients": list(line.clients), "note": line.note}
        if line.expires:
            detail["expires"] = line.expires
        if line.single_use:
            detail["single_use"] = True
        return Applied(TokenCreateAnswer(token=line, secret=secret), Noted(change.who, "tokens.create", detail))

    def _revoke(self, change: Revoke, wall: float) -> Applied:
        record = self.get(change.token)
        if record.revoked_at:
            return Applied(record.line(wall), None)
        record = self._records[record.id] = replace(record, revoked_at=wall)
        return Applied(record.line(wall), Noted(change.who, "tokens.revoke", {"token": record.id}))

    def _claim(self, change: Claim, wall: float) -> Applied:
        record = self._records.get(change.token)
        if record is None or record.revoked_at or record.is_expired(wall):
            raise Unauthorized("the token is not valid any more")
        if not record.single_use:
            return Applied(None, None)
        if record.used_at:
            if record.used_by != change.claimant:
                raise Unauthorized("the token could be used once, and was")
            return Applied(None, None)
        self._records[record.id] = replace(record, used_at=wall, used_by=change.claimant, last_used_at=wall)
        return Applied(None, Noted(record.id, "tokens.spend", {"token": record.id, "client": change.client_id}))

    def _touch(self, change: Touch, wall: float) -> Applied:
        for token, at in change.at.items():
            record = self._records.get(token)
            # A clock that runs ahead must not say that a token was used tomorrow.
            if record is not None and record.last_used_at < (used_at := min(at, wall)):
                self._records[token] = replace(record, last_used_at=used_at)
        return Applied(None, None)

    def _make_room(self, wall: float) -> None:
        """Forget the token that has opened nothing for the longest time; where there is none, the used-up one that was used last
        the longest ago.

        Raises:
            LimitReached: all of them may open a session.
        """
        ended = [(at, record.id) for record in self._records.values() if 0 < (at := _ended_at(record)) <= wall]
        used = [(record.last_used_at, record.id) for record in self._records.values() if record.used_at]
        if not ended and not used:
            raise LimitReached(f"a node has at most {self._most} tokens: revoke some first", limit="tokens")
        del self._records[min(ended or used)[1]]


def check_request(request: TokenCreateRequest) -> None:
    """Whether such a token may be made.

    Raises:
        InvalidRequest: no scope, one that is none, a client pattern that is none, a number out of its bounds, or a note that is
            too long or holds a secret.
    """
    if not request.scopes:
        raise InvalidRequest("a token without scopes may do nothing: name one, such as `publish:sensors.>`")
    parse_scopes(request.scopes)
    if not 0 < len(request.clients) <= CLIENTS_MOST:
        raise InvalidRequest(f"`clients` names 1 to {CLIENTS_MOST} patterns of client ids; `*` is all", limit=CLIENTS_MOST)
    for pattern in request.clients:
        if len(check_pattern(pattern)) > CLIENT_CHARACTERS:
            raise InvalidRequest(f"a pattern of client ids has at most {CLIENT_CHARACTERS} characters")
    # Written so that a NaN is refused too.
    if not (request.expires_in_s == 0 or 1 <= request.expires_in_s <= YEARS_10_S):
        raise InvalidRequest("`expires_in_s` is 0 (never) or 1 second to 10 years")
    for name in ("messages_per_s", "bytes_per_s"):
        if not 0 <= getattr(request, name) <= 1e12:
            raise InvalidRequest(f"`{name}` is 0 (no limit of its own) or more")
    note = request.note
    if len(note) > NOTE_CHARACTERS or any(is_control(character) or "\ud800" <= character <= "\udfff" for character in note):
        raise InvalidRequest(f"`note` has at most {NOTE_CHARACTERS} characters, UTF-8 without control characters")
    if has_token(note):
        raise InvalidRequest("`note` is shown to everybody who may list tokens: do not put a secret there")


def rfc3339(wall: float) -> str:
    """`2026-01-31T12:00:00Z`; empty for 0."""
    return datetime.fromtimestamp(wall, UTC).strftime("%Y-%m-%dT%H:%M:%SZ") if wall else ""


def _ended_at(record: TokenRecord) -> float:
    """Since when it can have no session any more; 0: it can. A used token is not ended: the session that used it goes on."""
    expired_at = record.expires_at + LEEWAY_S if record.expires_at else 0.0
    if record.revoked_at and expired_at:
        return min(record.revoked_at, expired_at)
    return record.revoked_at or expired_at


class _Stored(Struct, frozen=True):
    """The file. version: of its form, 1."""

    version: int
    tokens: tuple[TokenRecord, ...]


def encode_ledger(ledger: Ledger) -> bytes:
    """The ledger as JSON, a token a line: a person can read it, and compare two of them."""
    lines = b",\n".join(map(msgspec.json.Encoder().encode, ledger))
    return b'{"version":1,"tokens":[\n' + lines + b"\n]}\n"


def decode_ledger(data: bytes) -> Ledger:
    """The ledger that `encode_ledger` wrote.

    Raises:
        ValueError: it did not write this, or an editor was there since: a scope that is none would end a gateway.
    """
    stored = msgspec.json.decode(data, type=_Stored)
    if stored.version != 1:
        raise ValueError(f"its form is version {stored.version}, this node knows version 1")
    try:
        for scopes in {record.scopes for record in stored.tokens}:
            parse_scopes(scopes)
        for pattern in {pattern for record in stored.tokens for pattern in record.clients}:
            check_pattern(pattern)
    except InvalidRequest as error:
        raise ValueError(error.message) from None
    return Ledger(stored.tokens)
