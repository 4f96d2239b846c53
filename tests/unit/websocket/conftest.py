"""No test of this folder may find a call that blocks an event loop."""

from __future__ import annotations

import pytest

from tests.blocking import no_blocking_calls

__all__ = ["no_blocking_calls"]


@pytest.fixture(autouse=True)
def watched(no_blocking_calls: None) -> None:
    """Every test."""
