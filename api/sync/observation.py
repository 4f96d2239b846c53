"""`Observation` of the synchronous client."""

# Written by `python api/sync/generate.py` from majula/api/sdk/observation.py: change that one.

from __future__ import annotations

from majula.api.sdk.asking import ASK_S
from majula.api.sync.asking import Asking
from majula.routing.operations import ClientsAnswer, NodeLine
from majula.rpc.operations import Service
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
from majula.topics.operations import TopicsAnswer


class Observation(Asking):
    """Services, topics, clients, status, events, metrics, and the inside of roles. Each method raises what `ask` raises."""

    def services(
        self, provider: str = "", function: str = "", *, node: str = "", timeout_s: float = ASK_S
    ) -> tuple[Service, ...]:
        """The functions that can be called now, ordered by provider and name; empty arguments match everything."""
        return self._thread.wait(self._async.services(provider, function, node=node, timeout_s=timeout_s))

    def topics(self, pattern: str = "", *, offset: int = 0, limit: int = 1024, timeout_s: float = ASK_S) -> TopicsAnswer:
        """What is subscribed to and what has a retained value, ordered by topic.

        Args:
            pattern: only what it matches; empty: all.
            offset, limit: a part of the list, at most 1,024 lines; `of` in the answer is how many there are.
            timeout_s: seconds until it is given up.
        """
        return self._thread.wait(self._async.topics(pattern, offset=offset, limit=limit, timeout_s=timeout_s))

    def clients(
        self, client: str = "", *, node: str = "", offset: int = 0, limit: int = 1024, timeout_s: float = ASK_S
    ) -> ClientsAnswer:
        """Who is connected, with queues, rates and slowness, ordered by client id.

        Args:
            client: only that one; empty: all.
            node: only that node's; empty: all.
            offset, limit: a part of the list, at most 1,024 lines; `of` in the answer is how many there are.
            timeout_s: seconds until it is given up.
        """
        return self._thread.wait(self._async.clients(client, node=node, offset=offset, limit=limit, timeout_s=timeout_s))

    def disconnect(self, client: str, *, timeout_s: float = ASK_S) -> None:
        """End the session of a client. It may connect again; revoke its token to keep it out."""
        self._thread.wait(self._async.disconnect(client, timeout_s=timeout_s))

    def nodes(self, *, timeout_s: float = ASK_S) -> tuple[NodeLine, ...]:
        """The nodes of the mesh."""
        return self._thread.wait(self._async.nodes(timeout_s=timeout_s))

    def info(self, *, timeout_s: float = ASK_S) -> InfoAnswer:
        """What a client needs to know of this node: version, protocol, surfaces, limits."""
        return self._thread.wait(self._async.info(timeout_s=timeout_s))

    def status(self, *, timeout_s: float = ASK_S) -> StatusAnswer:
        """Every role of the node: process, restarts with their reasons, figures."""
        return self._thread.wait(self._async.status(timeout_s=timeout_s))

    def events(self, name: str = "", *, after: int = 0, limit: int = 256, timeout_s: float = ASK_S) -> tuple[EventLine, ...]:
        """The last events of the node, the newest last. To follow them, subscribe to `$SYS.>`.

        Args:
            name: as `client.connected`, or a pattern such as `client.*`; empty: all.
            after: the number of an event that was seen; only later ones.
            limit: at most so many.
            timeout_s: seconds until it is given up.
        """
        return self._thread.wait(self._async.events(name, after=after, limit=limit, timeout_s=timeout_s))

    def metrics(self, *, timeout_s: float = ASK_S) -> str:
        """The node's figures in the Prometheus text format."""
        return self._thread.wait(self._async.metrics(timeout_s=timeout_s))

    def flight(self, *, timeout_s: float = ASK_S) -> FlightAnswer:
        """Write and show the flight recorder: the last minutes of events and figures."""
        return self._thread.wait(self._async.flight(timeout_s=timeout_s))

    def log_level(self, role: str, level: Level, *, for_s: float = 0.0, timeout_s: float = ASK_S) -> None:
        """Set the lowest level that a role logs.

        Args:
            role: whose log; `*`: of all.
            level: `debug`, `info`, `warning` or `error`.
            for_s: back to what it was after so many seconds; 0: it stays.
            timeout_s: seconds until it is given up.
        """
        self._thread.wait(self._async.log_level(role, level, for_s=for_s, timeout_s=timeout_s))

    def debug_stacks(self, role: str, *, timeout_s: float = ASK_S) -> StacksAnswer:
        """Where a role's process is just now, a thread an entry."""
        return self._thread.wait(self._async.debug_stacks(role, timeout_s=timeout_s))

    def debug_tasks(self, role: str, *, timeout_s: float = ASK_S) -> TasksAnswer:
        """The tasks of a role, and where each waits."""
        return self._thread.wait(self._async.debug_tasks(role, timeout_s=timeout_s))

    def debug_queues(self, role: str, *, timeout_s: float = ASK_S) -> QueuesAnswer:
        """The bounded queues of a role: to whom, how full, their marks."""
        return self._thread.wait(self._async.debug_queues(role, timeout_s=timeout_s))

    def debug_tap(self, role: str, *, for_s: float = 5.0, limit: int = 256, timeout_s: float = ASK_S) -> TapAnswer:
        """Listen to the messages between a role and other actors; payloads are never shown.

        Args:
            role: whose.
            for_s: seconds to listen, at most 60.
            limit: lines at most, at most 1,024.
            timeout_s: seconds beyond `for_s` until it is given up.
        """
        return self._thread.wait(self._async.debug_tap(role, for_s=for_s, limit=limit, timeout_s=timeout_s))
