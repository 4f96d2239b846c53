"""`majula`: run a node, look at it, see it work."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import NoReturn

import click

import majula
from majula.api.cli.control import ask
from majula.api.cli.find import find_control_socket
from majula.api.cli.report import render
from majula.errors import MajulaError

_RUN_DIR = click.option(
    "--run-dir", type=click.Path(path_type=Path), help="The node's run directory; left out: the only node that you run."
)


class _Refused(click.ClickException):
    """A MajulaError at the command line: its sentence, its code, exit status 1."""

    def __init__(self, error: MajulaError) -> None:
        super().__init__(f"{error.message} [{error.code}]")


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(majula.__version__, prog_name="majula")
def main() -> None:
    """Majula: programs and devices on many machines talk through one mesh of nodes."""


@main.group()
def node() -> None:
    """Run a node."""


@node.command("run")
@click.argument("config", required=False, type=click.Path(path_type=Path))
def node_run(config: Path | None) -> NoReturn:
    """Run a node in the foreground, by the file CONFIG; without it: one gateway on 127.0.0.1:18080.

    Ctrl-C or SIGTERM drains and stops it, a second one stops it at once.
    """
    arguments = [sys.executable, "-m", "majula.runner", *([] if config is None else [str(config)])]
    # In place of this process: signals and the exit code are the node's own.
    os.execv(arguments[0], arguments)  # noqa: S606 - no shell, and our own interpreter


@main.command()
@_RUN_DIR
@click.option("--json", "as_json", is_flag=True, help="The whole answer as one JSON object.")
def status(run_dir: Path | None, as_json: bool) -> None:
    """Show a node's roles, pids, restarts with their reasons, and queues."""
    try:
        found = ask(find_control_socket(run_dir), {"command": "status"})["status"]
    except MajulaError as error:
        raise _Refused(error) from error
    click.echo(json.dumps(found, indent=2) if as_json else render(found))


@node.command("stop")
@_RUN_DIR
@click.option("--now", is_flag=True, help="Do not wait for work in flight.")
def node_stop(run_dir: Path | None, now: bool) -> None:
    """Ask a node to drain and stop."""
    try:
        ask(find_control_socket(run_dir), {"command": "stop", "now": now})
    except MajulaError as error:
        raise _Refused(error) from error


@main.command()
@click.option("--keep", is_flag=True, help="Leave the demo's directory, to look at it.")
def demo(keep: bool) -> None:
    """Start a private node, a service and a subscriber; show their traffic; end."""
    from majula.api.cli.demo import run_demo  # noqa: PLC0415 - it loads the SDK; `status` must be there at once

    try:
        run_demo(keep=keep, echo=click.echo)
    except MajulaError as error:
        raise _Refused(error) from error


if __name__ == "__main__":
    main()
