"""Pytest fixtures: `majula_node`, a `Node` for tests with an event loop, and `majula_node_sync`, a `SyncNode` for the others.

Each test gets a node of its own, ready, and the report of one that fails ends with the node's log. An installed package brings
the plugin along; from a source tree it is `pytest -p majula.testing.plugin`. For several gateways or other configuration, write a
fixture of your own around `majula.testing.Node`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Generator, Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from majula.testing import Node, SyncNode

try:
    import pytest_asyncio
except ImportError:  # the project's tests have no event loop

    @pytest.fixture
    def majula_node() -> None:
        """Said when a test asks for it."""
        pytest.fail("the fixture majula_node needs pytest-asyncio; without an event loop use majula_node_sync", pytrace=False)

else:

    @pytest_asyncio.fixture
    async def majula_node() -> AsyncIterator[Node]:  # type: ignore[misc]  # the other arm has no node to give
        """A node that is ready, for this test alone."""
        from majula.testing import Node  # noqa: PLC0415  # pytest loads the plugin in every project, few tests need a node

        async with Node() as node:
            yield node


@pytest.fixture
def majula_node_sync() -> Iterator[SyncNode]:
    """A node that is ready, for this test alone, without an event loop."""
    from majula.testing import SyncNode  # noqa: PLC0415  # as above

    with SyncNode() as node:
        yield node


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Put the log of the test's node into the report of its failure."""
    report = yield
    given: dict[str, Any] = getattr(item, "funcargs", {})
    for name in ("majula_node", "majula_node_sync") if report.failed and report.when == "call" else ():
        if name in given:
            report.sections.append((f"log of {name}", given[name].log_text()))
    return report
