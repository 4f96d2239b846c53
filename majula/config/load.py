"""From a file to a configuration that is ready to use."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from majula.config import checks, files, rundir
from majula.config.decode import Places, decode_node
from majula.config.document import Located, Mark, Problems, quote, read_document
from majula.config.plain import plain_of
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
        path: the file, absolute; None: the built-in configuration.
        refusals: why a node does not start with it (exit code 78), likewise; empty: it does.
        text: the file, byte for byte. May hold secrets.
        given: what the file says, without the defaults, as plain values. May hold secrets.
        secret_variables: names of the environment variables whose values were taken as secrets.
    """

    config: NodeConfig
    warnings: tuple[str, ...]
    inactive: tuple[str, ...]
    source: str
    refusals: tuple[str, ...] = ()
    text: bytes = field(default=b"", repr=False)
    given: dict[str, Any] = field(default_factory=dict, repr=False)
    secret_variables: tuple[str, ...] = ()
    path: Path | None = None

    def secrets(self) -> dict[str, str]:
        """The secrets that the file only names, by that name."""
        name = self.given.get("token", "")
        return {name: self.config.token} if is_reference(name) else {}


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a configuration takes from where its node runs.

    Attributes:
        environment: for `env:NAME` and for `run_dir`'s default.
        uid: for `run_dir`'s default.
        directory: where relative paths start.
        secrets: what was read before, by `file:PATH` or `env:NAME`; these are not looked for again.
        node_id: of a node that runs, where its file gives none.
    """

    environment: Mapping[str, str] = field(repr=False)
    uid: int
    directory: Path
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)
    node_id: str = ""

    @staticmethod
    def own(environment: Mapping[str, str] | None = None, uid: int | None = None, directory: Path | None = None) -> Surroundings:
        """Those of this process, where nothing else is given."""
        return Surroundings(
            os.environ if environment is None else environment,
            os.getuid() if uid is None else uid,
            (Path.cwd() if directory is None else directory).absolute(),
        )


def load_node_config(
    path: Path | None = None,
    *,
    environment: Mapping[str, str] | None = None,
    uid: int | None = None,
    directory: Path | None = None,
    keeps_name: bool = True,
) -> LoadedConfig:
    """Read and check a node's file.

    Args:
        path: the file; None takes the built-in configuration, `DEFAULT_NODE_FILE`.
        environment: for secrets by `env:NAME` and for `run_dir`'s default; None takes the process's own.
        uid: for `run_dir`'s default; None takes the process's own.
        directory: where relative paths of the file start; None takes the working directory.
        keeps_name: where the file names no node, the name that is made is kept for the next start.
    Raises:
        ConfigError: `problems` holds every one that was found, as ``file:line:column: message``.
    """
    around = Surroundings.own(environment, uid, directory)
    if path is None:
        return read_node_config(DEFAULT_NODE_FILE.encode(), DEFAULT_NAME, around, keeps_name=keeps_name)
    name = files.shown(path)
    loaded = read_node_config(read_file(path), name, around, keeps_name=keeps_name)
    loaded = dataclasses.replace(loaded, path=around.directory / path)
    token = loaded.given.get("token")
    if not is_reference(token) and token and not checks.token_weakness(token) and not files.is_private(path):
        line = f"{name}:1:1: this file holds a secret and others may read it: chmod 600 it, or write token: file:PATH"
        loaded = dataclasses.replace(loaded, warnings=(*loaded.warnings, line))
    return loaded


def read_node_config(data: bytes, name: str, around: Surroundings, *, keeps_name: bool = False) -> LoadedConfig:
    """Read and check the text of a node's file.

    Args:
        name: of the file, for messages.
        keeps_name: as in `load_node_config`.
    Raises:
        ConfigError: as there.
    """
    problems, places = Problems(), Places()
    tree = read_document(data, problems)
    if tree is None and not problems.found:
        tree = Located(None, Mark(1, 1))
    given = (plain_of(tree) or {}) if tree is not None else {}
    config = None if tree is None else decode_node(tree, problems, places, checks.STRUCT_CHECKS)
    variables: tuple[str, ...] = ()
    if config is not None:
        if not config.node_id and not problems.found:
            config = replace(config, node_id=around.node_id or _name(config, around.directory, keeps_name, problems))
        config, variables = _resolve_token(config, places, around, problems)
        checks.check_node(config, places, problems)
        config = _fill_in(config, around)
        checks.check_sockets(config, places, problems)
    if config is None or problems.found:
        raise ConfigError(problems=problems.render(name))
    warned, refused = Problems(), Problems()
    checks.warn(config, places, warned)
    checks.refuse_start(config, places, refused)
    _refuse_keys(config, places, refused)
    return LoadedConfig(
        config=config,
        warnings=warned.render(name),
        inactive=checks.inactive(config),
        source=name,
        refusals=refused.render(name),
        text=data,
        given=given,
        secret_variables=variables,
    )


def read_file(path: Path) -> bytes:
    """The file, or the first bytes of one that is too long.

    Raises:
        ConfigError: it cannot be read.
    """
    try:
        return files.read_limited(path)
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise ConfigError(problems=(f"{files.shown(path)}:1:1: cannot be read: {reason}",)) from error


def is_reference(value: object) -> bool:
    """Whether a secret is only named: `file:PATH` or `env:NAME`."""
    return isinstance(value, str) and value.startswith(("file:", "env:"))


def _name(config: NodeConfig, base: Path, keeps: bool, problems: Problems) -> str:
    """Kept where the data is. The default of `data_dir` holds the name, so there it stands one directory above: two nodes that
    are started in one directory, both without a name, are one, and the second is refused."""
    directory = base / (config.data_dir or "majula-data")
    try:
        return files.kept_name(directory / "node_id", makes=keeps)
    except ValueError as error:
        problems.add(Mark(1, 1), str(error))
        return "node"


def _resolve_token(
    config: NodeConfig, places: Places, around: Surroundings, problems: Problems
) -> tuple[NodeConfig, tuple[str, ...]]:
    """The configuration with the secret itself, and the variables that it came from."""
    kind, _, rest = config.token.partition(":")
    mark = places.mark("token")
    variables: tuple[str, ...] = ()
    token = around.secrets.get(config.token, config.token)
    if token != config.token:
        return replace(config, token=token), ()
    if kind == "file" and rest:
        try:
            token = files.read_secret(around.directory / rest)
        except ValueError as error:
            problems.add(mark, str(error))
    elif kind == "env" and rest:
        token, variables = around.environment.get(rest, ""), (rest,)
        if not token:
            problems.add(mark, f"the environment variable {quote(rest)} is not set, or empty")
    elif is_reference(config.token):
        problems.add(mark, "expected file:PATH or env:NAME")
    return replace(config, token=token), variables


def _refuse_keys(config: NodeConfig, places: Places, refused: Problems) -> None:
    """A private key that others may read is no longer one."""
    for at, gateway in enumerate(config.majula_servers):
        if gateway.tls is None:
            continue
        for name, path, is_secret in (
            ("cert_file", gateway.tls.cert_file, False),
            ("key_file", gateway.tls.key_file, True),
        ):
            reason = files.unusable(Path(path), is_secret=is_secret)
            if reason:
                refused.add(places.mark("majula_servers", at, "tls", name), reason)


def _fill_in(config: NodeConfig, around: Surroundings) -> NodeConfig:
    """The values that depend on others or on where the node runs."""
    base = around.directory
    data_dir = str(base / (config.data_dir or f"majula-data/{config.node_id}"))
    if config.run_dir:
        run_dir = str(base / config.run_dir)
    else:
        # The real path: one data directory by two names has one run directory, so a second start is found and refused.
        run_dir = rundir.default_run_dir(config.node_id, os.path.realpath(data_dir), around.environment, around.uid)
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
