"""The order of everything: rounds, shuffled variants, cases, processes."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from itertools import pairwise

import msgspec

from benchmarks import machine
from benchmarks.peers.cases import CASES, Case
from benchmarks.peers.counters import Counters
from benchmarks.peers.records import CaseRecord, Outcome, PeersRun, ServerRecord, last_line
from benchmarks.peers.task import Answer, Failed, Ready, Task, TopicFigures
from benchmarks.peers.variants import Server, Variant
from benchmarks.scope import Scope, StartFailed, Worker, python

_START_S = 60.0  # a hundred connections of the slowest system, on a busy machine
_STUCK_S = 60.0  # more than the child's own patience, so that the child can say what was lost

Say = Callable[[str], None]


def run_rounds(
    run: PeersRun,
    variants: Sequence[Variant],
    cases: Sequence[str],
    *,
    patience_s: float,
    pinned_cores: frozenset[int] | None,
    say: Say,
) -> None:
    """Fill `run` round by round; what is in it when an exception comes out is complete as far as it goes.

    Args:
        patience_s: how long to wait before each case for the rest of the machine to be quiet.
        say: gets a line for each case.
    """
    order = list(variants)
    shuffle = random.Random(run.seed).shuffle
    for number in range(run.rounds):
        shuffle(order)
        for variant in order:
            wanted = [CASES[name] for name in variant.cases if name in cases]
            try:
                _run_variant(run, number, variant, wanted, patience_s=patience_s, pinned_cores=pinned_cores, say=say)
            except StartFailed as failure:
                run.servers.append(ServerRecord(variant=variant.name, round=number, failure=str(failure)))
                say(f"{number + 1}/{run.rounds}  {variant.name:18} did not start: {last_line(str(failure))}")


def _run_variant(
    run: PeersRun,
    number: int,
    variant: Variant,
    cases: Sequence[Case],
    *,
    patience_s: float,
    pinned_cores: frozenset[int] | None,
    say: Say,
) -> None:
    with Scope(pinned_cores=pinned_cores) as scope:
        server = variant.start(scope)
        tree = scope.tree(server.process.pid)
        run.servers.append(
            ServerRecord(
                variant=variant.name,
                round=number,
                started_in_s=server.started_in_s,
                idle_pss_mb=machine.pss_mb(tree),
                processes=len(tree),
            )
        )
        for case in cases:
            busy_cores = machine.wait_until_quiet(patience_s=patience_s)
            outcome = _run_case(scope, server, variant, case, run.seconds)
            run.cases.append(
                CaseRecord(variant=variant.name, case=case.name, round=number, outcome=outcome, busy_before_cores=busy_cores)
            )
            say(f"{number + 1}/{run.rounds}  {variant.name:18} {case.title:18} {in_words(outcome)}")


def _run_case(scope: Scope, server: Server, variant: Variant, case: Case, seconds: float) -> Outcome:
    workers: list[Worker] = []
    counters = scope.directory / f"counters-{case.name}"
    common = Task(
        system=variant.system,
        role="call",
        address=server.address,
        encoding=variant.encoding,
        token_file=server.token_file,
        loop=variant.loop,
        case=case,
        topic=f"{'bench/' if variant.system == 'zenoh' else 'bench.'}{case.name}.{time.monotonic_ns()}",
        seconds=seconds,
        counters=str(counters),
        server_pids=scope.tree(server.process.pid),
    )

    def begin(task: Task) -> Worker:
        command = python("benchmarks.peers.child", msgspec.json.encode(task).decode())
        worker = scope.worker(command, name=f"{case.name}-{task.role}")
        workers.append(worker)
        return worker

    try:
        if case.is_stream:
            Counters(counters, case.subscribers, create=True)
            for task in _subscriber_tasks(common, case):
                begin(task)
        else:
            begin(msgspec.structs.replace(common, role="serve"))
        for worker in workers:
            _expect_ready(worker)
        partners = [worker.pid for worker in workers]
        measuring = begin(msgspec.structs.replace(common, role="publish" if case.is_stream else "call", partner_pids=partners))
        _expect_ready(measuring)
        answer = _answer(measuring, 2 * seconds + _STUCK_S)
        return Failed("the measuring process answered twice that it is ready") if isinstance(answer, Ready) else answer
    except StartFailed as failure:
        return Failed(str(failure))
    finally:
        scope.end([worker.process for worker in workers])


def _subscriber_tasks(common: Task, case: Case) -> list[Task]:
    """The case's subscribers, spread evenly over its processes."""
    bounds = [case.subscribers * process // case.processes for process in range(case.processes + 1)]
    return [msgspec.structs.replace(common, role="subscribe", first=first, count=end - first) for first, end in pairwise(bounds)]


def _answer(worker: Worker, timeout_s: float) -> Answer:
    answer: Answer = msgspec.json.decode(worker.line(timeout_s), type=Answer)
    return answer


def _expect_ready(worker: Worker) -> None:
    answer = _answer(worker, _START_S)
    if not isinstance(answer, Ready):
        raise StartFailed(f"{answer} came before ready")


def in_words(outcome: Outcome) -> str:
    """One line for the person who watches the run."""
    if isinstance(outcome, Failed):
        return f"VOID: {last_line(outcome.reason)}"
    cpu = " + ".join(f"{us:.1f}" for us in outcome.cpu_us.values())
    tail = f"CPU {cpu} us, others {outcome.others_cores:.2f} cores"
    if isinstance(outcome, TopicFigures):
        return f"{outcome.deliveries_per_s:>11,.0f} deliveries/s  {outcome.mb_per_s:>7,.1f} MB/s  {tail}"
    return f"p50 {outcome.p50_us:.0f} us  p99 {outcome.p99_us:.0f} us  {outcome.calls_per_s:,.0f} calls/s in flight  {tail}"
