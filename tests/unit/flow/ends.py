"""Both ends of flows without anything between them that the test does not put there."""

from __future__ import annotations

from collections.abc import Iterable
from random import Random

from majula.flow import FlowLimits, Receiver, Sender, Verdict
from majula.wire.frames import encode_run, split_run
from majula.wire.headers import Receipt, Send

Frame = tuple[Send, bytes]


def sender(*, limits: FlowLimits | None = None) -> Sender:
    return Sender(random=Random(1), limits=limits)


def sent(sequence: int, *messages: bytes, oldest: int = 1, flow: int = 7, ttl_ms: int = 60_000, source: str = "ann") -> Frame:
    """A SEND as it arrives."""
    return Send("bob", "", flow, sequence, oldest, ttl_ms, source=source, source_node="n1"), encode_run(list(messages))


def receipt(to: Frame | Send, up_to: int, *received: int, code: str = "", state: str = "delivered") -> Receipt:
    """A RECEIPT for the flow of a frame, as it arrives."""
    header = to if isinstance(to, Send) else to[0]
    return Receipt("ann", "", header.flow, up_to, received, state, code, source=header.target)


def take(receiver: Receiver, frames: Iterable[Frame], now: float = 0.0) -> list[bytes]:
    """What a receiver hands on of these frames."""
    messages: list[bytes] = []
    for header, body in frames:
        for arrived in receiver.receive(header, split_run(body), now):
            messages += arrived.messages
    return messages


def sequences(frames: Iterable[Frame]) -> list[int]:
    """The numbers of all messages in these frames."""
    return [header.sequence + at for header, body in frames for at in range(len(split_run(body)))]


def told(ends: Sender) -> dict[object, str]:
    """What was told since the last time, by ticket."""
    found: dict[object, str] = {}
    verdicts: list[Verdict] = ends.verdicts()
    for verdict in verdicts:
        for ticket in verdict.tickets:
            assert ticket not in found
            found[ticket] = verdict.state
    return found


def fire(ends: Sender | Receiver, until: float) -> None:
    """Every timer until then, each exactly at its time; one that has fired has moved."""
    while (at := ends.next_deadline()) <= until:
        ends.timer(at)
        assert ends.next_deadline() > at
