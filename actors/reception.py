"""The gateway's reception: whom it serves, under which id. A part of the gateway actor, no actor of its own.

What waits for somebody's word is here: the router's on a client id, the config actor's on a single-use token. The rules are in
`majula.routing.admission` and `majula.gateway.accounts`.
"""

from __future__ import annotations

import asyncio
import hashlib
import secrets
import time
from collections.abc import Iterable, Mapping
from typing import Protocol, assert_never

from majula.errors import (
    Conflict,
    ConnectionLost,
    Draining,
    InvalidRequest,
    MajulaError,
    Overloaded,
    PermissionDenied,
    Unauthorized,
    Unavailable,
    from_code,
)
from majula.gateway.accounts import Identity, refusal
from majula.gateway.builtin import PROVIDER
from majula.gateway.session import Connection, Session
from majula.gateway.settings import GatewaySettings
from majula.gateway.switch import Switch
from majula.messages import auth, routing
from majula.messages.base import Message, Role
from majula.routing import admission
from majula.routing.admission import Admission, Admitted, AskRouter, Close, Rejected
from majula.routing.sessions import SESSIONS
from majula.routing.sessions import Session as Claimant
from majula.rpc.services import check_name

# A single-use token is spent when it is on disk: some 10 ms. A config actor that dies is back within two seconds.
_SPEND_S = 5.0
# Names that stand for the node itself.
_RESERVED = frozenset((PROVIDER, "raft"))


class Gateway(Protocol):
    """The gateway actor, as its reception sees it."""

    role: Role
    incarnation: int
    settings: GatewaySettings
    switch: Switch

    @property
    def loop(self) -> asyncio.AbstractEventLoop: ...

    def send_role(self, role: Role, message: Message) -> bool: ...

    def put(self, table: str, key: str, value: bytes | None) -> None: ...

    def arm_at(self, deadline: float) -> None: ...

    def wake(self) -> None: ...


