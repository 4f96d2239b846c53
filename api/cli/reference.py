"""`python -m majula.api.cli.reference`: docs/reference/cli.md, from the commands themselves."""

from __future__ import annotations

from collections.abc import Iterator

import click

from majula.api.cli.exits import MEANINGS
from majula.api.cli.main import main

_HEAD = """\
# The command line

Generated from the commands by `python -m majula.api.cli.reference`.

A command finds the only node that you run on this machine; `--address` (or `MAJULA_ADDRESS`) names another. The token comes from
`MAJULA_TOKEN`, or from where `--token` says (`file:PATH`, `env:NAME`, `-` for standard input): never from the arguments, which
everybody on the machine can read. On the node's own Unix socket its own user needs none. `--json` prints JSON for programs. Text
that others chose is shown with control characters spelt out.

"""


def render() -> str:
    """The whole page, Markdown."""
    lines = [_HEAD, "## Exit codes", "", "| code | when |", "|---|---|"]
    lines += [f"| {code} | {meaning} |" for code, meaning in MEANINGS.items()]
    lines += ["", "`majula node run` ends with a node's own codes: [exit codes](exit-codes.md).", "", "## Commands", ""]
    for words, command in _commands(main, "majula"):
        lines += _section(words, command)
    return "\n".join(lines).rstrip() + "\n"


def _commands(group: click.Group, *names: str) -> Iterator[tuple[str, click.Command]]:
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None, name
        yield " ".join((*names, name)), command
        if isinstance(command, click.Group):
            yield from _commands(command, *names, name)


def _section(words: str, command: click.Command) -> list[str]:
    usage = " ".join(command.collect_usage_pieces(click.Context(command, info_name=words)))
    lines = [f"### {words}", "", f"`{words} {usage}`", "", *map(str.strip, (command.help or "").strip().splitlines()), ""]
    options = [option for option in command.params if isinstance(option, click.Option) and not option.hidden]
    if options:
        lines += ["| option | meaning |", "|---|---|"]
        context = click.Context(command)
        for option in options:
            record = option.get_help_record(context)
            assert record is not None, option.name
            lines.append("| `{}` | {} |".format(*(text.replace("|", "\\|") for text in record)))
        lines.append("")
    return lines


if __name__ == "__main__":
    print(render(), end="")
