"""From a file to a configuration that is ready to use. The only module of this room that touches the file system."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from msgspec.structs import replace

from majula.config import checks, rundir
from majula.config.decode import Places, decode_node
from majula.config.document import MAX_BYTES, Located, Mark, Problems, read_document
from majula.config.schema import Gateway, NodeConfig
from majula.errors import ConfigError

DEFAULT_NAME = "<default>"
"""What stands for the file's name in messages about the built-in configuration."""

DEFAULT_NODE_FILE = """\
# One node with one gateway on this machine: what runs where no file is given.
node_id: node1

majula_servers:
  - port: 18080
    auth: none
"""
"""The built-in configuration, the text of `cluster_configs/single.yaml`."""


@dataclass(frozen=True, slots=True)
class LoadedConfig:
    """A node's configuration, every default filled in, every path absolute.

    Attributes:
        config: what the node obeys.
        warnings: one line each, ``file:line:column: message``.
        inactive: parts of the file that are checked but not carried out by this version, for one log line.
        source: name of the file, `DEFAULT_NAME` for the built-in configuration.
        refusals: why a node does not start with it (exit code 78), likewise; empty: it does.
    """

    config: NodeConfig
    warnings: tuple[str, ...]
    inactive: tuple[str, ...]
    source: str
    refusals: tuple[str, ...] = ()


def load_node_config(
    path: Path | None = None,
    *,
    environment: Mapping[str, str] | None = None,
    uid: int | None = None,
    directory: Path | None = None,
) -> LoadedConfig:
    """Read and check a node's file.

    Args:
        path: the file; None takes the built-in configuration, `DEFAULT_NODE_FILE`.
        environment: for `run_dir`'s default; None takes the process's own.
        uid: likewise; None takes the process's own.
        directory: where relative paths of the file start; None takes the working directory.
    Raises:
        ConfigError: `problems` holds every one that was found, as ``file:line:column: message``.
    """
    if path is None:
        name, data = DEFAULT_NAME, DEFAULT_NODE_FILE.encode()
    else:
        name, data = _shown(path), _read(path)
    problems, places = Problems(), Places()
    tree = read_document(data, problems)
    if tree is None and not problems.found:
        tree = Located(None, Mark(1, 1))
    config = None if tree is None else decode_node(tree, problems, places, checks.STRUCT_CHECKS)
    if config is not None:
        checks.check_node(config, places, problems)
        config = _fill_in(
            config,
            os.environ if environment is None else environment,
            os.getuid() if uid is None else uid,
            Path.cwd() if directory is None else directory,
        )
        checks.check_sockets(config, places, problems)
    if config is None or problems.found:
        raise ConfigError(problems=problems.render(name))
    warned, refused = Problems(), Problems()
    checks.warn(config, places, warned)
    checks.refuse_start(config, places, refused)
    return LoadedConfig(config, warned.render(name), checks.inactive(config), name, refused.render(name))


def _fill_in(config: NodeConfig, environment: Mapping[str, str], uid: int, directory: Path) -> NodeConfig:
    """The values that depend on others or on where the node runs."""
    base = directory.absolute()
    data_dir = str(base / (config.data_dir or f"majula-data/{config.node_id}"))
    if config.run_dir:
        run_dir = str(base / config.run_dir)
    else:
        # The real path: one data directory by two names has one run directory, so a second start is found and refused.
        run_dir = rundir.default_run_dir(config.node_id, os.path.realpath(data_dir), environment, uid)
    gateways = config.majula_servers or (Gateway(port=18080, limits=config.limits),)
    return replace(
        config,
        data_dir=data_dir,
        run_dir=run_dir,
        majula_servers=tuple(_fill_in_gateway(entry, run_dir, base) for entry in gateways),
    )


def _fill_in_gateway(gateway: Gateway, run_dir: str, base: Path) -> Gateway:
    tls = gateway.tls
    if tls is not None:
        tls = replace(tls, cert_file=str(base / tls.cert_file), key_file=str(base / tls.key_file))
        gateway = replace(gateway, tls=tls)
    if gateway.native.unix == "off":
        return gateway
    unix = str(base / gateway.native.unix) if gateway.native.unix else rundir.native_socket(run_dir, gateway.port)
    return replace(gateway, native=replace(gateway.native, unix=unix))


def _read(path: Path) -> bytes:
    """At most one byte more than a file may have: a device or an endless pipe does not fill the memory."""
    try:
        with path.open("rb") as file:
            return file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise ConfigError(problems=(f"{_shown(path)}:1:1: cannot be read: {reason}",)) from error


def _shown(path: Path) -> str:
    text = str(path)
    return text if text.isprintable() else ascii(text)
