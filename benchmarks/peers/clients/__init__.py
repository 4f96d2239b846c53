"""One module a message system, each with a class `Connection` that keeps the contract and is imported only by its own child
process.

- `contract`     what a client does for the harness; begin here.
- `majula`       Majula by its public SDK: native port or WebSocket, by address.
- `nats`         nats-py (asyncio).
- `zenoh`        eclipse-zenoh (a Rust core with a Python face); its `broker` role is a zenoh router.
- `bare_broker`  the floor: length-prefixed frames on a Unix socket and nothing else; its `broker` role is that broker.
"""
