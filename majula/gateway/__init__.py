"""The gateway's core: clients on one side, tables and other gateways on the other, and what moves between them.

Read `settings` (what the child spec gives it), `outbox` (what waits for one client), `session` (one client), `switch` (where
a frame goes), `requests` (what changes a session), `builtin` (the node's own functions), `edge` (what a surface such as HTTP
must offer).
"""
