"""A gateway's part: may this client have this id?

While the router is there it is asked, and its word is waited for at most 1 s. While it is away, or silent, the gateway decides
by what it knows: its own sessions and its copy of the table `clients`. When the router is back it learns of the session by the
slice `sessions`, and settles what two gateways decided differently.

The gateway keeps its own sessions by `opened` and `closed`; both give the change of its slice.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import inf

import msgspec

from majula.messages.base import Message, Role
from majula.messages.routing import Claim, CloseSession, Granted, Refused, Release
from majula.routing.sessions import Session, decode_session, encode_session, verdict

# The router answers in 0.1 ms. It may be stopped for 3 s until its supervisor finds that; a client is not kept waiting for so
# long.
CLAIM_S = 1.0
# Claims under way at one gateway: its connections at most.
CLAIMS = 10_000


class AskRouter(msgspec.Struct, frozen=True):
    """Effect: send `message` to the role `router`."""

    message: Message


class Admitted(msgspec.Struct, frozen=True):
    """Effect: the claim `request` is granted; say `opened` when the session is served, or `abandon` where its client
    has left."""

    request: int


class Rejected(msgspec.Struct, frozen=True):
    """Effect: it is not; `code` is the error's (`conflict`, `overloaded`)."""

    request: int
    code: str


class Close(msgspec.Struct, frozen=True):
    """Effect: close this session of this gateway: its id has gone to another, or an operator wants it. `reason` as in
    `messages.routing.CloseSession`."""

    client_id: str
    session: str
    reason: str


Effect = AskRouter | Admitted | Rejected | Close


