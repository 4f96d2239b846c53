"""A gateway to attack: the real edge and switch on a loopback socket of this process."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.edges import Served, serve_http


@pytest.fixture
async def served() -> AsyncIterator[Served]:
    async with serve_http() as found:
        yield found
