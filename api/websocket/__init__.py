"""The WebSocket surface of a gateway, below `/majula/ws`.

Read `handshake` (what an upgrade must look like and which of the three dialects it asks for), `connection` (one client: its
transport, its pings, its end), `dialects` (JSON packages of the inner circle, the same in batches, native frames).
"""
