"""`majula token`: make, list, show and revoke tokens."""

from __future__ import annotations

import os
from pathlib import Path

import click
from msgspec.structs import replace

from majula.api.cli.asking import Place, asked, at_node, print_json
from majula.api.cli.looking import show
from majula.api.cli.show import Duration, harmless, print_fields, print_table
from majula.auth import operations as auth
from majula.errors import Conflict, InvalidRequest


@click.group()
def token() -> None:
    """Who may do what: make, list, show and revoke tokens."""


@token.command()
@click.option(
    "--scope", "-s", "scopes", multiple=True, required=True, help="publish:weather.> allows, -publish:weather.> denies."
)
@click.option("--note", default="", help="What it is for.")
@click.option("--client", "clients", multiple=True, help="Client ids that it may take; left out: all.")
@click.option(
    "--expires", "expires_in_s", type=Duration(lasts=True), default=0.0, show_default="never", help="After this time, as 30d."
)
@click.option("--single-use", is_flag=True, help="The first session that it opens is its only one.")
@click.option("--messages-per-s", type=click.FloatRange(0), default=0.0, help="All its sessions together; 0: no own limit.")
@click.option("--bytes-per-s", type=click.FloatRange(0), default=0.0, help="All its sessions together; 0: no own limit.")
@click.option(
    "--output",
    "-o",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write the secret to this new file, which only you can read.",
)
@at_node
def create(
    place: Place,
    *,
    output: Path | None,
    scopes: tuple[str, ...],
    note: str,
    clients: tuple[str, ...],
    expires_in_s: float,
    single_use: bool,
    messages_per_s: float,
    bytes_per_s: float,
) -> None:
    """Make a token. Its secret is printed alone on standard output, or written to a file, this once."""
    file = None if output is None else _new_file(output)
    request = auth.TokenCreateRequest(
        scopes=scopes,
        note=note,
        clients=clients or ("*",),
        expires_in_s=expires_in_s,
        single_use=single_use,
        messages_per_s=messages_per_s,
        bytes_per_s=bytes_per_s,
    )
    try:
        answer: auth.TokenCreateAnswer = asked(place, auth.CREATE, request)
    except BaseException:
        if file is not None:
            os.close(file)
            os.unlink(str(output))
        raise
    if file is not None:
        with open(file, "w", encoding="ascii") as opened:
            opened.write(answer.secret + "\n")
        answer = replace(answer, secret="")
    if place.as_json:
        print_json(answer)
        return
    until = f", until {answer.token.expires}" if answer.token.expires else ""
    where = "it is shown this once" if output is None else f"its secret is in {output}"
    click.echo(f"{answer.token.id}: {' '.join(answer.token.scopes)}{until}; {harmless(where)}", err=True)
    if output is None:
        click.echo(answer.secret)


def _new_file(path: Path) -> int:
    """Made before the token is: a secret that cannot be written down would be lost.

    Raises:
        Conflict: there is a file already.
        InvalidRequest: it cannot be made.
    """
    try:
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise Conflict(f"{path} is there already; name another file, or remove it") from None
    except OSError as error:
        raise InvalidRequest(f"{path} cannot be written: {error.strerror}") from None


@token.command("list")
@click.option("--offset", type=click.IntRange(0), default=0, help="Leave out so many first.")
@at_node
def list_tokens(place: Place, offset: int) -> None:
    """List the tokens, without their secrets."""
    show(place, auth.LIST, auth.TokensRequest(offset=offset), _tokens)


def _tokens(answer: auth.TokensAnswer) -> None:
    print_table(
        ("token", "state", "scopes", "clients", "expires", "last used", "note"),
        (
            (line.id, line.state, line.scopes, line.clients, line.expires or "never", line.last_used or "-", line.note)
            for line in answer.tokens
        ),
    )
    if answer.of > len(answer.tokens):
        click.echo(f"{len(answer.tokens)} of {answer.of}; go on with --offset")


@token.command("show")
@click.argument("token")
@at_node
def show_token(place: Place, token: str) -> None:
    """Show the token with the id TOKEN, without its secret."""
    show(place, auth.SHOW, auth.TokenRequest(token), _token)


@token.command()
@click.argument("token")
@at_node
def revoke(place: Place, token: str) -> None:
    """Revoke the token with the id TOKEN for good; its sessions are closed."""
    show(place, auth.REVOKE, auth.TokenRequest(token), _token)


def _token(line: auth.TokenLine) -> None:
    print_fields((name, getattr(line, name)) for name in line.__struct_fields__)
