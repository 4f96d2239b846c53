"""`config check`: what is wrong with a file, what is doubtful, what becomes reachable from where. Nothing starts or stays."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

from msgspec import Struct

from majula.config import files
from majula.config.decode import Places, decode
from majula.config.document import Problems, read_document
from majula.config.load import load_node_config, read_file
from majula.config.plain import plain_of
from majula.config.reach import reachable
from majula.config.schema import NodeConfig
from majula.config.signaling_server import SignalingServerConfig, check_server, server_reach, warn_server
from majula.errors import ConfigError

_NODE_KEYS = frozenset(NodeConfig.__struct_encode_fields__)
_SERVER_KEYS = frozenset(SignalingServerConfig.__struct_encode_fields__)
REFUSED = "refused at start"

Certificate = Callable[[str, str], str]
"""Why the certificate and the key in these files cannot be used; empty: they can. This room reads no certificates itself."""


class Checked(Struct, frozen=True):
    """What there is to say about a file.

    Args:
        kind: whose file it is.
        problems: it cannot be used, `file:line:column: message`; empty: it can.
        warnings: likewise, what should be known. With `refused at start` a node does not start (exit code 78).
        inactive: parts that have no effect in this version.
        reachable: what listens where, who can reach it, and what protects it.
    """

    kind: Literal["node", "signaling server"]
    problems: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    inactive: tuple[str, ...] = ()
    reachable: tuple[str, ...] = ()

    @property
    def starts(self) -> bool:
        """Whether a node starts with it."""
        return not self.problems and not any(f": {REFUSED}: " in line for line in self.warnings)


def check_file(
    path: Path,
    *,
    environment: Mapping[str, str] | None = None,
    uid: int | None = None,
    directory: Path | None = None,
    certificate: Certificate = lambda cert_file, key_file: "",
) -> Checked:
    """Check the file of a node, or of a signaling server: its keys say which it is.

    Args:
        environment, uid, directory: as for `load_node_config`.
        certificate: see `Certificate`.
    """
    try:
        data = read_file(path)
    except ConfigError as error:
        return Checked("node", error.problems)
    if _is_server(data):
        return _check_server(data, files.shown(path))
    try:
        loaded = load_node_config(path, environment=environment, uid=uid, directory=directory, keeps_name=False)
    except ConfigError as error:
        return Checked("node", error.problems)
    refusals = loaded.refusals or unusable_certificates(loaded.config, certificate)
    return Checked(
        "node",
        warnings=(*(_refused(line, loaded.source) for line in refusals), *loaded.warnings),
        inactive=loaded.inactive,
        reachable=reachable(loaded.config),
    )


def unusable_certificates(config: NodeConfig, certificate: Certificate) -> tuple[str, ...]:
    """A line for each gateway whose certificate keeps a node from starting."""
    tls = [entry.tls for entry in config.majula_servers if entry.tls is not None]
    return tuple(dict.fromkeys(reason for found in tls if (reason := certificate(found.cert_file, found.key_file))))


def _refused(line: str, name: str) -> str:
    if not line.startswith(f"{name}:"):
        return f"{name}:1:1: {REFUSED}: {line}"
    place, _, message = line.removeprefix(f"{name}:").partition(": ")
    return f"{name}:{place}: {REFUSED}: {message}"


def _is_server(data: bytes) -> bool:
    """More of its keys belong to a signaling server than to a node."""
    tree = read_document(data, Problems())
    found: Any = {} if tree is None else plain_of(tree)
    keys = set(found) if isinstance(found, dict) else set()
    return len(keys & _SERVER_KEYS) > len(keys & _NODE_KEYS)


def _check_server(data: bytes, name: str) -> Checked:
    problems, places = Problems(), Places()
    tree = read_document(data, problems)
    config = None if tree is None else decode(SignalingServerConfig, tree, problems, places, {})
    if config is not None:
        check_server(config, places, problems)
    if config is None or problems.found:
        return Checked("signaling server", problems.render(name))
    found = Problems()
    warn_server(config, places, found)
    return Checked(
        "signaling server",
        warnings=found.render(name),
        inactive=("signaling server: a later version runs it",),
        reachable=server_reach(config),
    )
