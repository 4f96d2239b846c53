"""Where does the time of one message go? `python -m benchmarks path`: microseconds a message of each step.

The real parts of client and gateway, one after the other in one process and without sockets: what is left of a message's CPU
time in `peers` is the event loop and the kernel. Each step is timed for a run of 64 messages, as a publisher in a loop makes
them, and for one message alone; likewise for a call.
"""

from __future__ import annotations

import argparse
import os
import time
import timeit
from collections.abc import Callable

import msgspec

from benchmarks import machine, report
from majula.api.sdk.interests import Interests
from majula.api.sdk.outbox import Outbox
from majula.wire.frames import PREFIX_BYTES, FrameReader, decode_header, encode_frame, split_run
from majula.wire.headers import Call, Publish, Register, Result, Subscribe
from tests.unit.gateway.world import Client, Node

_TOPIC = "bench.topic"
_FUNCTION = "echo"
_REPEATS = 7


class Step(msgspec.Struct, frozen=True):
    """One step: microseconds a message in a run of 64, and alone; a call has no runs."""

    where: str
    what: str
    in_run_us: float
    alone_us: float


class PathRun(msgspec.Struct, kw_only=True):
    """One run of `python -m benchmarks path`."""

    benchmark: str = "path"
    machine: machine.Machine
    began: str
    payload_bytes: int
    steps: list[Step] = []


class _Subscription(msgspec.Struct, frozen=True):
    topic: str = _TOPIC
    pattern: bool = False
    queue: str = ""
    wants_retained: bool = False


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--bytes", type=int, default=128, help="of a payload (default 128)")
    parser.add_argument("--run", type=int, default=64, help="messages in a run (default 64)")


def run(arguments: argparse.Namespace) -> None:
    if arguments.pin is not None:
        os.sched_setaffinity(0, arguments.pin)
    payload = os.urandom(arguments.bytes)
    record = PathRun(machine=machine.describe(), began=report.now(), payload_bytes=arguments.bytes)
    many, one = _topic(payload, arguments.run), _topic(payload, 1)
    record.steps = [Step(where, what, us, one[where, what]) for (where, what), us in many.items()]
    record.steps += [Step(where, what, us, us) for (where, what), us in _call(payload).items()]
    path = arguments.out or report.RESULTS / f"path-{record.began}.json"
    report.write(record, path)
    print(f"{render(record)}\nRecord: {path}")


def render(record: PathRun) -> str:
    rows = [[f"{step.where}: {step.what}", f"{step.in_run_us:.2f}", f"{step.alone_us:.2f}"] for step in record.steps]
    return report.table(f"{record.payload_bytes} B, us a message", ["step", "in a run", "alone"], rows)


def _us(work: Callable[[], object], messages: int) -> float:
    """Microseconds of CPU a message, the best of some tries: what disturbs only ever adds."""
    number = max(1, 20_000 // messages)
    work()
    return min(timeit.repeat(work, number=number, repeat=_REPEATS, timer=time.process_time)) / number / messages * 1e6


def _topic(payload: bytes, messages: int) -> dict[tuple[str, str], float]:
    outbox = Outbox(limit_bytes=8 << 20, wake=_nothing, urge=_nothing)

    def publish() -> bytes:
        for _ in range(messages):
            outbox.add(_TOPIC, payload)
        return outbox.take()

    data = publish()
    node = Node()
    publisher, subscriber = node.client("publisher"), node.client("subscriber", reads=False)
    subscriber.send(Subscribe(1, _TOPIC))
    subscriber.frames()
    chunk, spans = _reader().feed(data)
    start, body, end = spans[0]

    def switch() -> list[bytes]:
        node.switches[0].receive(publisher.session, chunk, spans, node.now)
        node.switches[0].take_dirty(node.now)
        return subscriber.session.outbox.take(1 << 20, node.now)

    assert switch() == [chunk[start:end]]
    interests: Interests[_Subscription] = Interests()
    interests.add(_Subscription())
    head = chunk[start + PREFIX_BYTES : body]
    header = decode_header(head)
    assert isinstance(header, Publish)

    def receive() -> None:
        interests.route(head, header)
        for message in split_run(chunk[body:end]):
            _nothing(message)

    return {
        ("publisher", "queue the message, close its run, join"): _us(publish, messages),
        ("gateway", "find the frame"): _us(lambda: _reader().feed(data), messages),
        ("gateway", "route by header, check the run, copy, put in and take out of an outbox"): _us(switch, messages),
        ("subscriber", "find the frame"): _us(lambda: _reader().feed(data), messages),
        ("subscriber", "match, split the run, call back"): _us(receive, messages),
    }


def _call(payload: bytes) -> dict[tuple[str, str], float]:
    node = Node()
    caller, provider = node.client("caller", reads=False), node.client("provider", reads=False)
    provider.send(Register(1, _FUNCTION))
    provider.frames()
    switch = node.switches[0]
    number = 0

    def there_and_back() -> list[bytes]:
        nonlocal number
        number += 1
        _send(node, caller, encode_frame(Call(number, _FUNCTION), payload))
        (frame,) = provider.session.outbox.take(1 << 20, node.now)
        called = decode_header(frame[PREFIX_BYTES : PREFIX_BYTES + int.from_bytes(frame[4:6], "little")])
        assert isinstance(called, Call)
        _send(node, provider, encode_frame(Result(called.call), payload))
        switch.take_dirty(node.now)
        return caller.session.outbox.take(1 << 20, node.now)

    def edges() -> None:
        """The same without the switch."""
        frame = encode_frame(Call(number, _FUNCTION), payload)
        _reader().feed(frame)
        decode_header(frame[PREFIX_BYTES : PREFIX_BYTES + int.from_bytes(frame[4:6], "little")])
        _reader().feed(encode_frame(Result(number), payload))

    whole, around = _us(there_and_back, 1), _us(edges, 1)
    return {
        ("call, gateway", "choose, number, keep, hand on; match the answer, hand back"): whole - around,
        ("call, both clients", "encode and find the frames"): around,
    }


def _send(node: Node, client: Client, data: bytes) -> None:
    chunk, spans = _reader().feed(data)
    node.switches[0].receive(client.session, chunk, spans, node.now)


def _reader() -> FrameReader:
    return FrameReader(limit_bytes=1 << 24)


def _nothing(_: object = None) -> None:
    """The program's callback."""
