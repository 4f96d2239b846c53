"""What clients can ask about the node's configuration."""

from __future__ import annotations

from typing import Any

import msgspec

from majula.errors import ConfigError, Conflict, DiskFull, NotFound
from majula.operations import ListOffset, Operation
from majula.wire import headers


class ConfigShowRequest(msgspec.Struct, frozen=True):
    """defaults: with every default filled in. revision: of the past, 0: what is in force."""

    defaults: bool = True
    revision: ListOffset = 0


class ConfigDocument(msgspec.Struct, frozen=True):
    """A configuration. document: secrets are shown as `***`. file: where it was read from; empty: the built-in configuration.

    restart: keys of the newest revision that are in force only after a restart.
    """

    revision: int
    document: dict[str, Any]
    file: str = ""
    warnings: tuple[str, ...] = ()
    restart: tuple[str, ...] = ()


class ConfigChangeRequest(msgspec.Struct, frozen=True):
    """change: the keys to set (nested; null takes a key out; an entry of a list is named by its port, group or position, as in
    `{"majula_servers": {"18080": {"hosts": ["garage.local"]}}}`), or text: a whole file.

    revision: the one that the change was made for; another in force is a conflict. 0: whatever is in force.
    dry_run: say what would happen and change nothing.
    """

    change: dict[str, Any] | None = None
    text: str = ""
    revision: ListOffset = 0
    dry_run: bool = False


class ConfigItem(msgspec.Struct, frozen=True):
    """One changed key. path: as `majula_servers[0].limits.connections`. effect: `applied` or `restart` (in force after one)."""

    path: str
    old: Any
    new: Any
    effect: str


class ConfigChangeAnswer(msgspec.Struct, frozen=True):
    """What was (or, with `dry_run`, would be) changed, as one. revision: in force from now on; with `dry_run` the old one.

    reachable: what listens where after it, and what protects it.
    """

    revision: int
    items: tuple[ConfigItem, ...]
    warnings: tuple[str, ...] = ()
    reachable: tuple[str, ...] = ()


class RollbackRequest(msgspec.Struct, frozen=True):
    """revision: to go back to; 0: the one before."""

    revision: ListOffset = 0
    dry_run: bool = False


class RevisionsRequest(msgspec.Struct, frozen=True):
    """No parameters."""


class Revision(msgspec.Struct, frozen=True):
    """One revision. source: `file`, `api`, `rollback`."""

    revision: int
    at: str
    who: str
    source: str


class RevisionsAnswer(msgspec.Struct, frozen=True):
    """The newest first."""

    revisions: tuple[Revision, ...]


class ReloadRequest(msgspec.Struct, frozen=True):
    """dry_run: say what would happen and change nothing."""

    dry_run: bool = False


SHOW = Operation(
    name="config.show",
    summary="Show the configuration in force, without secrets.",
    request=ConfigShowRequest,
    answer=ConfigDocument,
    scope="admin",
    scope_field="=config",
    idempotent=True,
    path="/config",
    method="GET",
    errors=(NotFound,),
    frame=headers.Request,
    sdk="config",
    cli="config show",
    role="config",
)

CHANGE = Operation(
    name="config.change",
    summary="Change the configuration as one transaction with a revision, or try it.",
    request=ConfigChangeRequest,
    answer=ConfigChangeAnswer,
    scope="admin",
    scope_field="=config",
    idempotent=False,
    path="/config",
    method="PATCH",
    one_of=("change", "text"),
    errors=(Conflict, ConfigError, DiskFull),
    frame=headers.Request,
    sdk="change_config",
    cli="config apply",
    role="config",
)

RELOAD = Operation(
    name="config.reload",
    summary="Read the node's file again and apply what has changed.",
    request=ReloadRequest,
    answer=ConfigChangeAnswer,
    scope="admin",
    scope_field="=config",
    idempotent=True,
    path="/config/reload",
    errors=(NotFound, Conflict, ConfigError, DiskFull),
    frame=headers.Request,
    sdk="reload_config",
    cli="config reload",
    role="config",
)

ROLLBACK = Operation(
    name="config.rollback",
    summary="Go back to an earlier revision of the configuration.",
    request=RollbackRequest,
    answer=ConfigChangeAnswer,
    scope="admin",
    scope_field="=config",
    idempotent=False,
    path="/config/rollback",
    errors=(NotFound, Conflict, ConfigError, DiskFull),
    frame=headers.Request,
    sdk="rollback_config",
    cli="config rollback",
    role="config",
)

REVISIONS = Operation(
    name="config.revisions",
    summary="List the revisions of the configuration that are kept.",
    request=RevisionsRequest,
    answer=RevisionsAnswer,
    scope="admin",
    scope_field="=config",
    idempotent=True,
    path="/config/revisions",
    method="GET",
    frame=headers.Request,
    sdk="config_revisions",
    cli="config revisions",
    role="config",
)

OPERATIONS = (SHOW, CHANGE, RELOAD, ROLLBACK, REVISIONS)
