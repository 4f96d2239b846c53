"""`majula status`: every role of a node, also while its gateways are dead, because the main process answers."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import click

from majula.api.cli.asking import failures
from majula.api.cli.control import ask
from majula.api.cli.find import find_control_socket
from majula.api.cli.node import RUN_DIR
from majula.api.cli.report import render

WATCH_S = 1.0


@click.command()
@RUN_DIR
@click.option("--json", "as_json", is_flag=True, help="The whole answer as one JSON object.")
@click.option("--watch", is_flag=True, help="Again each second, until Ctrl-C.")
def status(run_dir: Path | None, as_json: bool, watch: bool) -> None:
    """Show a node's roles, pids, restarts with their reasons, and queues."""
    with failures():
        socket = find_control_socket(run_dir)
        while True:
            found = ask(socket, {"command": "status"})["status"]
            text = json.dumps(found, indent=None if watch else 2) if as_json else render(found)
            if watch and not as_json and sys.stdout.isatty():
                click.clear()
            click.echo(text)
            if not watch:
                return
            sys.stdout.flush()
            time.sleep(WATCH_S)
