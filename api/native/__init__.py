"""The native port: length-prefixed frames on a Unix socket and on TCP, described in `docs/protocol.md`.

Read `connection` (one client's socket), then `edge` (the listeners, and the sweep over all connections).
"""

from majula.api.native.edge import NativeEdge

__all__ = ["NativeEdge"]
