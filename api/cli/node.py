"""`majula node`, `majula init`: what is done by a process of the runner, which alone knows how a node is built.

The command becomes that process: signals and the exit code are its own.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import NoReturn

import click

from majula.api.cli.asking import failures
from majula.api.cli.control import ask
from majula.api.cli.find import find_control_socket

RUN_DIR = click.option(
    "--run-dir", type=click.Path(path_type=Path), help="The node's run directory; left out: the only node that you run."
)


def run_runner(*words: str) -> NoReturn:
    """Become `python -m majula.runner WORDS`."""
    arguments = [sys.executable, "-m", "majula.runner", *words]
    sys.stdout.flush()
    os.execv(arguments[0], arguments)  # noqa: S606 - no shell, and our own interpreter


@click.group()
def node() -> None:
    """Run a node, or stop it."""


@node.command("run")
@click.argument("config", required=False, type=click.Path(path_type=Path))
def run_node(config: Path | None) -> NoReturn:
    """Run a node in the foreground, by the file CONFIG; without it: one gateway on 127.0.0.1:18080.

    Ctrl-C or SIGTERM drains and stops it, a second one stops it at once. SIGHUP reads CONFIG again.
    """
    run_runner(*([] if config is None else [str(config)]))


@node.command("stop")
@RUN_DIR
@click.option("--now", is_flag=True, help="Do not wait for work in flight.")
def stop_node(run_dir: Path | None, now: bool) -> None:
    """Ask a node to drain and stop."""
    with failures():
        ask(find_control_socket(run_dir), {"command": "stop", "now": now})


@click.command()
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path), default=Path("majula.yaml"))
@click.option("--force", is_flag=True, help="Replace FILE where it is there already; the old one is kept beside it.")
def init(file: Path, force: bool) -> NoReturn:
    """Write a first configuration to FILE (majula.yaml) and make the first token, printed this once."""
    run_runner("init", str(file), *(["--force"] if force else []))
