"""How a command reaches a node: the options that say which node and who asks, one connection, one answer.

The token never stands in the arguments: everybody on the machine can read those of a process. It comes from MAJULA_TOKEN, from a
file or environment variable that `--token` names, or from standard input.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Awaitable, Callable
from functools import wraps
from typing import Any, NamedTuple, NoReturn, ParamSpec, TypeVar

import click
import msgspec

from majula.api.cli.exits import INTERRUPTED, exit_code
from majula.api.cli.show import harmless
from majula.errors import (
    ConnectionLost,
    InvalidRequest,
    MajulaError,
    NoProvider,
    NoSuchNode,
    PermissionDenied,
    Unauthorized,
)
from majula.operations import Operation

P = ParamSpec("P")
R = TypeVar("R")

TOKEN_ENVIRONMENT = "MAJULA_TOKEN"  # noqa: S105 - the variable's name
CA_ENVIRONMENT = "MAJULA_CA"
_TOKEN_CHARACTERS = 4_096


class Place(NamedTuple):
    """Which node, by whom, how long.

    address: as `majula.connect` takes it, None: the only node of this user. token: as it takes that. ca_file: PEM file of the
    authorities that may have signed the node's certificate, empty: the system's.
    """

    address: str | None
    token: str | None
    timeout_s: float
    as_json: bool
    ca_file: str = ""


def at_node(command: Callable[..., Any]) -> Callable[..., Any]:
    """Gives a command the options `--address`, `--token`, `--ca`, `--timeout`, `--json`: its first argument, `place`."""

    @click.option(
        "--address",
        "-a",
        envvar="MAJULA_ADDRESS",
        help="unix:/path, majula://host:port, ws://host:port ...; left out: the only node that you run here.",
    )
    @click.option(
        "--token",
        "token_from",
        metavar="SOURCE",
        help=f"Where the token is: file:PATH, env:NAME, or - for standard input. Left out: {TOKEN_ENVIRONMENT}.",
    )
    @click.option(
        "--ca",
        "ca_file",
        envvar=CA_ENVIRONMENT,
        metavar="FILE",
        default="",
        help=f"Authorities that may have signed the node's certificate, PEM. Left out: {CA_ENVIRONMENT}, or the system's.",
    )
    @click.option("--timeout", "timeout_s", type=click.FloatRange(0.01, 3_600), default=10.0, show_default=True, help="Seconds.")
    @click.option("--json", "as_json", is_flag=True, help="JSON, one object or one a line.")
    @wraps(command)
    def run(address: str | None, token_from: str | None, ca_file: str, timeout_s: float, as_json: bool, **more: Any) -> Any:
        with failures():
            return command(Place(address, token_source(token_from), timeout_s, as_json, ca_file), **more)

    return run


class failures:
    """Every MajulaError ends the command with its sentence and the exit code of its kind; Ctrl-C ends it without a traceback."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if isinstance(error, MajulaError):
            fail(error)
        if isinstance(error, KeyboardInterrupt):
            sys.exit(INTERRUPTED)
        if isinstance(error, BrokenPipeError):
            # Who read us has left, as in `majula sub ... | head`: there is nobody to tell, and nothing more to flush.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(0)


def fail(error: MajulaError) -> NoReturn:
    """Say what is wrong, and what can be done, on standard error; end."""
    click.echo(f"Error: {harmless(error.message)} [{error.code}]", err=True)
    hint = _hint(error)
    if hint:
        click.echo(hint, err=True)
    sys.exit(exit_code(error))


def _hint(error: MajulaError) -> str:
    from majula.api.sdk.trust import Distrusted, UnknownCertificate  # noqa: PLC0415 - loaded by who has connected, not by `--help`

    if isinstance(error, UnknownCertificate):
        return (
            f"If its authority is none of the system's, name the PEM file of that, or its own, by --ca FILE or {CA_ENVIRONMENT}."
        )
    if isinstance(error, Distrusted):
        return ""
    if isinstance(error, Unauthorized):
        return f"Give a token by {TOKEN_ENVIRONMENT} or --token file:PATH; `majula token create` makes one."
    if isinstance(error, NoProvider):
        return "`majula services` lists what can be called; the node's own functions need --provider init."
    if isinstance(error, PermissionDenied) and error.detail.get("scope"):
        scope = harmless(str(error.detail["scope"]))
        # No token publishes there.
        return "" if scope.startswith("publish:$SYS") else f"Make a token with --scope '{scope}'."
    if isinstance(error, ConnectionLost | NoSuchNode):
        return "Is a node running? `majula status` shows it, `majula node run` starts one."
    return ""


def token_source(source: str | None) -> str | None:
    """What `majula.connect` is given as `token`: where the token is, or what standard input says. None: it looks at MAJULA_TOKEN.

    Raises:
        InvalidRequest: this names no place, or is itself a token.
    """
    if source is None or source.startswith(("env:", "file:")):
        return source
    if source == "-":
        token = sys.stdin.readline(_TOKEN_CHARACTERS).strip()
        if not token:
            raise InvalidRequest("the token is to come from standard input, which is empty")
        return token
    raise InvalidRequest("--token takes file:PATH, env:NAME or -; a token itself would stand in the list of processes")


def run(coroutine: Awaitable[R]) -> R:
    """Run to its end on a loop of its own."""

    async def whole() -> R:
        return await coroutine

    return asyncio.run(whole())


async def ask(place: Place, operation: Operation, request: msgspec.Struct) -> Any:
    """One operation at the node: its typed answer, None where it has none."""
    async with connected(place) as client:
        return await client.ask(operation, request, timeout_s=place.timeout_s)


def asked(place: Place, operation: Operation, request: msgspec.Struct) -> Any:
    """`ask`, from a command."""
    return run(ask(place, operation, request))


def connected(place: Place, *, client_id: str = "") -> Any:
    """A client of the node, to be entered."""
    import majula  # noqa: PLC0415 - the SDK is loaded by the commands that connect, not by `--help`

    trust = majula.Trust(ca_file=place.ca_file) if place.ca_file else None
    return majula.connect(place.address, token=place.token, trust=trust, client_id=client_id, timeout_s=place.timeout_s)


def plain(answer: Any) -> Any:
    """An answer as JSON values."""
    return msgspec.to_builtins(answer)


def print_json(value: Any, *, is_line: bool = False) -> None:
    """One object, or one line of many."""
    text = json.dumps(plain(value), ensure_ascii=True, indent=None if is_line else 2, default=str)
    click.echo(text)
