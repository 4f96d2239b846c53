"""A fake gateway, and clients that are closed at the end whatever the test did."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from majula.api.sdk import Client, State, connect
from tests.blocking import no_blocking_calls
from tests.unit.sdk.gateway import FakeGateway

__all__ = ["no_blocking_calls"]


@pytest.fixture(autouse=True)
def watched(no_blocking_calls: None) -> None:
    """Every test: nothing may block the event loop."""


class Clients:
    """Makes clients of one gateway; keeps what each was told of its state, by client id."""

    def __init__(self, gateway: FakeGateway, stack: AsyncExitStack) -> None:
        self.gateway = gateway
        self.told: list[State] = []
        self._stack = stack

    async def connect(self, **options: Any) -> Client:
        return await self._stack.enter_async_context(connect(self.gateway.address, on_state=self._tell, **options))

    def names(self) -> list[str]:
        return [state.name for state in self.told]

    def _tell(self, state: State) -> None:
        self.told.append(state)
        self.gateway.changed()


@pytest.fixture
async def gateway(tmp_path: Path) -> AsyncIterator[FakeGateway]:
    fake = await FakeGateway(tmp_path / "g.sock").start()
    yield fake
    await fake.stop()


@pytest.fixture
async def clients(gateway: FakeGateway) -> AsyncIterator[Clients]:
    async with AsyncExitStack() as stack:
        yield Clients(gateway, stack)
