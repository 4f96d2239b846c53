"""The control socket: one JSON object a line in, one a line out. It answers whatever state the tree is in.

{"command": "status"}               -> {"ok": true, "status": {...}}
{"command": "stop", "now": false}   -> {"ok": true}, then the node drains and stops (`now`: without draining)
anything else                       -> {"ok": false, "code": "invalid_request", "error": "..."}
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Awaitable, Callable
from pathlib import Path

from majula.actorsystem.sockets import peer_uid

NAME = "control.sock"
_LINE_BYTES = 4_096
_MOST_CONNECTIONS = 16
_IDLE_S = 30.0

StatusSource = Callable[[], Awaitable[dict[str, object]]]


class ControlSocket:
    """Serves `<run_dir>/control.sock`, mode 0600.

    Args:
        run_dir: private to this user.
        status: makes the answer to `status`.
        stop: called with `now` when somebody asks the node to stop.
    """

    def __init__(self, run_dir: Path, *, status: StatusSource, stop: Callable[[bool], None]) -> None:
        self._path = run_dir / NAME
        self._status, self._stop = status, stop
        self._server: asyncio.Server | None = None
        self._open = 0
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        self._path.unlink(missing_ok=True)
        former = os.umask(0o177)
        try:
            self._server = await asyncio.start_unix_server(self._connected, str(self._path), limit=_LINE_BYTES)
        finally:
            os.umask(former)

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._path.unlink(missing_ok=True)

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(self._tasks) >= _MOST_CONNECTIONS or peer_uid(writer.get_extra_info("socket")) not in (0, os.geteuid()):
            writer.close()
            return
        task = asyncio.ensure_future(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                async with asyncio.timeout(_IDLE_S):
                    line = await reader.readline()
                if not line.endswith(b"\n"):
                    return
                answer = await self._answer(line)
                writer.write(json.dumps(answer, default=str).encode() + b"\n")
                async with asyncio.timeout(_IDLE_S):
                    await writer.drain()
        except (OSError, ValueError, TimeoutError):
            return  # it went away, is too slow, or its line is too long: its connection ends, nothing else
        finally:
            writer.close()

    async def _answer(self, line: bytes) -> dict[str, object]:
        try:
            asked = json.loads(line)
        except (ValueError, RecursionError):
            asked = None
        match asked:
            case {"command": "status"}:
                return {"ok": True, "status": await self._status()}
            case {"command": "stop"}:
                self._stop(asked.get("now") is True)
                return {"ok": True}
            case _:
                return {"ok": False, "code": "invalid_request", "error": "expected one JSON object with command: status or stop"}
