"""The router's part: which session has which client id.

It knows by two ways: claims, which it grants or refuses, and the slices `sessions` of the gateways, which tell what is so. A
grant holds from the moment it is given (two claims at one time cannot both be granted); if its session does not appear in the
gateway's slice within 10 s, it is forgotten. When the router comes back after a restart it has the slices alone, and what
gateways admitted without it: where two sessions have one id, the rule of `sessions` decides as if they had come one after the
other, in the order of `claimed_at`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import inf

import msgspec

from majula.messages.base import Message, Role
from majula.messages.routing import Claim, CloseSession, Granted, Refused
from majula.routing.presence import Came, Move, Went
from majula.routing.sessions import Session, decode_session, encode_session, verdict
from majula.tables.gathering import Changes

# A gateway puts the session into its slice in the same turn in which it hears Granted: 10 s are for a stopped gateway.
GRANT_S = 10.0
# Claims that wait while the slices are gathered. A node has at most 10,000 connections a gateway; beyond, the client tries again.
WAITING = 16_384


class Tell(msgspec.Struct, frozen=True):
    """Effect: send `message` to the gateway."""

    gateway: Role
    message: Message


class _Claimed:
    """Who has an id. `grant_until`: inf once it stands in its gateway's slice."""

    __slots__ = ("grant_until", "session")

    def __init__(self, session: Session, grant_until: float) -> None:
        self.session = session
        self.grant_until = grant_until


