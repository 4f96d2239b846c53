"""`majula completion SHELL`: the script that completes our words in a shell."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print the completion script for SHELL: `source <(majula completion bash)`."""
    found = get_completion_class(shell)
    assert found is not None, "the choices above are those that click has"
    click.echo(found(context.find_root().command, {}, "majula", "_MAJULA_COMPLETE").source())
