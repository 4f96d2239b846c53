"""`python -m tests.documents.pages`: write every page that is made from declarations (`make docs`)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from majula.api.cli import reference as commands
from majula.api.http import paths_reference
from majula.api.http import reference as errors
from majula.api.sdk import reference as client
from majula.config import reference as configuration
from majula.runner import reference as exit_codes
from majula.telemetry import reference as telemetry

REPOSITORY = Path(__file__).parents[2]

PAGES: Mapping[str, Callable[[], str]] = {
    "docs/reference/cli.md": commands.render,
    "docs/reference/configuration.md": configuration.render,
    "docs/reference/errors.md": errors.render,
    "docs/reference/events.md": telemetry.events,
    "docs/reference/exit-codes.md": exit_codes.render,
    "docs/reference/http.md": paths_reference.render,
    "docs/reference/metrics.md": telemetry.metrics,
    "docs/reference/sdk.md": client.reference,
}


def write(folder: Path = REPOSITORY) -> list[str]:
    """Make all pages below `folder`; return the names of those that have changed."""
    changed = []
    for name, render in PAGES.items():
        page, text = folder / name, render()
        if not page.exists() or page.read_text(encoding="utf-8") != text:
            page.parent.mkdir(parents=True, exist_ok=True)
            page.write_text(text, encoding="utf-8")
            changed.append(name)
    return changed


if __name__ == "__main__":
    print("\n".join(write()) or "every page is current")
