"""`Node`: a node as a process of its own, with a record of what it says. Leaves no process and no file behind; where the program
that has started it is killed, no process."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import majula
from majula.api.cli.control import ask
from majula.config.rundir import MAX_RUN_DIR_BYTES
from majula.errors import InvalidRequest, MajulaError
from majula.testing.processes import descendants, free_ports, is_alive, send

PATIENCE_S = 30.0
"""How long anything is waited for. A guard against a hang, no promise: a node is ready within a second."""

# Makes the kernel end the node when the thread that has started it is gone, as when a whole test run is killed, and becomes the
# node. A program of its own, because Python must not run between fork and exec of a process that has threads.
_TIED = """
import ctypes, os, signal, sys
ctypes.CDLL(None).prctl(1, signal.SIGTERM, 0, 0, 0)  # PR_SET_PDEATHSIG
if os.getppid() == int(sys.argv[1]):
    os.execv(sys.argv[2], sys.argv[2:])
"""

_PORT_TAKEN = 69
_ATTEMPTS = 5
_KEPT_LINES = 100_000
_SHOWN_LINES = 40


_SOME_RUN_DIR = "majula-test-12345678/run"


class Node:
    """A node on free ports, in directories of its own. `async with` starts it, waits until it is ready, and ends it whatever
    happened; an exception that leaves the block carries the end of the node's log as a note.

    Args:
        folder: for its configuration, data and sockets, and left there; None: a temporary one, removed at the end.
        gateways: how many.
        node_id: its name.
        extra: more lines of configuration, as YAML.
        entry: more keys of each gateway, as YAML within braces: `auth: token, limits: {messages_per_s: 10}`.
        environment: added to this process's own.
        module: what is run.

    Attributes:
        ports: of its gateways, HTTP and WebSocket.
        events: what it has logged, each line as a map with `event`, `role` and more.
        out, errors: lines of standard output, and of standard error that are no log. Of each, 100,000 are kept.
    """

    def __init__(
        self,
        folder: Path | None = None,
        *,
        gateways: int = 1,
        node_id: str = "n1",
        extra: str = "",
        entry: str = "",
        environment: Mapping[str, str] | None = None,
        module: str = "majula.runner",
    ) -> None:
        if gateways < 1:
            raise InvalidRequest("a node has at least one gateway")
        self._own: list[Path] = []
        self.folder = self._temporary() if folder is None else folder
        self.folder.mkdir(exist_ok=True)
        self.node_id = node_id
        self.data_dir = self.folder / "data"
        run_dir = self.folder / "run"
        self.run_dir = run_dir if _is_short(run_dir) else self._temporary() / "run"
        self.config = self.folder / "node.yaml"
        self._gateways, self._extra, self._entry, self._module = gateways, extra, entry, module
        # The node has to find the very package that is imported here, installed or not.
        paths = [os.environ.get("PYTHONPATH", ""), str(Path(majula.__file__).parents[1])]
        self._environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths)), **(environment or {})}
        self.out: list[str] = []
        self.events: list[dict[str, Any]] = []
        self.errors: list[str] = []
        self._news = asyncio.Event()
        self._clients = AsyncExitStack()
        self.process: asyncio.subprocess.Process
        self._watching: asyncio.Task[int]
        self._choose_ports()

    # --- coming and going

    async def __aenter__(self) -> Self:
        for attempt in range(1, _ATTEMPTS + 1):
            await self.start()
            try:
                await self.until(lambda: bool(self.said("node.ready")))
                return self
            except AssertionError:
                await self.stop()
                if self.process.returncode != _PORT_TAKEN or attempt == _ATTEMPTS:
                    self._clean()
                    raise
                self._choose_ports()  # somebody has taken one of them since
            except BaseException:
                await self.stop()
                self._clean()
                raise
        raise AssertionError  # the last attempt has returned or raised

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        try:
            await self._clients.aclose()
        finally:
            await self.stop()
            self._clean()
            if error is not None:
                error.add_note(self.log_text())

    async def start(self) -> None:
        """Start the process, without waiting for anything; `async with` does."""
        self.process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-I",
            "-S",
            "-c",
            _TIED,
            str(os.getpid()),
            sys.executable,
            "-m",
            self._module,
            str(self.config),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=self._environment,
            limit=1 << 20,
        )
        self._watching = asyncio.create_task(self._watch(self.process))

    async def stop(self) -> None:
        """Kill every process of the node and return when all are gone; `async with` does."""
        below = descendants(self.process.pid) if self.process.returncode is None else set()
        if self.process.returncode is None:
            self.process.kill()
        for pid in below:
            send(pid, signal.SIGCONT)  # one that was paused has to hear that its parent is gone
        await self._watching
        async with asyncio.timeout(PATIENCE_S):
            while any(map(is_alive, below)):  # noqa: ASYNC110  # grandchildren: nobody tells us of their end
                await asyncio.sleep(0.002)

    async def ended(self) -> int:
        """The exit code, when it comes by itself."""
        async with asyncio.timeout(PATIENCE_S):
            return await asyncio.shield(self._watching)

    # --- being its client

    def address(self, gateway: int = 0) -> str:
        """Of a gateway's native socket, as `majula.connect` takes it."""
        return f"unix:{self.run_dir}/native-{self.ports[gateway]}.sock"

    def url(self, gateway: int = 0) -> str:
        """Of a gateway's HTTP API."""
        return f"http://127.0.0.1:{self.ports[gateway]}"

    async def connect(self, gateway: int = 0, **options: Any) -> majula.Client:
        """A client of a gateway, closed with the node. `options` are those of `majula.connect`."""
        return await self._clients.enter_async_context(majula.connect(self.address(gateway), **options))

    # --- looking

    async def status(self) -> dict[str, Any]:
        """What `majula status --json` shows."""
        found: dict[str, Any] = (await asyncio.to_thread(ask, self.run_dir / "control.sock", {"command": "status"}))["status"]
        return found

    async def roles(self) -> dict[str, dict[str, Any]]:
        """The roles of the status, by name: `router`, `topic_manager`, `gateway:18080` ..."""
        return {role["role"]: role for role in (await self.status())["roles"]}

    async def pid(self, role: str) -> int:
        """The process of a role; while it is being started again, that of its next life.

        Raises:
            InvalidRequest: the node has no such role, or it is in quarantine.
        """
        async with asyncio.timeout(PATIENCE_S):
            while True:
                roles = await self.roles()
                if role not in roles:
                    raise InvalidRequest(f"this node has no role {role!r}; it has {', '.join(sorted(roles))}")
                found = roles[role]
                if found["state"] == "quarantined":
                    raise InvalidRequest(f"{role} is in quarantine and has no process")
                # What a supervisor too busy to answer said earlier may be a process that is gone.
                if found["is_fresh"] and found["pid"] > 0:
                    return int(found["pid"])
                await asyncio.sleep(0.005)

    async def wait_ready(self) -> dict[str, Any]:
        """The first status in which every role serves."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                with suppress(MajulaError):
                    status = await self.status()
                    if status["state"] == "serving":
                        return status
                await asyncio.sleep(0.002)

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait for the line of the node's log that makes it true.

        Raises:
            AssertionError: the node has ended before.
        """
        async with asyncio.timeout(PATIENCE_S):
            while not condition():
                if self._watching.done():
                    last = self.errors or self.events[-3:]
                    raise AssertionError(f"the node ended with {self.process.returncode}: {last}")
                self._news.clear()
                await self._news.wait()

    async def until_said(self, event: str, role: str = "", *, after: int = 0) -> dict[str, Any]:
        """The first event of that name (and role) after so many log lines."""
        await self.until(lambda: bool(self.said(event, role, after=after)))
        return self.said(event, role, after=after)[0]

    def said(self, event: str, role: str = "", *, after: int = 0) -> list[dict[str, Any]]:
        """The events of that name (and role) after so many log lines."""
        return [one for one in self.events[after:] if one["event"] == event and role in ("", one["role"])]

    def log_text(self, lines: int = _SHOWN_LINES) -> str:
        """The end of what the node has said, for people."""
        told = [" ".join(f"{key}={value}" for key, value in event.items() if value != "") for event in self.events[-lines:]]
        return "\n".join([f"node {self.node_id} in {self.folder}:", *told, *self.errors[-lines:]])

    # --- harm

    async def kill(self, role: str) -> None:
        """Kill the process of a role, as `kill -9` does, and return when its supervisor knows. Then `wait_ready`, if the test is
        about afterwards."""
        lines = len(self.events)
        send(await self.pid(role), signal.SIGKILL)
        await self.until_said("child.died", role, after=lines)

    async def pause(self, role: str) -> None:
        """Stop the process of a role where it is, as `kill -STOP` does. Its supervisor takes it for hung after some seconds and
        replaces it, unless `resume` comes first."""
        send(await self.pid(role), signal.SIGSTOP)

    async def resume(self, role: str) -> None:
        """Let a paused role go on."""
        send(await self.pid(role), signal.SIGCONT)

    # --- inside

    def _choose_ports(self) -> None:
        self.ports = free_ports(self._gateways)
        more = f", {self._entry}" if self._entry else ""
        servers = "".join(f"  - {{port: {port}{more}}}\n" for port in self.ports)
        self.config.write_text(
            f"node_id: {self.node_id}\ndata_dir: {self.data_dir}\nrun_dir: {self.run_dir}\n"
            f"log: {{format: json}}\nmajula_servers:\n{servers}{self._extra}\n"
        )

    def _temporary(self) -> Path:
        usual = Path(tempfile.gettempdir())
        # The path of a Unix socket has at most 107 bytes; temporary directories within others may leave too few of them.
        parent = usual if _is_short(usual / _SOME_RUN_DIR) else Path("/tmp")  # noqa: S108  # the directory below is ours alone
        self._own.append(Path(tempfile.mkdtemp(prefix="majula-test-", dir=parent)))
        return self._own[-1]

    def _clean(self) -> None:
        for path in self._own:
            shutil.rmtree(path, ignore_errors=True)

    async def _watch(self, process: asyncio.subprocess.Process) -> int:
        """Take all that it says, and its exit code."""
        assert process.stdout is not None
        assert process.stderr is not None
        await asyncio.gather(self._read(process.stdout, self._take_output), self._read(process.stderr, self._take_error))
        try:
            return await process.wait()
        finally:
            asyncio.get_running_loop().call_soon(self._news.set)  # when this task is done

    async def _read(self, stream: asyncio.StreamReader, take: Callable[[str], None]) -> None:
        while line := await stream.readline():
            take(line.decode(errors="replace").rstrip("\n"))
            self._news.set()

    def _take_output(self, line: str) -> None:
        if len(self.out) < _KEPT_LINES:
            self.out.append(line)

    def _take_error(self, line: str) -> None:
        try:
            event = json.loads(line)
        except ValueError:
            if len(self.errors) < _KEPT_LINES:
                self.errors.append(line)
            return
        if len(self.events) < _KEPT_LINES:
            self.events.append(event)


def _is_short(run_dir: Path) -> bool:
    return len(os.fsencode(run_dir)) <= MAX_RUN_DIR_BYTES
