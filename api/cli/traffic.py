"""What moves messages: `pub`, `sub`, `call`, `send`, `receive`."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from time import perf_counter
from typing import Any

import click

from majula.api.cli.asking import Place, at_node, connected, print_json, run
from majula.api.cli.show import Duration, harmless
from majula.api.cli.values import as_json, as_text, read_arguments, read_pairs, read_value
from majula.errors import DeadlineExceeded, InvalidRequest, Overloaded

_HEADER = click.option("--header", "-H", "headers", multiple=True, metavar="NAME=VALUE", help="For the application.")
_RAW = click.option("--raw", is_flag=True, help="Send the bytes as they are, do not look for JSON.")
_CLIENT_ID = click.option("--client-id", default="", help="Id to connect with; left out: the gateway makes one.")


@click.command()
@click.argument("topic")
@click.argument("message", required=False)
@click.option("--lines", is_flag=True, help="Every line of standard input is a message.")
@click.option("--retain", is_flag=True, help="Keep it as the topic's last value; an empty message removes that.")
@_RAW
@_HEADER
@at_node
def pub(place: Place, *, topic: str, message: str | None, lines: bool, retain: bool, raw: bool, headers: tuple[str, ...]) -> None:
    """Publish MESSAGE to TOPIC. JSON is sent as such, anything else as text; - is standard input."""
    if lines == (message is not None):
        raise InvalidRequest("give a MESSAGE, or --lines" if message is None else "give a MESSAGE or --lines, not both")
    run(_publish(place, topic, _messages(message, raw), retain=retain, headers=read_pairs(headers)))


def _messages(message: str | None, raw: bool) -> Iterator[object]:
    if message is not None:
        yield read_value(message, raw=raw)
        return
    for line in sys.stdin:
        yield read_value(line.rstrip("\n"), raw=raw) if line.strip() != "-" else "-"


async def _publish(place: Place, topic: str, messages: Iterator[object], *, retain: bool, headers: dict[str, str] | None) -> None:
    sent = 0
    async with connected(place) as client:
        # Standard input may come slowly: reading it must not stop the connection's own loop.
        while (found := await asyncio.to_thread(next, messages, None)) is not None:
            payload = b"" if found == "" and retain else found
            # The first asks for an answer, which says what none of them may: a scope that is missing, a topic that is none.
            await client.publish(topic, payload, retain=retain, ack=sent == 0, headers=headers)
            sent += 1
        await client.flush()
        refused = client.statistics().refused
    if refused:
        raise Overloaded(f"{refused} of {sent} messages were refused")
    if place.as_json:
        print_json({"topic": topic, "published": sent}, is_line=True)


@click.command()
@click.argument("topics", nargs=-1, required=True)
@click.option("--queue", default="", help="Queue group: each message goes to one of its members.")
@click.option("--retained", is_flag=True, help="Begin with the last values that are kept.")
@click.option("--count", type=click.IntRange(1), help="End after so many messages.")
@click.option("--for", "for_s", type=Duration(), help="End after this time, such as 30s.")
@at_node
def sub(place: Place, *, topics: tuple[str, ...], queue: str, retained: bool, count: int | None, for_s: float | None) -> None:
    """Print what is published to TOPICS; * is any one level, a last > all that follows. Ctrl-C ends it."""
    run(_subscribe(place, topics, queue=queue, retained=retained, count=count, for_s=for_s))


async def _subscribe(
    place: Place, topics: tuple[str, ...], *, queue: str, retained: bool, count: int | None, for_s: float | None
) -> None:
    left = count
    async with connected(place) as client:
        arrived: asyncio.Queue[Any] = asyncio.Queue(maxsize=4_096)
        # One queue for all topics: each subscription feeds it in turn, and waits while it is full.
        feeds = [
            asyncio.ensure_future(_feed(await client.subscribe(topic, queue=queue, retained=retained), arrived))
            for topic in topics
        ]
        if sys.stderr.isatty():
            click.echo(f"subscribed to {' '.join(map(harmless, topics))} at {client.node_id}", err=True)
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(for_s):
                    while left is None or left > 0:
                        _print_message(place, await arrived.get())
                        left = None if left is None else left - 1
        finally:
            for feed in feeds:
                feed.cancel()
    if left and for_s is not None:
        raise DeadlineExceeded(f"{left} of {count} messages did not come within {for_s:g} s")


async def _feed(subscription: AsyncIterator[Any], arrived: asyncio.Queue[Any]) -> None:
    async for message in subscription:
        await arrived.put(message)


def _print_message(place: Place, message: Any) -> None:
    if place.as_json:
        line = {"topic": message.topic, "payload": as_json(message.payload), "retained": message.retained}
        print_json(line | ({"headers": message.headers} if message.headers else {}), is_line=True)
    else:
        click.echo(f"{harmless(message.topic)}  {harmless(as_text(message.payload))}")


@click.command()
@click.argument("function")
@click.argument("arguments", nargs=-1)
@click.option("--provider", default="", help="Client id of who is to answer; init: the node itself.")
@click.option("--idempotent", is_flag=True, help="Another provider may be tried after a failure.")
@_HEADER
@at_node
def call(
    place: Place, *, function: str, arguments: tuple[str, ...], provider: str, idempotent: bool, headers: tuple[str, ...]
) -> None:
    """Call FUNCTION and print its answer. ARGUMENTS: name=value each, or one JSON value."""
    run(_call(place, function, read_arguments(arguments), provider=provider, idempotent=idempotent, headers=read_pairs(headers)))


async def _call(
    place: Place, function: str, arguments: object, *, provider: str, idempotent: bool, headers: dict[str, str] | None
) -> None:
    async with connected(place) as client:
        began = perf_counter()
        result = await client.call(
            function,
            {} if arguments is None else arguments,
            timeout_s=place.timeout_s,
            provider=provider,
            idempotent=idempotent,
            headers=headers,
        )
        took_s = perf_counter() - began
    if place.as_json:
        print_json({"result": as_json(result), "took_ms": round(took_s * 1e3, 3)}, is_line=True)
    else:
        click.echo(harmless(as_text(result)))


@click.command()
@click.argument("words", nargs=-1, required=True, metavar="[CLIENT] MESSAGE")
@click.option("--node", default="", help="The receiver's node; left out: this one.")
@click.option("--all", "to_all", is_flag=True, help="To every client instead of one.")
@click.option("--ttl", "ttl_s", type=Duration(lasts=True), default=60.0, show_default="60s", help="In which it may be delivered.")
@_CLIENT_ID
@_RAW
@_HEADER
@at_node
def send(
    place: Place,
    *,
    words: tuple[str, ...],
    node: str,
    to_all: bool,
    ttl_s: float,
    client_id: str,
    raw: bool,
    headers: tuple[str, ...],
) -> None:
    """Send MESSAGE to CLIENT, and say whether it was delivered: in order, once."""
    if len(words) != (1 if to_all else 2):
        raise InvalidRequest("give a CLIENT and a MESSAGE, or --all and a MESSAGE")
    client = None if to_all else words[0]
    more = {"node": node, "ttl_s": ttl_s, "headers": read_pairs(headers)}
    run(_send(place, client, read_value(words[-1], raw=raw), client_id=client_id, more=more))


async def _send(place: Place, target: str | None, message: object, *, client_id: str, more: dict[str, Any]) -> None:
    async with connected(place, client_id=client_id) as client:
        if target is None:
            answer = await client.broadcast(message, **more)
            line = {"delivered": answer.delivered, "written": answer.written, "of": answer.of}
        else:
            line = {"client": target, "state": await client.send(target, message, **more)}
    if place.as_json:
        print_json(line, is_line=True)
    elif target is None:
        click.echo(" ".join(f"{name} {value}" for name, value in line.items()))
    else:
        click.echo(line["state"])


@click.command()
@_CLIENT_ID
@click.option("--count", type=click.IntRange(1), help="End after so many messages.")
@at_node
def receive(place: Place, client_id: str, count: int | None) -> None:
    """Print the private messages that come to a client id. Ctrl-C ends it."""
    run(_receive(place, client_id, count))


async def _receive(place: Place, client_id: str, count: int | None) -> None:
    left = count
    async with connected(place, client_id=client_id) as client:
        if sys.stderr.isatty():
            click.echo(f"receiving as {harmless(client.client_id)} at {client.node_id}", err=True)
        async for message in client.messages():
            if place.as_json:
                line = {"source": message.source, "node": message.source_node, "payload": as_json(message.payload)}
                print_json(line, is_line=True)
            else:
                click.echo(f"{harmless(message.source)}  {harmless(as_text(message.payload))}")
            if left is not None:
                left -= 1
                if left == 0:
                    return
