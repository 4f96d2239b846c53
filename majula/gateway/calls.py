"""RPC in one gateway: every call that enters here ends here, by its answer or by one clear fault.

The caller's gateway holds the call: it picks the provider, gives the call a number of its own, writes the true caller into it,
and keeps its deadline. Where the provider is attached to another gateway, that one holds a second entry whose origin is the
first gateway; so either end can vanish, and the other is told.

    caller gone, CANCEL    -> CANCEL to the provider
    provider gone          -> tried once elsewhere where marked idempotent, else `provider_lost`
    nobody offers it       -> `no_provider`, at once
    provider's queue full  -> `overloaded`, with `retry_after_s`
    deadline               -> `deadline_exceeded`, CANCEL to the provider
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from random import Random
from typing import Any

import msgspec

from majula.errors import (
    DeadlineExceeded,
    Draining,
    InvalidRequest,
    LimitReached,
    MajulaError,
    NoProvider,
    NoSuchNode,
    Overloaded,
    ProtocolError,
    ProviderLost,
    Unavailable,
    from_code,
)
from majula.gateway.builtin import PROVIDER, Builtins
from majula.gateway.outlets import End, Outlets
from majula.gateway.peers import Peer
from majula.gateway.plans import (
    CALL_FIELDS,
    PLANS_LIMIT,
    CallPlan,
    call_frame,
    is_plain_result,
    read_number,
    result_frame,
)
from majula.gateway.session import Session
from majula.gateway.settings import GatewayLimits
from majula.messages.base import Role
from majula.rpc.choice import Choice
from majula.rpc.operations import Service as PublicService
from majula.rpc.pending import PendingCall, PendingCalls
from majula.rpc.services import Service, Services
from majula.wire.frames import PREFIX_BYTES, Span, encode_frame, encode_header
from majula.wire.headers import JSON, MSGPACK, RAW, Call, Cancel, Encoding, Fault, Result
from majula.wire.values import decode_value

# The longest life that anything has in a node.
_TIMEOUT_LIMIT_MS = 3_600_000
# A provider that reads at all has worked off some of its queue by then.
_RETRY_AFTER_S = 0.25
# Arguments kept for a second attempt, of all calls together; beyond it a call gets its first attempt only.
_KEPT_BYTES = 16 << 20
# Numbers up to here are written in 32 bits.
_NUMBER_LIMIT = 1 << 32
_HEAD_BYTES = 13
# Calls from one other gateway that are under way here: those of all its clients.
_PEER_CALLS = 1 << 20

_encode_msgpack = msgspec.msgpack.Encoder().encode
_encode_json = msgspec.json.Encoder().encode


class _Attempt:
    """One call from its caller's side: what is needed when it ends, and what to say to another provider.

    provider: who has it now. without: who had it first and failed.
    body: the arguments, None where there will be no second attempt.
    may_repeat: the handler may run twice.
    """

    __slots__ = ("body", "deadline", "header", "may_repeat", "number", "origin", "provider", "source", "without")

    def __init__(self, origin: End, header: Call, source: str, deadline: float) -> None:
        self.origin = origin
        self.number = header.call
        self.header = header
        self.source = source
        self.deadline = deadline
        self.provider = ""
        self.without = ""
        self.may_repeat = header.idempotent
        self.body: bytes | None = None


class Calls:
    """Services, and the calls under way.

    Args:
        node_id, role: of this gateway.
        limits: `pending_calls`.
        out: where frames go.
        session_of: the session here that holds a client id.
        peers: the other gateways by role, as they are now.
        wall_clock, random: for the node's own functions.
        node_info: what this gateway adds to the function `node_info`.
    """

    def __init__(
        self,
        *,
        node_id: str,
        role: Role,
        limits: GatewayLimits,
        out: Outlets,
        session_of: Callable[[str], Session | None],
        peers: Mapping[Role, Peer],
        wall_clock: Callable[[], float],
        random: Random,
        node_info: Callable[[], dict[str, object]],
    ) -> None:
        self.node_id = node_id
        self.is_draining = False
        self.services = Services(role)
        self._role = role
        self._limit = limits.pending_calls
        self._out = out
        self._session_of = session_of
        self._peers = peers
        self._gateway_info = node_info
        self._builtins = Builtins(self, wall_clock=wall_clock, random=random)
        self._choice = Choice()
        self._pending: PendingCalls[End, End] = PendingCalls(limit=limits.pending_calls)
        self._kept_bytes = 0
        self._started = 0
        self._failed = 0
        self._repeated = 0
        self._stray = 0

    def renew(self, limits: GatewayLimits) -> None:
        """Other limits; who has more already keeps it."""
        self._limit = self._pending.limit = limits.pending_calls

    # --- events

    def call_planned(self, session: Session, chunk: bytes, span: Span, now: float) -> bool:
        """A CALL whose header is known but for its number. False: it is not, or something stands in the way; `call` tells."""
        number, behind = read_number(chunk, span)
        plan = session.plans.get(chunk[behind : span[1]])
        if (
            plan is None
            or not number
            or plan.version != self.services.version
            or chunk[span[0] + PREFIX_BYTES] != CALL_FIELDS
            or self.is_draining
        ):
            return False
        header = plan.header
        service = plan.only
        if service is None:
            service = self._choice.pick(plan.providers, provider=header.provider, is_usable=self._is_usable)
            if service is None:
                return False
        is_here = service.gateway == self._role
        target = self._session_of(service.provider) if is_here else self._peers.get(service.gateway)
        pending = self._pending
        if target is None or (is_here and pending.count_target(target) >= self._limit):
            return False
        body = chunk[span[1] : span[2]]
        tail = plan.tails.get(service.provider) or plan.tail(service.provider, session.client_id)
        if not target.outbox.fits(len(tail) + len(body) + _HEAD_BYTES):
            return False
        attempt = _Attempt(session, header, session.client_id, now + plan.timeout_s)
        attempt.number = number
        attempt.provider = service.provider
        try:
            call = pending.add(session, number, target, attempt.deadline, attempt)
        except (LimitReached, KeyError):
            return False
        self._started += 1
        self._out.answer(target, call_frame(call.id, tail, body), now)
        self._choice.started(service.provider)
        if header.idempotent or service.idempotent or not is_here:
            attempt.may_repeat = header.idempotent or service.idempotent
            self._keep(attempt, body)
        return True

    def result_plain(self, end: End, chunk: bytes, span: Span, now: float) -> bool:
        """A RESULT without a fault. False: it is something else, and `result` understands it."""
        number, behind = read_number(chunk, span)
        if not number or not is_plain_result(chunk, span, behind):
            return False
        call = self._pending.get(number)
        if call is None or call.target is not end or call.origin_call >= _NUMBER_LIMIT:
            return False
        self._take(call)
        self._out.answer(
            call.origin,
            result_frame(call.origin_call, chunk[span[0] + PREFIX_BYTES], chunk[behind : span[2]], span[1] - behind),
            now,
        )
        return True

    def call(self, session: Session, header: Call, body: bytes, now: float) -> None:
        """A client calls."""
        if header.call <= 0:
            raise ProtocolError("the number of a call is more than 0")
        if self._pending.find(session, header.call) is not None:
            # A RESULT would answer the older call of this number.
            error = InvalidRequest(f"call {header.call} is under way already", call=header.call)
            self._out.refuse(session, 0, "CALL", error, now)
            return
        self._started += 1
        if header.node and header.node != self.node_id:
            raise NoSuchNode(f"no node {header.node!r} can be reached from here", node=header.node)
        if self.is_draining:
            raise Draining("this gateway is stopping; connect again and call again")
        if header.timeout_ms <= 0:
            raise DeadlineExceeded("the deadline of this call had passed when it was sent")
        # Only where it is named: were the node's `add` called while a program's `add` is away for a moment, its caller would get
        # a wrong answer that looks like a right one.
        if header.provider == PROVIDER:
            self._run_builtin(session, header, body, now)
            return
        deadline = now + min(header.timeout_ms, _TIMEOUT_LIMIT_MS) / 1000.0
        self._send(_Attempt(session, header, session.client_id, deadline), body, now)
        # A caller that writes a `source`, which is overwritten, could make its plans as large as it likes.
        if header.timeout_ms <= _TIMEOUT_LIMIT_MS and header.headers is None and not header.source:
            self._plan(session, header)

    def call_from_peer(self, peer: Peer, header: Call, body: bytes, now: float) -> None:
        """Another gateway has chosen a provider that is attached here, by what it knows."""
        deadline = now + header.timeout_ms / 1000.0
        attempt = _Attempt(peer, header, header.source, deadline)
        # Trying again is the business of the gateway that the caller is attached to.
        attempt.may_repeat = False
        try:
            service = self.services.get(header.function, header.provider)
            if service is None or service.gateway != self._role:
                raise NoProvider(f"{header.provider!r} does not offer {header.function!r} here", function=header.function)
            self._start(attempt, body, service, now)
        except MajulaError as error:
            self._out.fail(peer, header.call, error, now)

    def result(self, end: End, header: Result, body: bytes, now: float) -> None:
        """A provider, or the gateway of one, answers. What is not (any more) under way there is ignored."""
        call = self._pending.get(header.call)
        if call is None or call.target is not end:
            self._stray += 1
            return
        attempt = self._take(call)
        fault = header.fault
        if fault is not None:
            self._failed += 1
            if isinstance(end, Peer) and self._is_worth_another(fault.code, attempt):
                self._repeat(call, attempt, from_code(fault.code, fault.message), now)
                return
        frame = encode_frame(Result(call.origin_call, header.encoding, fault.cut() if fault is not None else None), body)
        self._out.answer(call.origin, frame, now)

    def result_refused(self, session: Session, header: Result, error: MajulaError, now: float) -> None:
        """A provider's answer cannot be passed on: the caller is told why, instead of waiting for its deadline."""
        self.result(session, Result(header.call, 0, Fault(error.code, f"the provider's answer was refused: {error}")), b"", now)

    def cancel(self, end: End, header: Cancel, now: float) -> None:
        """The caller no longer wants it."""
        call = self._pending.find(end, header.call)
        if call is not None:
            self._take(call)
            self._out.answer(call.target, encode_frame(Cancel(call.id)), now)

    def end(self, end: End, now: float) -> None:
        """A client or gateway is gone: what it called is cancelled, what it was to answer is tried elsewhere or has failed."""
        for call in self._pending.drop_origin(end):
            self._settle(call)
            self._out.answer(call.target, encode_frame(Cancel(call.id)), now)
        for call in self._pending.drop_target(end):
            attempt = self._settle(call)
            self._failed += 1
            lost = ProviderLost(f"the provider {attempt.provider!r} went away before it answered", provider=attempt.provider)
            if attempt.may_repeat:
                self._repeat(call, attempt, lost, now)
            else:
                self._out.fail(call.origin, call.origin_call, lost, now)

    def tick(self, now: float) -> None:
        """Deadlines have come."""
        for call in self._pending.expire(now):
            attempt = self._settle(call)
            self._failed += 1
            error = DeadlineExceeded(
                f"{attempt.provider!r} did not answer {attempt.header.function!r} in time", provider=attempt.provider
            )
            self._out.fail(call.origin, call.origin_call, error, now)
            self._out.answer(call.target, encode_frame(Cancel(call.id)), now)

    def next_deadline(self) -> float:
        """When `tick` has something to do; inf: never."""
        return self._pending.next_deadline()

    def under_way(self) -> int:
        """Calls that wait for an answer."""
        return len(self._pending)

    def statistics(self) -> dict[str, int]:
        return {
            "calls": len(self._pending),
            "calls_total": self._started,
            "calls_failed_total": self._failed,
            "calls_repeated_total": self._repeated,
            "stray_results_total": self._stray,
            "functions": len(self.services),
        }

    # --- what can be called

    def list_services(self, *, provider: str = "", function: str = "") -> list[PublicService]:
        """All functions, the node's own included, ordered by provider and name; empty arguments match everything."""
        own: Iterable[PublicService] = self._builtins.services() if provider in ("", PROVIDER) else ()
        found = [*own, *(self._public(service) for service in self.services.list(provider))]
        if function:
            found = [service for service in found if service.name == function]
        found.sort(key=lambda service: (service.provider, service.name))
        return found

    def services_of(self, provider: str) -> Iterator[PublicService]:
        """One provider's functions, for the node's function `allrpcs`."""
        return iter(self.list_services(provider=provider))

    def node_info(self) -> dict[str, Any]:
        """What the node's function `node_info` answers."""
        return {"id": self.node_id, **self._gateway_info(), "functions": len(self.services)}

    def _public(self, service: Service) -> PublicService:
        return PublicService(
            name=service.function,
            provider=service.provider,
            node=self.node_id,
            note=service.note,
            parameters=service.parameters,
            results=service.results,
            idempotent=service.idempotent,
        )

    # --- inside

    def _run_builtin(self, session: Session, header: Call, body: bytes, now: float) -> None:
        if header.encoding == RAW and body:
            raise InvalidRequest("the node's own functions take MessagePack or JSON, not raw bytes")
        arguments = decode_value(header.encoding, body) if body else None
        value = self._builtins.run(header.function, arguments)
        encoding: Encoding = JSON if header.encoding == JSON else MSGPACK
        try:
            answer = _encode_json(value) if encoding == JSON else _encode_msgpack(value)
        except (TypeError, ValueError, OverflowError, RecursionError) as error:
            raise InvalidRequest(f"the answer cannot be sent: {error}") from None
        self._out.answer(session, encode_frame(Result(header.call, encoding), answer), now)

    def _send(self, attempt: _Attempt, body: bytes, now: float) -> None:
        """Choose a provider and give it the call. Raises what the caller is to be told."""
        header = attempt.header
        providers = self.services.providers(header.function)
        service = self._choice.pick(providers, provider=header.provider, without=attempt.without, is_usable=self._is_usable)
        if service is None:
            self._raise_nobody(header, attempt.without)
            return
        self._start(attempt, body, service, now)

    def _plan(self, session: Session, header: Call) -> None:
        """This header will come again, with another number."""
        plans = session.plans
        if len(plans) >= PLANS_LIMIT:
            plans.clear()
        plan = CallPlan(header, self.services.providers(header.function), self.services.version)
        plans[encode_header(msgspec.structs.replace(header, call=0))[3:]] = plan

    def _raise_nobody(self, header: Call, without: str) -> None:
        """Nobody can be given the call: say why, and whether a retry makes sense."""
        providers = self.services.providers(header.function)
        name = header.provider
        wanted = [providers[name]] if name in providers else [] if name else [*providers.values()]
        left = [service for service in wanted if service.provider != without]
        what = repr(header.function)
        if not left:
            if name:
                raise NoProvider(f"{name!r} does not offer {what}", function=header.function, provider=name)
            raise NoProvider(f"nobody offers {what}", function=header.function)
        if not any(self._is_here(service) for service in left):
            raise Unavailable(f"whoever offers {what} is cut off just now; try again", retry_after_s=_RETRY_AFTER_S)
        raise Overloaded(f"the queue to whoever offers {what} is full", retry_after_s=_RETRY_AFTER_S)

    def _is_here(self, service: Service) -> bool:
        """The provider's session, or its gateway, is there; the table may be a moment behind."""
        if service.gateway == self._role:
            return self._session_of(service.provider) is not None
        return service.gateway in self._peers

    def _is_usable(self, service: Service) -> bool:
        if service.gateway == self._role:
            session = self._session_of(service.provider)
            return session is not None and not session.outbox.is_full
        peer = self._peers.get(service.gateway)
        return peer is not None and not peer.outbox.is_full

    def _start(self, attempt: _Attempt, body: bytes, service: Service, now: float) -> None:
        is_here = service.gateway == self._role
        target = self._session_of(service.provider) if is_here else self._peers.get(service.gateway)
        if target is None:
            raise ProviderLost(f"the provider {service.provider!r} has just gone away", provider=service.provider)
        pending = self._pending
        if isinstance(target, Session) and pending.count_target(target) >= self._limit:
            raise Overloaded(f"{service.provider!r} has too many calls to answer", retry_after_s=_RETRY_AFTER_S)
        origin = attempt.origin
        limit = None if isinstance(origin, Session) else _PEER_CALLS
        call = pending.add(origin, attempt.number, target, attempt.deadline, attempt, limit=limit)
        header = attempt.header
        attempt.provider = service.provider
        attempt.may_repeat = attempt.may_repeat or (service.idempotent and isinstance(origin, Session))
        try:
            frame = encode_frame(
                Call(
                    call.id,
                    header.function,
                    header.encoding,
                    max(1, int((attempt.deadline - now) * 1000.0)),
                    service.provider,
                    "",
                    header.idempotent,
                    attempt.source,
                    header.headers,
                ),
                body,
            )
        except MajulaError:  # the header has grown by the caller's name: the caller hears of it, and nothing is under way
            pending.take(call.id)
            raise
        if not self._out.call(target, frame, now):
            pending.take(call.id)
            raise Overloaded(f"the queue to {service.provider!r} is full", retry_after_s=_RETRY_AFTER_S)
        self._choice.started(service.provider)
        if not attempt.without and (attempt.may_repeat or isinstance(target, Peer)):
            self._keep(attempt, body)

    def _keep(self, attempt: _Attempt, body: bytes) -> None:
        if self._kept_bytes + len(body) <= _KEPT_BYTES:
            self._kept_bytes += len(body)
            attempt.body = body

    def _take(self, call: PendingCall[End, End]) -> _Attempt:
        self._pending.take(call.id)
        return self._settle(call)

    def _settle(self, call: PendingCall[End, End]) -> _Attempt:
        """The call has been taken out: whatever was counted for it is given back."""
        attempt = call.context
        assert isinstance(attempt, _Attempt)
        self._choice.ended(attempt.provider)
        if attempt.body is not None:
            self._kept_bytes -= len(attempt.body)
        return attempt

    def _is_worth_another(self, code: str, attempt: _Attempt) -> bool:
        # `no_provider`: the other gateway no longer has what the table said; the handler has not run.
        return code == NoProvider.code or (code == ProviderLost.code and attempt.may_repeat)

    def _repeat(self, call: PendingCall[End, End], attempt: _Attempt, error: MajulaError, now: float) -> None:
        """Try another provider, once; where there is none the caller hears of the first one's end."""
        body, attempt.body = attempt.body, None
        if body is None or attempt.without or attempt.header.provider:
            self._out.fail(call.origin, call.origin_call, error, now)
            return
        attempt.without = attempt.provider
        self._repeated += 1
        try:
            self._send(attempt, body, now)
        except MajulaError:
            self._out.fail(call.origin, call.origin_call, error, now)