class ClientDirectory:
    """Claims and slices -> table `clients` (a `tables.Merge`), verdicts and orders to close.

    `apply`, `owner_lost` and the claims leave orders and moves behind; take them by `take_orders` and `take_moves` after each
    step.
    """

    def __init__(self) -> None:
        self._claims: dict[str, _Claimed] = {}
        self._grants: dict[str, None] = {}  # ids with a grant that is not in a slice, oldest first
        self._waiting: list[tuple[Role, Claim]] = []
        self._is_open = False
        self._orders: list[Tell] = []
        self._moves: list[Move] = []
        self.unreadable = 0
        """Entries of slices that could not be decoded; they count as not there."""

    # --- claims

    def claim(self, gateway: Role, claim: Claim, now: float) -> Changes:
        """A gateway asks for an id. The verdict is among the orders, at once or when the slices are gathered."""
        if not self._is_open:
            if len(self._waiting) >= WAITING:
                self._tell(gateway, Refused(request=claim.request, code="overloaded"))
            else:
                self._waiting.append((gateway, claim))
            return {}
        session = Session(
            client_id=claim.client_id,
            session=claim.session,
            secret_hash=claim.secret_hash,
            gateway=gateway,
            claimed_at=claim.claimed_at,
        )
        current = self._claims.get(claim.client_id)
        if current is not None and current.session.session != claim.session:
            reason = verdict(current.session.secret_hash, claim.secret_hash)
            if reason == "conflict":
                self._tell(gateway, Refused(request=claim.request, code="conflict"))
                return {}
            self._close(current.session, reason)
        self._tell(gateway, Granted(request=claim.request))
        if current is not None and current.session.session == claim.session:
            return {}
        self._set(session, now + GRANT_S)
        return {claim.client_id: encode_session(session)}

    def open(self, now: float) -> Changes:
        """All slices are known: decide the claims that wait."""
        self._is_open = True
        waiting, self._waiting = self._waiting, []
        changes: Changes = {}
        for gateway, claim in waiting:
            changes |= self.claim(gateway, claim, now)
        return changes

    def release(self, gateway: Role, client_id: str, session: str, reason: str = "") -> Changes:
        """A gateway says that this session has ended, or that its client has left before the verdict."""
        if self._waiting:
            left = (gateway, client_id, session)
            self._waiting = [(at, claim) for at, claim in self._waiting if (at, claim.client_id, claim.session) != left]
        current = self._claims.get(client_id)
        if current is None or current.session.session != session or current.session.gateway != gateway:
            return {}
        return self._drop(client_id, reason or "closed")

    def disconnect(self, client_id: str) -> Session | None:
        """End the session that has this id; None: nobody has it."""
        current = self._claims.get(client_id)
        if current is None:
            return None
        self._order_close(current.session, "disconnected")
        return current.session

    # --- slices (tables.Merge)

    def apply(self, owner: Role, entries: Mapping[str, bytes], removed: Iterable[str]) -> Changes:
        changes: Changes = {}
        for client_id in removed:
            current = self._claims.get(client_id)
            # A grant that is not in the slice yet is a newer session; what has left the slice was an older one.
            if current is not None and current.session.gateway == owner and current.grant_until == inf:
                changes |= self._drop(client_id, "closed")
        for client_id, value in entries.items():
            try:
                session = decode_session(value)
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                # Another version of a gateway, or a bug there: it must not end the router again and again.
                self.unreadable += 1
                continue
            current = self._claims.get(client_id)
            if current is not None and current.session.session != session.session and not self._wins(session, current.session):
                continue
            self._set(session, inf)
            changes[client_id] = value
        return changes

    def owner_lost(self, owner: Role) -> Changes:
        self._waiting = [(gateway, claim) for gateway, claim in self._waiting if gateway != owner]
        lost = [client_id for client_id, claimed in self._claims.items() if claimed.session.gateway == owner]
        changes: Changes = {}
        for client_id in lost:
            changes |= self._drop(client_id, "gateway_lost")
        return changes

    # --- time, orders

    def next_deadline(self) -> float:
        client_id = next(iter(self._grants), None)
        return inf if client_id is None else self._claims[client_id].grant_until

    def timer(self, now: float) -> Changes:
        """Forget the grants that nobody used."""
        changes: Changes = {}
        while self._grants:
            client_id = next(iter(self._grants))
            if self._claims[client_id].grant_until > now:
                break
            changes |= self._drop(client_id, "")
        return changes

    def take_orders(self) -> list[Tell]:
        orders, self._orders = self._orders, []
        return orders

    def take_moves(self) -> list[Move]:
        """Who has come and gone, in order. Until `open` it is not complete: look at `sessions` then."""
        moves, self._moves = self._moves, []
        return moves

    def sessions(self) -> list[Session]:
        """Everybody who is served."""
        return [claimed.session for claimed in self._claims.values() if claimed.grant_until == inf]

    def get(self, client_id: str) -> Session | None:
        """Who has an id."""
        found = self._claims.get(client_id)
        return None if found is None else found.session

    def __len__(self) -> int:
        return len(self._claims)

    # --- inside

    def _wins(self, session: Session, current: Session) -> bool:
        """Two sessions have one id: close one of them. True: `session` stays."""
        newer_last = sorted((current, session), key=lambda each: (each.claimed_at, each.session))
        reason = verdict(newer_last[0].secret_hash, newer_last[1].secret_hash)
        loser = newer_last[1] if reason == "conflict" else newer_last[0]
        self._close(loser, reason)
        return loser is not session

    def _set(self, session: Session, grant_until: float) -> None:
        before = self._claims.get(session.client_id)
        was_served = before is not None and before.grant_until == inf and before.session.session == session.session
        if grant_until == inf and not was_served:
            self._moves.append(Came(session))
        self._claims[session.client_id] = _Claimed(session, grant_until)
        self._grants.pop(session.client_id, None)
        if grant_until < inf:
            self._grants[session.client_id] = None

    def _drop(self, client_id: str, reason: str) -> Changes:
        self._went(self._claims.pop(client_id), reason)
        self._grants.pop(client_id, None)
        return {client_id: None}

    def _went(self, claimed: _Claimed, reason: str) -> None:
        if claimed.grant_until == inf:
            self._moves.append(Went(claimed.session.client_id, claimed.session.gateway, reason))

    def _close(self, session: Session, reason: str) -> None:
        """The id goes to another session."""
        claimed = self._claims.get(session.client_id)
        if claimed is not None and claimed.session.session == session.session:
            self._went(claimed, reason)
        self._order_close(session, reason)

    def _order_close(self, session: Session, reason: str) -> None:
        self._tell(session.gateway, CloseSession(client_id=session.client_id, session=session.session, reason=reason))

    def _tell(self, gateway: Role, message: Message) -> None:
        self._orders.append(Tell(gateway=gateway, message=message))
