"""The Python client of a node: `majula.connect(address)`.

Pure parts first, they hold the rules: `states` (what a program is told of its connection), `address` (where a node is),
`trust` (who may be it, and the token), `shape` (values as bytes, and as types), `message` (what a subscriber gets), `outbox`
(messages become runs), `interests` (which subscription a run is for), `calls` (open calls and their frames), `functions` (a
typed function becomes a service), `callbacks`, `retry`, `statistics`, `events` and `session` (greeting, reconnecting, what is
in force). Then what touches asyncio: `subscription`, `caller` (calls made here), `provider` (calls served here), `connection`
(what a transport must offer), `native` (Unix socket and TCP), `packages` and `websocket` (the same over WebSocket, msgpack or
JSON), `sse` and `http` (the same by HTTP alone), `dialling` (which of them an address means), `private` (what a receiver
gets), `inbox` and `messenger` (private messages), `attachment`, which joins them, `publishing`, `calling` and `messaging`
(topics, functions, private messages), `asking`, `observation` and `administration` (what is asked of the node by name),
`client`, all verbs of a program, `reference`, which writes docs/reference/sdk.md, and `entry`, where it begins.
"""

from majula.api.sdk.calls import Call
from majula.api.sdk.client import Client
from majula.api.sdk.entry import connect, run
from majula.api.sdk.message import Message
from majula.api.sdk.private import PrivateMessage
from majula.api.sdk.retry import Retry
from majula.api.sdk.states import State
from majula.api.sdk.statistics import Statistics
from majula.api.sdk.subscription import Subscription
from majula.api.sdk.trust import Trust

__all__ = [
    "Call",
    "Client",
    "Message",
    "PrivateMessage",
    "Retry",
    "State",
    "Statistics",
    "Subscription",
    "Trust",
    "connect",
    "run",
]
