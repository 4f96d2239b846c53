"""A node as a process of its own, with a record of what it says. Leaves no process and no file outside its folder."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Self

from majula.api.cli.control import ask
from majula.errors import MajulaError

REPOSITORY = Path(__file__).parents[2]
RESULTS = REPOSITORY / "tests" / "results"
PATIENCE_S = 30.0
"""A guard against a hang, no promise."""
PROBES = "tests.cluster.probe_node"


def free_ports(number: int) -> list[int]:
    """TCP ports that were free a moment ago."""
    with contextlib.ExitStack() as stack:
        probes = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(number)]
        return [int(probe.getsockname()[1]) for probe in probes]


def record_recovery(role: str, fault: str, seconds: float, test: str) -> None:
    """One cell of the fault table, written as JSON; never asserted on."""
    RESULTS.mkdir(exist_ok=True)
    name = f"node-{role.partition(':')[0]}-{role.partition(':')[2] or 'only'}-{fault}.json".replace(" ", "_")
    cell = {"role": role, "fault": fault, "recovered_s": round(seconds, 4), "test": test}
    (RESULTS / name).write_text(json.dumps(cell) + "\n")


def is_alive(pid: int) -> bool:
    """Whether the process runs or is stopped; a zombie is not alive."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def children(pid: int) -> list[int]:
    """Pids of the direct children, zombies included."""
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def descendants(pid: int) -> set[int]:
    found: set[int] = set()
    for child in children(pid):
        found |= {child} | descendants(child)
    return found


class NodeRig:
    """One node. `async with` waits until it is ready, and ends it whatever happened.

    Args:
        folder: for its configuration, data and sockets.
        module: what is run: the probes' node, or `majula.runner`.
        gateways: how many.
        environment: added to this process's own.
        extra: more lines of YAML.
    """

    def __init__(
        self,
        folder: Path,
        *,
        module: str = PROBES,
        gateways: int = 1,
        environment: Mapping[str, str] | None = None,
        extra: str = "",
        node_id: str = "n1",
    ) -> None:
        self.folder, self._module = folder, module
        folder.mkdir(exist_ok=True)
        self.ports = free_ports(gateways)
        self.run_dir, self.data_dir = folder / "run", folder / "data"
        self.config = folder / "node.yaml"
        servers = "".join(f"  - port: {port}\n" for port in self.ports)
        self.config.write_text(
            f"node_id: {node_id}\ndata_dir: {self.data_dir}\nrun_dir: {self.run_dir}\n"
            f"log: {{format: json}}\nmajula_servers:\n{servers}{extra}\n"
        )
        self._environment = {**os.environ, **(environment or {})}
        self.out: list[str] = []
        self.events: list[dict[str, Any]] = []
        self.errors: list[str] = []
        self._news = asyncio.Event()
        self._readers: list[asyncio.Task[None]] = []
        self.process: asyncio.subprocess.Process

    async def start(self) -> None:
        """Starts the process, without waiting for anything."""
        self.process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            self._module,
            str(self.config),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            cwd=REPOSITORY,
            env=self._environment,
        )
        assert self.process.stdout is not None
        assert self.process.stderr is not None
        self._readers = [
            asyncio.create_task(self._read(self.process.stdout, self.out.append)),
            asyncio.create_task(self._read(self.process.stderr, self._take_error)),
        ]

    async def __aenter__(self) -> Self:
        await self.start()
        try:
            await self.until_said("node.ready")
        except BaseException:
            await self.__aexit__()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        if self.process.returncode is None:
            for pid in descendants(self.process.pid):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGCONT)
            self.process.kill()
        await self.process.wait()
        await asyncio.gather(*self._readers)

    async def ended(self) -> int:
        """The exit code, when it comes by itself."""
        async with asyncio.timeout(PATIENCE_S):
            code = await self.process.wait()
            await asyncio.gather(*self._readers)
        return code

    # --- look

    async def until(self, condition: Callable[[], bool]) -> None:
        """Waits for the line of its log that makes it true."""
        async with asyncio.timeout(PATIENCE_S):
            while not condition():
                if self.process.returncode is not None and all(reader.done() for reader in self._readers):
                    raise AssertionError(f"the node ended with {self.process.returncode}: {self.errors or self.events[-3:]}")
                self._news.clear()
                await self._news.wait()

    async def until_said(self, event: str, role: str = "", *, after: int = 0) -> dict[str, Any]:
        """The first event of that name (and role) after so many log lines."""
        await self.until(lambda: bool(self.said(event, role, after=after)))
        return self.said(event, role, after=after)[0]

    def said(self, event: str, role: str = "", *, after: int = 0) -> list[dict[str, Any]]:
        return [e for e in self.events[after:] if e["event"] == event and role in ("", e["role"])]

    async def status(self) -> dict[str, Any]:
        found: dict[str, Any] = (await asyncio.to_thread(ask, self.run_dir / "control.sock", {"command": "status"}))["status"]
        return found

    async def roles(self) -> dict[str, dict[str, Any]]:
        return {role["role"]: role for role in (await self.status())["roles"]}

    async def pid(self, role: str) -> int:
        if role == "admin":
            return int((await self.status())["admin_pid"])
        if role == "logger":
            (found,) = set(children(await self.pid("admin"))) - {await self.pid("supervisor:root")}
            return found
        return int((await self.roles())[role]["pid"])

    async def until_serving(self) -> dict[str, Any]:
        """The first status that says `serving`; each turn is one question and its answer."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                with contextlib.suppress(MajulaError):
                    status = await self.status()
                    if status["state"] == "serving":
                        return status
                await asyncio.sleep(0.002)

    async def ask_gateway(self, port: int | None = None) -> int:
        """Connects; the pid of the gateway that answers. Raises ConnectionRefusedError where nobody listens."""
        return await self._ask(*await asyncio.open_connection("127.0.0.1", port or self.ports[0]))

    async def ask_unix(self, path: str) -> int:
        """The same, by the native port's socket."""
        return await self._ask(*await asyncio.open_unix_connection(path))

    async def _ask(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> int:
        try:
            return int(await reader.readline() or b"0")
        finally:
            writer.close()

    # --- harm

    async def harm(self, role: str, number: signal.Signals) -> float:
        """Signals the process of a role and waits until the node serves by a later incarnation. Seconds."""
        pid = await self.pid(role)
        lines = len(self.events)
        began = time.monotonic()
        os.kill(pid, number)
        is_whole_tree = role in ("admin", "supervisor:root")
        await self.until_said("tree.died" if is_whole_tree else "child.died", "" if is_whole_tree else role, after=lines)
        await self.until_serving()
        return time.monotonic() - began

    async def _read(self, stream: asyncio.StreamReader, take: Callable[[str], None]) -> None:
        while line := await stream.readline():
            take(line.decode().rstrip("\n"))
            self._news.set()
        self._news.set()

    def _take_error(self, line: str) -> None:
        try:
            self.events.append(json.loads(line))
        except ValueError:
            self.errors.append(line)
