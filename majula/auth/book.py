"""The table `tokens`: what gateways know of each token, and the copy of it that a gateway asks at each connection.

Key: the token's digest. In the table stands what may open a session: a token that is revoked, or whose time is over for more than
the leeway, has no entry, and the sessions that it had opened are closed. A used single-use token keeps its entry: the session
that used it goes on.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import msgspec

from majula.auth.grants import Grants, grants_of
from majula.auth.scopes import EVERYTHING, covers
from majula.auth.tokens import TokenIndex, is_token
from majula.errors import Unauthorized

TOKENS = "tokens"
"""Name of the table. Publisher: the config actor; holders: gateways."""

LEEWAY_S = 60.0
"""Expiry is by wall clock, and the clock that set it need not be ours."""


class TokenEntry(msgspec.Struct, frozen=True, array_like=True):
    """One token, as gateways see it. Fields as in `operations.TokenLine`.

    expires_at: wall clock; 0: never. used_by: the claimant that has used a single-use token; empty: nobody yet.
    """

    id: str
    scopes: tuple[str, ...]
    clients: tuple[str, ...]
    expires_at: float = 0.0
    single_use: bool = False
    used_by: str = ""
    messages_per_s: float = 0.0
    bytes_per_s: float = 0.0

    @property
    def grants(self) -> Grants:
        """What its sessions may do; equal scopes share one."""
        return grants_of(self.scopes)

    def is_over(self, wall: float) -> bool:
        """Whether its time is over, leeway included."""
        return 0 < self.expires_at <= wall - LEEWAY_S

    def admits(self, client_id: str) -> bool:
        """Whether its sessions may have this client id."""
        name = tuple(client_id.split("."))
        patterns = (() if pattern == EVERYTHING else tuple(pattern.split(".")) for pattern in self.clients)
        return any(covers(levels, name, pattern=False) for levels in patterns)


encode_entry = msgspec.msgpack.Encoder().encode
decode_entry = msgspec.msgpack.Decoder(TokenEntry).decode


class Turned(NamedTuple):
    """What a change of the table means for sessions that are open.

    ended: ids of tokens that open nothing any more. changed: ids of tokens that are new, or say something else than before.
    """

    ended: tuple[str, ...]
    changed: tuple[str, ...]


class TokenBook:
    """A gateway's copy of the table, ready to be asked. It stays in use while the config actor is away."""

    def __init__(self) -> None:
        self._index = TokenIndex[TokenEntry]()
        self._entries: dict[str, TokenEntry] = {}  # by digest
        self._by_id: dict[str, TokenEntry] = {}

    def update(self, entries: Mapping[str, bytes], removed: Iterable[str]) -> Turned:
        """The table has changed, as `tables.Changed` says it."""
        ended, changed = [], []
        for digest in removed:
            former = self._entries.pop(digest, None)
            if former is not None:
                self._index.remove(digest)
                del self._by_id[former.id]
                ended.append(former.id)
        for digest, value in entries.items():
            entry = decode_entry(value)
            if self._entries.get(digest) != entry:
                changed.append(entry.id)
            self._entries[digest] = self._by_id[entry.id] = entry
            self._index.put(digest, entry)
        return Turned(tuple(ended), tuple(changed))

    def find(self, token: str, wall: float) -> TokenEntry:
        """The entry of a token that may open a session. A single-use one must be spent (`messages.auth.Spend`) before it does.

        Raises:
            Unauthorized: there is none. It says the same whatever the reason: who guesses learns nothing.
        """
        entry = self._index.find(token) if is_token(token) else None
        if entry is None or entry.is_over(wall):
            raise Unauthorized("a valid token is needed: `Authorization: Bearer mjl_...`")
        return entry

    def get(self, token_id: str) -> TokenEntry | None:
        """The entry of a token by its id; None: it opens nothing any more."""
        return self._by_id.get(token_id)

    def over(self, wall: float) -> tuple[str, ...]:
        """Ids of tokens whose time is over: their sessions are to be closed. Ask every 30 s or so."""
        return tuple(entry.id for entry in self._entries.values() if entry.is_over(wall))

    def __len__(self) -> int:
        return len(self._entries)
