"""Who is it? From a token, or a user of the machine, to an `Identity`: on whose behalf a session acts, and what it may do.

The gateway decides by its copy of the table `tokens`, so clients come and go while the config actor is away. What a stranger
hears of a wrong token is always the same, whether it is unknown, expired, revoked, used or missing.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from ipaddress import IPv6Address, ip_address

from msgspec import Struct

from majula.auth import ALL, Grants
from majula.auth.book import TokenBook, TokenEntry, Turned
from majula.errors import LimitReached, PermissionDenied, Unauthorized, Unavailable
from majula.gateway.rates import Bucket

# Wrong tokens from one address. Nobody guesses 256 random bits; the limit is for the work and the log lines that a program with
# an old token makes day and night. A right token is served all the same: on one machine all programs have one address, and one
# of them that is wrong must not lock out the others.
_GUESSES = 10
_GUESSES_S = 60.0
# Addresses that have shown a wrong token lately; the longest quiet is forgotten first.
_ADDRESSES = 10_000
# Addresses that are to be named in the log; of each once a minute.
_NEWS = 256
_NEWS_S = 60.0
_NEWS_AT_ONCE = 16


class Identity(Struct, frozen=True):
    """On whose behalf.

    who: a token's id, `uid:1000` on the Unix socket, empty where nobody has to say.
    grants: what it may do.
    token: what it has shown, None: nothing.
    address: where it comes from, for the log; empty: this machine, by the Unix socket.
    """

    who: str = ""
    grants: Grants = ALL
    token: TokenEntry | None = None
    address: str = ""

    def check_client(self, client_id: str) -> None:
        """Raises PermissionDenied where its sessions may not be called so."""
        if self.token is not None and not self.token.admits(client_id):
            raise PermissionDenied(
                f"sessions of this token may not be called {client_id!r}", client_id=client_id, clients=list(self.token.clients)
            )

    def client_id(self) -> str:
        """The only id that its sessions may have; empty: there is a choice."""
        patterns = self.token.clients if self.token is not None else ()
        if len(patterns) == 1 and not any(level in ("*", ">") for level in patterns[0].split(".")):
            return patterns[0]
        return ""


ANYBODY = Identity()
"""Where nobody has to say who he is: everything is allowed."""


class Accounts:
    """Of one gateway.

    Args:
        is_open: `auth: none`: whoever reaches this gateway may do everything.
        wall_clock: seconds since 1970; tokens expire by it.
    """

    def __init__(self, *, is_open: bool, wall_clock: Callable[[], float]) -> None:
        self.is_open = is_open
        self._wall_clock = wall_clock
        self._book: TokenBook | None = None
        self._guesses: OrderedDict[str, Bucket] = OrderedDict()
        self._untold: dict[str, int] = {}  # wrong tokens since the address was named
        self._told_at: OrderedDict[str, float] = OrderedDict()
        self._wrong = 0

    def update(self, entries: Mapping[str, bytes], removed: Iterable[str]) -> Turned:
        """The table `tokens` has changed."""
        if self._book is None:
            self._book = TokenBook()
        return self._book.update(entries, removed)

    @property
    def is_known(self) -> bool:
        """Whether the table has come."""
        return self._book is not None

    def anybody(self, address: str = "") -> Identity:
        """Who shows no token.

        Raises:
            Unauthorized: one is needed here.
        """
        if not self.is_open:
            raise refusal()
        return ANYBODY if not address else Identity(address=address)

    def identify(self, token: str, address: str, now: float, *, is_needed: bool = False) -> Identity:
        """Who shows this token; an empty one is none.

        Args:
            address: IP address of who shows it, or another name of where that came from.
            is_needed: also where this gateway is open (another user on the Unix socket).
        Raises:
            Unauthorized: it opens nothing.
            LimitReached: nor did the ten before it, within a minute, from this address.
            Unavailable: this gateway has not heard of any tokens yet.
        """
        if self.is_open and not is_needed:
            return self.anybody(address)
        if not token:
            raise refusal()
        if self._book is None:
            raise Unavailable("this gateway does not know the tokens yet", retry_after_s=1.0)
        try:
            entry = self._book.find(token, self._wall_clock())
        except Unauthorized:
            self._guessed(address, now)
            raise refusal() from None
        return Identity(entry.id, entry.grants, entry, address)

    def over(self) -> tuple[str, ...]:
        """Ids of tokens whose time is over: their sessions are to be closed. Ask about once a second."""
        return self._book.over(self._wall_clock()) if self._book is not None else ()

    def take_news(self, now: float) -> list[tuple[str, int]]:
        """Addresses that have shown wrong tokens, and how many, for the log: each at once, and then once a minute."""
        found = [address for address in self._untold if now - self._told_at.get(address, -_NEWS_S) >= _NEWS_S][:_NEWS_AT_ONCE]
        for address in found:
            self._told_at[address] = now
            self._told_at.move_to_end(address)
        while len(self._told_at) > _ADDRESSES:
            self._told_at.popitem(last=False)
        return [(address, self._untold.pop(address)) for address in found]

    def statistics(self) -> dict[str, int]:
        return {
            "tokens": len(self._book) if self._book is not None else 0,
            "wrong_tokens_total": self._wrong,
            "wrong_token_addresses": len(self._guesses),
        }

    def _guessed(self, address: str, now: float) -> None:
        self._wrong += 1
        key = _network(address)
        if key in self._untold or len(self._untold) < _NEWS:
            self._untold[key] = self._untold.get(key, 0) + 1
        bucket = self._guesses.get(key)
        if bucket is None:
            bucket = self._guesses[key] = Bucket(_GUESSES / _GUESSES_S, _GUESSES)
            if len(self._guesses) > _ADDRESSES:
                self._guesses.popitem(last=False)
        self._guesses.move_to_end(key)
        wait_s = bucket.wait_s(now)
        if wait_s > 0:
            raise LimitReached(
                "too many wrong tokens came from this address", limit="wrong_tokens", retry_after_s=round(wait_s, 3)
            )
        bucket.take(1, now)


def local(uid: int) -> Identity:
    """The node's own user, or root, on the Unix socket: the kernel says who it is, and that is proof enough."""
    return Identity(who=f"uid:{uid}")


def refusal() -> Unauthorized:
    """What a stranger hears, whatever was wrong."""
    return Unauthorized("a valid token is needed: `Authorization: Bearer mjl_...`")


def _network(address: str) -> str:
    """What stands for one customer of a provider: an IPv4 address, the first 64 bits of an IPv6 one."""
    try:
        found = ip_address(address)
    except ValueError:
        return address
    if isinstance(found, IPv6Address):
        mapped = found.ipv4_mapped
        return str(mapped) if mapped is not None else found.exploded[:19]
    return str(found)
