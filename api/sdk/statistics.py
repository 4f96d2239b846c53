"""`Statistics`: what a client's connection has done."""

from __future__ import annotations

from msgspec import Struct


class Statistics(Struct, frozen=True):
    """A snapshot; counters are since the client was made.

    phase: of the session: `open` in normal times, else `dialling`, `greeting`, `restoring`, `leaving`, `waiting`, `closed`.
    connections: how often one was made. reconnects: how many of them replaced another.
    rtt_ms: how long the last PING took to be answered; `flush` sends one. 0: none yet.
    published_messages: written, or on their way to be. received_messages: to subscriptions.
    sent_bytes, received_bytes: of frames, before a transport's own framing and TLS.
    waiting_bytes: in the buffer, to be written.
    slow_notices: how often messages were dropped because they were not taken fast enough. dropped_messages: how many.
    refused: frames that the gateway refused and nobody waited for.
    wishes: subscriptions and functions that are, or are to be, in force. requests: questions that wait for an answer.
    open_calls: made here, not answered yet. running_calls: taken here, not answered yet.
    served_calls, failed_calls: answered here with a result, and with an error of the handler.
    private_sent: private messages of this client. private_delivered, private_undelivered: with that verdict, written ones among
        the former. private_unacknowledged: without a verdict yet.
    private_received: handed to the program, or waiting for it: private_queued. private_repeated: came again, and were dropped.
    private_failures: exceptions of the callback for messages.
    """

    phase: str
    connections: int
    reconnects: int
    rtt_ms: float
    published_messages: int
    received_messages: int
    sent_bytes: int
    received_bytes: int
    waiting_bytes: int
    slow_notices: int
    dropped_messages: int
    refused: int
    wishes: int
    requests: int
    open_calls: int
    running_calls: int
    served_calls: int
    failed_calls: int
    private_sent: int
    private_delivered: int
    private_undelivered: int
    private_unacknowledged: int
    private_received: int
    private_repeated: int
    private_queued: int
    private_failures: int