class Admission:
    """The client ids at one gateway.

    Args:
        role: of this gateway.
    """

    def __init__(self, role: Role) -> None:
        self._role = role
        self._router_is_here = False
        self._next = 1
        self._claims: dict[int, tuple[Session, float]] = {}  # request -> session and deadline, oldest first
        self._admitted: dict[int, Session] = {}  # request -> session, until it is opened
        self._requests: dict[str, int] = {}  # of these: session's name -> request
        self._own: dict[str, Session] = {}  # who has an id here, opened or not
        self._opened: dict[str, str] = {}  # id -> name of the session that stands in the slice
        self._others: dict[str, Session] = {}

    def claim(self, session: Session, now: float) -> tuple[int, list[Effect]]:
        """A client wants an id. Returns the number under which the verdict comes, and effects; the verdict may be among them."""
        request, self._next = self._next, self._next + 1
        if len(self._claims) >= CLAIMS:
            return request, [Rejected(request=request, code="overloaded")]
        if not self._router_is_here:
            return request, self._decide(request, session)
        self._claims[request] = (session, now + CLAIM_S)
        claim = Claim(
            request=request,
            client_id=session.client_id,
            session=session.session,
            secret_hash=session.secret_hash,
            claimed_at=session.claimed_at,
        )
        return request, [AskRouter(message=claim)]

    def abandon(self, request: int) -> list[Effect]:
        """The client is gone before the verdict, or before the session was opened."""
        found = self._claims.pop(request, None)
        session = found[0] if found is not None else self._admitted.pop(request, None)
        if session is None:
            return []
        self._requests.pop(session.session, None)
        own = self._own.get(session.client_id)
        if own is not None and own.session == session.session:
            del self._own[session.client_id]
        return self._release(session)

    def opened(self, session: Session) -> tuple[str, bytes]:
        """The session is served now. Returns the entry of the slice `sessions`."""
        self._admitted.pop(self._requests.pop(session.session, 0), None)
        self._own[session.client_id] = session
        self._opened[session.client_id] = session.session
        return session.client_id, encode_session(session)

    def closed(self, client_id: str, session: str, reason: str = "") -> tuple[str | None, list[Effect]]:
        """The session has ended; `reason`: not by its client. Returns the key to remove from the slice (None: another session
        stands there), and effects."""
        own = self._own.get(client_id)
        effects: list[Effect] = []
        if own is not None and own.session == session:
            del self._own[client_id]
            effects = self._release(own, reason)
        if self._opened.get(client_id) != session:
            return None, effects
        del self._opened[client_id]
        return client_id, effects

    def receive(self, message: Granted | Refused | CloseSession) -> list[Effect]:
        """What the router says."""
        match message:
            case Granted(request=request):
                found = self._claims.pop(request, None)
                return [] if found is None else self._granted(request, found[0])
            case Refused(request=request, code=code):
                return [Rejected(request=request, code=code)] if self._claims.pop(request, None) is not None else []
            case CloseSession(client_id=client_id, session=session, reason=reason):
                return [Close(client_id=client_id, session=session, reason=reason)]

    def router_changed(self, is_here: bool) -> list[Effect]:
        """The router has come (another incarnation: say False first), or is away: then the claims under way are decided here."""
        self._router_is_here = is_here
        effects: list[Effect] = []
        if not is_here:
            claims, self._claims = self._claims, {}
            for request, (session, _) in claims.items():
                effects += self._decide(request, session)
        return effects

    def apply(self, entries: Mapping[str, bytes], removed: Iterable[str]) -> None:
        """The table `clients` has changed."""
        for client_id in removed:
            self._others.pop(client_id, None)
        for client_id, value in entries.items():
            session = decode_session(value)
            if session.gateway == self._role:
                self._others.pop(client_id, None)
            else:
                self._others[client_id] = session

    def gateway_gone(self, gateway: Role) -> None:
        """Another gateway is away, and its sessions with it."""
        for client_id in [client_id for client_id, session in self._others.items() if session.gateway == gateway]:
            del self._others[client_id]

    def where(self, client_id: str) -> Session | None:
        """The session that has an id on this node, here or at another gateway."""
        return self._own.get(client_id) or self._others.get(client_id)

    def is_of_another(self, client_id: str, who: str) -> bool:
        """Whether somebody else than `who` has this id now, here or at another gateway."""
        found = self.where(client_id)
        # Without a surface it is a grant of the router whose gateway has not told yet who it is: for some milliseconds.
        return found is not None and found.surface != "" and found.who != who

    def sessions(self) -> Iterable[Session]:
        """All sessions of the node, the own ones first."""
        yield from self._own.values()
        for client_id, session in self._others.items():
            if client_id not in self._own:
                yield session

    def next_deadline(self) -> float:
        for _, deadline in self._claims.values():
            return deadline
        return inf

    def timer(self, now: float) -> list[Effect]:
        """The router is silent: decide what has waited for 1 s."""
        effects: list[Effect] = []
        for request, (session, deadline) in list(self._claims.items()):
            if deadline > now:
                break
            del self._claims[request]
            effects += self._decide(request, session)
        return effects

    def _granted(self, request: int, session: Session) -> list[Effect]:
        own = self._own.get(session.client_id)
        if own is None or own.session == session.session:
            return [self._admit(request, session)]
        # The router did not know of a session that was admitted here while it was silent; when it does, it decides by the same
        # rule.
        reason = verdict(own.secret_hash, session.secret_hash)
        if reason == "conflict":
            return [Rejected(request=request, code="conflict"), *self._release(session)]
        return [Close(client_id=own.client_id, session=own.session, reason=reason), self._admit(request, session)]

    def _admit(self, request: int, session: Session) -> Admitted:
        # Its own from now on, though not opened yet: the next claim for this id must see it, even one decided in the same step.
        self._own[session.client_id] = session
        self._admitted[request] = session
        self._requests[session.session] = request
        return Admitted(request=request)

    def _decide(self, request: int, session: Session) -> list[Effect]:
        current = self.where(session.client_id)
        reason = "" if current is None else verdict(current.secret_hash, session.secret_hash)
        if reason == "conflict":
            return [Rejected(request=request, code="conflict")]
        effects: list[Effect] = [self._admit(request, session)]
        if current is not None and current.gateway == self._role:
            effects.append(Close(client_id=current.client_id, session=current.session, reason=reason))
        return effects

    def _release(self, session: Session, reason: str = "") -> list[Effect]:
        if not self._router_is_here:
            return []
        return [AskRouter(message=Release(client_id=session.client_id, session=session.session, reason=reason))]
