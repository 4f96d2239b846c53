"""`majula config`: check a file, see what is in force, try, change and take back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NoReturn

import click

from majula.api.cli.asking import Place, at_node
from majula.api.cli.looking import show
from majula.api.cli.node import run_runner
from majula.api.cli.show import harmless, print_table
from majula.api.cli.values import read_value
from majula.config import operations as config_operations
from majula.errors import InvalidRequest, NotFound

_DRY_RUN = click.option("--dry-run", is_flag=True, help="Say what would happen and change nothing.")
_MOST_BYTES = 1 << 20


@click.group()
def config() -> None:
    """The node's configuration: check, show, diff, apply, roll back."""


@config.command()
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def check(file: Path, as_json: bool) -> NoReturn:
    """Check FILE without starting anything: problems, warnings, and what becomes reachable from where."""
    run_runner("check", str(file), *(["--json"] if as_json else []))


@config.command()
@click.argument("kind", type=click.Choice(["node", "signaling"]), default="node")
def template(kind: str) -> NoReturn:
    """Print a file with every key, its meaning and its default."""
    run_runner("template", kind)


@config.command("show")
@click.option("--revision", type=click.IntRange(0), default=0, help="Of the past; left out: what is in force.")
@click.option("--given", is_flag=True, help="Only what the file says, without the defaults.")
@at_node
def show_config(place: Place, revision: int, given: bool) -> None:
    """Show the configuration in force, as YAML. Secrets are shown as ***."""
    request = config_operations.ConfigShowRequest(defaults=not given, revision=revision)
    show(place, config_operations.SHOW, request, _document)


def _document(answer: config_operations.ConfigDocument) -> None:
    import yaml  # noqa: PLC0415 - 15 ms, for this command alone

    click.echo(f"# revision {answer.revision}" + (f", {harmless(answer.file)}" if answer.file else ""))
    click.echo(yaml.safe_dump(answer.document, sort_keys=False, allow_unicode=False), nl=False)
    _warn(answer.warnings)


@config.command()
@click.argument("file", required=False, type=click.Path(dir_okay=False, path_type=Path))
@at_node
def diff(place: Place, file: Path | None) -> None:
    """Show what applying FILE (left out: the node's own file as it is now) would change, and what of it needs a restart."""
    if file is None:
        show(place, config_operations.RELOAD, config_operations.ReloadRequest(dry_run=True), _changes)
    else:
        request = config_operations.ConfigChangeRequest(text=_text(file), dry_run=True)
        show(place, config_operations.CHANGE, request, _changes)


@config.command()
@click.argument("file", required=False, type=click.Path(dir_okay=False, path_type=Path))
@click.option("--set", "-s", "keys", multiple=True, metavar="KEY=VALUE", help="One key, as log.level=debug; again for more.")
@click.option("--revision", type=click.IntRange(0), default=0, help="Only if this one is in force.")
@_DRY_RUN
@at_node
def apply(place: Place, file: Path | None, keys: tuple[str, ...], revision: int, dry_run: bool) -> None:
    """Apply FILE, or single keys, as one change: all of it or nothing."""
    if (file is None) == (not keys):
        raise InvalidRequest("give a FILE, or --set KEY=VALUE")
    request = config_operations.ConfigChangeRequest(
        text="" if file is None else _text(file),
        change=read_change(keys) if keys else None,
        revision=revision,
        dry_run=dry_run,
    )
    show(place, config_operations.CHANGE, request, _changes)


@config.command("reload")
@_DRY_RUN
@at_node
def reload_file(place: Place, dry_run: bool) -> None:
    """Read the node's file again and apply what has changed."""
    show(place, config_operations.RELOAD, config_operations.ReloadRequest(dry_run=dry_run), _changes)


@config.command()
@click.argument("revision", type=click.IntRange(0), default=0)
@_DRY_RUN
@at_node
def rollback(place: Place, revision: int, dry_run: bool) -> None:
    """Go back to REVISION; left out: to the one before."""
    request = config_operations.RollbackRequest(revision=revision, dry_run=dry_run)
    show(place, config_operations.ROLLBACK, request, _changes)


@config.command()
@at_node
def revisions(place: Place) -> None:
    """List the revisions that are kept."""
    show(place, config_operations.REVISIONS, config_operations.RevisionsRequest(), _revisions)


def _revisions(answer: config_operations.RevisionsAnswer) -> None:
    rows = ((one.revision, one.at, one.who, one.source) for one in answer.revisions)
    print_table(("revision", "at", "who", "source"), rows)


def _changes(answer: config_operations.ConfigChangeAnswer) -> None:
    if not answer.items:
        click.echo("nothing changes")
    else:
        rows = ((one.path, json.dumps(one.old), json.dumps(one.new), one.effect) for one in answer.items)
        print_table(("key", "old", "new", "effect"), rows)
    for line in answer.reachable:
        click.echo(f"reachable: {harmless(line)}")
    _warn(answer.warnings)
    click.echo(f"revision {answer.revision}")


def _warn(warnings: tuple[str, ...]) -> None:
    for warning in warnings:
        click.echo(f"warning: {harmless(warning)}", err=True)


def read_change(keys: tuple[str, ...]) -> dict[str, Any]:
    """`log.level=debug` and the like as nested keys; a value `null` takes the key out.

    Raises:
        InvalidRequest: one is not KEY=VALUE, or names what another one is below.
    """
    change: dict[str, Any] = {}
    for word in keys:
        path, equals, value = word.partition("=")
        names = path.split(".")
        if not equals or not all(names):
            raise InvalidRequest(f"{word!r} is not KEY=VALUE")
        at = change
        for name in names[:-1]:
            at = at.setdefault(name, {})
            if not isinstance(at, dict):
                raise InvalidRequest(f"{path} stands below a key that is set as well")
        if isinstance(at.get(names[-1]), dict):
            raise InvalidRequest(f"{path} has a key below it that is set as well")
        at[names[-1]] = read_value(value, raw=False)
    return change


def _text(file: Path) -> str:
    try:
        with file.open(encoding="utf-8") as opened:
            text = opened.read(_MOST_BYTES + 1)
    except (OSError, UnicodeDecodeError) as error:
        raise NotFound(f"{file} cannot be read: {getattr(error, 'strerror', None) or error}") from None
    if len(text) > _MOST_BYTES:
        raise InvalidRequest(f"{file} is larger than a configuration can be (1 MiB)")
    return text
