"""A client as programs of the system before this one are: JSON text frames, Go's types, nothing acknowledged.

It does what was seen of them, byte for byte where bytes were seen: REGISTER_CLIENT is the first frame, invoke ids are 64-bit
integers, and what is not of the type that it expects is dropped in silence (and kept in `dropped` here). It never sends
HEARTBEAT, waits for no acknowledgement, and closes without QUIT.
"""

from __future__ import annotations

import asyncio
import itertools
import json
from typing import Any, Self

from tests.edges import RawWebSocket

INT64 = range(-(1 << 63), 1 << 63)


class SeedClient:
    """One connected client. `received` are the frames that a Go program sees, in order; `reading` ends with the connection."""

    def __init__(self, socket: RawWebSocket, client_id: str) -> None:
        self.socket = socket
        self.client_id = client_id
        self.received: list[dict[str, Any]] = []
        self.dropped: list[bytes] = []
        self._numbers = itertools.count(1_700_000_000_000_000_001)
        self._news = asyncio.Event()
        self.reading = asyncio.create_task(self._read())

    @classmethod
    async def connect(cls, port: int, client_id: str) -> Self:
        """Open, and name itself by the first frame."""
        socket = await RawWebSocket.open(port, f"/majula/ws/{client_id}", headers=("User-Agent: Go-http-client/1.1",))
        assert socket.status == 101, socket.head
        client = cls(socket, client_id)
        client.write(b'{"method":"REGISTER_CLIENT","args":{"client_id":"%b"}}' % client_id.encode())
        return client

    def write(self, text: bytes) -> None:
        """One text frame."""
        self.socket.send(1, text)

    def send(self, method: str, **fields: Any) -> None:
        """A package as Go's encoder writes it: no spaces, nothing that is empty."""
        package = {"method": method} | {name: value for name, value in fields.items() if value not in (None, "")}
        self.write(json.dumps(package, separators=(",", ":"), ensure_ascii=False).encode())

    async def expect(self, method: str, **fields: Any) -> dict[str, Any]:
        """The next frame of that method (and those fields), taken out of `received`."""
        async with asyncio.timeout(20):
            while True:
                for at, frame in enumerate(self.received):
                    if frame["method"] == method and all(frame.get(name) == value for name, value in fields.items()):
                        return self.received.pop(at)
                self._news.clear()
                await self._news.wait()

    async def call(self, function: str, provider: str, node: str = "n1", **arguments: Any) -> Any:
        """CallRpc: whatever comes as RPC_RESULT is its answer."""
        number = next(self._numbers)
        self.send("RPC", fun=function, invokeid=number, args={**arguments, "_target_node": node, "_provider": provider})
        return (await self.expect("RPC_RESULT", invokeid=number))["result"]

    async def settled(self) -> None:
        """All that was sent before has been served: frames of one connection are served in order."""
        await self.call("whoami", "init")

    async def close(self) -> None:
        """Without QUIT, as its programs end."""
        self.reading.cancel()
        await asyncio.gather(self.reading, return_exceptions=True)
        self.socket.close()

    async def _read(self) -> None:
        while True:
            opcode, payload = await self._frame()
            if opcode == 9:
                self.socket.send(10, payload)
            elif opcode == 1:
                frame = as_go_reads(payload)
                if frame is None:
                    self.dropped.append(payload)
                else:
                    self.received.append(frame)
                self._news.set()
            elif opcode == 8:
                self.received.append({"method": "(closed)"})
                self._news.set()
                return

    async def _frame(self) -> tuple[int, bytes]:
        reader = self.socket.reader
        first, second = await reader.readexactly(2)
        size = second & 0x7F
        if size >= 126:
            size = int.from_bytes(await reader.readexactly(2 if size == 126 else 8), "big")
        return first & 0x0F, await reader.readexactly(size)


def as_go_reads(payload: bytes) -> dict[str, Any] | None:
    """The frame as a struct {method, topic, fun string; args map; invokeid int64; result any}; None: it would be dropped."""
    frame = json.loads(payload)
    if not isinstance(frame, dict) or not isinstance(frame.get("method"), str):
        return None
    if any(not isinstance(frame.get(name, ""), str) for name in ("topic", "fun")):
        return None
    if not isinstance(frame.get("args", {}), dict):
        return None
    number = frame.get("invokeid", 0)
    if type(number) is not int or number not in INT64:
        return None
    return frame
