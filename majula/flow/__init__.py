"""Private messages: acknowledged, in order, once. One core for both ends, run in the SDK, and by a gateway for clients that do
not speak it.

A *flow* is what one session sends to one client, numbered from 1. Its sender keeps each message until a receipt covers it, and
repeats what is not covered; its receiver hands the messages on in order, each once, and says by receipts how far it is. Nothing
between the two keeps anything, so any of it may die.

    Sender.send(..)            ->  Sender.frames(now)     =  SEND frames to write
    Receiver.receive(SEND ..)  ->  what arrived, in order;   Receiver.receipts()  =  RECEIPT frames to write, one a flow
    Sender.receive(RECEIPT)    ->  Sender.verdicts()      =  which messages are delivered, written, expired, without a route

Both are pulled: whoever runs them asks for frames, receipts and verdicts once a turn of the loop, which makes one frame of many
messages and one receipt of many frames, and calls `timer(now)` at `next_deadline()`.

Read in this order:

- `limits`: what may be held, and for how long.
- `outflow`: one flow at its sender: the replay buffer, what is to be repeated and when, the round trip.
- `sender`: all flows of one sender: numbers, bounds, timers, verdicts.
- `receiver`: all flows at their receiver: order, duplicates, what is given up, receipts.
- `operations`: what clients can ask.

`tests/simulation/flow.py` runs both ends with loss, duplicates, reordering and restarts.
"""

from majula.flow.limits import DEFAULT_TTL_S, MAX_TTL_S, FlowLimits, headers_size
from majula.flow.outflow import RUN_BYTES, Verdict
from majula.flow.receiver import Arrived, Receiver
from majula.flow.sender import Sender, message_id

__all__ = [
    "DEFAULT_TTL_S",
    "MAX_TTL_S",
    "RUN_BYTES",
    "Arrived",
    "FlowLimits",
    "Receiver",
    "Sender",
    "Verdict",
    "headers_size",
    "message_id",
]
