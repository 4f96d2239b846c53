"""`SyncNode`: the same node for tests without an event loop."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from majula.api import sync
from majula.api.sync.thread import LoopThread
from majula.testing.node import Node


class SyncNode:
    """A `Node` whose methods block: `with SyncNode() as node`. Arguments and attributes are those of `Node`."""

    def __init__(
        self,
        folder: Path | None = None,
        *,
        gateways: int = 1,
        node_id: str = "n1",
        extra: str = "",
        entry: str = "",
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self._thread = LoopThread("majula node", threads=1)
        self._clients = contextlib.ExitStack()
        try:
            self._node = self._thread.call(
                Node, folder, gateways=gateways, node_id=node_id, extra=extra, entry=entry, environment=environment
            )
        except BaseException:
            self._thread.stop()
            raise

    def __enter__(self) -> Self:
        try:
            self._thread.wait(self._node.__aenter__())
        except BaseException:
            self._thread.stop()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        try:
            self._clients.close()
        finally:
            self._thread.wait(self._node.__aexit__(kind, error, trace))
            self._thread.stop()

    @property
    def folder(self) -> Path:
        """Where its configuration and data are."""
        return self._node.folder

    @property
    def ports(self) -> list[int]:
        """Of its gateways, HTTP and WebSocket."""
        return self._node.ports

    @property
    def events(self) -> list[dict[str, Any]]:
        """What it has logged, as maps."""
        return self._node.events

    def address(self, gateway: int = 0) -> str:
        """Of a gateway's native socket, as `majula.sync.connect` takes it."""
        return self._node.address(gateway)

    def url(self, gateway: int = 0) -> str:
        """Of a gateway's HTTP API."""
        return self._node.url(gateway)

    def connect(self, gateway: int = 0, **options: Any) -> sync.Client:
        """A client of a gateway, closed with the node. `options` are those of `majula.sync.connect`."""
        return self._clients.enter_context(sync.connect(self.address(gateway), **options))

    def status(self) -> dict[str, Any]:
        """What `majula status --json` shows."""
        return self._thread.wait(self._node.status())

    def pid(self, role: str) -> int:
        """The process of a role."""
        return self._thread.wait(self._node.pid(role))

    def wait_ready(self) -> dict[str, Any]:
        """The first status in which every role serves."""
        return self._thread.wait(self._node.wait_ready())

    def until_said(self, event: str, role: str = "", *, after: int = 0) -> dict[str, Any]:
        """The first event of that name (and role) after so many log lines."""
        return self._thread.wait(self._node.until_said(event, role, after=after))

    def kill(self, role: str) -> None:
        """Kill the process of a role and return when its supervisor knows."""
        self._thread.wait(self._node.kill(role))

    def pause(self, role: str) -> None:
        """Stop the process of a role where it is, as `kill -STOP` does."""
        self._thread.wait(self._node.pause(role))

    def resume(self, role: str) -> None:
        """Let a paused role go on."""
        self._thread.wait(self._node.resume(role))

    def log_text(self, lines: int = 40) -> str:
        """The end of what the node has said, for people."""
        return self._node.log_text(lines)
