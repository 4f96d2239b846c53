"""A node for the tests of a program: `async with majula.testing.Node() as node`.

Read in this order: `node` is a node as a process of its own, with what it says and what can be done to it; `processes` looks at
processes and ports; `blocking` is the same node for tests without an event loop; `plugin` gives pytest the fixtures `majula_node`
and `majula_node_sync`. Needs Linux, as a node does.
"""

from majula.testing.blocking import SyncNode
from majula.testing.node import Node
from majula.testing.processes import free_ports

__all__ = ["Node", "SyncNode", "free_ports"]
