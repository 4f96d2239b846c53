"""The frames between client and gateway, and between the gateways of a node.

Read `headers` (what can be said), then `frames` (how it lies in bytes), then `values` (payloads), then `package` and `packages`
(the same in JSON, which `jsontext` checks first). `websocket` and `http_head` find messages and requests in what a socket gives.
The whole protocol, with test vectors, is described in `docs/protocol.md`.
"""
