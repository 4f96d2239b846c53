"""What a TCP connection passes before a surface of the gateway (HTTP, native port) sees it.

Read `tls` (a context from the operator's files), then `entrance` (the addresses that may connect, the handshake).
"""

from majula.api.entrance.entrance import Entrance
from majula.api.entrance.tls import server_context

__all__ = ["Entrance", "server_context"]
