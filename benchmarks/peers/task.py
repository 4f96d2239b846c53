"""What a child process is told (on its command line) and what it answers (a line each on its standard output)."""

from __future__ import annotations

from typing import Literal

import msgspec

from benchmarks.peers.cases import Case

Role = Literal["broker", "subscribe", "publish", "serve", "call"]


class Task(msgspec.Struct, frozen=True, kw_only=True):
    """One child's part.

    Attributes:
        system: module in `benchmarks.peers.clients`.
        address: where the server is, in that system's own words.
        encoding: for systems that speak several; empty: the system's own choice.
        token_file: file with the token to connect with; empty: none.
        loop: event loop of the child; a system's own clients usually run on the stock one.
        topic: topic, or name of the service; several topics begin with it.
        counters: path of the shared counters.
        first, count: which of the case's subscribers this child is.
        server_pids, partner_pids: whose CPU time is measured as the server's, and as the other side's.
    """

    system: str
    role: Role
    address: str
    encoding: str = ""
    token_file: str = ""
    loop: Literal["asyncio", "uvloop"] = "asyncio"
    case: Case | None = None
    topic: str = ""
    seconds: float = 1.0
    counters: str = ""
    first: int = 0
    count: int = 0
    server_pids: list[int] = []
    partner_pids: list[int] = []

    @property
    def topics(self) -> list[str]:
        """All topics of the case; names of one length."""
        count = self.the_case().topics
        return [self.topic] if count == 1 else [f"{self.topic}.{number:04}" for number in range(count)]

    def the_case(self) -> Case:
        assert self.case is not None, f"the role {self.role} needs a case"
        return self.case


class Ready(msgspec.Struct, frozen=True, tag="ready"):
    """Connected, subscribed, registered: whatever the role needs before the other side may begin."""


class Failed(msgspec.Struct, frozen=True, tag="failed"):
    """The case is void."""

    reason: str


class TopicFigures(msgspec.Struct, frozen=True, tag="topic", kw_only=True):
    """What a publisher measured. `cpu_us` is CPU per published message, by side: publisher, server, subscriber."""

    sent: int
    received: int
    wall_s: float
    deliveries_per_s: float
    mb_per_s: float
    cpu_us: dict[str, float]
    others_cores: float


class RpcFigures(msgspec.Struct, frozen=True, tag="rpc", kw_only=True):
    """What a caller measured. `cpu_us` is CPU per call with 64 in flight, by side: caller, server, service."""

    calls_alone: int
    calls_in_flight: int
    p50_us: float
    p99_us: float
    calls_per_s: float
    in_flight_p50_us: float
    in_flight_p99_us: float
    cpu_us: dict[str, float]
    others_cores: float


Answer = Ready | Failed | TopicFigures | RpcFigures
