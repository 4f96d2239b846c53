"""Programs without our library: one of the seed system, one that has nothing but HTTP, one that sends garbage. They come again
when they were cut off."""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any

import aiohttp

from tests.conformance.seed_client import SeedClient

from .calls import FUNCTION
from .topics import TOPIC
from .verdict import Part, Verdict

_AGAIN_S = 0.05
_WAITS_S = 40.0
_NOT_NOW = {"unavailable", "overloaded", "draining", "no_provider", "provider_lost", "connection_lost"}


class SeedProgram(Part):
    """Subscribes, calls and is cut off, as a program of the seed system; it makes a new connection itself."""

    def __init__(self, verdict: Verdict, port: int, client_id: str) -> None:
        super().__init__(verdict)
        self.name = f"seed program {client_id}"
        self._port, self._client_id = port, client_id
        self._connections = self._messages = 0
        self._last = -1

    async def run(self) -> None:
        while not self.is_over:
            try:
                client = await SeedClient.connect(self._port, self._client_id)
            except (OSError, EOFError, TimeoutError, AssertionError):  # cut off on the way, or refused for this moment
                await asyncio.sleep(_AGAIN_S)
                continue
            self._connections += 1
            try:
                await self._use(client)
            finally:
                await client.close()

    def figures(self) -> dict[str, int]:
        return {"echoes": self.progress, "messages": self._messages, "connections": self._connections}

    async def _use(self, client: SeedClient) -> None:
        """Until it is cut off. An answer may be missing then, but only then."""
        client.send("SUBSCRIBE", topic=TOPIC)
        number = 0
        while not self.is_over:
            number += 1
            answered: Coroutine[Any, Any, Any] = client.call("echo", "init", n=number)
            asking = asyncio.create_task(answered)
            await asyncio.wait({asking, client.reading}, timeout=_WAITS_S, return_when=asyncio.FIRST_COMPLETED)
            if not asking.done():
                asking.cancel()
                if not client.reading.done():
                    self.broken(f"call {number} has had no answer for {_WAITS_S:g} s")
                return
            if asking.exception() is not None:
                return
            if asking.result() != {"echo": {"n": number}}:
                self.broken(f"echo of {number} was {asking.result()!r}")
            self._hear(client)
            self.went_well()
            await asyncio.sleep(0.02)

    def _hear(self, client: SeedClient) -> None:
        for frame in client.received:
            if frame["method"] == "SUB_RESULT":
                number = frame["args"]["message"]  # what is no object is put into one, as its programs expect
                if number <= self._last:
                    self.broken(f"{number} came after {self._last}")
                self._last = number
                self._messages += 1
        client.received.clear()


class WebProgram(Part):
    """Asks by HTTP, each time anew: a call of a Python client's function, and its own name."""

    def __init__(self, verdict: Verdict, port: int) -> None:
        super().__init__(verdict)
        self.name = f"web program at {port}"
        self._port = port
        self._ends: Counter[str] = Counter()

    async def run(self) -> None:
        timeout = aiohttp.ClientTimeout(_WAITS_S)
        while not self.is_over:
            async with aiohttp.ClientSession(f"http://127.0.0.1:{self._port}", timeout=timeout) as web:
                for number in range(20):
                    await self._ask(web, number)
                    await asyncio.sleep(0.05)

    def figures(self) -> dict[str, int]:
        return dict(self._ends)

    async def _ask(self, web: aiohttp.ClientSession, number: int) -> None:
        body = {"function": FUNCTION, "arguments": number, "timeout_ms": 20_000}
        try:
            async with web.post("/majula/v1/calls", json=body) as response:
                status, found = response.status, await response.json()
        except TimeoutError:
            self.broken(f"no answer for {_WAITS_S:g} s")
            return
        except aiohttp.ClientError as error:
            self._ends[type(error).__name__] += 1
            await asyncio.sleep(_AGAIN_S)
            return
        code = found.get("code", "") if status != 200 else ""
        self._ends[code or "answer"] += 1
        if status == 200:
            if found["result"] != number * 2:
                self.broken(f"call {number} was answered by {found!r}")
            self.went_well()
        elif code not in _NOT_NOW:
            self.broken(f"{status}: {found}")


class Stranger(Part):
    """Sends what is no protocol to the HTTP port and to the native socket, and stays for a while now and then."""

    name = "stranger"

    def __init__(self, verdict: Verdict, port: int, path: str) -> None:
        super().__init__(verdict)
        self._port, self._path = port, path

    async def run(self) -> None:
        while not self.is_over:
            for connect in (self._by_tcp, self._by_unix):
                with suppress(OSError):  # the gateway is away, or has hung up already
                    _, writer = await connect()
                    writer.write(os.urandom(300))
                    await asyncio.sleep(0.05)
                    writer.close()
                    self.went_well()
            await asyncio.sleep(0.1)

    async def _by_tcp(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", self._port)

    async def _by_unix(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_unix_connection(self._path)
