"""A Majula node as a user starts it, `python run_node.py CONFIG`, in a private directory and on free ports."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import socket
import subprocess
import sys
import time
from pathlib import Path

import majula
from benchmarks.scope import ROOT, Scope, wait_until

_CONFIG = """\
node_id: bench
data_dir: {directory}/data
run_dir: {directory}/run
majula_servers:
  - port: {port}
    auth: {auth}
    native:
      unix: {directory}/native.sock
      tcp: 127.0.0.1:{native_port}
{limits}"""

# What the clients of the benchmark need, and no more. The rates are far above what is sent, but counted: those of each client,
# of the node, and of the token.
_SCOPES = ("publish:bench.>", "subscribe:bench.>", "call:bench.>", "register:bench.>", "send:>", "-publish:bench.secret")
_MESSAGES_PER_S, _BYTES_PER_S = 1e7, 6e10
_RATES = """\
limits:
  messages_per_s: 10000000
  bytes_per_s: 60000000000
  node_messages_per_s: 10000000
  node_bytes_per_s: 60000000000
"""

# The harness runs at most 8 MiB ahead of the slowest subscriber. The other systems' buffers are raised beyond that too.
ROOMY_LIMITS = """\
    limits:
      slow_consumer:
        limit_bytes: 67108864
        limit_messages: 1048576
"""


class Node:
    """A running node; create it by `start`.

    Attributes:
        process: the runner. `scope.tree(process.pid)` is all of the node.
        started_in_s: seconds from the command to the first "ready" of `/majula/health`.
        unix, tcp, websocket: addresses for `majula.connect`.
        port: the gateway's HTTP port on 127.0.0.1.
        token_file: file with a token that has the scopes of the benchmark; empty where there are no accounts.
    """

    def __init__(
        self, process: subprocess.Popen[bytes], *, started_in_s: float, directory: Path, port: int, native_port: int
    ) -> None:
        self.process = process
        self.started_in_s = started_in_s
        self.port = port
        self.unix = f"unix:{directory}/native.sock"
        self.tcp = f"majula://127.0.0.1:{native_port}"
        self.websocket = f"ws://127.0.0.1:{port}"
        self.token_file = ""


def start(scope: Scope, *, limits: str = "", has_accounts: bool = False, timeout_s: float = 30.0) -> Node:
    """Start a node in `scope` and wait until it is ready.

    Args:
        has_accounts: clients need a token, and one is made; rates are limited. On the Unix socket the node's own user needs none
            and may do everything: what scopes cost is seen by TCP only.
        limits: YAML of the gateway's `limits`, indented by four.
    Raises:
        StartFailed: it ended or was not ready within `timeout_s`.
    """
    port, native_port = free_port(), free_port()
    config = scope.directory / "node.yaml"
    config.write_text(
        _CONFIG.format(
            directory=scope.directory,
            port=port,
            native_port=native_port,
            auth="token" if has_accounts else "none",
            limits=limits,
        )
        + (_RATES if has_accounts else "")
    )
    began = time.perf_counter()
    process = scope.spawn([sys.executable, str(ROOT / "run_node.py"), str(config)], name="node")
    wait_until(lambda: is_ready(port), process, scope.log("node"), timeout_s=timeout_s, poll_s=0.005)
    took_s = time.perf_counter() - began
    started = Node(process, started_in_s=took_s, directory=scope.directory, port=port, native_port=native_port)
    if has_accounts:
        file = scope.directory / "token"
        file.touch(mode=0o600)
        file.write_text(asyncio.run(_make_token(started.unix)))
        started.token_file = str(file)
    return started


async def _make_token(address: str) -> str:
    async with majula.connect(address) as client:  # on the Unix socket the node's own user may do everything
        made = await client.create_token(_SCOPES, note="benchmark", messages_per_s=_MESSAGES_PER_S, bytes_per_s=_BYTES_PER_S)
        return made.secret


def is_ready(port: int) -> bool:
    """Does the gateway at this port answer `/majula/health` with 200?"""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=1.0)
    with contextlib.closing(connection), contextlib.suppress(OSError, http.client.HTTPException):
        connection.request("GET", "/majula/health")
        return connection.getresponse().status == http.client.OK
    return False


def free_port() -> int:
    """A TCP port on 127.0.0.1 that nobody uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
