"""Which node of this user a command is meant for."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from pathlib import Path

from majula.errors import Conflict, NoSuchNode

CONTROL = "control.sock"
ADDRESS = "MAJULA_ADDRESS"
_UNIX = "unix:"


def run_roots(environment: Mapping[str, str], uid: int) -> list[Path]:
    """Where the run directories of this user's nodes are."""
    runtime = environment.get("XDG_RUNTIME_DIR", "")
    roots = [Path(runtime) / "majula"] if runtime.startswith("/") else []
    return [*roots, Path(f"/tmp/majula-{uid}")]  # noqa: S108 - its owner and mode are checked by who makes it


def find_control_socket(
    run_dir: Path | None, *, roots: list[Path] | None = None, environment: Mapping[str, str] = os.environ
) -> Path:
    """The control socket of the node in `run_dir`, else of the one whose socket MAJULA_ADDRESS names, else of the only one.

    An address of another kind says nothing about where a node of this machine keeps its sockets, and is passed over.

    Raises:
        NoSuchNode: no node runs there.
        Conflict: several run; they are listed.
    """
    if run_dir is not None:
        path = run_dir / CONTROL
        if not answers(path):
            raise NoSuchNode(f"no node runs in {run_dir}")
        return path
    address = environment.get(ADDRESS, "")
    if address.startswith(_UNIX):
        # Never another node instead: `majula node stop` comes this way, too.
        path = Path(address.removeprefix(_UNIX)).parent / CONTROL
        if not answers(path):
            raise NoSuchNode(f"no node runs at {address}, which {ADDRESS} names; name one with --run-dir")
        return path
    searched = run_roots(os.environ, os.getuid()) if roots is None else roots
    found = [path for root in searched for path in sorted(root.glob(f"*/{CONTROL}")) if _is_ours(path.parent) and answers(path)]
    if not found:
        places = " and ".join(str(root) for root in searched)
        raise NoSuchNode(f"no node of this user runs (looked in {places}); name one with --run-dir")
    if len(found) > 1:
        listed = ", ".join(str(path.parent) for path in found)
        raise Conflict(f"several nodes run: {listed}; name one with --run-dir, or its unix: address in {ADDRESS}")
    return found[0]


def _is_ours(directory: Path) -> bool:
    """Below `/tmp` anybody may have put a directory with our name on it."""
    try:
        return directory.stat().st_uid == os.getuid()
    except OSError:
        return False


def answers(path: Path) -> bool:
    """Whether somebody listens there: a node that was killed leaves the file behind."""
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(str(path))
        except OSError:
            return False
    return True