class Reception:
    """Of one gateway."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._admission = Admission(gateway.role)
        self._verdicts: dict[int, asyncio.Future[None]] = {}
        self._spending: dict[int, tuple[auth.Spend, asyncio.Future[auth.Spent]]] = {}
        self._last_spend = 0
        self._used: dict[str, float] = {}  # ids of tokens since the last report, at most as many as there are
        self._names: dict[str, Session] = {}
        self._last_name = 0

    # --- what comes from other actors

    def role_changed(self, role: Role, *, is_here: bool) -> None:
        """A role is here (again), or away."""
        if role == "router":
            self._carry(self._admission.router_changed(False))
            if is_here:
                self._carry(self._admission.router_changed(True))
        elif role == "config" and is_here:
            for question, _ in self._spending.values():
                self._gateway.send_role("config", question)
        elif role.startswith("gateway:") and not is_here:
            self._admission.gateway_gone(role)

    def receive(self, message: routing.Granted | routing.Refused | routing.CloseSession | auth.Spent) -> None:
        """An answer, or the router's order to close."""
        if isinstance(message, auth.Spent):
            spending = self._spending.get(message.number)
            if spending is not None and not spending[1].done():
                spending[1].set_result(message)
        else:
            self._carry(self._admission.receive(message))

    def apply(self, entries: Mapping[str, bytes], removed: Iterable[str]) -> None:
        """The table `clients` has changed."""
        self._admission.apply(entries, removed)

    def next_deadline(self) -> float:
        """When `timer` has something to do."""
        return self._admission.next_deadline()

    def timer(self, now: float) -> None:
        """The deadline came."""
        self._carry(self._admission.timer(now))

    # --- who is where

    def gateway_of(self, client_id: str) -> Role | None:
        """The gateway at which the client is; None: nobody has that id."""
        found = self._admission.where(client_id)
        return None if found is None else found.gateway

    def clients(self) -> Iterable[str]:
        """The ids of all clients of the node."""
        return (session.client_id for session in self._admission.sessions())

    # --- coming and going

    async def admit(
        self,
        connection: Connection,
        *,
        surface: str,
        client_id: str = "",
        secret: str = "",
        agent: str = "",
        newest_wins: bool = False,
        identity: Identity | None = None,
    ) -> Session:
        accounts = self._gateway.switch.accounts
        identity = identity or accounts.anybody()
        client_id = client_id or identity.client_id()
        client_id = check_name(client_id, what="client") if client_id else f"client-{secrets.token_hex(6)}"
        if client_id in _RESERVED:
            raise InvalidRequest(f"the client id {client_id!r} stands for the node itself")
        identity.check_client(client_id)
        if self._gateway.switch.is_draining:
            raise Draining("this gateway is stopping; connect again")
        self._gateway.switch.load.check()
        secret = "" if newest_wins else secret or secrets.token_urlsafe(18)
        # An id belongs to whoever has claimed it: with another token even the secret takes nothing over.
        proof = secret if accounts.is_open else f"{secret}\0{identity.who}"
        self._last_name += 1
        claimant = Claimant(
            client_id=client_id,
            session=f"{self._gateway.settings.port}.{self._gateway.incarnation}.{self._last_name}",
            secret_hash=hashlib.sha256(proof.encode()).digest() if proof else b"",
            gateway=self._gateway.role,
            claimed_at=self._gateway.loop.time(),
            surface=surface,
            agent=_printable(agent),
            who=identity.who,
        )
        request, effects = self._admission.claim(claimant, claimant.claimed_at)
        verdict = self._verdicts[request] = self._gateway.loop.create_future()
        self._carry(effects)
        self._gateway.arm_at(self._admission.next_deadline())
        try:
            await verdict
            await self._spend(identity, claimant)
            return self._open(connection, claimant, secret, identity)
        except BaseException:
            # Refused, full, or the client has gone: whatever the router has noted is taken back.
            if verdict.done() and not verdict.cancelled() and verdict.exception() is None:
                self._gateway.send_role("router", routing.Release(claimant.client_id, claimant.session))
            self._carry(self._admission.abandon(request))
            raise
        finally:
            self._verdicts.pop(request, None)

    async def _spend(self, identity: Identity, claimant: Claimant) -> None:
        """A single-use token becomes this session's own."""
        token = identity.token
        if token is None or not token.single_use:
            return
        owner = claimant.secret_hash.hex() or claimant.session
        if token.used_by == owner:
            return
        self._last_spend += 1
        question = auth.Spend(self._last_spend, token.id, owner, claimant.client_id)
        answer: asyncio.Future[auth.Spent] = self._gateway.loop.create_future()
        self._spending[question.number] = (question, answer)
        try:
            self._gateway.send_role("config", question)
            async with asyncio.timeout(_SPEND_S):
                spent = await answer
        except TimeoutError:
            raise Unavailable("a single-use token cannot be spent just now", retry_after_s=1.0) from None
        finally:
            del self._spending[question.number]
        if spent.code == Unauthorized.code:
            raise refusal()
        if spent.code:
            raise from_code(spent.code, spent.message)

    def _open(self, connection: Connection, claimant: Claimant, secret: str, identity: Identity) -> Session:
        now = self._gateway.loop.time()
        self._note_use(identity)
        older = self._gateway.switch.session_of(claimant.client_id)
        if older is not None:
            self._gateway.switch.close(older, Conflict("the client has connected again", reason="taken_over"), now)
            self._gateway.wake()
        session = self._gateway.switch.open(
            connection,
            client_id=claimant.client_id,
            secret=secret,
            surface=claimant.surface,
            agent=claimant.agent,
            is_claimed=True,
            name=claimant.session,
            identity=identity,
            now=now,
        )
        self._names[claimant.session] = session
        self._gateway.put(SESSIONS, *self._admission.opened(claimant))
        return session

    def attach(
        self, connection: Connection, *, surface: str, label: str = "", agent: str = "", identity: Identity | None = None
    ) -> Session:
        identity = identity or self._gateway.switch.accounts.anybody()
        if label:
            identity.check_client(check_name(label, what="client"))
            if label in _RESERVED:
                raise InvalidRequest(f"the client id {label!r} stands for the node itself")
            # Others see the label as the name of who speaks. A stream only reads, and what it may read its scope says. Where
            # nobody has to say who he is, anybody may use any name.
            is_bound = surface != "sse" and not self._gateway.switch.accounts.is_open
            if is_bound and self._admission.is_of_another(label, identity.who):
                raise Conflict(f"the client id {label!r} is in use by somebody else", client_id=label)
        if identity.token is not None and identity.token.single_use:
            raise PermissionDenied("a single-use token opens one session that owns its client id; this request opens none")
        self._gateway.switch.load.check()
        self._note_use(identity)
        return self._gateway.switch.open(
            connection,
            client_id=label or f"{surface}-{secrets.token_hex(6)}",
            secret="",
            surface=surface,
            agent=_printable(agent),
            is_claimed=False,
            identity=identity,
            now=self._gateway.loop.time(),
        )

    def _note_use(self, identity: Identity) -> None:
        if identity.token is not None:
            self._used[identity.token.id] = time.time()

    def session_ended(self, session: Session) -> None:
        """A session that had claimed its id is over."""
        self._names.pop(session.name, None)
        key, effects = self._admission.closed(session.client_id, session.name, _reason(session.ended_by))
        if key is not None:
            self._gateway.put(SESSIONS, key, None)
        self._carry(effects)

    def report_used(self) -> None:
        """Tell the config actor which tokens were used since the last time."""
        if self._used:
            used, self._used = self._used, {}
            self._gateway.send_role("config", auth.Used(used))

    # --- inside

    def _carry(self, effects: Iterable[admission.Effect]) -> None:
        for effect in effects:
            match effect:
                case AskRouter(message=message):
                    self._gateway.send_role("router", message)
                case Admitted(request=request):
                    verdict = self._verdicts.get(request)
                    if verdict is not None and not verdict.done():
                        verdict.set_result(None)
                case Rejected(request=request, code=code):
                    verdict = self._verdicts.get(request)
                    if verdict is not None and not verdict.done():
                        verdict.set_exception(_rejection(code))
                case Close(client_id=client_id, session=name, reason=reason):
                    session = self._names.get(name)
                    if session is not None:
                        self._gateway.switch.close(session, _ending(client_id, reason), self._gateway.loop.time())
                case _:
                    assert_never(effect)


def _printable(agent: str) -> str:
    """What a client says it is, fit for a table on a terminal."""
    return "".join(character for character in agent[:128] if character.isprintable())


def _rejection(code: str) -> MajulaError:
    if code == Conflict.code:
        return Conflict("the client id is in use by another session")
    if code == Overloaded.code:
        return Overloaded("too many clients ask for their id just now", retry_after_s=1.0)
    return from_code(code, "the client id was refused")


def _ending(client_id: str, reason: str) -> MajulaError:
    """What a client is told whose session the router has closed."""
    if reason == "disconnected":
        return ConnectionLost("an operator has ended this session; it may connect again", reason=reason)
    return Conflict(f"the client id {client_id!r} has gone to another session", reason=reason)


def _reason(error: MajulaError | None) -> str:
    """Why a session has ended, in a word; empty: its client, or its connection."""
    return "" if error is None else str(error.detail.get("reason") or error.code)
