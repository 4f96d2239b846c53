"""A gateway to attack: the real edge and switch on a loopback socket of this process."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.blocking import no_blocking_calls
from tests.edges import Served, serve_http

__all__ = ["no_blocking_calls"]


@pytest.fixture(autouse=True)
def watched(request: pytest.FixtureRequest) -> None:
    """Nothing may block the event loop of a gateway that is attacked."""
    if request.path.name.startswith("test_gateway_"):  # the others start whole nodes and pickle functions of the system
        request.getfixturevalue("no_blocking_calls")


@pytest.fixture
async def served() -> AsyncIterator[Served]:
    async with serve_http() as found:
        yield found
