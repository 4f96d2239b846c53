"""The telemetry actor gathers what everybody tells and answers what an operator asks. On nobody's path; it may die at any time.

Once a second it asks the supervisors for their Status, in which the figures of all roles are (each pong of a role carries them),
and keeps what has changed for the flight recorder. Events and the gateways' client figures come by themselves. What is asked of
one role (stacks, tasks, queues, tap) is passed on to it. The rules are in `majula.telemetry`.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Iterable, Mapping
from math import inf
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from majula.actorsystem.actor import MajulaActor
from majula.errors import InvalidRequest, MajulaError, NotFound, Unavailable
from majula.messages.auth import Audit
from majula.messages.base import Address, Message, Role
from majula.messages.operations import Caller, Perform, Performed, answered, perform, refused
from majula.messages.supervision import Status, StatusRequest
from majula.messages.telemetry import ClientFigures, Event, Look, Looked, NodeFacts, PublishEvent, SetLevel, What
from majula.routing.operations import ClientsAnswer, ClientsRequest, NodeLine, NodesAnswer, NodesRequest
from majula.telemetry import recordings
from majula.telemetry.board import SUPERVISORS, RoleBoard
from majula.telemetry.clients import ClientBoard
from majula.telemetry.events import EVENTS, TOPICS
from majula.telemetry.flight import EventRing, FigureTape, recording
from majula.telemetry.levels import EVERYBODY, LogLevels
from majula.telemetry.metrics import NodeFigures, ProcessUse, expose
from majula.telemetry.operations import (
    EventLine,
    EventsAnswer,
    EventsRequest,
    FlightAnswer,
    LevelRequest,
    MetricsAnswer,
    MetricsRequest,
    RoleLine,
    RoleRequest,
    StatusAnswer,
    TapRequest,
)
from majula.telemetry.operations import StatusRequest as StatusAsked
from majula.telemetry.questions import Questions
from majula.telemetry.settings import TelemetrySettings

T = TypeVar("T")

GATEWAYS = "gateway:"
RUNNER = "runner"

TICK_S = 1.0
SOON_S = 0.1
# A supervisor that has not answered for so long is silent: three of its turns.
FRESH_S = 3.0
# Events that are published in a second; a gateway is not to be busy with clients that come and go.
PUBLISHED_PER_S = 500
# After a crash a moment is waited, so that what follows from it is in the recording too; and not every crash of a row makes one.
DUMP_AFTER_S = 1.0
DUMP_EVERY_S = 10.0
LISTED = 1_024

_LOOKS: Mapping[str, What] = {"debug.stacks": "stacks", "debug.tasks": "tasks", "debug.queues": "queues", "debug.tap": "tap"}
_encode_json = msgspec.json.Encoder().encode
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


class TelemetryActor(MajulaActor):
    """Role `telemetry`."""

    config_type = TelemetrySettings

    async def on_start(self, config: TelemetrySettings) -> None:
        self._settings = config
        self._facts = NodeFacts(state="starting", version=config.version, began_at=time.monotonic(), pid=0, trees=0, data_dir="")
        self._runner: Address | None = None
        self._board = RoleBoard(fresh_s=FRESH_S)
        self._clients = ClientBoard(self.node_id)
        # Above all numbers of an earlier life, and exact in JSON.
        self._events = EventRing(first=int(time.time()) * 1_000)
        self._tape = FigureTape()
        self._levels = LogLevels(config.level, config.levels)
        self._questions = Questions()
        self._names: dict[Address, Role] = {}
        self._asked = 0
        self._tick_at = self.loop.time()
        self._dump_at = inf
        self._dumped_at = -inf
        self._dump_reason = ""
        self._published = 0
        self._unpublished = 0
        self._taken = 0
        self._flights = self._flights_failed = 0
        self._serving: dict[str, Callable[[Any, Caller], msgspec.Struct | None]] = {
            "status.show": self._status,
            "events.list": self._list_events,
            "metrics.show": self._metrics,
            "clients.list": self._list_clients,
            "nodes.list": self._list_nodes,
            "log.level": self._change_level,
        }
        self._arm()

    def on_settings(self, config: TelemetrySettings) -> None:
        """The configuration has changed: levels take effect at once."""
        self._settings = config
        self._levels.configure(config.level, config.levels)
        self._tell_levels([*self.roles(), RUNNER])

    # --- what comes

    def on_role(self, role: Role, address: Address | None, incarnation: int) -> None:
        self._names = {at: name for name, at in self.roles().items()}
        if role.startswith(GATEWAYS):
            self._clients.gateway_gone(role)  # a new life of it tells everything anew
        if role.startswith(SUPERVISORS):
            self._board.keep({name for name in self.roles() if name.startswith(SUPERVISORS)})
        if address is None:
            for asker, answer in self._questions.gone(role):
                self.send(asker, answer)
        elif self._has_to_tell(role):
            self._tell_levels([role])
        # Somebody has come or gone: what the supervisors say is asked for soon, once for all that happens meanwhile.
        self._tick_at = min(self._tick_at, self.loop.time() + SOON_S)
        self._arm()

    def on_message(self, message: Message, sender: Address) -> None:
        match message:
            case Event():
                self._take_event(message)
            case ClientFigures():
                role = self._names.get(sender)
                if role is not None:
                    self._clients.told(role, message, self.loop.time())
            case Status():
                self._board.told(message, self.loop.time())
            case Perform():
                self._perform(message, sender)
            case Looked(number=number, answer=answer):
                self._give(self._questions.settle(number, answer))
            case NodeFacts():
                self._facts, self._runner = message, sender
                if self._has_to_tell(RUNNER):
                    self._tell_levels([RUNNER])
        self._arm()

    def on_deadline(self, deadline: float) -> None:
        now = max(deadline, self.loop.time())
        if now >= self._tick_at:
            self._tick_at = now + TICK_S
            self._published = 0
            self._tick(now)
        for asker, answer in self._questions.overdue(now):
            self.send(asker, answer)
        if self._levels.next_deadline() <= now and self._levels.expire(now):
            self._tell_levels([*self.roles(), RUNNER])
        if now >= self._dump_at:
            self._dump_at, self._dumped_at = inf, now
            self.spawn(self._dump(self._dump_reason), name="telemetry.dump")
        self._arm()

    def statistics(self) -> dict[str, int | float | str]:
        return {
            "events_total": self._taken,
            "events_refused_total": self._events.refused,
            "events_unpublished_total": self._unpublished,
            "clients": len(self._clients),
            "flights_total": self._flights,
            "flights_failed_total": self._flights_failed,
            "questions": len(self._questions),
        }

    def _arm(self) -> None:
        self.arm(min(self._tick_at, self._dump_at, self._questions.next_deadline(), self._levels.next_deadline()))

    def _tick(self, now: float) -> None:
        self._tape.add(self._lines(), time.time())
        self._asked += 1
        for role in self.roles():
            if role.startswith(SUPERVISORS):
                self.send_role(role, StatusRequest(self._asked))

    # --- events

    def _take_event(self, event: Event) -> None:
        self._taken += 1
        line = self._events.add(event)
        if line is None:
            return
        self._publish(line)
        declared = EVENTS.get(event.name)
        if declared is not None and declared.dumps and self._dump_at == inf and self._settings.data_dir:
            now = self.loop.time()
            self._dump_reason = f"{event.name} {event.fields.get('offender', '')}".strip()
            self._dump_at = max(now + DUMP_AFTER_S, self._dumped_at + DUMP_EVERY_S)

    def _publish(self, line: EventLine) -> None:
        """On `$SYS.<name>`, through whichever gateway is there."""
        self._published += 1
        gateway = next((role for role in self.roles() if role.startswith(GATEWAYS)), None)
        if self._published > PUBLISHED_PER_S or gateway is None:
            self._unpublished += 1
            return
        payload = _encode_json({**msgspec.structs.asdict(line), "node": self.node_id})
        if not self.send_role(gateway, PublishEvent(TOPICS + line.name, payload)):
            self._unpublished += 1

    # --- questions

    def _perform(self, asked: Perform, asker: Address) -> None:
        try:
            if (what := _LOOKS.get(asked.operation)) is not None:
                self._look(asked, what, asker)
            elif asked.operation == "debug.flight":
                self._audit(asked.caller, asked.operation)
                self.spawn(self._fly(asked, asker), name="telemetry.flight")
            else:
                self.send(asker, perform(asked, self._serving))
        except MajulaError as error:
            self.send(asker, refused(asked, error))

    def _give(self, found: tuple[Address, Performed] | None) -> None:
        if found is not None:
            self.send(*found)

    def _look(self, asked: Perform, what: What, asker: Address) -> None:
        listens_s, limit = 0.0, 0
        if what == "tap":
            tapped = _decoded(asked, TapRequest)
            role, listens_s, limit = tapped.role, min(max(tapped.for_s, 0.0), 60.0), tapped.limit
            self._audit(asked.caller, asked.operation, role=role)
        else:
            role = _decoded(asked, RoleRequest).role
        self._check_role(role)
        number = self._questions.ask(role, asked, asker, listens_s=listens_s, now=self.loop.time())
        if not self.send_role(role, Look(number, what, listens_s, limit)):
            self._give(self._questions.fail(number, Unavailable(f"{role} is away just now", retry_after_s=1.0, role=role)))

    def _check_role(self, role: Role) -> None:
        if role not in self.roles():
            known = ", ".join(sorted(self.roles()))
            raise NotFound(f"there is no role {role[:128]!r} that runs here; there are {known}", role=role[:128])

    def _change_level(self, request: LevelRequest, caller: Caller) -> None:
        roles = [role for role in (*self.roles(), RUNNER) if request.role in (role, role.partition(":")[0], EVERYBODY)]
        if not roles:
            self._check_role(request.role)
        now = self.loop.time()
        for role in [EVERYBODY] if request.role == EVERYBODY else roles:
            self._levels.change(role, request.level, request.for_s, now)
        self._tell_levels(roles)
        self._audit(caller, "log.level", role=request.role, level=request.level, for_s=request.for_s)
        self.event("log.level_changed", changed_role=request.role, level=request.level, who=caller.who)

    def _has_to_tell(self, role: Role) -> bool:
        """A role that has just started logs as the runner was told. One that was here before this life of telemetry may log as
        the former one had wished, which with it has ended."""
        return self.incarnation > 1 or not self._levels.is_usual(role)

    def _tell_levels(self, roles: Iterable[Role]) -> None:
        for role in roles:
            order = SetLevel(self._levels.level(role))
            if role != RUNNER:
                self.send_role(role, order)
            elif self._runner is not None:
                self.send(self._runner, order)

    def _audit(self, caller: Caller, what: str, **detail: object) -> None:
        self.send_role("config", Audit(caller.who, what, detail))

    def _status(self, asked: StatusAsked, caller: Caller) -> StatusAnswer:
        return StatusAnswer(
            node=self.node_id,
            version=self._facts.version,
            state=self._facts.state,
            uptime_s=round(time.monotonic() - self._facts.began_at, 3),
            roles=self._lines(),
            insecure=self._facts.insecure,
            slow_clients=self._clients.slow(),
        )

    def _lines(self) -> tuple[RoleLine, ...]:
        return self._board.lines(self._names, self.loop.time(), trees=max(self._facts.trees, 1))

    def _list_events(self, asked: EventsRequest, caller: Caller) -> EventsAnswer:
        return self._events.answer(asked)

    def _list_clients(self, asked: ClientsRequest, caller: Caller) -> ClientsAnswer:
        return self._clients.answer(asked, self.loop.time())

    def _list_nodes(self, asked: NodesRequest, caller: Caller) -> NodesAnswer:
        gateways = tuple(sorted(role for role in self.roles() if role.startswith(GATEWAYS)))
        own = NodeLine(
            node=self.node_id, is_self=True, version=self._facts.version, clients=len(self._clients), gateways=gateways
        )
        return NodesAnswer((own,))

    def _metrics(self, asked: MetricsRequest, caller: Caller) -> MetricsAnswer:
        lines = self._lines()
        node = NodeFigures(
            version=self._facts.version,
            up_s=round(time.monotonic() - self._facts.began_at, 3),
            is_degraded=self._board.is_degraded(),
            insecure=len(self._facts.insecure),
            trees=self._facts.trees,
            event_counts=self._events.counts,
        )
        uses = {line.role: use for line in lines if (use := _process_use(line.pid)) is not None}
        return MetricsAnswer(expose(lines, uses, node))

    # --- the flight recorder

    async def _fly(self, asked: Perform, asker: Address) -> None:
        file = await self._dump("asked for")
        begins_at = self._tape.begins_at()
        seconds = 0.0 if begins_at is None else round(time.time() - begins_at, 3)
        events = tuple(self._events.lines()[-LISTED:])
        self.send(asker, answered(asked, FlightAnswer(seconds=seconds, events=events, file=file)))

    async def _dump(self, reason: str) -> str:
        """Where it was written; empty where it was not."""
        if not self._settings.data_dir:
            return ""
        at = time.time()
        content = recording(
            node=self.node_id,
            version=self._facts.version,
            reason=reason,
            at=at,
            roles=self._lines(),
            events=self._events,
            tape=self._tape,
        )
        stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(at))
        directory = Path(self._settings.data_dir) / "flight"
        try:
            path = await asyncio.to_thread(recordings.write, directory, stamp, content)
        except OSError as error:
            self._flights_failed += 1
            self.event("flight.failed", reason=f"{type(error).__name__}: {error.strerror}")
            return ""
        self._flights += 1
        self.event("flight.dumped", file=str(path), reason=reason)
        return str(path)


def _decoded(asked: Perform, kind: type[T]) -> T:
    """The parameters of a question.

    Raises:
        InvalidRequest: they are none.
    """
    try:
        return msgspec.msgpack.decode(asked.parameters, type=kind)
    except msgspec.DecodeError as error:
        raise InvalidRequest(f"{asked.operation}: {error}") from None


def _process_use(pid: int) -> ProcessUse | None:
    """What the kernel says of a process of ours. A few microseconds: /proc is no disk."""
    if not pid:
        return None
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    except (OSError, IndexError, ValueError):
        return None  # it has ended
    return ProcessUse(memory_bytes=pages * _PAGE_BYTES, cpu_s=(int(fields[11]) + int(fields[12])) / _TICKS_PER_S)
