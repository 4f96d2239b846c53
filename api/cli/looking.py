"""What shows the node's clients, topics, functions and events, and ends a client's session."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from typing import Any

import click

from majula.api.cli.asking import Place, asked, at_node, connected, print_json, run
from majula.api.cli.show import print_table, rate, size
from majula.auth import operations as auth
from majula.routing import operations as routing
from majula.rpc import operations as rpc
from majula.telemetry import operations as telemetry
from majula.topics import operations as topics_operations

_LIMIT = click.option("--limit", type=click.IntRange(1, 1_024), default=1_024, help="Lines at most.")
_OFFSET = click.option("--offset", type=click.IntRange(0), default=0, help="Leave out so many first.")


@click.group(invoke_without_command=True)
@click.option("--client", default="", help="This one only.")
@_LIMIT
@_OFFSET
@click.option("--watch", is_flag=True, help="Again each second, until Ctrl-C.")
@at_node
def clients(place: Place, client: str, limit: int, offset: int, watch: bool) -> None:
    """List the connected clients: who they are, how fast, what waits for them."""
    if click.get_current_context().invoked_subcommand is not None:
        return
    request = routing.ClientsRequest(client=client, offset=offset, limit=limit)
    show(place, routing.CLIENTS, request, _clients, watch=watch)


def _clients(answer: routing.ClientsAnswer) -> None:
    print_table(
        ("client", "gateway", "surface", "token", "in", "out", "waits", "dropped", "slow"),
        (
            (
                line.client,
                line.gateway,
                line.surface,
                line.token,
                rate(line.received_per_s),
                rate(line.sent_per_s),
                size(line.waiting_bytes),
                line.dropped_messages,
                line.is_slow,
            )
            for line in answer.clients
        ),
    )
    _rest(len(answer.clients), answer.of)


@clients.command()
@click.argument("client")
@at_node
def disconnect(place: Place, client: str) -> None:
    """End the session of CLIENT. It may connect again; revoke its token to keep it out."""
    asked(place, routing.DISCONNECT, routing.DisconnectRequest(client))


@click.command()
@click.argument("pattern", required=False, default="")
@_LIMIT
@_OFFSET
@at_node
def topics(place: Place, pattern: str, limit: int, offset: int) -> None:
    """List what is subscribed to, and what has a retained value."""
    request = topics_operations.TopicsRequest(pattern=pattern, offset=offset, limit=limit)
    show(place, topics_operations.LIST, request, _topics)


def _topics(answer: topics_operations.TopicsAnswer) -> None:
    print_table(
        ("topic", "pattern", "subscribers at", "queue groups", "retained"),
        (
            (line.topic, line.pattern, line.subscribers, line.queues, size(line.retained_bytes) if line.retained_bytes else "")
            for line in answer.topics
        ),
    )
    _rest(len(answer.topics), answer.of)


@click.command()
@click.argument("function", required=False, default="")
@click.option("--provider", default="", help="Of this client only; init: of the node itself.")
@at_node
def services(place: Place, function: str, provider: str) -> None:
    """List the functions that can be called."""
    show(place, rpc.SERVICES, rpc.ServicesRequest(provider=provider, function=function), _services)


def _services(answer: rpc.ServicesAnswer) -> None:
    print_table(
        ("function", "provider", "parameters", "note"),
        (
            (one.name, one.provider, " ".join(f"{parameter.name}:{parameter.type}" for parameter in one.parameters), one.note)
            for one in answer.services
        ),
    )


@click.command()
@click.argument("name", required=False, default="")
@click.option("--follow", "-f", is_flag=True, help="Go on with those that come, until Ctrl-C.")
@click.option("--limit", type=click.IntRange(1, 1_024), default=64, show_default=True, help="Of the past at most.")
@at_node
def events(place: Place, name: str, follow: bool, limit: int) -> None:
    """Show what has happened in the node; NAME may be a pattern such as client.*."""
    request = telemetry.EventsRequest(name=name, limit=limit)
    if follow:
        run(_follow(place, request))
    else:
        show(place, telemetry.EVENTS, request, _events)


async def _follow(place: Place, request: telemetry.EventsRequest) -> None:
    async with connected(place) as client:
        # Subscribed first: what happens between the two is shown twice rather than never.
        subscription = await client.subscribe(f"$SYS.{request.name or '>'}")
        _show(place, await client.ask(telemetry.EVENTS, request, timeout_s=place.timeout_s), _events)
        async for message in subscription:
            name = message.topic.removeprefix("$SYS.")
            print_json({"name": name, "fields": message.payload}, is_line=True)
            sys.stdout.flush()


def _events(answer: telemetry.EventsAnswer) -> None:
    print_table(
        ("at", "event", "role", "fields"),
        (
            (line.at, line.name, line.role, " ".join(f"{name}={value}" for name, value in line.fields.items()))
            for line in answer.events
        ),
    )


@click.command()
@click.option("--limit", type=click.IntRange(1, 1_024), default=100, show_default=True, help="Entries at most.")
@click.option("--before", type=click.IntRange(0), default=0, help="Only entries before this number.")
@at_node
def audit(place: Place, limit: int, before: int) -> None:
    """Show who changed what: tokens, configuration, log levels."""
    show(place, auth.AUDIT, auth.AuditRequest(before=before, limit=limit), _audit)


def _audit(answer: auth.AuditAnswer) -> None:
    print_table(
        ("number", "at", "who", "what", "detail"),
        (
            (one.number, one.at, one.who, one.what, " ".join(f"{name}={value}" for name, value in one.detail.items()))
            for one in answer.entries
        ),
    )


def show(place: Place, operation: Any, request: Any, render: Callable[[Any], None], *, watch: bool = False) -> None:
    """Ask once, or each second, and show the answer."""
    if not watch:
        _show(place, asked(place, operation, request), render)
        return
    run(_watched(place, operation, request, render))


async def _watched(place: Place, operation: Any, request: Any, render: Callable[[Any], None]) -> None:
    async with connected(place) as client:
        while True:
            answer = await client.ask(operation, request, timeout_s=place.timeout_s)
            if not place.as_json and sys.stdout.isatty():
                click.clear()
            _show(place, answer, render, is_line=True)
            await asyncio.sleep(1.0)


def _show(place: Place, answer: Any, render: Callable[[Any], None], *, is_line: bool = False) -> None:
    if place.as_json:
        print_json(answer, is_line=is_line)
    else:
        render(answer)


def _rest(shown: int, of: int) -> None:
    if of > shown:
        click.echo(f"{shown} of {of}; go on with --offset")
