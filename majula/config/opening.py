"""How the configuration of a running node begins: with what the runner hands to the config actor."""

from __future__ import annotations

import dataclasses
from functools import partial
from pathlib import Path

from majula.config.actor import ConfigActorSettings
from majula.config.check import Certificate
from majula.config.derive import settings_of
from majula.config.live import LiveConfiguration
from majula.config.load import LoadedConfig, Surroundings, read_node_config
from majula.config.revisions import RevisionStore


def config_settings(loaded: LoadedConfig, *, edges: tuple[str, ...] = (), version: str = "") -> ConfigActorSettings:
    """What the config actor of a node is started with that was started with this configuration."""
    return ConfigActorSettings(
        data_dir=loaded.config.data_dir,
        text=loaded.text,
        # A pipe, as in `majula node run <(...)`, cannot be read again, nor written.
        file=str(loaded.path) if loaded.path is not None and loaded.path.is_file() else "",
        name=loaded.source,
        directory=str(Path.cwd()),
        secrets=loaded.secrets(),
        edges=edges,
        version=version,
    )


def open_live(settings: ConfigActorSettings, node_id: str, certificate: Certificate) -> LiveConfiguration:
    """The configuration of a running node; `begin` it. Reads files: call it in a thread.

    Args:
        certificate: see `check.Certificate`.
    Raises:
        ConfigError: what the node was started with cannot be read any more.
    """
    # Secrets by `env:` are no longer in the environment, those by `file:` may change while the node runs.
    at_start = Surroundings.own(directory=Path(settings.directory))
    at_start = dataclasses.replace(at_start, secrets=settings.secrets, node_id=node_id)
    variables = {name: value for name, value in settings.secrets.items() if name.startswith("env:")}
    now = dataclasses.replace(at_start, secrets=variables)
    return LiveConfiguration(
        file=Path(settings.file) if settings.file else None,
        started=read_node_config(settings.text, settings.name, at_start),
        read=lambda text: read_node_config(text, settings.name, now),
        store=RevisionStore(Path(settings.data_dir) / "config"),
        derive=partial(settings_of, edges=settings.edges, version=settings.version),
        certificate=certificate,
    )
