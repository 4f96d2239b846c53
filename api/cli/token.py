"""`majula token`: make, list, show and revoke tokens."""

from __future__ import annotations

import click

from majula.api.cli.asking import Place, asked, at_node, print_json
from majula.api.cli.looking import show
from majula.api.cli.show import Duration, print_fields, print_table
from majula.auth import operations as auth


@click.group()
def token() -> None:
    """Who may do what: make, list, show and revoke tokens."""


@token.command()
@click.option(
    "--scope", "-s", "scopes", multiple=True, required=True, help="publish:weather.> allows, -publish:weather.> denies."
)
@click.option("--note", default="", help="What it is for.")
@click.option("--client", "clients", multiple=True, help="Client ids that it may take; left out: all.")
@click.option("--expires", "expires_in_s", type=Duration(), default=0.0, show_default="never", help="After this time, as 30d.")
@click.option("--single-use", is_flag=True, help="The first session that it opens is its only one.")
@click.option("--messages-per-s", type=click.FloatRange(0), default=0.0, help="All its sessions together; 0: no own limit.")
@click.option("--bytes-per-s", type=click.FloatRange(0), default=0.0, help="All its sessions together; 0: no own limit.")
@at_node
def create(
    place: Place,
    *,
    scopes: tuple[str, ...],
    note: str,
    clients: tuple[str, ...],
    expires_in_s: float,
    single_use: bool,
    messages_per_s: float,
    bytes_per_s: float,
) -> None:
    """Make a token. Its secret is printed alone on standard output, this once: `majula token create ... > secret.txt`."""
    request = auth.TokenCreateRequest(
        scopes=scopes,
        note=note,
        clients=clients or ("*",),
        expires_in_s=expires_in_s,
        single_use=single_use,
        messages_per_s=messages_per_s,
        bytes_per_s=bytes_per_s,
    )
    answer: auth.TokenCreateAnswer = asked(place, auth.CREATE, request)
    if place.as_json:
        print_json(answer)
        return
    until = f", until {answer.token.expires}" if answer.token.expires else ""
    click.echo(f"{answer.token.id}: {' '.join(answer.token.scopes)}{until}; it is shown this once", err=True)
    click.echo(answer.secret)


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
