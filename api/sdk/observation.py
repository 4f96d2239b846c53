"""`Observation`: what a client can see of its node. Nothing here changes anything but what is logged, and who is connected."""

from __future__ import annotations

from majula.api.sdk.asking import ASK_S, Asking
from majula.routing import operations as routing
from majula.routing.operations import ClientsAnswer, NodeLine
from majula.rpc import operations as rpc
from majula.rpc.operations import Service
from majula.telemetry import operations as telemetry
from majula.telemetry.operations import (
    EventLine,
    FlightAnswer,
    InfoAnswer,
    Level,
    QueuesAnswer,
    StacksAnswer,
    StatusAnswer,
    TapAnswer,
    TasksAnswer,
)
from majula.topics import operations as topics
from majula.topics.operations import TopicsAnswer


class Observation(Asking):
    """Services, topics, clients, status, events, metrics, and the inside of roles. Each method raises what `ask` raises."""

    async def services(
        self, provider: str = "", function: str = "", *, node: str = "", timeout_s: float = ASK_S
    ) -> tuple[Service, ...]:
        """The functions that can be called now, ordered by provider and name; empty arguments match everything."""
        answer: rpc.ServicesAnswer = await self.ask(
            rpc.SERVICES, rpc.ServicesRequest(provider, node, function), timeout_s=timeout_s
        )
        return answer.services

    async def topics(self, pattern: str = "", *, offset: int = 0, limit: int = 1_024, timeout_s: float = ASK_S) -> TopicsAnswer:
        """What is subscribed to and what has a retained value, ordered by topic.

        Args:
            pattern: only what it matches; empty: all.
            offset, limit: a part of the list, at most 1,024 lines; `of` in the answer is how many there are.
            timeout_s: seconds until it is given up.
        """
        found: TopicsAnswer = await self.ask(topics.LIST, topics.TopicsRequest(pattern, offset, limit), timeout_s=timeout_s)
        return found

    async def clients(
        self, client: str = "", *, node: str = "", offset: int = 0, limit: int = 1_024, timeout_s: float = ASK_S
    ) -> ClientsAnswer:
        """Who is connected, with queues, rates and slowness, ordered by client id.

        Args:
            client: only that one; empty: all.
            node: only that node's; empty: all.
            offset, limit: a part of the list, at most 1,024 lines; `of` in the answer is how many there are.
            timeout_s: seconds until it is given up.
        """
        request = routing.ClientsRequest(client, node, offset, limit)
        found: ClientsAnswer = await self.ask(routing.CLIENTS, request, timeout_s=timeout_s)
        return found

    async def disconnect(self, client: str, *, timeout_s: float = ASK_S) -> None:
        """End the session of a client. It may connect again; revoke its token to keep it out."""
        await self.ask(routing.DISCONNECT, routing.DisconnectRequest(client), timeout_s=timeout_s)

    async def nodes(self, *, timeout_s: float = ASK_S) -> tuple[NodeLine, ...]:
        """The nodes of the mesh."""
        found: routing.NodesAnswer = await self.ask(routing.NODES, routing.NodesRequest(), timeout_s=timeout_s)
        return found.nodes

    async def info(self, *, timeout_s: float = ASK_S) -> InfoAnswer:
        """What a client needs to know of this node: version, protocol, surfaces, limits."""
        found: InfoAnswer = await self.ask(telemetry.INFO, telemetry.InfoRequest(), timeout_s=timeout_s)
        return found

    async def status(self, *, timeout_s: float = ASK_S) -> StatusAnswer:
        """Every role of the node: process, restarts with their reasons, figures."""
        found: StatusAnswer = await self.ask(telemetry.STATUS, telemetry.StatusRequest(), timeout_s=timeout_s)
        return found

    async def events(
        self, name: str = "", *, after: int = 0, limit: int = 256, timeout_s: float = ASK_S
    ) -> tuple[EventLine, ...]:
        """The last events of the node, the newest last. To follow them, subscribe to `$SYS.>`.

        Args:
            name: as `client.connected`, or a pattern such as `client.*`; empty: all.
            after: the number of an event that was seen; only later ones.
            limit: at most so many.
            timeout_s: seconds until it is given up.
        """
        request = telemetry.EventsRequest(name, after, limit)
        found: telemetry.EventsAnswer = await self.ask(telemetry.EVENTS, request, timeout_s=timeout_s)
        return found.events

    async def metrics(self, *, timeout_s: float = ASK_S) -> str:
        """The node's figures in the Prometheus text format."""
        found: telemetry.MetricsAnswer = await self.ask(telemetry.METRICS, telemetry.MetricsRequest(), timeout_s=timeout_s)
        return found.text

    async def flight(self, *, timeout_s: float = ASK_S) -> FlightAnswer:
        """Write and show the flight recorder: the last minutes of events and figures."""
        found: FlightAnswer = await self.ask(telemetry.FLIGHT, telemetry.FlightRequest(), timeout_s=timeout_s)
        return found

    async def log_level(self, role: str, level: Level, *, for_s: float = 0.0, timeout_s: float = ASK_S) -> None:
        """Set the lowest level that a role logs.

        Args:
            role: whose log; `*`: of all.
            level: `debug`, `info`, `warning` or `error`.
            for_s: back to what it was after so many seconds; 0: it stays.
            timeout_s: seconds until it is given up.
        """
        await self.ask(telemetry.LEVEL, telemetry.LevelRequest(role, level, for_s), timeout_s=timeout_s)

    async def debug_stacks(self, role: str, *, timeout_s: float = ASK_S) -> StacksAnswer:
        """Where a role's process is just now, a thread an entry."""
        found: StacksAnswer = await self.ask(telemetry.STACKS, telemetry.RoleRequest(role), timeout_s=timeout_s)
        return found

    async def debug_tasks(self, role: str, *, timeout_s: float = ASK_S) -> TasksAnswer:
        """The tasks of a role, and where each waits."""
        found: TasksAnswer = await self.ask(telemetry.TASKS, telemetry.RoleRequest(role), timeout_s=timeout_s)
        return found

    async def debug_queues(self, role: str, *, timeout_s: float = ASK_S) -> QueuesAnswer:
        """The bounded queues of a role: to whom, how full, their marks."""
        found: QueuesAnswer = await self.ask(telemetry.QUEUES, telemetry.RoleRequest(role), timeout_s=timeout_s)
        return found

    async def debug_tap(self, role: str, *, for_s: float = 5.0, limit: int = 256, timeout_s: float = ASK_S) -> TapAnswer:
        """Listen to the messages between a role and other actors; payloads are never shown.

        Args:
            role: whose.
            for_s: seconds to listen, at most 60.
            limit: lines at most, at most 1,024.
            timeout_s: seconds beyond `for_s` until it is given up.
        """
        request = telemetry.TapRequest(role, for_s, limit)
        found: TapAnswer = await self.ask(telemetry.TAP, request, timeout_s=for_s + timeout_s)
        return found
