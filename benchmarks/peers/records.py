"""What a run leaves behind, as one JSON file: enough to compute every table again."""

from __future__ import annotations

import msgspec

from benchmarks.machine import Machine
from benchmarks.peers.task import Failed, RpcFigures, TopicFigures

Outcome = TopicFigures | RpcFigures | Failed


class CaseRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One case of one variant in one round. `busy_before_cores`: what the machine did just before."""

    variant: str
    case: str
    round: int
    outcome: Outcome
    busy_before_cores: float


class ServerRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A variant's server in one round, before any client came. `failure` instead of figures where it did not start."""

    variant: str
    round: int
    started_in_s: float = 0.0
    idle_pss_mb: float = 0.0
    processes: int = 0
    failure: str = ""


class PeersRun(msgspec.Struct, kw_only=True):
    """One run of `python -m benchmarks peers`."""

    benchmark: str = "peers"
    machine: Machine
    began: str
    seed: int
    rounds: int
    seconds: float
    cases: list[CaseRecord] = []
    servers: list[ServerRecord] = []


def last_line(reason: str) -> str:
    """A reason may carry a whole traceback, whose end says it; the record has all of it."""
    lines = reason.splitlines()
    return lines[0] if len(lines) < 2 else f"{lines[0][:100]} ... {lines[-1]}"
