"""Where a node keeps its sockets: the rules for the defaults of `run_dir` and of the native ports' paths.

Pure: environment, user id and the real path of the data directory are arguments. Whether a directory exists, and whose it is, is
decided where it is opened.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

MAX_SOCKET_PATH_BYTES = 100
"""The kernel takes 107 bytes (sun_path, unix(7)); BSD and macOS take 103. The rest is room for a temporary name."""

MAX_RUN_DIR_BYTES = MAX_SOCKET_PATH_BYTES - len("/native-65535.sock")
"""The longest name that a node makes in its run directory must fit behind it."""


def run_root(environment: Mapping[str, str], uid: int) -> str:
    """The directory that holds the run directories of all nodes of this user.

    ``$XDG_RUNTIME_DIR/majula``, or ``/tmp/majula-<uid>`` where the variable is missing or relative (its specification says to
    ignore it then).
    """
    runtime = environment.get("XDG_RUNTIME_DIR", "")
    return f"{runtime.rstrip('/')}/majula" if runtime.startswith("/") else f"/tmp/majula-{uid}"  # noqa: S108 - checked 0700 and owned when opened


def default_run_dir(node_id: str, data_dir_real: str, environment: Mapping[str, str], uid: int) -> str:
    """The node's run directory: two nodes of one name with different data directories never meet in it."""
    digest = hashlib.sha256(data_dir_real.encode("utf-8", "surrogateescape")).hexdigest()
    return f"{run_root(environment, uid)}/{node_id}-{digest[:8]}"


def native_socket(run_dir: str, port: int) -> str:
    """The default path of the native port's Unix socket of the gateway on `port`."""
    return f"{run_dir}/native-{port}.sock"
