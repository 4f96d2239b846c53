"""`majula debug` and `majula log`: what a role is doing just now, and how much it says."""

from __future__ import annotations

import sys

import click

from majula.api.cli.asking import Place, asked, at_node, print_json
from majula.api.cli.exits import FAILED
from majula.api.cli.looking import show
from majula.api.cli.show import Duration, harmless, print_table, size
from majula.telemetry import operations as telemetry


@click.group()
def debug() -> None:
    """Look into a role: stacks, tasks, queues, messages."""


@debug.command()
@click.argument("role")
@at_node
def stacks(place: Place, role: str) -> None:
    """Show where the process of ROLE is just now."""
    show(place, telemetry.STACKS, telemetry.RoleRequest(role), _stacks)


def _stacks(answer: telemetry.StacksAnswer) -> None:
    click.echo(f"{answer.role}, pid {answer.pid}")
    for thread in answer.threads:
        click.echo("\n" + "\n".join(map(harmless, thread.splitlines())))


@debug.command()
@click.argument("role")
@at_node
def tasks(place: Place, role: str) -> None:
    """List the tasks of ROLE."""
    show(place, telemetry.TASKS, telemetry.RoleRequest(role), _tasks)


def _tasks(answer: telemetry.TasksAnswer) -> None:
    print_table(("task", "state", "where"), ((line.name, line.state, line.where) for line in answer.tasks))
    if answer.of > len(answer.tasks):
        click.echo(f"{len(answer.tasks)} of {answer.of}")


@debug.command()
@click.argument("role")
@at_node
def queues(place: Place, role: str) -> None:
    """List the queues of ROLE with their bounds."""
    show(place, telemetry.QUEUES, telemetry.RoleRequest(role), _queues)


def _queues(answer: telemetry.QueuesAnswer) -> None:
    print_table(
        ("queue", "messages", "bytes", "bound"),
        ((line.name, line.messages, size(line.bytes), size(line.limit_bytes)) for line in answer.queues),
    )


@debug.command()
@click.argument("role")
@click.option(
    "--for",
    "for_s",
    type=Duration(lasts=True, at_most_s=60),
    default=5.0,
    show_default="5s",
    help="How long to listen, at most 60s.",
)
@click.option("--limit", type=click.IntRange(1, 1_024), default=256, show_default=True, help="Messages at most.")
@at_node
def tap(place: Place, role: str, for_s: float, limit: int) -> None:
    """Listen to the messages of ROLE; what they carry is never shown."""
    patient = place._replace(timeout_s=place.timeout_s + for_s)
    show(patient, telemetry.TAP, telemetry.TapRequest(role, for_s, limit), _tapped)


def _tapped(answer: telemetry.TapAnswer) -> None:
    print_table(
        ("s", "way", "peer", "message", "bytes"),
        ((f"{line.at_s:.6f}", line.direction, line.peer, line.message, line.bytes) for line in answer.lines),
    )
    if answer.skipped:
        click.echo(f"{answer.skipped} more were not kept")


@debug.command()
@at_node
def flight(place: Place) -> None:
    """Write the flight recorder, the last minutes of events, to a file of the node, and show it."""
    answer: telemetry.FlightAnswer = asked(place, telemetry.FLIGHT, telemetry.FlightRequest())
    if place.as_json:
        print_json(answer)
        _tell_where(answer.file)
        return
    print_table(
        ("at", "event", "role", "fields"),
        (
            (line.at, line.name, line.role, " ".join(f"{name}={value}" for name, value in line.fields.items()))
            for line in answer.events
        ),
    )
    _tell_where(answer.file)


def _tell_where(file: str) -> None:
    if not file:
        click.echo("Error: it could not be written to a file; `majula events flight.failed` says why", err=True)
        sys.exit(FAILED)
    click.echo(f"written to {harmless(file)}", err=True)


@click.group()
def log() -> None:
    """How much the roles say."""


@log.command()
@click.argument("role")
@click.argument("level", type=click.Choice(["debug", "info", "warning", "error"]))
@click.option(
    "--for", "for_s", type=Duration(lasts=True), default=0.0, show_default="for good", help="Then back to what it was, as 10m."
)
@at_node
def level(place: Place, role: str, level: telemetry.Level, for_s: float) -> None:
    """Set the lowest LEVEL that ROLE logs, at run time; * is every role."""
    asked(place, telemetry.LEVEL, telemetry.LevelRequest(role, level, for_s))
