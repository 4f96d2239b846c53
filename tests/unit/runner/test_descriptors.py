"""The limit of descriptors is raised as far as the system lets."""

from __future__ import annotations

import resource
from collections.abc import Iterator

import pytest

from majula.runner.descriptors import raise_limit


@pytest.fixture
def hard() -> Iterator[int]:
    """The hard limit, with a soft limit of 200; both as before afterwards."""
    former = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (200, former[1]))
    yield former[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, former)


def soft() -> int:
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def test_limit_that_is_too_low_is_raised_to_what_is_wanted(hard: int) -> None:
    assert raise_limit(300) == 300
    assert soft() == 300


def test_limit_is_raised_no_further_than_the_system_lets(hard: int) -> None:
    assert raise_limit(hard + 1) == hard
    assert soft() == hard


def test_limit_that_suffices_is_left(hard: int) -> None:
    assert raise_limit(100) == 200
    assert soft() == 200
