"""Commands that are loaded when they are used: `majula status` does not wait for what `majula sub` needs."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

import click


class LazyGroup(click.Group):
    """A group whose commands stand in other modules.

    Args:
        homes: where each command is, `module:attribute`, by its name.
    """

    def __init__(self, *args: Any, homes: Mapping[str, str] | None = None, **more: Any) -> None:
        super().__init__(*args, **more)
        self._homes = dict(homes or {})

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted({*super().list_commands(ctx), *self._homes})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        home = self._homes.get(cmd_name)
        if home is None:
            return super().get_command(ctx, cmd_name)
        module, _, attribute = home.partition(":")
        found: click.Command = getattr(import_module(module), attribute)
        return found

    def resolve_command(self, ctx: click.Context, args: list[str]) -> tuple[str | None, click.Command | None, list[str]]:
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            near = _nearest(args[0], self.list_commands(ctx)) if args else ""
            if not near:
                raise
            raise click.UsageError(f"{error.message} Did you mean `{near}`?", ctx) from None


def _nearest(word: str, words: list[str]) -> str:
    from difflib import get_close_matches  # noqa: PLC0415 - only for a slip of the pen

    return next(iter(get_close_matches(word, words, 1)), "")
