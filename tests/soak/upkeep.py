"""What operators do meanwhile: tokens come and go, the configuration changes, the file is read again."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from itertools import count
from typing import TypeVar

import aiohttp

import majula
from majula.errors import ConnectionLost, DeadlineExceeded, Draining, MajulaError, Overloaded, Unavailable
from tests.cluster.node_rig import NodeRig

from .verdict import Part, Verdict

T = TypeVar("T")
_PATIENCE_S = 40.0
_AGAIN_S = 0.1
_PACE_S = 0.5
_LATE_S = 8.0
"""A root supervisor that hangs is found in 3 s, and the tree is back in 5 s."""
_LATER = (Unavailable, ConnectionLost, DeadlineExceeded, Draining, Overloaded)
"""Nobody knows whether it was done: it is asked again."""


class Asking(Part):
    """Asks until there is an answer."""

    def __init__(self, verdict: Verdict, client: majula.Client) -> None:
        super().__init__(verdict)
        self.client = client
        self.again: Counter[str] = Counter()

    async def answer(self, ask: Callable[[], Awaitable[T]]) -> T:
        """The answer, after as many attempts as it takes while roles are away."""
        async with asyncio.timeout(_PATIENCE_S):
            while True:
                try:
                    return await ask()
                except _LATER as error:
                    self.again[error.code] += 1
                    await asyncio.sleep(_AGAIN_S)

    async def get(self, port: int, path: str, headers: dict[str, str], source: str) -> int:
        """Status of a GET from that address; asked again while the gateway is away or not ready."""
        timeout = aiohttp.ClientTimeout(_PATIENCE_S)
        async with asyncio.timeout(_PATIENCE_S):
            while True:
                connector = aiohttp.TCPConnector(local_addr=(source, 0))
                try:
                    async with (
                        aiohttp.ClientSession(connector=connector, timeout=timeout) as web,
                        web.get(f"http://127.0.0.1:{port}{path}", headers=headers) as response,
                    ):
                        if response.status != 503:
                            return response.status
                except aiohttp.ClientError as error:
                    self.again[type(error).__name__] += 1
                await asyncio.sleep(_AGAIN_S)


class Tokens(Asking):
    """A token whose making was answered opens the guarded gateway; one whose revocation was answered never does."""

    name = "tokens"

    def __init__(self, verdict: Verdict, client: majula.Client, guarded_port: int) -> None:
        super().__init__(verdict, client)
        self._port = guarded_port

    async def run(self) -> None:
        for number in count():
            if self.is_over:
                return
            await self._come_and_go(number)
            self.went_well()
            await asyncio.sleep(_PACE_S)

    def figures(self) -> dict[str, int]:
        return {"tokens": self.progress, **self.again}

    async def _come_and_go(self, number: int) -> None:
        made = await self.answer(lambda: self.client.create_token(["observe:*"], note="soak"))
        # Each time from another address: an address with ten wrong tokens in a minute is not looked at any more.
        source = f"127.0.{1 + number // 250 % 250}.{1 + number % 250}"
        if (status := await self._try(made.secret, source)) != 200:
            self.broken(f"token {made.token.id} was made and opens nothing: {status}")
        await self.answer(lambda: self._revoke(made.token.id))
        if (status := await self._try(made.secret, source)) != 401:
            self.broken(f"token {made.token.id} was revoked and still gets {status}")

    async def _try(self, secret: str, source: str) -> int:
        return await self.get(self._port, "/majula/v1/topics", {"Authorization": f"Bearer {secret}"}, source)

    async def _revoke(self, token: str) -> None:
        if (await self.client.revoke_token(token)).state != "revoked":
            self.broken(f"token {token} is not revoked by its revocation")


class Configuration(Asking):
    """A change that was answered is in force at its gateway, and stays in force; revisions only grow.

    It may be late where two died at once: while the root supervisor hangs, `config` does not hear of a gateway that was started
    meanwhile. `late` in the figures says how often.
    """

    name = "configuration"

    def __init__(self, verdict: Verdict, client: majula.Client, node: NodeRig) -> None:
        super().__init__(verdict, client)
        self._node = node
        self._revision = self._late = 0

    async def run(self) -> None:
        for number in count():
            if self.is_over:
                return
            await self._change(self._node.ports[number % len(self._node.ports)], number)
            self.went_well()
            await asyncio.sleep(_PACE_S)

    def figures(self) -> dict[str, int]:
        return {"changes": self.progress, "revision": self._revision, "late": self._late, **self.again}

    async def _change(self, port: int, number: int) -> None:
        host = f"soak-{number}.local"
        await self.answer(lambda: self._serve(port, host))
        if not await self._is_served_soon(port, host):
            self.broken(f"{host} was added at {port} and is not served")
        if number % 3 == 0:
            await self._read_a_wrong_file()
        if not await self._is_served_soon(port, host):
            self.broken(f"{host} is not served any more at {port} after the file was read again")

    async def _serve(self, port: int, host: str) -> None:
        made = await self.client.change_config({"majula_servers": {str(port): {"hosts": [host]}}})
        if made.revision < self._revision:
            self.broken(f"revision {made.revision} came after {self._revision}")
        self._revision = made.revision

    async def _is_served_soon(self, port: int, host: str) -> bool:
        if await self._is_served(port, host):
            return True
        self._late += 1
        until = time.monotonic() + _LATE_S
        while time.monotonic() < until:
            await asyncio.sleep(_AGAIN_S)
            if await self._is_served(port, host):
                return True
        return False

    async def _is_served(self, port: int, host: str) -> bool:
        return await self.get(port, "/majula/health", {"Host": host}, "127.0.0.1") == 200

    async def _read_a_wrong_file(self) -> None:
        right = self._node.config.read_text()
        self._node.config.write_text(right + "no_such_key: 1\n")
        try:
            await self.answer(self.client.reload_config)
        except MajulaError as error:
            if error.code != "config_invalid":
                self.broken(f"a wrong file was refused with {error.code}: {error}")
        else:
            self.broken("a wrong file was taken")
        finally:
            self._node.config.write_text(right)
        await self.answer(self.client.reload_config)
