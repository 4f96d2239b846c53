"""Where a node is: the forms of an address, and the search for the one node of this user."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from msgspec import Struct

from majula.errors import Conflict, InvalidRequest, NoSuchNode

ENVIRONMENT = "MAJULA_ADDRESS"


class Address(Struct, frozen=True):
    """One place to connect to.

    kind: `unix` (path), `tcp` (host, port), `websocket` (url) or `http` (url).
    text: as it was written, for messages.
    is_encrypted: by TLS.
    """

    kind: Literal["unix", "tcp", "websocket", "http"]
    text: str
    path: str = ""
    host: str = ""
    port: int = 0
    url: str = ""
    is_encrypted: bool = False


def parse_address(text: str) -> Address:
    """Read `unix:/path`, `majula://host:port`, `ws://host:port[/path]`, `http://host:port`; by TLS `majulas:`, `wss:`, `https:`.

    Raises:
        InvalidRequest: it has none of these forms, or holds a user or password.
    """
    if text.startswith("unix:"):
        path = text.removeprefix("unix:").removeprefix("//")
        if path:
            return Address("unix", text, path=path)
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        parts, port = urlsplit(""), None
    host = parts.hostname or ""
    if "@" in parts.netloc or parts.query:
        # Addresses are shown in messages and process lists. The text is not repeated here: it may hold a secret.
        raise InvalidRequest("an address holds no user, password or query; a token is given as `token`")
    is_encrypted = parts.scheme in ("majulas", "wss", "https")
    if parts.scheme in ("majula", "majulas") and host and port:
        return Address("tcp", text, host=host, port=port, is_encrypted=is_encrypted)
    if parts.scheme in ("ws", "wss") and host:
        return Address("websocket", text, host=host, url=text, is_encrypted=is_encrypted)
    if parts.scheme in ("http", "https") and host:
        return Address("http", text, host=host, url=text, is_encrypted=is_encrypted)
    raise InvalidRequest(
        f"{text!r} is no address: use unix:/path, majula://host:port, ws://host:port or http://host:port, "
        "with TLS majulas://, wss:// or https://"
    )


def find_address(environment: Mapping[str, str], *, uid: int, temporary: Path = Path("/tmp")) -> Address:  # noqa: S108  # the node's documented default, checked for its owner below
    """MAJULA_ADDRESS, or the first gateway's native socket of the only node that this user runs.

    Args:
        environment: the process's.
        uid: the user; directories of anybody else are not looked at.
        temporary: where a node without `XDG_RUNTIME_DIR` keeps its run directory.
    Raises:
        NoSuchNode: no node.
        Conflict: more than one; the message lists them.
    """
    if environment.get(ENVIRONMENT):
        return parse_address(environment[ENVIRONMENT])
    runtime = environment.get("XDG_RUNTIME_DIR")
    # What is not absolute is to be ignored (XDG Base Directory Specification), and would mean another place in each directory.
    roots = ([Path(runtime) / "majula"] if runtime and runtime.startswith("/") else []) + [temporary / f"majula-{uid}"]
    nodes: dict[Path, list[Path]] = {}
    for root in roots:
        for path in _sockets(root, uid):
            nodes.setdefault(path.parent, []).append(path)
    if len(nodes) > 1:
        alive = {directory: sockets for directory, sockets in nodes.items() if any(map(_answers, sockets))}
        nodes = alive or nodes
    if len(nodes) == 1:
        first = min(next(iter(nodes.values())), key=_age)
        return Address("unix", f"unix:{first}", path=str(first))
    looked = " and ".join(str(root) for root in roots)
    if not nodes:
        raise NoSuchNode(f"no node of this user runs here (looked in {looked}); start one, or give an address or {ENVIRONMENT}")
    found = ", ".join(f"unix:{min(sockets, key=_age)}" for sockets in nodes.values())
    message = f"{len(nodes)} nodes of this user run here, choose one by its address or {ENVIRONMENT}: {found}"
    raise Conflict(message, found=found)


def _sockets(root: Path, uid: int) -> list[Path]:
    found: list[Path] = []
    try:
        for directory in sorted(root.iterdir()):
            if directory.stat().st_uid == uid:
                found += [path for path in directory.glob("native-*.sock") if path.is_socket()]
    except OSError:  # not there, or not ours to read
        return found
    return found


def _age(path: Path) -> tuple[int, int]:
    """Sockets are bound in the order of the configuration, so the first gateway's is the oldest. File times tick each 4 ms: among
    equals the older inode. Where a file system gives these in no order, another gateway of the node serves as well."""
    found = path.stat()
    return (found.st_mtime_ns, found.st_ino)


def _answers(path: Path) -> bool:
    """Does somebody listen there? A node that was killed leaves its sockets behind."""
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(str(path))
        except OSError:
            return False
    return True


def find_default_address() -> Address:
    """`find_address` for this process.

    Raises:
        NoSuchNode, Conflict: as there; also on systems without Unix users, where the address is always given.
    """
    uid = getattr(os, "getuid", None)
    if uid is None:
        if os.environ.get(ENVIRONMENT):
            return parse_address(os.environ[ENVIRONMENT])
        raise NoSuchNode(f"give the address of a node, or set {ENVIRONMENT}")
    return find_address(os.environ, uid=uid())
