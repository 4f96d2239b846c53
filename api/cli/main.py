"""`majula`: run a node, talk through it, look at it, change it."""

from __future__ import annotations

import click

import majula
from majula.api.cli.lazy import LazyGroup

_HOMES = {
    "audit": "looking:audit",
    "call": "traffic:call",
    "clients": "looking:clients",
    "completion": "completion:completion",
    "config": "config:config",
    "debug": "debug:debug",
    "demo": "demo:demo",
    "events": "looking:events",
    "init": "node:init",
    "log": "debug:log",
    "node": "node:node",
    "pub": "traffic:pub",
    "receive": "traffic:receive",
    "send": "traffic:send",
    "services": "looking:services",
    "status": "status:status",
    "sub": "traffic:sub",
    "token": "token:token",
    "topics": "looking:topics",
}


@click.group(
    cls=LazyGroup,
    homes={name: f"majula.api.cli.{home}" for name, home in _HOMES.items()},
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.version_option(majula.__version__, prog_name="majula")
def main() -> None:
    """Majula: programs and devices on many machines talk through one mesh of nodes."""


if __name__ == "__main__":
    main()
